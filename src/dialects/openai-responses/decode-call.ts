import {
  CARRIED_MARK,
  invalid,
  isTask,
  ProblemError,
  type Call,
  type Diagnostic,
  type DoorContext,
  type EncodeTarget,
  type Item,
  type Json,
  type JsonObject,
  type Operation,
  type Outline,
  type OutputFormat,
  type Reasoning,
  type Sampling,
  type TaskOperation,
} from "../../canon/index.ts";
import { unspokenFields, unspokenUser, type FieldTable } from "../shared-fields.ts";
import { openSummary } from "./compaction.ts";
import { decodeInput } from "./decode-items.ts";
import { decodeTool, decodeToolChoice } from "./decode-tools.ts";
import { LOGPROBS, SEALED_REASONING } from "./params.ts";
import { CLIENT_ORIGIN, ID, isList, isObject, optional, required, stringIn, without, type Draft } from "./shape.ts";

/** Where each operation goes, below the provider's base path. */
export const PATHS: Readonly<Record<Exclude<Operation, TaskOperation | "realtime">, string>> = {
  generate: "/responses",
  compact: "/responses/compact",
  count_tokens: "/responses/input_tokens",
};

/** The doors of this language are for conversations alone. */
export function spoken(operation: Operation): keyof typeof PATHS {
  return isTask(operation) || operation === "realtime" ? "generate" : operation;
}

/** @throws ProblemError invalid_request, unsupported */
export function outline(body: JsonObject, context: DoorContext): Outline {
  const model = required(body, "model", "string");
  const stream = optional(body, "stream", "boolean") ?? false;
  const { input } = body;
  if (input !== undefined && input !== null && typeof input !== "string" && !isList(input)) {
    throw invalid("`input` must be a string or a list of items.", "input");
  }
  const previousId = optional(body, "previous_response_id", "string");
  refuseConversation(body, previousId);
  const maxOutputTokens = optional(body, "max_output_tokens", "number");
  const background = optional(body, "background", "boolean") ?? false;
  const generates = context.operation === "generate";
  const slow = reasonForSlow(body, input);
  return {
    model,
    stream: stream && generates,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(typeof body["service_tier"] === "string" && { serviceTier: body["service_tier"] }),
    ...(previousId !== undefined && previousId !== "" && { previousId }),
    keep: generates && optional(body, "store", "boolean") !== false,
    background: background && generates,
    ...(generates && body["generate"] === false && { warmUp: true }),
    ...(slow !== undefined && { slow }),
  };
}

/** Conversations live with the provider, under ids that every caller behind the same provider key could name. */
function refuseConversation(body: JsonObject, previousId: string | undefined): void {
  const { conversation } = body;
  if (conversation === undefined || conversation === null) return;
  throw new ProblemError({
    kind: "unsupported",
    message: `\`conversation\` names a thread that the provider holds, which all callers of one provider key would share. ${
      previousId === undefined ? "Use `previous_response_id`, which the gateway keeps for you alone" : "Send `previous_response_id` alone"
    }, or send the whole input.`,
    param: "conversation",
  });
}

/** Things that no upstream may be shown as they are. */
function reasonForSlow(body: JsonObject, input: Json | undefined): string | undefined {
  if (body["generate"] === false) return "only prepares the next turn";
  if (!isList(input)) return undefined;
  for (const item of input) {
    if (!isObject(item)) throw invalid("Every entry of `input` must be an object.", "input");
    const { type } = item;
    if (type === "item_reference" || (type === undefined && item["role"] === undefined)) return "names kept items by their ids";
    if (typeof type === "string" && type.includes("compaction") && isOurSummary(item["encrypted_content"]))
      return "holds a summary made here";
    if (type === "reasoning" && isCarried(item["encrypted_content"])) return "holds reasoning that was sealed here";
  }
  return undefined;
}

function isCarried(token: Json | undefined): boolean {
  return typeof token === "string" && token.startsWith(CARRIED_MARK);
}

