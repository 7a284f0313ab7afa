import type { Call, Diagnostic, EncodeTarget, Item, Json, JsonObject, MessageItem, Part, ToolResultItem } from "../../canon/index.ts";
import { isModels, refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt, UserTurns } from "../shared-lost.ts";
import { object, type Draft } from "../shared-shape.ts";
import { flattenToolCall, type FlatTools } from "../shared-tools.ts";
import { frameOf, ID } from "./shape.ts";
import { argumentsOf } from "./tool-call.ts";

/** What encoding messages needs everywhere. */
export interface MessageContext {
  readonly target: EncodeTarget;
  readonly tools: FlatTools;
  readonly note: (diagnostic: Diagnostic) => void;
}

/** May the verbatim form go out? It may when a client sent it in this language or this very provider wrote it. */
export function isNative({ origin }: Pick<Item, "origin">, target: EncodeTarget): boolean {
  return origin?.dialect === ID && (origin.provider === undefined || origin.provider === target.provider);
}

export function encodeMessages(call: Call, context: MessageContext): readonly Json[] {
  const own = call.origin.dialect === ID;
  if (!own) {
    refuseKeptPrompt(call, context.target);
    refuseForeignTurn(call.items, (item) => isNative(item, context.target), context.target);
  }
  const writer = new MessageWriter(context);
  if (call.instructions && call.instructions.parts.length > 0) {
    const content = call.instructions.parts.map((part) => part.text).join("\n\n");
    writer.plain({ role: "system", content });
  }
  for (const item of call.items) writer.item(item);
  const messages = writer.finish();
  if (messages.length === 0 && !own) refuseEmptyConversation(call.items, context.target);
  return messages;
}

class MessageWriter {
  readonly #context: MessageContext;
  readonly #messages: Json[] = [];
  readonly #turns: UserTurns;
  /** The names of the tools that were called, by the call's id. */
  readonly #called = new Map<string, string>();
  #turn: Draft | undefined;
  #calls: Json[] = [];
  #envelope: Item["envelope"];

