import {
  CARRIED_MARK,
  invalid,
  type CompactionItem,
  type Item,
  type Json,
  type JsonObject,
  type MessageItem,
  type Origin,
  type Part,
  type ReasoningItem,
  type ReasoningPart,
  type ToolCallItem,
  type ToolResultItem,
  type UnknownItem,
} from "../../canon/index.ts";
import { openSummary } from "./compaction.ts";
import { decodeContent, type Reading } from "./decode-parts.ts";
import { decodeTool } from "./decode-tools.ts";
import { CLIENT_ORIGIN, isList, isObject, optional, required, stringIn, textIn } from "./shape.ts";

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant"]);
const REQUEST: Reading = { strict: true };
const ANSWER: Reading = { strict: false };
/** Items of this language that the user's side puts in; all others without a role are the model's. */
const USER_KINDS = /_output$|^(?:mcp_approval_response|item_reference|compaction_trigger|additional_tools|configuration_update)$/;
/** Items that bring further tools into the conversation. */
const TOOL_BRINGERS: ReadonlySet<string> = new Set(["additional_tools", "tool_search_output"]);
/** The spellings under which compacted history was ever sent. */
const COMPACTIONS: ReadonlySet<string> = new Set(["compaction", "compaction_summary", "context_compaction"]);

/** `input` of a request: one text, or a list of items. @throws ProblemError naming the field */
export function decodeInput(input: Json | undefined): Item[] {
  if (input === undefined || input === null) return [];
  // The bare text is kept as `raw`, so that alone it is sent on as the bare text it was.
  if (typeof input === "string")
    return [{ type: "message", role: "user", parts: [{ type: "text", text: input }], origin: CLIENT_ORIGIN, raw: input }];
  if (!isList(input)) throw invalid("`input` must be a string or a list of items.", "input");
  return input.map((raw, at) => decodeRequestItem(raw, `input[${at}]`));
}

/** @throws ProblemError naming the field */
export function decodeRequestItem(raw: Json, path: string): Item {
  if (!isObject(raw)) throw invalid(`\`${path}\` must be an object.`, path);
  const kind = optional(raw, "type", "string", `${path}.`) ?? impliedKind(raw);
  if (kind === undefined) throw invalid(`\`${path}.type\` is missing.`, `${path}.type`);
  checkFields(kind, raw, `${path}.`);
  return build(kind, raw, path, CLIENT_ORIGIN, REQUEST);
}

/** An item of an upstream's answer. Never throws: what does not fit becomes an unknown item. */
export function decodeAnswerItem(raw: Json, origin: Origin): Item {
  if (!isObject(raw)) return { type: "unknown", kind: "unknown", role: "assistant", raw, origin };
  return build(stringIn(raw["type"]) || "message", raw, "output", origin, ANSWER);
}

/** The type may be left out of messages and references. */
function impliedKind(raw: JsonObject): string | undefined {
  if (raw["role"] !== undefined) return "message";
  return typeof raw["id"] === "string" && Object.keys(raw).length === 1 ? "item_reference" : undefined;
}

/** Wrong types are refused here, so that `build` need not ask twice. */
function checkFields(kind: string, raw: JsonObject, path: string): void {
  optional(raw, "id", "string", path);
  if (kind === "message") {
    const role = required(raw, "role", "string", path);
    if (!ROLES.has(role)) throw invalid(`\`${path}role\` must be system, developer, user or assistant.`, `${path}role`);
    if (raw["content"] === undefined || raw["content"] === null) throw invalid(`\`${path}content\` is missing.`, `${path}content`);
  } else if (kind === "function_call" || kind === "custom_tool_call") {
    required(raw, "call_id", "string", path);
    required(raw, "name", "string", path);
    required(raw, kind === "function_call" ? "arguments" : "input", "string", path);
    optional(raw, "namespace", "string", path);
  } else if (kind === "function_call_output" || kind === "custom_tool_call_output") {
    optional(raw, "call_id", "string", path);
    if (raw["output"] === undefined || raw["output"] === null) throw invalid(`\`${path}output\` is missing.`, `${path}output`);
  } else if (kind === "reasoning") {
    optional(raw, "summary", "list", path);
    optional(raw, "content", "list", path);
    optional(raw, "encrypted_content", "string", path);
  } else if (kind === "item_reference") required(raw, "id", "string", path);
  else if (COMPACTIONS.has(kind)) optional(raw, "encrypted_content", "string", path);
  else if (TOOL_BRINGERS.has(kind)) optional(raw, "tools", "list", path);
}