function isOurSummary(token: Json | undefined): boolean {
  return typeof token === "string" && openSummary(token) !== undefined;
}

/** @throws ProblemError invalid_request naming the field */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const { operation } = context;
  refuseConversation(body, optional(body, "previous_response_id", "string"));
  const items = decodeInput(body["input"]);
  const toolList = optional(body, "tools", "list") ?? [];
  const tools = toolList.map((tool, at) => decodeTool(tool, `tools[${at}]`, true));
  const instructions = optional(body, "instructions", "string");
  const unspoken = [...unspokenFields(body, FIELDS), ...unspokenUser(body)];
  return {
    operation,
    origin: { dialect: ID },
    model: required(body, "model", "string"),
    stream: operation === "generate" && optional(body, "stream", "boolean") === true,
    ...(instructions !== undefined && {
      instructions: { parts: [{ type: "text", text: instructions }], origin: CLIENT_ORIGIN, raw: instructions },
    }),
    items,
    tools,
    ...present({
      toolChoice: decodeToolChoice(body["tool_choice"]),
      parallelToolCalls: optional(body, "parallel_tool_calls", "boolean"),
      output: decodeOutput(body),
      reasoning: decodeReasoning(body),
      maxOutputTokens: positive(body, "max_output_tokens"),
      metadata: decodeMetadata(body),
      endUser: optional(body, "safety_identifier", "string") ?? optional(body, "user", "string"),
      promptCacheKey: optional(body, "prompt_cache_key", "string"),
      serviceTier: optional(body, "service_tier", "string"),
      store: optional(body, "store", "boolean"),
      background: optional(body, "background", "boolean"),
      previousId: optional(body, "previous_response_id", "string") || undefined,
      keptPrompt: keptPromptOf(body),
      unspoken: unspoken.length > 0 ? unspoken : undefined,
    }),
    sampling: decodeSampling(body),
    native: nativeOf(body, items, toolList.length > 0, instructions !== undefined),
    touched: new Set(),
  };
}

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  input: true,
  instructions: true,
  tools: true,
  tool_choice: true,
  parallel_tool_calls: true,
  stream: true,
  // Padding hides sizes from an eavesdropper and changes no content.
  stream_options: ["include_obfuscation"],
  max_output_tokens: true,
  temperature: true,
  top_p: true,
  top_logprobs: true,
  presence_penalty: true,
  frequency_penalty: true,
  text: (value) => isObject(value) && unspokenFields(value, TEXT_FIELDS).length === 0,
  reasoning: ["effort", "summary", "generate_summary"],
  metadata: true,
  safety_identifier: true,
  user: true,
  prompt_cache_key: true,
  service_tier: true,
  // What follows is the gateway's own part: it keeps turns, waits in the background, and answers warm-ups and its own sockets.
  store: true,
  background: true,
  previous_response_id: true,
  generate: true,
  stream_id: true,
  type: true,
  truncation: (value) => value === "disabled",
  include: (value) => isList(value) && value.every((entry) => entry === SEALED_REASONING || entry === LOGPROBS),
};
const TEXT_FIELDS: FieldTable = {
  verbosity: true,
  format: (value) => isObject(value) && ["text", "json_object", "json_schema"].includes(stringIn(value["type"])),
};

function keptPromptOf(body: JsonObject): string | undefined {
  const prompt = body["prompt"];
  return isObject(prompt) ? stringIn(prompt["id"]) || undefined : undefined;
}

type Present<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** The members that are there: the canonical form has no members that are undefined. */
function present<T extends object>(members: T): Present<T> {
  const kept: Partial<T> = {};
  for (const key of Object.keys(members) as (keyof T)[]) if (members[key] !== undefined) kept[key] = members[key];
  return kept as Present<T>;
}

/** Everything but what became items, tools and instructions; an empty or null list of them is kept, so that it is sent again. */
function nativeOf(body: JsonObject, items: readonly Item[], hasTools: boolean, hasInstructions: boolean): JsonObject {
  const cut: string[] = [];
  if (items.length > 0) cut.push("input");
  if (hasTools) cut.push("tools");
  if (hasInstructions) cut.push("instructions");
  return without(body, ...cut);
}

