import type { Envelope, JsonObject, Origin } from "../../canon/index.ts";
import { isList, object } from "../shared-shape.ts";

export { count, demand, isList, isObject, object, read, text, type Draft } from "../shared-shape.ts";

/** The dialect's id. */
export const ID = "openai-chat";
export const ORIGIN: Origin = { dialect: ID };

/**
 * What an envelope of this dialect holds: the wire message with the fields that became items set to null (a list of content to [],
 * so that its shape is known), and the names of those fields. `answer`: it was the model's answer, which may hold fields that no
 * request accepts.
 */
export interface MessageFrame {
  readonly message: JsonObject;
  readonly cut: readonly string[];
  readonly answer: boolean;
}

export function frameEnvelope(role: string, frame: MessageFrame, place: number): Envelope {
  return { dialect: ID, role, raw: { message: frame.message, cut: frame.cut, ...(frame.answer && { answer: true }) }, place };
}

/** Undefined for envelopes of other languages. */
export function frameOf(envelope: Envelope | undefined): MessageFrame | undefined {
  if (envelope?.dialect !== ID) return undefined;
  const message = object(envelope.raw["message"]);
  const cut = envelope.raw["cut"];
  if (!message || !isList(cut)) return undefined;
  return { message, cut: cut.filter((key) => typeof key === "string"), answer: envelope.raw["answer"] === true };
}