interface Base {
  readonly origin: Origin;
  readonly raw: Json;
  readonly id?: string;
}

function build(kind: string, raw: JsonObject, path: string, origin: Origin, reading: Reading): Item {
  const id = textIn(raw["id"]);
  const base: Base = { origin, raw, ...(id !== undefined && { id }) };
  if (kind === "message") return message(raw, base, decodeContent(raw["content"], `${path}.content`, reading));
  if (kind === "function_call") return toolCall(raw, base, "function", stringIn(raw["arguments"]));
  if (kind === "custom_tool_call") return toolCall(raw, base, "custom", stringIn(raw["input"]));
  const answers = kind === "function_call_output" || kind === "custom_tool_call_output";
  // Without the call's id the output answers a call of the same item list by name only: nothing the canonical form can say.
  if (answers && textIn(raw["call_id"]) !== undefined) {
    return toolResult(
      raw,
      base,
      kind === "custom_tool_call_output" ? "custom" : "function",
      decodeContent(raw["output"], `${path}.output`, reading),
    );
  }
  if (kind === "reasoning") return reasoning(raw, base);
  if (COMPACTIONS.has(kind)) return compaction(raw, base);
  return unknown(kind, raw, base, path, reading);
}

function message(raw: JsonObject, base: Base, parts: readonly Part[]): MessageItem {
  const role = stringIn(raw["role"]);
  const phase = textIn(raw["phase"]);
  return {
    type: "message",
    role: ROLES.has(role) ? (role as MessageItem["role"]) : "assistant",
    parts,
    ...base,
    ...(phase !== undefined && { phase }),
  };
}

function toolCall(raw: JsonObject, base: Base, kind: ToolCallItem["kind"], input: string): ToolCallItem {
  const namespace = textIn(raw["namespace"]);
  return {
    type: "tool_call",
    callId: stringIn(raw["call_id"]) || (base.id ?? ""),
    name: stringIn(raw["name"]),
    kind,
    input,
    ...base,
    ...(namespace !== undefined && { namespace }),
  };
}

function toolResult(raw: JsonObject, base: Base, kind: ToolResultItem["kind"], parts: readonly Part[]): ToolResultItem {
  return { type: "tool_result", callId: stringIn(raw["call_id"]), kind, parts, ...base };
}

function reasoning(raw: JsonObject, base: Base): ReasoningItem {
  const encrypted = textIn(raw["encrypted_content"]);
  // Sealed here for its client to carry: no provider could read it.
  const carried = encrypted?.startsWith(CARRIED_MARK) === true;
  return {
    type: "reasoning",
    parts: [...reasoningParts(raw["summary"], "summary"), ...reasoningParts(raw["content"], "text")],
    ...(carried ? withoutRaw(base) : base),
    ...(encrypted !== undefined && (carried ? { carried: encrypted } : { encrypted })),
  };
}

function reasoningParts(list: Json | undefined, kind: ReasoningPart["kind"]): ReasoningPart[] {
  if (!isList(list)) return [];
  return list.map((part) => ({ kind, text: isObject(part) ? stringIn(part["text"]) : stringIn(part) }));
}

/** A summary of ours is opened and loses its `raw`: no provider could read the token. */
function compaction(raw: JsonObject, base: Base): CompactionItem {
  const encrypted = textIn(raw["encrypted_content"]);
  const text = encrypted === undefined ? undefined : openSummary(encrypted);
  if (text === undefined) return { type: "compaction", ...base, ...(encrypted !== undefined && { encrypted }) };
  return { type: "compaction", text, ...withoutRaw(base) };
}

function withoutRaw({ raw: _raw, ...rest }: Base): Omit<Base, "raw"> {
  return rest;
}

/** Hosted tools that the client runs itself are answered like functions: by the id of their call. */
function callIdOf(kind: string, raw: JsonObject): { readonly callId?: string } {
  const callId = raw["call_id"];
  return typeof callId === "string" && !USER_KINDS.test(kind) ? { callId } : {};
}

function unknown(kind: string, raw: JsonObject, base: Base, path: string, reading: Reading): UnknownItem {
  const item: UnknownItem = { type: "unknown", kind, role: USER_KINDS.test(kind) ? "user" : "assistant", ...base, ...callIdOf(kind, raw) };
  const { tools } = raw;
  if (!TOOL_BRINGERS.has(kind) || !isList(tools)) return item;
  try {
    return { ...item, tools: tools.map((tool, at) => decodeTool(tool, `${path}.tools[${at}]`, reading.strict)) };
  } catch (error) {
    if (reading.strict) throw error;
    return item;
  }
}
