import {
  invalid,
  NO_USAGE,
  ProblemError,
  type Diagnostic,
  type Json,
  type JsonObject,
  type Task,
  type TaskSupport,
  type Usage,
} from "../canon/index.ts";
import { count, isList, isObject, type Draft } from "./openai-chat/shape.ts";

export { count, demand, isList, isObject, object, read, text, type Draft } from "./openai-chat/shape.ts";

/** Inputs of one call: what the largest provider takes at once. */
export const MOST_INPUTS = 2048;
/** Documents of one reranking. */
export const MOST_DOCUMENTS = 10_000;

export type Note = (diagnostic: Diagnostic) => void;

/** A text, a list of texts, or (where they are taken) token numbers or lists of them. @throws ProblemError invalid_request */
export function readInputs(
  value: Json | undefined,
  param: string,
  tokens: boolean,
): { inputs: readonly (string | readonly number[])[]; single: boolean } {
  const wanted = `\`${param}\` must be a text or a list of texts${tokens ? ", or of token numbers" : ""}`;
  if (typeof value === "string") return { inputs: [written(value, param)], single: true };
  if (!isList(value)) throw invalid(`${wanted}.`, param);
  if (value.length === 0) throw invalid(`\`${param}\` is empty: it must hold at least one input.`, param);
  if (tokens && value.every((one) => typeof one === "number")) return { inputs: [numbers(value, param)], single: true };
  tooMany(value.length, MOST_INPUTS, param, "inputs");
  const inputs = value.map((one, at) => {
    if (typeof one === "string") return written(one, `${param}[${at}]`);
    if (tokens && isList(one) && one.length > 0) return numbers(one, `${param}[${at}]`);
    throw invalid(`${wanted}; entry ${at} is neither.`, `${param}[${at}]`);
  });
  return { inputs, single: false };
}

/** @throws ProblemError invalid_request */
export function tooMany(length: number, most: number, param: string, what: string): void {
  if (length > most) throw invalid(`\`${param}\` has ${length} ${what}; one call takes at most ${most}.`, param, "too_many_inputs");
}

function written(text: string, param: string): string {
  if (text === "") throw invalid(`\`${param}\` is empty: there is nothing to work on.`, param);
  return text;
}

function numbers(list: readonly Json[], param: string): readonly number[] {
  if (!list.every((one) => typeof one === "number" && Number.isInteger(one) && one >= 0))
    throw invalid(`\`${param}\` must hold whole, positive token numbers.`, param);
  return list as readonly number[];
}

/** A whole number from 1 on. @throws ProblemError invalid_request */
export function readCount(body: JsonObject, key: string): number | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1)
    throw invalid(`\`${key}\` must be a whole number from 1 on.`, key);
  return value;
}

/** What others than its own language cannot carry. @throws ProblemError unsupported */
export function refuseBeyond({ beyond }: Task, title: string): void {
  if (beyond !== undefined) throw unsupported(`${title} takes no ${beyond}.`);
}

export function unsupported(message: string, param?: string): ProblemError {
  return new ProblemError({ kind: "unsupported", status: 400, message, ...(param !== undefined && { param }) });
}

export function broken(message: string): ProblemError {
  return new ProblemError({ kind: "upstream_broken", message });
}

/** The fields by the names and in the values that this upstream has for them; without those that it refuses. */
export function renamed(body: Draft, support: TaskSupport, note: Note): Draft {
  const replace = renaming(body, support, note);
  const out: Draft = { ...body };
  for (const [field, value] of Object.entries(replace)) {
    if (value === undefined) delete out[field];
    else out[field] = value;
  }
  return out;
}

/** The same for bytes that pass: what to replace in them. */
export function renaming(body: JsonObject | Draft, { renames = {}, values = {} }: TaskSupport, note?: Note): Draft {
  const replace: Draft = {};
  for (const [field, words] of Object.entries(values)) {
    const value = body[field];
    if (typeof value === "string" && Object.hasOwn(words, value)) replace[field] = words[value];
  }
  for (const [field, name] of Object.entries(renames)) {
    const value = replace[field] ?? body[field];
    if (value === undefined) continue;
    replace[field] = undefined;
    if (name !== null) replace[name] = value;
    else note?.({ field, action: "dropped", reason: "The provider refuses this field." });
  }
  return replace;
}

/** Tells of every field that another language's request has and this one has no word for. */
export function tellLost(native: JsonObject, said: ReadonlySet<string>, note: Note): void {
  for (const [field, value] of Object.entries(native))
    if (value !== null && !said.has(field)) note({ field, action: "dropped", reason: "The provider's language has no word for it." });
}

/** An answer's object. @throws ProblemError upstream_broken */
export function answered(body: Json): JsonObject {
  if (isObject(body)) return body;
  throw broken("The provider answered with something that is not a JSON object.");
}

/** A list of an answer. @throws ProblemError upstream_broken */
export function listIn(body: JsonObject, key: string): readonly Json[] {
  const value = body[key];
  if (isList(value)) return value;
  throw broken(`The provider's answer has no list \`${key}\`.`);
}

/** Usage of nothing but input tokens; undefined where none are named. */
export function inputUsage(tokens: Json | undefined, media?: Readonly<Record<string, number>>): Usage | undefined {
  if (typeof tokens !== "number" && media === undefined) return undefined;
  return { ...NO_USAGE, inputUncached: count(tokens), ...(media && { media }) };
}
