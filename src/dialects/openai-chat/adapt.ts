import type { Capabilities, Diagnostic, Json, JsonObject } from "../../canon/index.ts";
import { decodeReasoning, REASONING_FIELDS, reasoningFields } from "./reasoning.ts";
import { isObject, object, type Draft } from "./shape.ts";

const MAX_TOKENS_FIELDS = ["max_completion_tokens", "max_tokens"] as const;

type Note = (diagnostic: Diagnostic) => void;

/**
 * What a body in this language needs before a particular upstream takes it: the fields to replace (a value) or remove (undefined).
 * The same on both paths: forwarding applies it to the client's bytes, encoding to the body it built.
 */
export function adaptations(body: JsonObject, capabilities: Capabilities, note: Note): Readonly<Record<string, Json | undefined>> {
  const replace: Draft = {};
  renameMaxTokens(body, capabilities.maxTokensField, replace, note);
  renameFields(body, capabilities.renames, replace, note);
  if (capabilities.reasoning !== false) spellReasoning(body, capabilities, replace, note);
  else dropFields(body, REASONING_FIELDS, replace, note, "The model does not reason.");
  dropFields(body, capabilities.refuses ?? [], replace, note, "The provider refuses this field.");
  askForUsage(body, capabilities, replace);
  return replace;
}

/** Does the client itself want the usage frame? */
export function asksForUsage(body: JsonObject): boolean {
  return object(body["stream_options"])?.["include_usage"] === true;
}

function renameMaxTokens(body: JsonObject, wanted: string | undefined, replace: Draft, note: Note): void {
  if (wanted === undefined) return;
  for (const field of MAX_TOKENS_FIELDS) {
    const value = body[field];
    if (field === wanted || value === undefined) continue;
    replace[field] = undefined;
    if (body[wanted] === undefined) replace[wanted] = value;
    note({ field: "maxOutputTokens", action: "renamed", reason: `The provider calls it \`${wanted}\`.` });
  }
}

function renameFields(body: JsonObject, renames: Capabilities["renames"], replace: Draft, note: Note): void {
  for (const [field, wanted] of Object.entries(renames ?? {})) {
    const value = body[field];
    if (value === undefined) continue;
    replace[field] = undefined;
    if (body[wanted] === undefined) replace[wanted] = value;
    note({ field, action: "renamed", reason: `The provider calls it \`${wanted}\`.` });
  }
}

/** Fields in which an upstream takes how to think; those of other vendors are said in these. */
const READS = {
  reasoning_effort: ["reasoning_effort"],
  reasoning: ["reasoning", "reasoning_effort"],
  thinking: ["thinking", "reasoning_effort"],
} as const satisfies Record<NonNullable<Capabilities["reasoningRequest"]>, readonly string[]>;

function spellReasoning(body: JsonObject, capabilities: Capabilities, replace: Draft, note: Note): void {
  const { reasoningRequest } = capabilities;
  if (reasoningRequest === undefined) return;
  const known: readonly string[] = READS[reasoningRequest];
  const strange = REASONING_FIELDS.filter((field) => body[field] !== undefined && !known.includes(field));
  if (strange.length === 0) return;
  for (const field of strange) replace[field] = undefined;
  Object.assign(replace, reasoningFields(decodeReasoning(body), capabilities, note));
  note({ field: "reasoning", action: "renamed", reason: `The provider is asked by \`${reasoningRequest}\`.` });
}

function dropFields(body: JsonObject, fields: readonly string[], replace: Draft, note: Note, reason: string): void {
  for (const field of fields) {
    if (body[field] === undefined && replace[field] === undefined) continue;
    replace[field] = undefined;
    note({ field, action: "dropped", reason });
  }
}

/** Streams report usage only on request; the pipeline withholds the extra frame from a client that did not ask. */
function askForUsage(body: JsonObject, capabilities: Capabilities, replace: Draft): void {
  if (body["stream"] !== true || capabilities.streamUsage === false || capabilities.refuses?.includes("stream_options")) return;
  if (asksForUsage(body)) return;
  const options = isObject(body["stream_options"]) ? body["stream_options"] : {};
  replace["stream_options"] = { ...options, include_usage: true };
}
