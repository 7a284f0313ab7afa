import type {
  EmitEvent,
  EventDecoder,
  Item,
  Json,
  JsonObject,
  Origin,
  Part,
  Problem,
  RepeatableFrame,
  WireFrame,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { isObject, object, text, type Draft } from "../shared-shape.ts";
import { ANSWER_PLACE } from "./answer.ts";
import { decodeBlock } from "./decode-blocks.ts";
import { isException } from "./framing.ts";
import { streamProblem } from "./problem.ts";
import { envelopeOf, ID } from "./shape.ts";
import { stopOf } from "./stop.ts";
import { usageOf } from "./usage.ts";

/** Letters that hide how long a message is. */
const PADDING: readonly string[] = ["p"];

type Kind = "text" | "reasoning" | "tool" | "other";

/** A content block while it grows. */
interface OpenBlock {
  readonly kind: Kind;
  readonly index: number;
  /** Of a text: which part of its message. */
  readonly part: number;
  /** What it began with. */
  readonly start: JsonObject;
  words: string;
  citations: Json[] | undefined;
  signature: string | undefined;
  redacted: string | undefined;
}

/**
 * The service's events to canonical ones. Texts and thoughts begin with their first delta, tool calls with an event of their own. `metadata`
 * usually follows `messageStop`: only then is all told.
 */
export class EventMessageDecoder implements EventDecoder {
  readonly #emit: EmitEvent;
  readonly #origin: Origin;
  readonly #envelope = envelopeOf("assistant", { role: "assistant" }, ANSWER_PLACE);
  readonly #blocks = new Map<number, OpenBlock>();
  readonly #native: Draft = {};
  #message: { readonly index: number; readonly parts: Part[]; started: number } | undefined;
  #next = 0;
  #started = false;
  #ended = false;
  #stopped = false;
  #counted = false;
  repeatable: RepeatableFrame | undefined;

  constructor(emit: EmitEvent, provider: string | undefined) {
    this.#emit = emit;
    this.#origin = { dialect: ID, ...(provider !== undefined && { provider }) };
  }

  frame({ event, data }: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    const body = parseJson(data);
    if (isException(event)) return this.#fail(streamProblem(event ?? "", body, this.#origin.provider));
    if (!isObject(body) || event === undefined) return this.#fail(broken("The provider sent a message of its stream that is garbled."));
    if (!this.#started) this.#start();
    switch (event) {
      case "contentBlockDelta":
        return this.#delta(body);
      case "contentBlockStart":
        return this.#begin(body);
      case "contentBlockStop":
        return this.#stop(body["contentBlockIndex"]);
      case "messageStart":
        return;
      case "messageStop":
        return this.#messageStop(body);
      case "metadata":
        return this.#metadata(body);
      default:
        this.#emit({ type: "native", dialect: ID, event, raw: unpadded(body) });
    }
  }

  end(): void {
    if (this.#ended) return;
    if (this.#stopped) return this.#done();
    this.#fail(broken("The provider's stream ended before its regular end."));
  }

  #start(): void {
    this.#started = true;
    this.#emit({ type: "start", id: "", model: "", createdAt: 0 });
  }

  #begin(body: JsonObject): void {
    const at = body["contentBlockIndex"];
    const start = object(body["start"]);
    if (typeof at !== "number" || !start || this.#blocks.has(at))
      return this.#fail(broken("The provider's stream is garbled: a block begins twice or nowhere."));
    const called = object(start["toolUse"]);
    if (!called) {
      // A block of another kind: its pieces are shown to clients of this language alone.
      if (Object.keys(start).length > 0) this.#emit({ type: "native", dialect: ID, event: "contentBlockStart", raw: unpadded(body) });
      return;
    }
    const { toolUseId: callId, name } = called;
    if (typeof callId !== "string" || typeof name !== "string")
      return this.#fail(broken("The provider's stream is garbled: a tool call has no id or no name."));
    this.#closeMessage();
    const index = this.#open(at, called["type"] === "server_tool_use" ? "other" : "tool", start).index;
    const item: Item =
      called["type"] === "server_tool_use"
        ? { type: "unknown", kind: "server_tool_use", role: "assistant", callId, raw: [start] }
        : { type: "tool_call", callId, name, kind: "function", input: "" };
    this.#emit({ type: "item_start", index, item: this.#dressed(item) });
  }

  #open(at: number, kind: Kind, start: JsonObject): OpenBlock {
    const place = kind === "text" ? this.#placeOfText() : { index: this.#next++, part: 0 };
    const open: OpenBlock = { kind, ...place, start, words: "", citations: undefined, signature: undefined, redacted: undefined };
    this.#blocks.set(at, open);
    return open;
  }

  #placeOfText(): { readonly index: number; readonly part: number } {
    if (!this.#message) {
      this.#message = { index: this.#next++, parts: [], started: 0 };
      this.#emit({
        type: "item_start",
        index: this.#message.index,
        item: this.#dressed({ type: "message", role: "assistant", parts: [] }),
      });
    }
    return { index: this.#message.index, part: this.#message.started++ };
  }

  #delta(body: JsonObject): void {
    const at = body["contentBlockIndex"];
    const delta = object(body["delta"]);
    if (typeof at !== "number" || !delta) return this.#fail(broken("The provider's stream is garbled: a delta belongs to no block."));
    const words = delta["text"];
    if (typeof words === "string") return this.#text(at, words);
    const called = object(delta["toolUse"]);
    if (called) return this.#input(at, called["input"]);
    const thought = object(delta["reasoningContent"]);
    if (thought) return this.#thought(at, thought);
    const open = this.#blocks.get(at);
    if (delta["citation"] !== undefined && (open === undefined || open.kind === "text"))
      return this.#cite(open ?? this.#open(at, "text", {}), delta["citation"]);
    this.#emit({ type: "native", dialect: ID, event: "contentBlockDelta", raw: unpadded(body) });
  }

  #text(at: number, words: string): void {
    // Some models begin with a text that says nothing, before they think.
    if (words === "" && !this.#blocks.has(at)) return;
    const open = this.#blocks.get(at) ?? this.#open(at, "text", {});
    if (open.kind !== "text") return this.#mixed();
    open.words += words;
    this.#emit({ type: "text", index: open.index, part: open.part, text: words });
    this.#repeats(words, (next) => this.#text(at, next));
  }

  /** A piece of the same block may follow that differs in its words alone. */
  #repeats(words: string, tell: (words: string) => void): void {
    this.repeatable = { text: words, ignored: PADDING, tell };
  }

  #cite(open: OpenBlock, citation: Json): void {
    (open.citations ??= []).push(citation);
    this.#emit({ type: "annotation", index: open.index, part: open.part, annotation: citation });
  }

  #input(at: number, piece: Json | undefined): void {
    const open = this.#blocks.get(at);
    if (!open || open.kind === "text" || open.kind === "reasoning" || typeof piece !== "string") return this.#mixed();
    open.words += piece;
    if (open.kind !== "tool" || piece === "") return;
    this.#emit({ type: "input", index: open.index, text: piece });
    this.#repeats(piece, (next) => this.#input(at, next));
  }

  #thought(at: number, thought: JsonObject): void {
    let open = this.#blocks.get(at);
    if (!open) {
      this.#closeMessage();
      open = this.#open(at, "reasoning", {});
      this.#emit({ type: "item_start", index: open.index, item: this.#dressed({ type: "reasoning", parts: [] }) });
    }
    if (open.kind !== "reasoning") return this.#mixed();
    const words = text(thought["text"]);
    if (words !== undefined) {
      open.words += words;
      this.#emit({ type: "reasoning", index: open.index, part: 0, kind: "text", text: words });
    }
    const signature = text(thought["signature"]);
    if (signature !== undefined) open.signature = `${open.signature ?? ""}${signature}`;
    const redacted = text(thought["redactedContent"]);
    if (redacted !== undefined) open.redacted = `${open.redacted ?? ""}${redacted}`;
    if (words !== undefined && signature === undefined && redacted === undefined)
      this.#repeats(words, (next) => this.#thought(at, { text: next }));
  }

  #stop(at: Json | undefined): void {
    const open = typeof at === "number" ? this.#blocks.get(at) : undefined;
    // A block that says nothing ends without having begun.
    if (!open || typeof at !== "number") return;
    this.#blocks.delete(at);
    if (open.kind === "text") {
      const part = partOf(open);
      if (this.#message && part) this.#message.parts[open.part] = part;
      return;
    }
    const item = this.#finished(open);
    if (item) this.#emit({ type: "item_end", index: open.index, item });
  }

  #finished(open: OpenBlock): Item | undefined {
    const context = { role: "assistant", origin: this.#origin, envelope: this.#envelope } as const;
    if (open.kind === "reasoning") {
      const { words, signature, redacted } = open;
      const reasoningContent =
        redacted === undefined
          ? { reasoningText: { text: words, ...(signature !== undefined && { signature }) } }
          : { redactedContent: redacted };
      return decodeBlock({ reasoningContent }, context, "contentBlock");
    }
    const input = open.words.trim() === "" ? {} : parseJson(open.words);
    const called = object(open.start["toolUse"]) ?? {};
    const item = decodeBlock({ toolUse: { ...called, input: isObject(input) ? input : {} } }, context, "contentBlock");
    if (item.type !== "tool_call") return item;
    if (open.words === "") this.#emit({ type: "input", index: open.index, text: "{}" });
    if (isObject(input)) return open.words === "" ? item : { ...item, input: open.words };
    // The model was cut off, or wrote no object: its words stand as it wrote them.
    const { raw: _raw, ...bare } = item;
    return { ...bare, input: open.words };
  }

  #closeMessage(): void {
    const message = this.#message;
    if (!message) return;
    for (const [at, open] of this.#blocks) if (open.kind === "text") this.#stop(at);
    this.#message = undefined;
    this.#emit({
      type: "item_end",
      index: message.index,
      item: this.#dressed({ type: "message", role: "assistant", parts: message.parts.filter(Boolean) }),
    });
  }

  #messageStop(body: JsonObject): void {
    this.#stopped = true;
    for (const at of this.#blocks.keys()) this.#stop(at);
    this.#closeMessage();
    Object.assign(this.#native, unpadded(body));
    if (this.#counted) this.#done();
  }

  #metadata(body: JsonObject): void {
    this.#counted = true;
    Object.assign(this.#native, unpadded(body));
    const usage = usageOf(body);
    if (usage) this.#emit({ type: "usage", usage });
    if (this.#stopped) this.#done();
  }

  #done(): void {
    this.#ended = true;
    const native = { ...this.#native, output: { message: { role: "assistant" } } };
    this.#emit({ type: "done", stop: stopOf(native), stopNative: { stopReason: this.#native["stopReason"] ?? null }, native });
  }

  #dressed(item: Item): Item {
    return { ...item, origin: this.#origin, envelope: this.#envelope };
  }

  #mixed(): void {
    this.#fail(broken("The provider's stream is garbled: a delta is of another kind than its block."));
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }
}

function partOf({ words, citations }: OpenBlock): Part | undefined {
  if (words === "" && !citations) return undefined;
  const block: JsonObject = citations ? { citationsContent: { content: [{ text: words }], citations } } : { text: words };
  return { type: "text", text: words, ...(citations && { annotations: citations }), raw: [block] };
}

/** Without the letters that hide how long a message is. */
function unpadded({ p: _padding, ...body }: JsonObject): JsonObject {
  return body;
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
