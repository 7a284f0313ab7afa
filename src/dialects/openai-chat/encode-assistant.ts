import type { Item, Json, JsonObject, MessageItem, ReasoningItem, ToolCallItem, UnknownItem } from "../../canon/index.ts";
import { wrapCustomInput } from "../shared-tools.ts";
import { READABLE_REASONING } from "./decode-message.ts";
import type { EncodeContext } from "./encode-context.ts";
import { encodePart } from "./encode-parts.ts";
import { frameOf, isList, isObject, object, text, type Draft, type MessageFrame } from "./shape.ts";

type AssistantItem = (MessageItem & { role: "assistant" }) | ReasoningItem | ToolCallItem | UnknownItem;

export function isAssistantItem(item: Item): item is AssistantItem {
  if (item.type === "message") return item.role === "assistant";
  return item.type === "reasoning" || item.type === "tool_call" || (item.type === "unknown" && item.role === "assistant");
}

/** A piece of the content: a string, or parts of a list. */
type Piece = string | readonly Json[];

/**
 * One assistant message in the making. Items cut from one wire message come together in it again; items of other languages that
 * belong to one turn are merged, because chat completions has one message for a whole turn.
 */
export class AssistantTurn {
  readonly #context: EncodeContext;
  #envelope: Item["envelope"];
  #frame: MessageFrame | undefined;
  readonly #pieces: Piece[] = [];
  readonly #fields: Draft = {};
  readonly #calls: Json[] = [];

  constructor(context: EncodeContext) {
    this.#context = context;
  }

