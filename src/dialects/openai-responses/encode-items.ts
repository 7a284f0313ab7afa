import type {
  CompactionItem,
  EncodeTarget,
  Item,
  Json,
  MessageItem,
  ReasoningItem,
  ToolCallItem,
  ToolResultItem,
  UnknownItem,
} from "../../canon/index.ts";
import { isModels, UserTurns } from "../shared-lost.ts";
import { summaryAsText } from "./compaction.ts";
import { encodeParts, type Note, type PartTarget } from "./encode-parts.ts";
import { ID, isObject, without, type Draft } from "./shape.ts";

interface Sending {
  readonly target: EncodeTarget;
  readonly parts: PartTarget;
  readonly note: Note;
  /** Kinds of the calls by their ids: a result must be of its call's kind. */
  readonly kinds: ReadonlyMap<string, ToolCallItem["kind"]>;
  /** Earlier turns were filled in: the upstream knows none of the ids. */
  readonly expanded: boolean;
  /** Reasoning before was left out: what follows it must not claim, by its id, to belong to it. */
  bare: boolean;
  readonly turns: UserTurns;
}

/** The `input` of a request: a bare text stays one, everything else is a list. */
export function encodeInput(items: readonly Item[], expanded: boolean, target: EncodeTarget, note: Note): Json {
  const [only] = items;
  if (items.length === 1 && only && typeof only.raw === "string" && only.origin?.dialect === ID) return only.raw;
  const kinds = new Map<string, ToolCallItem["kind"]>();
  for (const item of items) if (item.type === "tool_call") kinds.set(item.callId, item.kind);
  const sending: Sending = {
    target,
    parts: { provider: target.provider, audio: target.capabilities.audio === true },
    note,
    kinds,
    expanded,
    bare: false,
    turns: new UserTurns(target),
  };
  const input: Json[] = [];
  for (const item of items) {
    if (item.type === "tool_result" || (item.type === "message" && item.role !== "assistant")) sending.bare = false;
    if (isModels(item)) sending.turns.end();
    const wire = encodeItem(item, sending);
    if (wire !== undefined) input.push(wire);
  }
  sending.turns.end();
  return input;
}

function encodeItem(item: Item, sending: Sending): Json | undefined {
  if (item.type === "reasoning") return encodeReasoning(item, sending);
  if (item.type === "unknown") return encodeUnknown(item, sending);
  if (item.type === "compaction") return encodeCompaction(item, sending);
  if (item.origin?.dialect === ID && item.raw !== undefined) {
    if (!isModels(item)) sending.turns.result([], []);
    return replay(item, item.raw, sending);
  }
  if (item.type === "message") return encodeMessage(item, sending);
  return item.type === "tool_call" ? encodeToolCall(item, sending) : encodeToolResult(item, sending);
}

/** Another provider's answer, or one whose reasoning is missing, travels without its id: the id would be looked up and not found. */
function replay(item: Item, raw: Json, sending: Sending): Json {
  if (typeof raw === "string") return { type: "message", role: "user", content: raw };
  const strange = item.origin?.provider !== undefined && item.origin.provider !== sending.target.provider;
  if (!isObject(raw) || raw["id"] === undefined || !(strange || (sending.bare && item.origin?.provider !== undefined))) return raw;
  return without(raw, "id");
}

function encodeMessage(item: MessageItem, sending: Sending): Json | undefined {
  const side = item.role === "assistant" ? "output" : "input";
  const content = encodeParts(item.parts, side, item.origin, sending.parts, sending.note);
  if (item.role === "user") sending.turns.message(item.parts, content);
  if (content.length === 0 && item.parts.length > 0) return undefined;
  return { type: "message", role: item.role, content, ...(item.phase !== undefined && { phase: item.phase }) };
}

function encodeToolCall(item: ToolCallItem, { note }: Sending): Json {
  if (item.signature !== undefined)
    note({ field: "items[].toolCall.signature", action: "dropped", reason: "This language has no signatures on tool calls." });
  const wire: Draft = { type: item.kind === "custom" ? "custom_tool_call" : "function_call", call_id: item.callId, name: item.name };
  if (item.namespace !== undefined) wire["namespace"] = item.namespace;
  if (item.kind === "custom") wire["input"] = item.input;
  else wire["arguments"] = item.input === "" ? "{}" : item.input;
  return wire;
}