function positive(body: JsonObject, key: string): number | undefined {
  const value = optional(body, key, "number");
  if (value !== undefined && (!Number.isInteger(value) || value < 1)) throw invalid(`\`${key}\` must be a positive whole number.`, key);
  return value;
}

function decodeOutput(body: JsonObject): Call["output"] {
  const text = optional(body, "text", "object");
  if (!text) return undefined;
  const verbosity = optional(text, "verbosity", "string", "text.");
  const format = decodeFormat(optional(text, "format", "object", "text."));
  if (verbosity === undefined && format === undefined) return undefined;
  return present({ format, verbosity });
}

function decodeFormat(format: JsonObject | undefined): OutputFormat | undefined {
  if (!format) return undefined;
  const type = required(format, "type", "string", "text.format.");
  if (type === "text" || type === "json_object") return { type };
  // A format of a later day passes in its own language, through `native`.
  if (type !== "json_schema") return undefined;
  return {
    type,
    name: required(format, "name", "string", "text.format."),
    schema: required(format, "schema", "object", "text.format."),
    ...present({
      strict: optional(format, "strict", "boolean", "text.format."),
      description: optional(format, "description", "string", "text.format."),
    }),
  };
}

function decodeReasoning(body: JsonObject): Reasoning | undefined {
  const wire = optional(body, "reasoning", "object");
  if (!wire) return undefined;
  const effort = optional(wire, "effort", "string", "reasoning.");
  const summary = optional(wire, "summary", "string", "reasoning.") ?? optional(wire, "generate_summary", "string", "reasoning.");
  if (effort === undefined && summary === undefined) return undefined;
  return present({ effort, summary, mode: effort === "none" ? ("disabled" as const) : undefined });
}

function decodeMetadata(body: JsonObject): Record<string, string> | undefined {
  const wire = optional(body, "metadata", "object");
  if (!wire) return undefined;
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(wire)) {
    if (typeof value !== "string") throw invalid(`\`metadata.${key.slice(0, 64)}\` must be a string.`, `metadata.${key.slice(0, 64)}`);
    metadata[key] = value;
  }
  return metadata;
}

function decodeSampling(body: JsonObject): Sampling {
  return present({
    temperature: optional(body, "temperature", "number"),
    topP: optional(body, "top_p", "number"),
    topLogprobs: optional(body, "top_logprobs", "number") ?? (wantsLogprobs(body) ? 0 : undefined),
    presencePenalty: optional(body, "presence_penalty", "number"),
    frequencyPenalty: optional(body, "frequency_penalty", "number"),
  });
}

function wantsLogprobs(body: JsonObject): boolean {
  return isList(body["include"]) && body["include"].includes(LOGPROBS);
}

/** The fast path: only what the provider refuses is taken out, and a background call is run by the gateway itself. */
export function forwardCall(
  body: JsonObject,
  context: DoorContext,
  target: EncodeTarget,
  note: (diagnostic: Diagnostic) => void = () => {},
): {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly replace: Readonly<Record<string, Json | undefined>>;
} {
  const replace: Draft = {};
  for (const field of refusedFields(target)) {
    if (body[field] === undefined) continue;
    replace[field] = undefined;
    note(fieldRefused(field, target));
  }
  if (body["background"] !== undefined) replace["background"] = undefined;
  return { path: PATHS[spoken(context.operation)], headers: {}, replace };
}

export function fieldRefused(field: string, target: EncodeTarget): Diagnostic {
  return { field, action: "dropped", reason: `"${target.provider}" does not take this field.` };
}

/** Top-level fields that this target does not take. */
export function refusedFields(target: EncodeTarget): readonly string[] {
  const { refuses = [], reasoning } = target.capabilities;
  return reasoning === false ? [...refuses, "reasoning"] : refuses;
}
