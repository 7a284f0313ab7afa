import {
  textOf,
  type Call,
  type Diagnostic,
  type EncodeTarget,
  type Item,
  type Json,
  type JsonObject,
  type Part,
} from "../../canon/index.ts";
import { isModels, refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt, UserTurns } from "../shared-lost.ts";
import { isObject, type Draft } from "../shared-shape.ts";
import { flattenToolCall, type FlatTools } from "../shared-tools.ts";
import { decodeAssistant, decodeContent } from "./decode-message.ts";
import { ID, isNative, PLAN } from "./shape.ts";

export interface MessageContext {
  readonly target: EncodeTarget;
  readonly tools: FlatTools;
  readonly note: (diagnostic: Diagnostic) => void;
}

export function encodeMessages(call: Call, context: MessageContext): readonly Json[] {
  const own = call.origin.dialect === ID;
  if (!own) {
    refuseKeptPrompt(call, context.target);
    refuseForeignTurn(call.items, (item) => isNative(item, context.target), context.target);
  }
  const writer = new MessageWriter(context);
  const standing = call.instructions?.parts.map((part) => part.text).join("\n\n") ?? "";
  if (standing !== "") writer.plain({ role: "system", content: standing });
  const { items } = call;
  for (let from = 0; from < items.length;) {
    const first = items[from];
    if (!first) break;
    let to = from + 1;
    if (isModels(first)) while (to < items.length && isSameTurn(first, items[to])) to++;
    if (isModels(first)) writer.assistant(items.slice(from, to));
    else writer.item(first);
    from = to;
  }
  const messages = writer.finish();
  if (messages.length === 0 && !own) refuseEmptyConversation(items, context.target);
  return messages;
}

/** Everything that the model said at once is one message. Two messages of this language stay two. */
function isSameTurn(first: Item, next: Item | undefined): boolean {
  if (!next || !isModels(next)) return false;
  const [a, b] = [first.envelope, next.envelope];
  return (
    a === b ||
    (a?.dialect === ID && b?.dialect === ID ? a.place !== undefined && a.place === b.place : a?.dialect !== ID && b?.dialect !== ID)
  );
}

class MessageWriter {
  readonly #context: MessageContext;
  readonly #messages: Json[] = [];
  readonly #turns: UserTurns;

  constructor(context: MessageContext) {
    this.#context = context;
    this.#turns = new UserTurns(context.target);
  }

  plain(message: Json): void {
    this.#messages.push(message);
  }

  finish(): readonly Json[] {
    this.#turns.end();
    return this.#messages;
  }

  item(item: Item): void {
    const { note, target } = this.#context;
    switch (item.type) {
      case "message": {
        const raw = isNative(item, target) && isObject(item.raw) ? item.raw : undefined;
        if (raw && saysSame(raw, item.parts)) {
          this.#turns.result([], []);
          return this.plain(raw);
        }
        if (item.role === "developer") note({ field: "items[].role", action: "renamed", reason: `The provider calls the role "system".` });
        const content = this.#content(item.parts);
        if (item.role === "user") this.#turns.message(item.parts, typeof content === "string" ? [content] : content);
        if (content.length > 0) this.plain({ role: item.role === "developer" ? "system" : item.role, content });
        return;
      }
      case "tool_result": {
        const raw = isNative(item, target) && isObject(item.raw) ? item.raw : undefined;
        if (raw && saysSame(raw, item.parts)) {
          this.#turns.result([], []);
          return this.plain(raw);
        }
        if (item.isError)
          note({ field: "items[].isError", action: "dropped", reason: "A tool message has no mark for failure; its text says so." });
        const { words, shown } = this.#split(item.parts);
        this.#turns.result(item.parts, [words, ...shown]);
        this.plain({ role: "tool", tool_call_id: item.callId, content: words });
        if (shown.length === 0) return;
        note({
          field: "items[].toolResult.parts",
          action: "degraded",
          reason: "A tool's result holds words; what else it shows follows as the user's.",
        });
        return this.plain({ role: "user", content: shown });
      }
      case "compaction":
        if (item.text === undefined)
          return note({
            field: "items[].compaction",
            action: "dropped",
            reason: "The summary can be read only by the provider that made it.",
          });
        note({ field: "items[].compaction", action: "degraded", reason: "The summary of earlier turns is sent as a user message." });
        return this.plain({ role: "user", content: `Summary of the conversation so far:\n${item.text}` });
      default:
        return note({
          field: `items[].${item.type === "unknown" ? item.kind : item.type}`,
          action: "dropped",
          reason: "Only its own language can carry it.",
        });
    }
  }