function encodeToolResult(item: ToolResultItem, sending: Sending): Json {
  if (item.isError)
    sending.note({
      field: "items[].toolResult.isError",
      action: "degraded",
      reason: "This language has no mark for failed tools; the text tells it.",
    });
  const kind = sending.kinds.get(item.callId) ?? item.kind;
  return {
    type: kind === "custom" ? "custom_tool_call_output" : "function_call_output",
    call_id: item.callId,
    output: encodeOutput(item, sending),
  };
}

function encodeOutput(item: ToolResultItem, sending: Sending): Json {
  let text = "";
  for (const part of item.parts) {
    if (part.type !== "text") {
      const content = encodeParts(item.parts, "input", item.origin, sending.parts, sending.note);
      sending.turns.result(item.parts, content);
      return content;
    }
    text += part.text;
  }
  sending.turns.result([], []);
  return text;
}

/**
 * Reasoning goes back only to the provider it came from, and only in a form that needs no memory of it: sealed, or as readable
 * reasoning text. A client's own words about it (no provider known) pass as they are while nothing was filled in.
 */
function encodeReasoning(item: ReasoningItem, sending: Sending): Json | undefined {
  const { origin } = item;
  if (item.carried !== undefined) return forget("This reasoning was sealed for another provider.");
  if (origin?.dialect !== ID) return forget("Reasoning of another language means nothing to this provider.");
  if (origin.provider !== undefined && origin.provider !== sending.target.provider)
    return forget("Reasoning goes back only to the provider it came from.");
  const portable = item.encrypted !== undefined || item.parts.some((part) => part.kind === "text");
  if (origin.provider !== undefined && sending.expanded && !portable)
    return forget("The provider did not keep this reasoning and gave no sealed copy of it.");
  if (item.raw !== undefined) return item.raw;
  const wire: Draft = { type: "reasoning", ...(item.id !== undefined && { id: item.id }), summary: [] };
  wire["summary"] = item.parts.filter((part) => part.kind === "summary").map(({ text }) => ({ type: "summary_text", text }));
  const content = item.parts.filter((part) => part.kind === "text").map(({ text }) => ({ type: "reasoning_text", text }));
  if (content.length > 0) wire["content"] = content;
  if (item.encrypted !== undefined) wire["encrypted_content"] = item.encrypted;
  return wire;

  function forget(reason: string): undefined {
    sending.bare = true;
    sending.note({ field: "items[].reasoning", action: "dropped", reason });
    return undefined;
  }
}

function encodeUnknown(item: UnknownItem, sending: Sending): Json | undefined {
  const { origin } = item;
  if (origin?.dialect !== ID) return drop("Only its own language knows this item.");
  if (origin.provider !== undefined && origin.provider !== sending.target.provider)
    return drop("Only the provider it came from knows this item.");
  // The provider would look the id up among the items of everybody who shares its key.
  if (item.kind === "item_reference")
    return drop("The gateway does not hold the item that is named, and the provider must not be asked for it.");
  return item.raw;

  function drop(reason: string): undefined {
    sending.note({ field: `items[].${item.kind}`, action: "dropped", reason });
    return undefined;
  }
}

function encodeCompaction(item: CompactionItem, sending: Sending): Json | undefined {
  const { origin } = item;
  const mine = origin?.dialect === ID && (origin.provider === undefined || origin.provider === sending.target.provider);
  if (mine && item.raw !== undefined) return item.raw;
  if (mine && item.encrypted !== undefined)
    return { type: "compaction", ...(item.id !== undefined && { id: item.id }), encrypted_content: item.encrypted };
  if (item.text !== undefined) {
    sending.note({ field: "items[].compaction", action: "degraded", reason: "A summary is sent as a message." });
    // As the user's words: a summary can hold foreign text, which must gain no authority.
    return { type: "message", role: "user", content: [{ type: "input_text", text: summaryAsText(item.text) }] };
  }
  sending.note({ field: "items[].compaction", action: "dropped", reason: "Sealed history can only be read by the provider it came from." });
  return undefined;
}
