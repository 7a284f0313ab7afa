import type { EmitFrame, EmitText, Item, Json, JsonObject, ReasoningPart } from "../../canon/index.ts";
import { TextFrame } from "../../kit/index.ts";
import { CustomInputReader, identityOf, unflattenToolCall, type FlatTools } from "../shared-tools.ts";
import { citationFor } from "./citations.ts";
import { isLogprobs } from "./encode-parts.ts";
import { encodeOutputItem, encodeOutputPart, finishedArguments, itemId } from "./output-items.ts";
import { ID, isObject, type Draft } from "./shape.ts";

export interface ItemWriterOptions {
  /** As it starts. */
  readonly item: Item;
  /** `output_index` towards the client. */
  readonly place: number;
  readonly answerId: string;
  readonly tools: FlatTools;
  /** The next sequence number. */
  readonly next: () => number;
  readonly emit: EmitFrame;
  readonly emitText: EmitText;
}

type PartKind = "text" | "refusal" | "summary" | "reasoning";

/** Event names and field names by which each kind of part is streamed. */
const STREAMED = {
  text: {
    delta: "response.output_text.delta",
    done: "response.output_text.done",
    index: "content_index",
    field: "text",
    type: "output_text",
  },
  refusal: { delta: "response.refusal.delta", done: "response.refusal.done", index: "content_index", field: "refusal", type: "refusal" },
  summary: {
    delta: "response.reasoning_summary_text.delta",
    done: "response.reasoning_summary_text.done",
    index: "summary_index",
    field: "text",
    type: "summary_text",
  },
  reasoning: {
    delta: "response.reasoning_text.delta",
    done: "response.reasoning_text.done",
    index: "content_index",
    field: "text",
    type: "reasoning_text",
  },
} as const satisfies Record<PartKind, { delta: string; done: string; index: string; field: string; type: string }>;

interface OpenPart {
  readonly kind: PartKind;
  /** `content_index` or `summary_index`. */
  readonly place: number;
  /** How its words are told. */
  readonly delta: TextFrame;
  readonly logprobs: Json[];
  readonly annotations: Json[];
  text: string;
  closed: boolean;
}

/** Writes one item: its start, its parts as they grow, its end. */
export class ItemWriter {
  readonly place: number;
  readonly id: string;
  readonly #item: Item;
  readonly #next: () => number;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #tools: FlatTools;
  /** By canonical part number. */
  readonly #parts: (OpenPart | undefined)[] = [];
  /** Unwraps a custom tool's free text from the function arguments that carried it. */
  readonly #unwrapping: CustomInputReader | undefined;
  #input = "";
  /** How its input is told; made with its first piece. */
  #inputFrame: TextFrame | undefined;
  #wire: Json;

