import type { Call, Envelope, JsonObject, Origin } from "../../canon/index.ts";
import { isList, object } from "../shared-shape.ts";

/** The dialect's id. */
export const ID = "ollama-chat";
export const ORIGIN: Origin = { dialect: ID };

/**
 * Which of the two doors a call came through: `/api/chat` takes a list of messages, `/api/generate` one prompt, and their answers differ in
 * shape. It stands in `call.origin.version`.
 */
export type Shape = "chat" | "generate";

export function shapeOf(call: Pick<Call, "origin">): Shape {
  return call.origin.dialect === ID && call.origin.version === "generate" ? "generate" : "chat";
}

/**
 * What an assistant message's envelope holds: the wire message with the fields that became items set to null, and the names of those
 * fields.
 */
export interface MessageFrame {
  readonly message: JsonObject;
  readonly cut: readonly string[];
}

export function frameEnvelope({ message, cut }: MessageFrame, place: number): Envelope {
  return { dialect: ID, role: "assistant", raw: { message, cut }, place };
}

/** Undefined for envelopes of other languages. */
export function frameOf(envelope: Envelope | undefined): MessageFrame | undefined {
  if (envelope?.dialect !== ID) return undefined;
  const message = object(envelope.raw["message"]);
  const cut = envelope.raw["cut"];
  return message && isList(cut) ? { message, cut: cut.filter((key) => typeof key === "string") } : undefined;
}
