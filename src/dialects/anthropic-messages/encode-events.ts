import {
  NO_USAGE,
  type AnswerContext,
  type EmitFrame,
  type EmitText,
  type Event,
  type EventEncoder,
  type Item,
  type JsonObject,
  type Part,
  type Usage,
} from "../../canon/index.ts";
import { TextFrame } from "../../kit/index.ts";
import { wrapCustomInput } from "../shared-tools.ts";
import { encodedStop, encodeItem } from "./answer.ts";
import { isOwn } from "./encode-blocks.ts";
import { decodeStop, encodeStop } from "./stop.ts";
import { encodeOwnUsage, encodeUsage } from "./usage.ts";
import { DIALECT, isObject, without } from "./wire.ts";

type ItemEvent = Extract<Event, { index: number }>;

/** What is told of the item that is being written. */
interface Current {
  readonly index: number;
  readonly item: Item;
  /** Text parts whose block was opened. */
  readonly parts: Set<number>;
  /** Part of the text or reasoning written last; -1 before the first. */
  part: number;
  /** Was any of the item's input or reasoning written? */
  told: boolean;
}

/** Whatever the sizes of a call, an item that overlaps another waits: the language's blocks come strictly one after the other. */
export class MessageEncoder implements EventEncoder {
  repeats: TextFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  #usage: Usage = NO_USAGE;
  #usageKnown = false;
  #opening: Extract<Event, { type: "start" }> | undefined;
  #blockIndex = -1;
  #blockOpen = false;
  /** How the open block's words are told. */
  #delta = deltaFrame(0, "", "");
  #current: Current | undefined;
  /** Events of items that began while another was being written, by item in the order of their beginning. */
  readonly #waiting = new Map<number, ItemEvent[]>();
  readonly #finished: Item[] = [];

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, words) => emit(frame.event, frame.data(words)));
    this.#context = context;
  }

  event(event: Event): void {
    this.repeats = undefined;
    if (event.type === "usage") {
      this.#usage = event.usage;
      this.#usageKnown = true;
      return;
    }
    // The opening waits for what follows it: where that is usage, the input's figures can stand where clients look for them.
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening) this.#start(opening);
    switch (event.type) {
      case "start":
        this.#opening = event;
        return;
      case "native":
        return this.#native(event);
      case "done":
        return this.#done(event);
      case "problem":
        // The gateway tells it, with the call's id, through `encodeProblemFrames`.
        return;
      case "item_start":
      case "text":
      case "refusal":
      case "annotation":
      case "reasoning":
      case "input":
      case "item_end":
        return this.#route(event);
    }
  }

  #start(event: Extract<Event, { type: "start" }>): void {
    const own = event.native?.["type"] === "message" ? event.native : undefined;
    const message: JsonObject = own ?? {
      id: event.id,
      type: "message",
      role: "assistant",
      model: event.model,
      stop_reason: null,
      stop_sequence: null,
      stop_details: null,
      container: null,
      // Where the figures come only at the end, clients take those of `message_delta` over these, but for the split of cache writes,
      // which would stay at a false zero.
      usage: { ...encodeUsage(this.#usage), ...(!this.#usageKnown && { cache_creation: null }) },
    };
    // An answer that was already whole when it was told as a stream says its stop reason at the end, like every stream.
    const begun = { ...message, id: this.#context.id ?? event.id, content: [], stop_reason: null, stop_sequence: null };
    this.#emit("message_start", JSON.stringify({ type: "message_start", message: begun }));
  }

  #route(event: ItemEvent): void {
    const current = this.#current;
    if (current === undefined && event.type === "item_start") this.#item(event);
    else if (current?.index === event.index) this.#item(event);
    else if (event.type === "item_start") this.#waiting.set(event.index, [event]);
    else this.#waiting.get(event.index)?.push(event);
  }

  /** Goes on with the items that waited, up to the first that is not finished. */
  #next(): void {
    for (const [index, events] of this.#waiting) {
      if (this.#current) return;
      this.#waiting.delete(index);
      for (const event of events) this.#item(event);
    }
  }

  #item(event: ItemEvent): void {
    const current = this.#current;
    if (event.type === "item_start") return this.#itemStart(event.index, event.item);
    if (!current) return;
    switch (event.type) {
      case "text":
      case "refusal":
        if (current.part !== event.part || !this.#blockOpen) this.#openText(current, event.part);
        return this.#say(event.text);
      case "annotation":
        if (!isOwn(current.item)) return;
        if (current.part !== event.part || !this.#blockOpen) this.#openText(current, event.part);
        return this.#otherDelta({ type: "citations_delta", citation: event.annotation });
      case "reasoning":
        return this.#reasoning(current, event.part, event.text);
      case "input":
        if (current.item.type !== "tool_call" || current.item.kind === "custom" || event.text === "") return;
        current.told = true;
        return this.#say(event.text);
      case "item_end":
        this.#itemEnd(current, event.item);
        this.#finished.push(event.item);
        this.#current = undefined;
        return this.#next();
    }
  }

  #itemStart(index: number, item: Item): void {
    this.#current = { index, item, parts: new Set(), part: -1, told: false };
    switch (item.type) {
      case "tool_call": {
        const raw = isOwn(item) && isObject(item.raw) ? item.raw : undefined;
        return this.#open(
          { ...(raw ?? { type: "tool_use", id: item.callId, name: item.name }), input: {} },
          "input_json_delta",
          "partial_json",
        );
      }
      case "unknown":
      case "compaction":
        if (isOwn(item) && isObject(item.raw)) this.#open(item.raw);
        return;
      // Text opens its block with its first part; reasoning may turn out to have nothing to show.
      case "message":
      case "reasoning":
      case "tool_result":
        return;
    }
  }

  #openText(current: Current, part: number): void {
    current.part = part;
    current.parts.add(part);
    this.#open({ type: "text", text: "" }, "text_delta", "text");
  }

  #reasoning(current: Current, part: number, text: string): void {
    if (!this.#blockOpen) this.#open({ type: "thinking", thinking: "", signature: "" }, "thinking_delta", "thinking");
    // Summaries in several parts are paragraphs of one thought here.
    const isNext = current.part >= 0 && current.part !== part;
    current.part = part;
    current.told = true;
    if (isNext) this.#emitText(this.#delta, `\n\n${text}`);
    else this.#say(text);
  }

  /** Tells an event's own text in the open block; the next one like it is told the same way. */
  #say(text: string): void {
    this.#emitText(this.#delta, text);
    this.repeats = this.#delta;
  }

  /** What the finished item holds and no delta told. */
  #itemEnd(current: Current, item: Item): void {
    switch (item.type) {
      case "message":
        for (const [part, value] of item.parts.entries()) if (!current.parts.has(part)) this.#wholePart(current, part, value, isOwn(item));
        return this.#close();
      case "reasoning": {
        const [block] = encodeItem(item);
        if (block?.["type"] === "redacted_thinking") this.#open(block);
        else if (block && typeof block["thinking"] === "string") {
          if (!current.told && (block["thinking"] !== "" || block["signature"] !== "")) this.#reasoning(current, 0, block["thinking"]);
          if (typeof block["signature"] === "string" && block["signature"] !== "")
            this.#otherDelta({ type: "signature_delta", signature: block["signature"] });
        }
        return this.#close();
      }
      case "tool_call": {
        const input = item.kind === "custom" ? wrapCustomInput(item.input) : item.input;
        if (!current.told && input !== "" && input !== "{}") this.#emitText(this.#delta, input);
        return this.#close();
      }
      case "compaction":
      case "unknown":
        if (!this.#blockOpen && isOwn(item) && isObject(item.raw)) this.#open(item.raw);
        return this.#close();
      case "tool_result":
        return this.#close();
    }
  }

  #wholePart(current: Current, part: number, value: Part, own: boolean): void {
    if (value.type === "text" || value.type === "refusal") {
      this.#openText(current, part);
      if (value.text !== "") this.#emitText(this.#delta, value.text);
      if (own && value.type === "text")
        for (const citation of value.annotations ?? []) this.#otherDelta({ type: "citations_delta", citation });
    }
  }

  #open(block: JsonObject, deltaType = "", member = ""): void {
    this.#close();
    this.#blockIndex++;
    this.#blockOpen = true;
    this.#delta = deltaFrame(this.#blockIndex, deltaType, member);
    this.#emit("content_block_start", JSON.stringify({ type: "content_block_start", index: this.#blockIndex, content_block: block }));
  }

  #otherDelta(delta: JsonObject): void {
    this.#emit("content_block_delta", JSON.stringify({ type: "content_block_delta", index: this.#blockIndex, delta }));
  }

  #close(): void {
    if (!this.#blockOpen) return;
    this.#blockOpen = false;
    this.#emit("content_block_stop", `{"type":"content_block_stop","index":${this.#blockIndex}}`);
  }

  #native(event: Extract<Event, { type: "native" }>): void {
    if (event.dialect !== DIALECT || !isObject(event.raw)) return;
    if (event.raw["index"] === undefined) return this.#emit(event.event, JSON.stringify(event.raw));
    // A delta of a block that only this language knows: it belongs to the open one, whatever number that has here.
    if (this.#blockOpen) this.#emit(event.event, JSON.stringify({ ...event.raw, index: this.#blockIndex }));
  }

  #done(event: Extract<Event, { type: "done" }>): void {
    if (this.#current) this.#itemEnd(this.#current, this.#current.item);
    this.#current = undefined;
    this.#next();
    this.#close();
    const { native } = event;
    const own = native?.["type"] === "message" ? native : undefined;
    const stop = encodedStop(event.stop, this.#finished);
    const kept = own && decodeStop(own["stop_reason"]) === event.stop ? own : undefined;
    const delta: JsonObject = {
      ...(kept
        ? { stop_reason: kept["stop_reason"], stop_sequence: kept["stop_sequence"] ?? null, stop_details: kept["stop_details"] ?? null }
        : encodeStop(stop, this.#context.call)),
      container: own?.["container"] ?? null,
    };
    const usage = own ? encodeOwnUsage(own["usage"], this.#usage) : encodeUsage(this.#usage);
    const rest = own
      ? without(own, "id", "type", "role", "model", "content", "container", "usage", "stop_reason", "stop_sequence", "stop_details")
      : {};
    this.#emit("message_delta", JSON.stringify({ type: "message_delta", delta, ...rest, usage }));
    this.#emit("message_stop", '{"type":"message_stop"}');
  }
}

function deltaFrame(index: number, type: string, member: string): TextFrame {
  const before = `{"type":"content_block_delta","index":${index},"delta":{"type":"${type}","${member}":`;
  return new TextFrame("content_block_delta", before, "}}");
}