  constructor(options: ItemWriterOptions) {
    this.place = options.place;
    this.#next = options.next;
    this.#emit = options.emit;
    this.#emitText = options.emitText;
    this.#tools = options.tools;
    this.#item = this.#named(options.item);
    if (options.item.type === "tool_call" && this.#item.type === "tool_call" && options.item.kind !== this.#item.kind)
      this.#unwrapping = new CustomInputReader();
    this.id = itemId(this.#item, options.answerId, options.place);
    this.#wire = started(this.#item, this.id);
  }

  /** The item as far as it is known. */
  wire(): Json {
    return this.#wire;
  }

  start(): void {
    this.#send("response.output_item.added", { output_index: this.place, item: this.#wire });
  }

  /** This and the following return the frame that told the text, where that was all and the next piece can be told the same way. */
  text(part: number, text: string, logprobs?: Json): TextFrame | undefined {
    const open = this.#part(part, "text");
    if (isLogprobs(logprobs)) {
      open.logprobs.push(...logprobs);
      open.text += text;
      this.#send(STREAMED.text.delta, { ...this.#of(open), delta: text, logprobs });
      return undefined;
    }
    return this.#delta(open, text);
  }

  refusal(part: number, text: string): TextFrame {
    return this.#delta(this.#part(part, "refusal"), text);
  }

  reasoning(part: number, kind: ReasoningPart["kind"], text: string): TextFrame {
    return this.#delta(this.#part(part, kind === "summary" ? "summary" : "reasoning"), text);
  }

  annotation(part: number, given: Json): void {
    const annotation = this.#item.origin?.dialect === ID ? given : citationFor(given);
    if (annotation === undefined) return;
    const open = this.#part(part, "text");
    const index = open.annotations.push(annotation) - 1;
    this.#send("response.output_text.annotation.added", { ...this.#of(open), annotation_index: index, annotation });
  }

  input(text: string): TextFrame | undefined {
    if (!this.#unwrapping) return text === "" ? undefined : this.#inputDelta(text);
    const piece = this.#unwrapping.push(text);
    if (piece !== "") this.#inputDelta(piece);
    return undefined;
  }

  end(ended: Item): void {
    const item = this.#named(ended);
    if (item.type === "message") for (const [part, value] of item.parts.entries()) this.#endMessagePart(part, value, item);
    if (item.type === "reasoning")
      for (const [part, { kind, text }] of item.parts.entries())
        this.#endPart(this.#part(part, kind === "summary" ? "summary" : "reasoning"), text);
    if (item.type === "tool_call") this.#endInput(item.kind === "custom" ? item.input : finishedArguments(item.input));
    this.#wire = finished(
      encodeOutputItem(
        item.type === "tool_call" && item.kind === "function" ? { ...item, input: finishedArguments(item.input) } : item,
        this.id,
      ),
      this.id,
    );
    this.#send("response.output_item.done", { output_index: this.place, item: this.#wire });
  }

  #endMessagePart(
    part: number,
    value: Extract<Item, { type: "message" }>["parts"][number],
    item: Extract<Item, { type: "message" }>,
  ): void {
    if (value.type !== "text" && value.type !== "refusal") return;
    const open = this.#part(part, value.type);
    this.#endPart(open, value.text, encodeOutputPart(value, item));
  }

  /** What the deltas left out is told before the part is closed. */
  #endPart(open: OpenPart, text: string, wire?: Json): void {
    if (open.closed) return;
    if (text.length > open.text.length && text.startsWith(open.text)) this.#delta(open, text.slice(open.text.length));
    open.closed = true;
    const { done, field, type } = STREAMED[open.kind];
    const logprobs = open.kind === "text" ? { logprobs: open.logprobs } : {};
    this.#send(done, { ...this.#of(open), [field]: text, ...logprobs });
    const part = wire ?? { type, [field]: text };
    this.#send(open.kind === "summary" ? "response.reasoning_summary_part.done" : "response.content_part.done", {
      ...this.#of(open),
      part,
    });
  }

  #endInput(input: string): void {
    if (input.length > this.#input.length && input.startsWith(this.#input)) this.#inputDelta(input.slice(this.#input.length));
    const custom = this.#isCustom();
    const done = custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done";
    const name = this.#item.type === "tool_call" && !custom ? { name: this.#item.name } : {};
    this.#send(done, { item_id: this.id, output_index: this.place, [custom ? "input" : "arguments"]: input, ...name });
  }

  #inputDelta(text: string): TextFrame {
    this.#input += text;
    const type = this.#isCustom() ? "response.custom_tool_call_input.delta" : "response.function_call_arguments.delta";
    this.#inputFrame ??= numberedFrame(type, this.#address(), "");
    this.#emitText(this.#inputFrame, text, this.#next());
    return this.#inputFrame;
  }

  #delta(open: OpenPart, text: string): TextFrame {
    open.text += text;
    this.#emitText(open.delta, text, this.#next());
    return open.delta;
  }

  /** The part under its canonical number; it is opened on its first use. */
  #part(part: number, kind: PartKind): OpenPart {
    const known = this.#parts[part];
    if (known) return known;
    const family = kind === "summary";
    const place = this.#parts.filter((other) => other && (other.kind === "summary") === family).length;
    const { delta, index, field, type } = STREAMED[kind];
    const open: OpenPart = {
      kind,
      place,
      delta: numberedFrame(delta, `${this.#address()},"${index}":${place}`, kind === "text" ? ',"logprobs":[]' : ""),
      logprobs: [],
      annotations: [],
      text: "",
      closed: false,
    };
    this.#parts[part] = open;
    const empty: Draft = { type, [field]: "" };
    if (kind === "text") Object.assign(empty, { annotations: [], logprobs: [] });
    this.#send(family ? "response.reasoning_summary_part.added" : "response.content_part.added", {
      ...this.#of(open),
      part: empty,
    });
    return open;
  }

  #of(open: OpenPart): JsonObject {
    return { item_id: this.id, output_index: this.place, [STREAMED[open.kind].index]: open.place };
  }

  #address(): string {
    return `"item_id":${JSON.stringify(this.id)},"output_index":${this.place}`;
  }

  #send(type: string, rest: JsonObject): void {
    this.#emit(type, JSON.stringify({ type, sequence_number: this.#next(), ...rest }));
  }

  #isCustom(): boolean {
    return this.#item.type === "tool_call" && this.#item.kind === "custom";
  }

  /** A call of the flat function that stood for one of the caller's tools is a call of that tool. */
  #named(item: Item): Item {
    if (item.type !== "tool_call" || item.origin?.dialect === ID) return item;
    return identityOf(item, this.#tools) ? unflattenToolCall(item, this.#tools) : item;
  }
}

/** A delta at this address, with the stream's number at its end. */
function numberedFrame(type: string, address: string, behind: string): TextFrame {
  return new TextFrame(type, `{"type":"${type}",${address},"delta":`, `${behind},"sequence_number":`, "}");
}

/** An item as it starts: under way and empty. */
function started(item: Item, id: string): Json {
  if (item.type === "reasoning") return { type: "reasoning", id, summary: [] };
  if (item.type === "unknown") return finished(item.raw, id);
  return encodeOutputItem(item, id, "in_progress");
}

/** Accumulating clients insist that an item has an id, and ends under the one it began with. */
function finished(wire: Json, id: string): Json {
  return !isObject(wire) || wire["id"] === id ? wire : { ...wire, id };
}
