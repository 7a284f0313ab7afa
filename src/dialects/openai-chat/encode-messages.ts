import type { Call, CompactionItem, Item, Json, MessageItem, ToolResultItem, UnknownItem } from "../../canon/index.ts";
import { AssistantTurn, isAssistantItem } from "./encode-assistant.ts";
import { refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt, UserTurns } from "../shared-lost.ts";
import type { EncodeContext } from "./encode-context.ts";
import { encodeContent, encodePart } from "./encode-parts.ts";
import { frameOf, ID, isList, object, type Draft } from "./shape.ts";

/** The list of messages for a call's instructions and items. */
export function encodeMessages(call: Call, context: EncodeContext): readonly Json[] {
  const { target } = context;
  const own = call.origin.dialect === ID;
  if (!own) {
    refuseKeptPrompt(call, target);
    refuseForeignTurn(call.items, (item) => context.isNative(item), target);
  }
  const writer = new MessageWriter(context);
  if (call.instructions && call.instructions.parts.length > 0) {
    const role = target.capabilities.instructionsRole ?? "system";
    writer.plain({ role, content: encodeContent(call.instructions.parts, false, false, context) });
  }
  for (const item of call.items) writer.item(item);
  const messages = writer.finish();
  if (messages.length === 0 && !own) refuseEmptyConversation(call.items, target);
  return messages;
}

class MessageWriter {
  readonly #context: EncodeContext;
  readonly #messages: Json[] = [];
  readonly #turns: UserTurns;
  #turn: AssistantTurn | undefined;
  /** What tool results showed but a tool message cannot carry; it follows once the run of results is over. */
  #shown: Json[] = [];

  constructor(context: EncodeContext) {
    this.#context = context;
    this.#turns = new UserTurns(context.target);
  }

  plain(message: Json): void {
    this.#flush();
    this.#messages.push(message);
  }

  finish(): readonly Json[] {
    this.#flush();
    this.#turns.end();
    return this.#messages;
  }

  item(item: Item): void {
    if (isAssistantItem(item)) {
      if (this.#turn && !this.#turn.joins(item)) this.#flushTurn();
      this.#flushShown();
      this.#turns.end();
      this.#turn ??= new AssistantTurn(this.#context);
      this.#turn.add(item);
    } else if (item.type === "tool_result") {
      this.#flushTurn();
      this.#messages.push(this.#toolResult(item));
    } else {
      const message = this.#other(item);
      if (message !== undefined) this.plain(message);
    }
  }

  #flush(): void {
    this.#flushTurn();
    this.#flushShown();
  }

  #flushTurn(): void {
    const message = this.#turn?.message();
    if (message !== undefined) this.#messages.push(message);
    this.#turn = undefined;
  }

  #flushShown(): void {
    if (this.#shown.length > 0) this.#messages.push({ role: "user", content: this.#shown });
    this.#shown = [];
  }

  #other(item: Exclude<Item, ToolResultItem>): Json | undefined {
    const context = this.#context;
    if (item.type === "message") return this.#message(item);
    if (item.type === "compaction") return encodeCompaction(item, context);
    if (item.type === "unknown" && context.isNative(item)) return item.raw;
    return context.drop("items[].unknown", `An item of type "${(item as UnknownItem).kind}" exists only in its own language.`);
  }

  #message(item: MessageItem): Json {
    const context = this.#context;
    const native = context.isNative(item);
    const frame = native ? frameOf(item.envelope) : undefined;
    const { role } = item;
    const raw = native ? object(item.raw) : undefined;
    if (frame && raw) {
      this.#turns.result([], []);
      return { ...frame.message, role, ...("content" in raw ? { content: raw["content"] } : without(frame.message)) };
    }
    const content = encodeContent(item.parts, native, isList(frame?.message["content"]), context);
    if (role === "user") this.#turns.message(item.parts, isList(content) ? content : [content]);
    return { ...frame?.message, role, content };
  }

  #toolResult(item: ToolResultItem): Json {
    const context = this.#context;
    const native = context.isNative(item);
    const frame = native ? frameOf(item.envelope) : undefined;
    const raw = native ? object(item.raw) : undefined;
    if (raw) this.#turns.result([], []);
    if (frame && raw) return { ...frame.message, ...("content" in raw ? { content: raw["content"] } : without(frame.message)) };
    if (item.isError) context.note("items[].isError", "dropped", "A tool message has no mark for failure; its text says so.");
    const texts = item.parts.filter((part) => part.type === "text" || part.type === "refusal");
    const shownBefore = this.#shown.length;
    for (const part of item.parts) {
      if (part.type === "text" || part.type === "refusal") continue;
      const shown = encodePart(part, native, context);
      if (shown === undefined) continue;
      this.#shown.push(shown);
      context.note("items[].tool_result.parts", "degraded", "A tool message carries text only: images and files follow in a user message.");
    }
    const content = encodeContent(texts, native, isList(frame?.message["content"]), context);
    this.#turns.result(item.parts, [...(isList(content) ? content : [content]), ...this.#shown.slice(shownBefore)]);
    if (frame) return { ...frame.message, content };
    return { role: "tool", tool_call_id: item.callId, content };
  }
}

/** The frame's placeholder for a content that was never there. */
function without(message: Draft): Draft {
  return "content" in message ? { content: undefined } : {};
}

function encodeCompaction(item: CompactionItem, context: EncodeContext): Json | undefined {
  if (item.text === undefined) return context.drop("items[].compaction", "A compaction that only its own provider can read is left out.");
  context.note("items[].compaction", "degraded", "The summary of earlier turns is sent as a user message.");
  return { role: "user", content: item.text };
}
