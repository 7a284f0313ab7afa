import {
  NO_USAGE,
  offeredTools,
  type AnswerContext,
  type EmitFrame,
  type EmitText,
  type Event,
  type EventEncoder,
  type Item,
  type Json,
  type JsonObject,
  type ToolCallItem,
  type Usage,
} from "../../canon/index.ts";
import { object } from "../shared-shape.ts";
import { flattenTools, wrapCustomInput, type FlatTools } from "../shared-tools.ts";
import { shownThought } from "./answer.ts";
import { DeltaFrame } from "./delta-frame.ts";
import { problemFrame } from "./problem.ts";
import { ID } from "./shape.ts";
import { reasonFor } from "./stop.ts";
import { saysUsage, usageFields } from "./usage.ts";

/** Canonical events to the service's. Each part of a message, each thought and each call is one block. */
export class EventMessageEncoder implements EventEncoder {
  repeats: DeltaFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  #flat: FlatTools | undefined;
  /** The number of each item's block, or of each part's. */
  readonly #blocks = new Map<string, number>();
  readonly #sent = new Map<string, number>();
  /** How the last words were told. */
  #told: DeltaFrame | undefined;
  #next = 0;
  #usage: Usage = NO_USAGE;
  #ended = false;

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, words) => emit(frame.event, frame.data(words)));
    this.#context = context;
  }

  event(event: Event): void {
    this.repeats = undefined;
    if (this.#ended) return;
    switch (event.type) {
      case "start":
        return this.#send("messageStart", { role: "assistant" });
      case "item_start":
        return this.#start(event.index, event.item);
      case "text":
      case "refusal":
        return this.#text(event.index, event.part, event.text);
      case "reasoning":
        return this.#tell("reasoning", this.#blockOf(event.index, 0), event.text);
      case "input":
        return this.#input(event.index, event.text);
      case "annotation":
        // Citations are written differently in each language; an object with a place in a source is this one's.
        if (object(object(event.annotation)?.["location"]))
          this.#delta(this.#blockOf(event.index, event.part), { citation: event.annotation });
        return;
      case "item_end":
        return this.#end(event.index, event.item);
      case "usage":
        this.#usage = event.usage;
        return;
      case "native":
        if (event.dialect === ID && event.event !== undefined) this.#send(event.event, event.raw);
        return;
      case "done":
        return this.#done(event);
      case "problem": {
        this.#ended = true;
        const { event: name, data } = problemFrame(event.problem, "");
        return this.#emit(name, data);
      }
    }
  }

  #send(event: string, body: Json): void {
    this.#emit(event, JSON.stringify(body));
  }

  #delta(contentBlockIndex: number, delta: JsonObject): void {
    this.#send("contentBlockDelta", { contentBlockIndex, delta });
  }

  #blockOf(index: number, part: number): number {
    const key = `${index} ${part}`;
    let block = this.#blocks.get(key);
    if (block === undefined) this.#blocks.set(key, (block = this.#next++));
    return block;
  }

  #start(index: number, item: Item): void {
    if (item.type !== "tool_call") return;
    this.#flat ??= flattenTools(offeredTools(this.#context.call));
    const name = this.#flat.names.of(item.namespace, item.name);
    this.#send("contentBlockStart", { contentBlockIndex: this.#blockOf(index, 0), start: { toolUse: { toolUseId: item.callId, name } } });
    if (item.kind === "custom") this.#custom.add(index);
  }

  /** Calls whose input is free text, which is an object only once it is whole. */
  readonly #custom = new Set<number>();

  #input(index: number, piece: string): void {
    if (piece === "" || this.#custom.has(index)) return;
    const key = `${index} 0`;
    this.#sent.set(key, (this.#sent.get(key) ?? 0) + piece.length);
    this.#tell("input", this.#blockOf(index, 0), piece);
  }

  #text(index: number, part: number, words: string): void {
    if (words === "") return;
    const key = `${index} ${part}`;
    // Another part of the message begins: the one before is whole.
    const begins = part > 0 && !this.#blocks.has(key);
    if (begins) this.#stop(`${index} ${part - 1}`);
    this.#sent.set(key, (this.#sent.get(key) ?? 0) + words.length);
    this.#tell("text", this.#blockOf(index, part), words);
    if (begins) this.repeats = undefined;
  }

  #tell(kind: DeltaFrame["kind"], block: number, words: string): void {
    const told = this.#told;
    const frame = told?.kind === kind && told.block === block ? told : new DeltaFrame(kind, block);
    this.#told = frame;
    this.#emitText(frame, words);
    this.repeats = frame;
  }

  readonly #stopped = new Set<string>();

  #stop(key: string): void {
    const contentBlockIndex = this.#blocks.get(key);
    if (contentBlockIndex === undefined || this.#stopped.has(key)) return;
    this.#stopped.add(key);
    this.#send("contentBlockStop", { contentBlockIndex });
  }

  /** What the finished item holds beyond its deltas is sent after all. */
  #end(index: number, item: Item): void {
    if (item.type === "message") {
      for (const [part, value] of item.parts.entries()) {
        if (value.type === "text" || value.type === "refusal")
          this.#text(index, part, value.text.slice(this.#sent.get(`${index} ${part}`) ?? 0));
      }
      for (let part = 0; part < item.parts.length; part++) this.#stop(`${index} ${part}`);
      return this.#stop(`${index} 0`);
    }
    if (item.type === "reasoning") {
      const { signature, encrypted } = item.origin?.dialect === ID ? item : shownThought(item);
      if (signature !== undefined) this.#delta(this.#blockOf(index, 0), { reasoningContent: { signature } });
      if (encrypted !== undefined) this.#delta(this.#blockOf(index, 0), { reasoningContent: { redactedContent: encrypted } });
    }
    if (item.type === "tool_call") this.#rest(index, item);
    this.#stop(`${index} 0`);
  }

  #rest(index: number, item: ToolCallItem): void {
    const whole = item.kind === "custom" ? wrapCustomInput(item.input) : item.input;
    this.#custom.delete(index);
    this.#input(index, whole.slice(this.#sent.get(`${index} 0`) ?? 0));
  }

  #done({ stop, native }: Event & { type: "done" }): void {
    this.#ended = true;
    const own = native && object(object(native["output"])?.["message"]) ? native : undefined;
    const { additionalModelResponseFields: fields } = own ?? {};
    this.#send("messageStop", { stopReason: reasonFor(stop, own), ...(fields !== undefined && { additionalModelResponseFields: fields }) });
    const { usage, metrics, trace, performanceConfig, serviceTier } = own ?? {};
    const counted = own && usage !== undefined && saysUsage(own, this.#usage) ? usage : usageFields(this.#usage);
    this.#send("metadata", {
      usage: counted,
      metrics: metrics ?? { latencyMs: 0 },
      ...(trace !== undefined && { trace }),
      ...(performanceConfig !== undefined && { performanceConfig }),
      ...(serviceTier !== undefined && { serviceTier }),
    });
  }
}