  constructor(context: MessageContext) {
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
    if (isModels(item)) return this.#assistant(item);
    if (item.type === "message") return this.plain(this.#message(item));
    if (item.type === "tool_result") return this.plain(this.#result(item));
    const { note } = this.#context;
    if (item.type === "unknown") {
      note({ field: "items[].unknown", action: "dropped", reason: `An item of type "${item.kind}" exists only in its own language.` });
    } else if (item.type === "compaction" && item.text !== undefined) {
      note({ field: "items[].compaction", action: "degraded", reason: "The summary of earlier turns is sent as a user message." });
      this.plain({ role: "user", content: item.text });
    } else
      note({ field: "items[].compaction", action: "dropped", reason: "A compaction that only its own provider can read is left out." });
  }

  #flush(): void {
    if (!this.#turn) return;
    if (this.#calls.length > 0) this.#turn["tool_calls"] = this.#calls;
    this.#messages.push(this.#turn);
    this.#turn = undefined;
    this.#calls = [];
    this.#envelope = undefined;
  }

  /** Everything that the model said at once is one message. Two messages of this language stay two. */
  #assistant(item: Item): void {
    const native = isNative(item, this.#context.target);
    const envelope = native ? item.envelope : undefined;
    const other = envelope !== this.#envelope && (envelope?.place === undefined || envelope.place !== this.#envelope?.place);
    if (this.#turn && other) this.#flush();
    this.#turns.end();
    const frame = frameOf(envelope);
    this.#turn ??= frame ? { ...frame.message } : { role: "assistant", content: "" };
    this.#envelope = envelope;
    if (item.type === "message") this.#words(item);
    else if (item.type === "reasoning") {
      const thinking = item.parts.map((part) => part.text).join("");
      if (native) this.#turn["thinking"] = `${(this.#turn["thinking"] as string | null | undefined) ?? ""}${thinking}`;
      else
        this.#context.note({
          field: "items[].reasoning",
          action: "dropped",
          reason: "Reasoning is shown again only to the provider that wrote it.",
        });
    } else if (item.type === "tool_call") {
      const { name, input } = flattenToolCall(item, this.#context.tools);
      this.#called.set(item.callId, name);
      const raw = native && item.raw !== undefined ? item.raw : undefined;
      this.#calls.push(raw ?? { id: item.callId, function: { name, arguments: argumentsOf(input) } });
    }
  }

  #words(item: MessageItem): void {
    const turn = this.#turn;
    if (!turn) return;
    const raw = isNative(item, this.#context.target) ? object(item.raw) : undefined;
    // An empty message was written without words, or with none.
    if (raw && !("content" in raw)) return;
    const { content } = this.#contentOf(item.parts);
    turn["content"] = `${(turn["content"] as string | null | undefined) ?? ""}${content}`;
  }

  #message(item: MessageItem): Json {
    const { target, note } = this.#context;
    if (isNative(item, target) && object(item.raw)?.["role"] !== undefined) {
      this.#turns.result([], []);
      return item.raw ?? null;
    }
    const { content, images } = this.#contentOf(item.parts);
    if (item.role === "developer") note({ field: "items[].role", action: "renamed", reason: `The provider calls the role "system".` });
    const role = item.role === "developer" ? "system" : item.role;
    if (role === "user") this.#turns.message(item.parts, [content, ...images]);
    return { role, content, ...(images.length > 0 && { images }) };
  }

  #result(item: ToolResultItem): Json {
    const { target, note } = this.#context;
    if (isNative(item, target) && object(item.raw)?.["role"] !== undefined) {
      this.#turns.result([], []);
      return item.raw ?? null;
    }
    if (item.isError)
      note({ field: "items[].isError", action: "dropped", reason: "A tool message has no mark for failure; its text says so." });
    const { content, images } = this.#contentOf(item.parts);
    this.#turns.result(item.parts, [content, ...images]);
    const name = this.#called.get(item.callId);
    return {
      role: "tool",
      content,
      ...(name !== undefined && { tool_name: name }),
      tool_call_id: item.callId,
      ...(images.length > 0 && { images }),
    };
  }

  /** Here a message is one text, and images beside it. */
  #contentOf(parts: readonly Part[]): { readonly content: string; readonly images: readonly string[] } {
    const texts: string[] = [];
    const images: string[] = [];
    for (const part of parts) {
      if (part.cacheTtlSeconds !== undefined) this.#drop("items[].cacheTtlSeconds", "The language has no breakpoints for a prompt cache.");
      if (part.type === "refusal") {
        const reason = "The language has no refusal part; its words are sent as text.";
        this.#context.note({ field: "items[].parts[].refusal", action: "degraded", reason });
      }
      if (part.type === "text" || part.type === "refusal") texts.push(part.text);
      else if (part.type === "image" && part.source.data !== undefined) images.push(part.source.data);
      else if (part.type === "image") this.#drop("items[].parts[].image", "The server fetches no images: send it inline.");
      else if (part.type === "file" && part.text !== undefined) texts.push(part.text);
      else this.#drop(`items[].parts[].${part.type}`, "The language carries text and images only.");
      if (part.type === "image" && part.detail !== undefined) this.#drop("items[].parts[].detail", "The language has no detail of images.");
    }
    return { content: texts.join("\n"), images };
  }

  #drop(field: string, reason: string): void {
    this.#context.note({ field, action: "dropped", reason });
  }
}

/** The one prompt of a call that came through `/api/generate` and is still what came. */
export function promptOf(items: readonly Item[]): JsonObject | undefined {
  const [only, ...more] = items;
  if (more.length > 0) return undefined;
  if (!only) return {};
  const raw = only.type === "message" && only.origin?.dialect === ID ? object(only.raw) : undefined;
  if (!raw) return undefined;
  const { content, images } = raw;
  return { ...(content !== undefined && { prompt: content }), ...(images !== undefined && { images }) };
}
