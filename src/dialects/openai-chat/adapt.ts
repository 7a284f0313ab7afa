import type { Capabilities, Diagnostic, Json, JsonObject } from "../../canon/index.ts";
import { isObject, object, type Draft } from "./shape.ts";

const MAX_TOKENS_FIELDS = ["max_completion_tokens", "max_tokens"] as const;
const REASONING_FIELDS = ["reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget"] as const;

type Note = (diagnostic: Diagnostic) => void;

/**
 * What a body in this language needs before a particular upstream takes it: the fields to replace (a value) or remove (undefined).
 * The same on both paths: forwarding applies it to the client's bytes, encoding to the body it built.
 */
export function adaptations(body: JsonObject, capabilities: Capabilities, note: Note): Readonly<Record<string, Json | undefined>> {
  const replace: Draft = {};
  renameMaxTokens(body, capabilities.maxTokensField, replace, note);
  if (capabilities.reasoning === false) dropFields(body, REASONING_FIELDS, replace, note, "The model does not reason.");
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

/** The messages with their roles renamed, or undefined when none needs it. */
export function renamedRoles(body: JsonObject, wanted: Capabilities["instructionsRole"]): Json | undefined {
  if (wanted === undefined) return undefined;
  const other = wanted === "system" ? "developer" : "system";
  const messages = body["messages"];
  if (!Array.isArray(messages)) return undefined;
  const list = messages as readonly Json[];
  if (!list.some((message) => isObject(message) && message["role"] === other)) return undefined;
  return list.map((message) => (isObject(message) && message["role"] === other ? { ...message, role: wanted } : message));
}

/** What is said of it when the roles of standing instructions are renamed. */
export function roleRenamed(wanted: Capabilities["instructionsRole"]): Diagnostic {
  return { field: "items[].role", action: "renamed", reason: `The provider calls the role "${wanted}".` };
}