  /** Two messages that the client sent apart stay apart; everything else of one side is one turn. */
  joins(item: Item): boolean {
    const mine = this.#frame;
    const theirs = this.#context.isNative(item) ? frameOf(item.envelope) : undefined;
    if (!mine || !theirs || mine.answer !== theirs.answer) return true;
    if (this.#envelope === item.envelope) return true;
    const place = this.#envelope?.place;
    return place !== undefined && place === item.envelope?.place;
  }

  add(item: AssistantItem): void {
    const native = this.#context.isNative(item);
    const frame = native ? frameOf(item.envelope) : undefined;
    // What the client sent says most about the shape it wants.
    if (frame && (!this.#frame || (this.#frame.answer && !frame.answer))) {
      this.#frame = frame;
      this.#envelope = item.envelope;
    }
    if (item.type === "message") this.#addMessage(item, native, frame);
    else if (item.type === "reasoning") this.#addReasoning(item, native, frame);
    else if (item.type === "tool_call") this.#addCall(item, native, frame);
    else this.#context.drop("items[].unknown", `An item of type "${item.kind}" exists only in its own language.`);
  }

  /** Undefined when nothing is left to say. */
  message(): Json | undefined {
    const frame = this.#frame;
    const message: Draft = frame ? requestFields(frame) : { role: "assistant", content: null };
    const set: Draft = { ...this.#fields };
    const content = this.#content();
    if (content !== undefined) set["content"] = content;
    if (this.#calls.length > 0)
      set[frame?.cut.includes("function_call") ? "function_call" : "tool_calls"] = frame?.cut.includes("function_call")
        ? this.#calls[0]
        : this.#calls;
    for (const key of frame?.cut ?? []) if (!(key in set)) message[key] = key === "content" ? null : undefined;
    Object.assign(message, set);
    if (frame && !frame.answer) return message;
    const says = text(message["refusal"]) !== undefined || this.#calls.length > 0 || object(message["audio"]) !== undefined;
    if (content === undefined && !says) return undefined;
    return message;
  }

  #content(): Json | undefined {
    const [first, ...more] = this.#pieces;
    if (first === undefined) return undefined;
    if (more.length === 0) return first;
    const texts = this.#pieces.filter((piece) => typeof piece === "string");
    // A stream may have cut one string in two; whole messages keep their bounds as parts.
    if (this.#frame && texts.length === this.#pieces.length) return texts.join("");
    return this.#pieces.flatMap((piece) => (typeof piece === "string" ? [{ type: "text", text: piece }] : piece));
  }

  #addMessage(item: MessageItem, native: boolean, frame: MessageFrame | undefined): void {
    const raw = native && frame ? object(item.raw) : undefined;
    if (raw) {
      for (const [key, value] of Object.entries(raw)) {
        if (key === "content") this.#addContent(value);
        else if (!frame?.answer) this.#fields[key] = value;
        else if (key === "refusal") this.#fields[key] = value;
        // An answer's sound is named by its id in the next request; annotations have no place there.
        else if (key === "audio" && isObject(value)) this.#fields[key] = { id: value["id"] };
      }
      return;
    }
    const list: Json[] = [];
    let joined = "";
    for (const part of item.parts) {
      if (part.type === "text") joined += part.text;
      if (part.type === "text" && native && isList(frame?.message["content"])) list.push(encodePart(part, native, this.#context) ?? "");
      if (part.type === "refusal") this.#fields["refusal"] = (text(this.#fields["refusal"]) ?? "") + part.text;
      if (part.type === "text" || part.type === "refusal") continue;
      const kept = native && part.type === "unknown" ? part.raw : undefined;
      if (kept === undefined) this.#context.drop(`items[].parts[].${part.type}`, "An assistant message carries text only.");
      else list.push(kept);
    }
    if (list.length > 0) this.#pieces.push(list);
    else if (joined !== "") this.#pieces.push(joined);
  }

  #addContent(value: Json | undefined): void {
    if (typeof value === "string") this.#pieces.push(value);
    else if (isList(value)) this.#pieces.push(value);
  }

  #addReasoning(item: ReasoningItem, native: boolean, frame: MessageFrame | undefined): void {
    if (!native) {
      this.#context.drop("items[].reasoning", "Reasoning is shown again only to the provider that wrote it.");
      return;
    }
    const shown = item.parts.map((part) => part.text).join("");
    // What a client carried here and back has lost its message, and is whole all the same.
    const raw = object(item.raw) ?? (shown === "" ? {} : { [fieldIn(frame) ?? READABLE_REASONING[0]]: shown });
    for (const [key, value] of Object.entries(raw)) {
      if (key === "content") this.#addContent(value);
      else this.#fields[key] = typeof value === "string" ? (text(this.#fields[key]) ?? "") + value : value;
    }
  }

  #addCall(item: ToolCallItem, native: boolean, frame: MessageFrame | undefined): void {
    const degrade = item.kind === "custom" && this.#context.degradeCustom;
    const raw = native && !degrade ? item.raw : undefined;
    if (raw !== undefined) this.#calls.push(raw);
    else if (frame?.cut.includes("function_call")) this.#calls.push({ name: item.name, arguments: item.input });
    else this.#calls.push(encodeToolCall(item, this.#context));
  }
}

/** The readable field from which a frame's reasoning was cut. */
function fieldIn(frame: MessageFrame | undefined): string | undefined {
  return READABLE_REASONING.find((key) => frame?.cut.includes(key));
}

/** Fields of an answer that no request takes back. */
const ANSWER_ONLY = new Set(["annotations", "executed_tools", "parsed"]);

function requestFields(frame: MessageFrame): Draft {
  if (!frame.answer) return { ...frame.message };
  const fields: Draft = {};
  for (const [key, value] of Object.entries(frame.message)) {
    if (ANSWER_ONLY.has(key) || (value === null && key !== "content" && !frame.cut.includes(key))) continue;
    fields[key] = value;
  }
  return fields;
}

/** A tool call from its canonical fields. An empty input of a function becomes `{}`: some vendors parse it. */
export function encodeToolCall(item: ToolCallItem, { names, degradeCustom }: Pick<EncodeContext, "names" | "degradeCustom">): JsonObject {
  const name = names.of(item.namespace, item.name);
  if (item.kind === "function") return { id: item.callId, type: "function", function: { name, arguments: item.input || "{}" } };
  if (degradeCustom) return { id: item.callId, type: "function", function: { name, arguments: wrapCustomInput(item.input) } };
  return { id: item.callId, type: "custom", custom: { name, input: item.input } };
}
