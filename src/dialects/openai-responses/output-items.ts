import type { Item, Json, MessageItem, Part } from "../../canon/index.ts";
import { citationsFor } from "./citations.ts";
import { sealSummary } from "./compaction.ts";
import { isLogprobs } from "./encode-parts.ts";
import { ID, type Draft } from "./shape.ts";

const PREFIXES: Readonly<Record<Item["type"], string>> = {
  message: "msg_",
  reasoning: "rs_",
  tool_call: "fc_",
  tool_result: "fco_",
  compaction: "cmp_",
  unknown: "item_",
};
const CUSTOM_CALL_PREFIX = "ctc_";

/** Letters and digits of an id: what an id derived from it may hold. */
export function stemOf(id: string): string {
  return id.replace(/^resp_/, "").replaceAll(/[^A-Za-z0-9]/g, "") || "0";
}

/** The id an item bears towards the client: its own where it has one of this language, else derived, so that it is always the same. */
export function itemId(item: Item, answerId: string, index: number): string {
  if (item.origin?.dialect === ID && item.id !== undefined) return item.id;
  const prefix = item.type === "tool_call" && item.kind === "custom" ? CUSTOM_CALL_PREFIX : PREFIXES[item.type];
  return `${prefix}${stemOf(answerId)}${index}`;
}

/** The ids under which a client saw the items of an answer; undefined for those it was not shown. */
export function itemIds(items: readonly Item[], answerId: string): (string | undefined)[] {
  let shown = 0;
  return items.map((item) => (isShown(item) ? itemId(item, answerId, shown++) : undefined));
}

/** Can a client of this language be shown the item at all? */
export function isShown(item: Item): boolean {
  return item.type !== "unknown" || item.origin?.dialect === ID;
}

/** An item of an answer as this language shows it. `status` is left out where the item type has none. */
export function encodeOutputItem(item: Item, id: string, status: "in_progress" | "completed" | "incomplete" = "completed"): Json {
  if (item.origin?.dialect === ID && item.raw !== undefined) return item.raw;
  switch (item.type) {
    case "message":
      return {
        type: "message",
        id,
        status,
        role: item.role,
        content: item.parts.map((part) => encodeOutputPart(part, item)).filter((part) => part !== undefined),
        ...phaseOf(item),
      };
    case "reasoning": {
      const wire: Draft = { type: "reasoning", id, summary: textParts(item.parts, "summary", "summary_text") };
      const content = textParts(item.parts, "text", "reasoning_text");
      if (content.length > 0) wire["content"] = content;
      const opaque = item.origin?.dialect === ID ? item.encrypted : item.carried;
      if (opaque !== undefined) wire["encrypted_content"] = opaque;
      return wire;
    }
    case "tool_call": {
      const named = {
        id,
        call_id: item.callId,
        name: item.name,
        ...(item.namespace !== undefined && { namespace: item.namespace }),
        status,
      };
      return item.kind === "custom"
        ? { type: "custom_tool_call", ...named, input: item.input }
        : { type: "function_call", ...named, arguments: item.input };
    }
    case "tool_result":
      return {
        type: item.kind === "custom" ? "custom_tool_call_output" : "function_call_output",
        id,
        call_id: item.callId,
        output: plainText(item.parts),
        status,
      };
    case "compaction":
      return { type: "compaction", id, encrypted_content: item.encrypted ?? sealSummary(item.text ?? "") };
    case "unknown":
      return item.raw;
  }
}

/** What the language requires of a finished function call beyond what the model wrote. */
export function finishedArguments(input: string): string {
  return input === "" ? "{}" : input;
}

function phaseOf(item: MessageItem): { readonly phase?: string } {
  return item.phase === undefined ? {} : { phase: item.phase };
}

/** A part of an answer's message; images and the like cannot be shown here. */
export function encodeOutputPart(part: Part, item: MessageItem): Json | undefined {
  const own = item.origin?.dialect === ID;
  if (own && part.raw !== undefined) return part.raw;
  if (part.type === "refusal") return { type: "refusal", refusal: part.text };
  if (part.type !== "text") return undefined;
  if (item.role !== "assistant") return { type: "input_text", text: part.text };
  return {
    type: "output_text",
    annotations: own ? (part.annotations ?? []) : citationsFor(part.annotations),
    logprobs: isLogprobs(part.logprobs) ? part.logprobs : [],
    text: part.text,
  };
}

function textParts(parts: readonly { readonly kind: string; readonly text: string }[], kind: string, type: string): Json[] {
  return parts.filter((part) => part.kind === kind).map(({ text }) => ({ type, text }));
}

function plainText(parts: readonly Part[]): string {
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}
