import { AnswerFold, isTask, type Answer, type Call, type Dialect, type Json, type JsonObject, type Operation } from "../../canon/index.ts";
import { eventStream, FrameSplitter } from "../../kit/index.ts";
import type { Unpacked } from "./pack.ts";
import { readTask, type ReadTask } from "./read-task.ts";
import { ANSWER } from "./remnant.ts";

/** The call and the answer of a remnant, in canonical form. */
export interface Read {
  readonly call: Call;
  /** Undefined: there is none, or it was not told to its end. */
  readonly answer: Answer | undefined;
  /** There was one, and it cannot be read back. */
  readonly partial: boolean;
}

/** Throws what the language throws for a text that it cannot read. */
export function readRemnant(remnant: Unpacked, dialects: ReadonlyMap<string, Dialect>): Read | ReadTask {
  const { body, answer, head } = remnant;
  const [, , , , id, operation, door, form, answerForm, provider] = head;
  const answerType = head[15];
  const known = dialects.get(id);
  if (!known) throw new Error(`there is no language ${id}`);
  const dialect = (answerType !== null && known.framedAs?.(answerType)) || known;
  if (isTask(operation)) return readTask(remnant, dialect, { ...doorOf(door, operation), operation });
  const text = body.toString("utf8");
  const call =
    form === "call" ? callFrom(text, id) : dialect.decodeCall(JSON.parse(text) as JsonObject, doorOf(door, operation as Operation));
  const from = provider === null ? {} : { provider };
  const partial = answerForm === ANSWER.partial;
  if (answerForm === ANSWER.none || partial) return { call, answer: undefined, partial };
  if (answerForm === ANSWER.frames) return { call, answer: folded(dialect, answer, from), partial };
  const whole = JSON.parse(answer.toString("utf8")) as Json;
  return { call, answer: dialect.decodeAnswer(whole, { ...from, operation: operation as Operation }), partial };
}

/** What is hashed and stored of a call; see `saidOf` on the other side. */
function callFrom(text: string, dialect: string): Call {
  return { ...(JSON.parse(text) as Pick<Call, "items" | "tools">), origin: { dialect }, native: {}, touched: new Set() } as unknown as Call;
}

function doorOf(text: string | null, operation: Operation): Parameters<Dialect["decodeCall"]>[1] {
  const door = text === null ? {} : (JSON.parse(text) as Partial<Parameters<Dialect["decodeCall"]>[1]>);
  return { headers: {}, params: {}, ...door, operation };
}

function folded(dialect: Dialect, bytes: Uint8Array, from: { readonly provider?: string }): Answer | undefined {
  const fold = new AnswerFold({ dialect: dialect.id, ...from });
  const decoder = dialect.decodeEvents((event) => fold.event(event), from);
  const parse = dialect.framing?.parse ?? eventStream.parse;
  const cutter = dialect.framing?.cutter(bytes.length) ?? new FrameSplitter(bytes.length);
  const frame = (piece: Uint8Array): void => {
    const parsed = parse(piece);
    if (parsed) decoder.frame(parsed);
  };
  cutter.push(bytes, frame);
  frame(cutter.rest());
  decoder.end();
  return fold.stop === undefined ? undefined : fold.answer();
}