  assistant(items: readonly Item[]): void {
    this.#turns.end();
    const { target, note, tools } = this.#context;
    const native = items.every((item) => isNative(item, target));
    const raw = native ? items[0]?.envelope?.raw : undefined;
    if (raw && isUntouched(raw, items)) return this.plain(raw);
    const message: Draft = { role: "assistant" };
    const content: JsonObject[] = [];
    const calls: Json[] = [];
    let plan = "";
    const hasCalls = items.some((item) => item.type === "tool_call");
    for (const item of items) {
      if (item.type === "reasoning") {
        const thinking = item.parts.map((part) => part.text).join("");
        if (isNative(item, target)) content.push({ type: "thinking", thinking });
        else
          note({ field: "items[].reasoning", action: "dropped", reason: "Reasoning is shown again only to the provider that wrote it." });
      } else if (item.type === "message") {
        const words = textOf(item.parts);
        this.#noteParts(item.parts);
        if (words === "") continue;
        // Beside calls the language has no words but the plan.
        if (hasCalls && (item.phase === PLAN || !native)) plan += words;
        else content.push({ type: "text", text: words });
      } else if (item.type === "tool_call") {
        const { name, input } = flattenToolCall(item, tools);
        calls.push({ id: item.callId, type: "function", function: { name, arguments: input } });
      }
    }
    const [only, ...more] = content;
    if (only && more.length === 0 && typeof only["text"] === "string") message["content"] = only["text"];
    else if (content.length > 0) message["content"] = content;
    if (plan !== "") message["tool_plan"] = plan;
    if (calls.length > 0) message["tool_calls"] = calls;
    if (Object.keys(message).length > 1) this.plain(message);
  }

  #noteParts(parts: readonly Part[]): void {
    const { note } = this.#context;
    for (const part of parts) {
      if (part.type === "refusal")
        note({
          field: "items[].parts[].refusal",
          action: "degraded",
          reason: "The language has no refusal part; its words are sent as text.",
        });
      else if (part.type === "text" && part.annotations)
        note({ field: "items[].parts[].annotations", action: "dropped", reason: "Citations are written differently in each language." });
    }
  }

  /** A lone text is a string, as most clients write it. */
  #content(parts: readonly Part[]): string | readonly Json[] {
    const encoded = parts.map((part) => this.#part(part)).filter((part) => part !== undefined);
    const [only, ...more] = encoded;
    return only && more.length === 0 && typeof only["text"] === "string" ? only["text"] : encoded;
  }

  #split(parts: readonly Part[]): { readonly words: string; readonly shown: readonly Json[] } {
    const encoded = parts.map((part) => this.#part(part)).filter((part) => part !== undefined);
    const words = encoded.flatMap((part) => (typeof part["text"] === "string" ? [part["text"]] : []));
    return { words: words.join("\n"), shown: encoded.filter((part) => typeof part["text"] !== "string") };
  }

  #part(part: Part): JsonObject | undefined {
    const { note, target } = this.#context;
    const drop = (field: string, reason: string): undefined => {
      note({ field: `items[].parts[].${field}`, action: "dropped", reason });
    };
    if (part.type !== "unknown" && part.cacheTtlSeconds !== undefined)
      drop("cacheTtlSeconds", "The language has no breakpoints for a prompt cache.");
    switch (part.type) {
      case "text":
      case "refusal":
        this.#noteParts([part]);
        return part.text === "" ? undefined : { type: "text", text: part.text };
      case "image": {
        if (target.capabilities.vision === false) return drop("image", "The model takes no images.");
        const { url, data, mediaType } = part.source;
        const address = url ?? (data === undefined ? undefined : `data:${mediaType ?? "image/png"};base64,${data}`);
        if (address === undefined) return drop("image", "The image is in another provider's file store.");
        return { type: "image_url", image_url: { url: address, ...(part.detail !== undefined && { detail: part.detail }) } };
      }
      case "file":
        return part.text === undefined ? drop("file", "The language carries words and images only.") : { type: "text", text: part.text };
      case "audio":
        return part.transcript === undefined
          ? drop("audio", "The language carries words and images only.")
          : { type: "text", text: part.transcript };
      case "unknown":
        return drop(part.kind, "Only its own language can carry it.");
    }
  }
}

/** Is a message still what it was decoded into? Who changes a text may keep the rest. */
function saysSame(raw: JsonObject, parts: readonly Part[]): boolean {
  const before = decodeContent(raw["content"], "content");
  return before.length === parts.length && textOf(before) === textOf(parts);
}

/** The same of all that one assistant message was decoded into. */
export function isUntouched(raw: JsonObject, items: readonly Item[]): boolean {
  const before = decodeAssistant(raw, { origin: { dialect: ID }, place: 0 });
  return before.length === items.length && before.every((item, at) => wordsOf(item) === wordsOf(items[at]));
}

function wordsOf(item: Item | undefined): string {
  if (item?.type === "message")
    return JSON.stringify([item.type, item.phase ?? "", item.parts.map((part) => (part.type === "text" ? part.text : part.type))]);
  if (item?.type === "reasoning") return JSON.stringify([item.type, item.parts.map((part) => part.text)]);
  return item?.type === "tool_call" ? JSON.stringify([item.callId, item.name, item.input]) : "";
}
