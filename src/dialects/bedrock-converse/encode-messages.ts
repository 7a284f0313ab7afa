import type { Item, Json, JsonObject, MessageItem, ToolResultItem } from "../../canon/index.ts";
import { isModels, UserTurns } from "../shared-lost.ts";
import { isList, isObject } from "../shared-shape.ts";
import {
  checkpointBehind,
  encodeParts,
  encodeResult,
  encodeThought,
  encodeToolCall,
  missingResult,
  type BlockContext,
} from "./encode-blocks.ts";
import { ID, isNative } from "./shape.ts";

type Role = "user" | "assistant";

interface Draft {
  readonly role: Role;
  readonly fields: JsonObject;
  readonly content: Json[];
}

export interface EncodedMessages {
  readonly messages: readonly JsonObject[];
  /** Standing instructions of another language at the start of the list. */
  readonly system: readonly Json[];
}

/**
 * Items as messages. Where all came in this language they become the messages that they were cut from; else they are gathered by role, and
 * each tool call gets its result in the very next message.
 */
export function encodeMessages(items: readonly Item[], context: BlockContext): EncodedMessages {
  if (items.every((item) => item.envelope?.dialect === ID && item.envelope.place !== undefined && isNative(item, context.target)))
    return { messages: replayed(items, context), system: [] };
  const leading = items.findIndex((item) => !isInstruction(item));
  const first = leading < 0 ? items.length : leading;
  const system = items.slice(0, first).flatMap((item) => (item.type === "message" ? encodeParts(item.parts, false, context) : []));
  const rest = items.slice(first);
  const gathered = new Gathered(rest, context);
  for (const item of rest) gathered.item(item);
  return { messages: gathered.end(), system };
}

function isInstruction(item: Item): boolean {
  return item.type === "message" && (item.role === "system" || item.role === "developer");
}

function replayed(items: readonly Item[], context: BlockContext): JsonObject[] {
  const turns = new UserTurns(context.target);
  const messages: { readonly place: number | undefined; readonly fields: JsonObject; readonly content: Json[] }[] = [];
  for (const item of items) {
    const place = item.envelope?.place;
    let message = messages.at(-1);
    if (!message || message.place !== place) messages.push((message = { place, fields: item.envelope?.raw ?? {}, content: [] }));
    message.content.push(...blocksOf(item, context, turns));
  }
  return messages.map(({ fields, content }) => ({ ...fields, content }));
}

function blocksOf(item: Item, context: BlockContext, turns: UserTurns): readonly Json[] {
  switch (item.type) {
    case "message":
      return encodeParts(item.parts, isNative(item, context.target), context);
    case "reasoning":
      return encodeThought(item, context);
    case "tool_call":
      return encodeToolCall(item, context);
    case "tool_result":
      return encodeResult(item, context, turns);
    case "unknown":
      if (isNative(item, context.target) && isList(item.raw)) return item.raw;
      context.note({ field: `items[].${item.kind}`, action: "dropped", reason: "Only its own language can carry it." });
      return [];
    case "compaction":
      return [];
  }
}

/** Messages of a conversation that came, wholly or in part, in another language. */
class Gathered {
  readonly #context: BlockContext;
  readonly #turns: UserTurns;
  readonly #drafts: Draft[] = [];
  readonly #results = new Map<string, ToolResultItem>();
  /** Calls of the message at hand that have no result yet. */
  #calls: string[] = [];

  constructor(items: readonly Item[], context: BlockContext) {
    this.#context = context;
    this.#turns = new UserTurns(context.target);
    for (const item of items) if (item.type === "tool_result") this.#results.set(item.callId, item);
  }

  item(item: Item): void {
    const { note } = this.#context;
    if (isModels(item)) {
      this.#turns.end();
      if (item.type !== "tool_call" && this.#calls.length > 0) this.#answerCalls();
    } else if (item.type !== "unknown" || item.role !== "assistant") this.#answerCalls();
    switch (item.type) {
      case "message":
        return this.#message(item);
      case "reasoning":
        return this.#add("assistant", encodeThought(item, this.#context));
      case "tool_call":
        this.#calls.push(item.callId);
        return this.#add("assistant", encodeToolCall(item, this.#context));
      case "tool_result":
        // Told behind its call already; without one there is nothing that it could answer.
        return;
      case "compaction":
        note(
          item.text === undefined
            ? { field: "items[].compaction", action: "dropped", reason: "The summary can be read only by the provider that made it." }
            : { field: "items[].compaction", action: "degraded", reason: "The summary of earlier turns is sent as the user's text." },
        );
        return this.#add("user", item.text === undefined ? [] : [{ text: `Summary of the conversation so far:\n${item.text}` }]);
      case "unknown":
        return this.#add(item.role === "assistant" ? "assistant" : "user", blocksOf(item, this.#context, this.#turns));
    }
  }

  end(): JsonObject[] {
    this.#answerCalls();
    this.#turns.end();
    const messages = this.#drafts.map(({ role, fields, content }) => ({ ...fields, role, content: withWords(role, content) }));
    // The service wants the user to speak first.
    return messages[0]?.role === "assistant" ? [{ role: "user", content: [{ text: "Hello." }] }, ...messages] : messages;
  }

  #message(item: MessageItem): void {
    if (isInstruction(item)) return this.#instruction(item);
    const role = item.role === "assistant" ? "assistant" : "user";
    const blocks = encodeParts(item.parts, isNative(item, this.#context.target), this.#context);
    if (role === "user") this.#turns.message(item.parts, blocks);
    const behind = blocks.length > 0 ? checkpointBehind(item.cacheTtlSeconds, "items[].cacheTtlSeconds", this.#context) : [];
    this.#add(role, [...blocks, ...behind]);
  }

  #instruction(item: MessageItem): void {
    const text = item.parts.map((part) => (part.type === "text" ? part.text : "")).join("\n");
    if (text.trim() === "") return;
    this.#context.note({
      field: "items[].role",
      action: "degraded",
      reason: `The language takes instructions only at the start; a later ${item.role} message is sent in the user's turn, marked as what it is.`,
    });
    this.#add("user", [{ text: `<${item.role}>\n${text}\n</${item.role}>` }]);
  }

  #answerCalls(): void {
    const calls = this.#calls;
    this.#calls = [];
    for (const callId of calls) {
      const result = this.#results.get(callId);
      this.#add("user", result ? encodeResult(result, this.#context, this.#turns) : [missingResult(callId, this.#context)]);
    }
  }

  #add(role: Role, blocks: readonly Json[]): void {
    if (blocks.length === 0) return;
    const last = this.#drafts.at(-1);
    if (last?.role === role) last.content.push(...blocks);
    else this.#drafts.push({ role, fields: {}, content: [...blocks] });
  }
}

/** A document cannot stand without words beside it. */
function withWords(role: Role, content: readonly Json[]): readonly Json[] {
  const has = (key: string): boolean => content.some((block) => isObject(block) && block[key] !== undefined);
  return role === "user" && has("document") && !has("text") ? [...content, { text: "See the document." }] : content;
}
