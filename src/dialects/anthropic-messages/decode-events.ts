import {
  ProblemError,
  type EmitEvent,
  type EventDecoder,
  type Item,
  type Json,
  type JsonObject,
  type Origin,
  type Part,
  type Problem,
  type RepeatableFrame,
  type WireFrame,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { endOf, originOf } from "./answer.ts";
import { decodeBlock, decodeBlocks } from "./decode-items.ts";
import { decodeText } from "./decode-parts.ts";
import { broken, problemOfErrorBody } from "./problem.ts";
import { decodeUsage, mergeUsage } from "./usage.ts";
import { DIALECT, hasMore, isList, isObject, without } from "./wire.ts";

/** A content block between its start and its stop. */
interface OpenBlock {
  /** The block as its start frame gave it. */
  readonly start: JsonObject;
  readonly index: number;
  /** Number of the text part within its message. */
  readonly part: number;
  text: string;
  json: string;
  citations: Json[] | undefined;
  /** Members that a delta brought whole (a signature, a summary). */
  readonly extra: Record<string, Json | undefined>;
}

/** Every member of a delta frame says where it belongs. */
const NOTHING_IGNORED: readonly string[] = [];

const PLAIN_TOOL_USE = new Set(["type", "id", "name", "input"]);

/**
 * Reads `message_start`, content blocks, `message_delta`, `message_stop`. Neighbouring text blocks are the parts of one message, as in a
 * plain answer, so a message ends when another block begins.
 */
export class MessageDecoder implements EventDecoder {
  repeatable: RepeatableFrame | undefined;
  readonly #emit: EmitEvent;
  readonly #provider: string | undefined;
  #origin: Origin = { dialect: DIALECT };
  #native: JsonObject | undefined;
  #ended = false;
  #nextIndex = 0;
  readonly #open = new Map<number, OpenBlock>();
  #message: { readonly index: number; readonly parts: Part[]; started: number } | undefined;

  constructor(emit: EmitEvent, provider: string | undefined) {
    this.#emit = emit;
    this.#provider = provider;
  }

  frame(frame: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    const data = parseJson(frame.data);
    if (!isObject(data)) return this.#fail(broken("The provider sent a frame that is no JSON object.", this.#provider));
    try {
      this.#frame(typeof data["type"] === "string" ? data["type"] : (frame.event ?? ""), data);
    } catch (error) {
      const why = error instanceof ProblemError ? `: ${error.problem.message}` : ".";
      this.#fail(broken(`The provider's stream is garbled${why}`, this.#provider));
    }
  }

  end(): void {
    if (!this.#ended) this.#fail(broken("The provider's stream ended before it was complete.", this.#provider));
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }

  #frame(type: string, data: JsonObject): void {
    switch (type) {
      case "content_block_delta":
        return this.#delta(data);
      case "content_block_start":
        return this.#start(data);
      case "content_block_stop":
        return this.#stop(numberOf(data["index"]));
      case "message_start":
        return this.#begin(data);
      case "message_delta":
        return this.#messageDelta(data);
      case "message_stop":
        return this.#finish();
      case "error":
        return this.#fail(problemOfErrorBody(data, this.#provider ?? ""));
      default:
        this.#emit({ type: "native", dialect: DIALECT, event: type, raw: data });
    }
  }

  #begin(data: JsonObject): void {
    if (this.#native) return this.#fail(broken("The provider's stream began anew before it was complete.", this.#provider));
    const message = isObject(data["message"]) ? data["message"] : {};
    const { id, model, usage, content } = message;
    const name = typeof model === "string" ? model : "";
    this.#native = without(message, "content");
    this.#origin = originOf(this.#provider, name);
    this.#emit({ type: "start", id: typeof id === "string" ? id : "", model: name, createdAt: 0, native: this.#native });
    if (isObject(usage)) this.#emit({ type: "usage", usage: decodeUsage(usage) });
    // An answer that was ready at once (calls made from within running code) comes whole in its first frame.
    if (isList(content))
      for (const item of decodeBlocks(content, { role: "assistant", origin: this.#origin }, "content")) this.#wholeItem(item);
  }

  #wholeItem(item: Item): void {
    const index = this.#nextIndex++;
    const { raw: _raw, ...bare } = item;
    if (item.type === "message") {
      this.#emit({ type: "item_start", index, item: { ...item, parts: [] } });
      for (const [part, value] of item.parts.entries())
        if (value.type === "text") this.#emit({ type: "text", index, part, text: value.text });
    } else if (item.type === "tool_call") {
      this.#emit({ type: "item_start", index, item: { ...item, input: "" } });
      this.#emit({ type: "input", index, text: item.input });
    } else this.#emit({ type: "item_start", index, item: bare.type === "reasoning" ? { ...bare, parts: [] } : item });
    this.#emit({ type: "item_end", index, item });
  }

  #start(data: JsonObject): void {
    const block = isObject(data["content_block"]) ? data["content_block"] : undefined;
    if (!block || !this.#native) throw new ProblemError(broken("a content block begins without its message or its content"));
    const isText = block["type"] === "text";
    if (!isText) this.#closeMessage();
    const open: OpenBlock = { start: block, ...this.#place(isText), text: "", json: "", citations: undefined, extra: {} };
    this.#open.set(numberOf(data["index"]), open);
    const { index } = open;
    switch (block["type"]) {
      case "text":
        if (typeof block["text"] === "string" && block["text"] !== "") this.#text(open, block["text"]);
        return;
      case "thinking":
        this.#emit({ type: "item_start", index, item: { type: "reasoning", parts: [], origin: this.#origin } });
        if (typeof block["thinking"] === "string" && block["thinking"] !== "") this.#thinking(open, block["thinking"]);
        return;
      case "tool_use": {
        const { id, name } = block;
        if (typeof id !== "string" || typeof name !== "string") throw new ProblemError(broken("a tool call has no id or no name"));
        const raw = hasMore(block, PLAIN_TOOL_USE) ? { raw: block } : {};
        this.#emit({
          type: "item_start",
          index,
          item: { type: "tool_call", callId: id, name, kind: "function", input: "", origin: this.#origin, ...raw },
        });
        return;
      }
      default: {
        // Opaque to the end: its start frame is what a client of this language is shown.
        const item = decodeBlock(block, { role: "assistant", origin: this.#origin }, "content_block");
        this.#emit({ type: "item_start", index, item });
      }
    }
  }

  /** A new item's index, or that of the message that goes on with another part. */
  #place(isText: boolean): { readonly index: number; readonly part: number } {
    if (!isText) return { index: this.#nextIndex++, part: 0 };
    if (!this.#message) {
      this.#message = { index: this.#nextIndex++, parts: [], started: 0 };
      this.#emit({
        type: "item_start",
        index: this.#message.index,
        item: { type: "message", role: "assistant", parts: [], origin: this.#origin },
      });
    }
    return { index: this.#message.index, part: this.#message.started++ };
  }

  #delta(data: JsonObject): void {
    const open = this.#open.get(numberOf(data["index"]));
    const delta = data["delta"];
    if (!open || !isObject(delta)) throw new ProblemError(broken("a delta belongs to no open block"));
    switch (delta["type"]) {
      case "text_delta":
        return this.#told(textOf(delta["text"]), (text) => this.#text(open, text));
      case "thinking_delta":
        return this.#told(textOf(delta["thinking"]), (text) => this.#thinking(open, text));
      case "signature_delta":
        open.extra["signature"] = textOf(delta["signature"]);
        return;
      case "citations_delta": {
        const citation = delta["citation"] ?? null;
        (open.citations ??= []).push(citation);
        this.#emit({ type: "annotation", index: open.index, part: open.part, annotation: citation });
        return;
      }
      case "input_json_delta": {
        const json = textOf(delta["partial_json"]);
        if (open.start["type"] === "tool_use") return this.#told(json, (text) => this.#input(open, text));
        open.json += json;
        break;
      }
      case "compaction_delta":
        Object.assign(open.extra, without(delta, "type"));
        break;
      default:
        break;
    }
    this.#emit({ type: "native", dialect: DIALECT, event: "content_block_delta", raw: data });
  }

  /** Tells a delta's only string, and how the next one can be told. */
  #told(text: string, tell: (text: string) => void): void {
    tell(text);
    this.repeatable = { text, ignored: NOTHING_IGNORED, tell };
  }

  #input(open: OpenBlock, json: string): void {
    open.json += json;
    if (json !== "") this.#emit({ type: "input", index: open.index, text: json });
  }

  #text(open: OpenBlock, text: string): void {
    open.text += text;
    this.#emit({ type: "text", index: open.index, part: open.part, text });
  }

  #thinking(open: OpenBlock, text: string): void {
    open.text += text;
    this.#emit({ type: "reasoning", index: open.index, part: 0, kind: "summary", text });
  }

  #stop(wireIndex: number): void {
    const open = this.#open.get(wireIndex);
    if (!open) throw new ProblemError(broken("a block ends that never began"));
    this.#open.delete(wireIndex);
    const { start, index } = open;
    if (start["type"] === "text") {
      const before = isList(start["citations"]) ? start["citations"] : [];
      const block = { ...start, text: open.text, ...(open.citations && { citations: [...before, ...open.citations] }) };
      if (this.#message) this.#message.parts[open.part] = decodeText(block, "content_block");
      return;
    }
    this.#emit({ type: "item_end", index, item: this.#finished(open) });
  }

  #finished(open: OpenBlock): Item {
    const { start, index } = open;
    const place = { role: "assistant", origin: this.#origin } as const;
    if (start["type"] === "thinking") {
      const { signature = "" } = start;
      return decodeBlock({ ...start, signature, ...open.extra, thinking: open.text }, place, "content_block");
    }
    if (open.json.trim() === "") {
      const item = decodeBlock({ ...start, ...open.extra }, place, "content_block");
      if (item.type === "tool_call") this.#emit({ type: "input", index, text: item.input });
      return item;
    }
    const input = parseJson(open.json);
    if (input !== undefined) return decodeBlock({ ...start, ...open.extra, input }, place, "content_block");
    // The model was cut off, or wrote no JSON: its words stand as it wrote them.
    const item = decodeBlock(start, place, "content_block");
    if (item.type !== "tool_call") return item;
    const { raw: _raw, ...bare } = item;
    return { ...bare, input: open.json };
  }

  #closeMessage(): void {
    const message = this.#message;
    if (!message) return;
    this.#message = undefined;
    const parts = message.parts.filter(Boolean);
    this.#emit({ type: "item_end", index: message.index, item: { type: "message", role: "assistant", parts, origin: this.#origin } });
  }

  #messageDelta(data: JsonObject): void {
    if (!this.#native) throw new ProblemError(broken("a message ends that never began"));
    const delta = isObject(data["delta"]) ? data["delta"] : {};
    const usage = isObject(data["usage"]) ? data["usage"] : {};
    const before = isObject(this.#native["usage"]) ? this.#native["usage"] : {};
    const merged = mergeUsage(before, usage);
    this.#native = { ...this.#native, ...without(data, "type", "delta", "usage"), ...delta, usage: merged };
    this.#emit({ type: "usage", usage: decodeUsage(merged) });
  }

  #finish(): void {
    const native = this.#native;
    if (!native) throw new ProblemError(broken("a message stops that never began"));
    for (const wireIndex of this.#open.keys()) this.#stop(wireIndex);
    this.#closeMessage();
    this.#ended = true;
    const { stop, stopNative } = endOf(native);
    this.#emit({ type: "done", stop, stopNative, native });
  }
}

function textOf(value: Json | undefined): string {
  if (typeof value === "string") return value;
  throw new ProblemError(broken("a delta has no text"));
}

function numberOf(value: Json | undefined): number {
  if (typeof value === "number") return value;
  throw new ProblemError(broken("a block has no index"));
}
