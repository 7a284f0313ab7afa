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
  type StopReason,
  type TextFrame,
  type Usage,
} from "../../canon/index.ts";
import { flattenTools, type FlatTools } from "../shared-tools.ts";
import { foreignId, isOwnObject, ownOverrides } from "./answer.ts";
import { ItemWriter } from "./item-writer.ts";
import { isShown } from "./output-items.ts";
import { errorEvent, responseError } from "./problem.ts";
import { buildResponse } from "./response.ts";
import { countIn, ID, isObject, type Draft } from "./shape.ts";
import { statusOf } from "./stop.ts";
import { encodeUsage } from "./usage.ts";

/** Writes canonical events as the events of this language. */
export class ResponsesEncoder implements EventEncoder {
  repeats: TextFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  #sequence = 0;
  #id = "";
  #model = "";
  #createdAt = 0;
  /** The provider's own response object as it opened, when it speaks this language. */
  #native: JsonObject | undefined;
  /** By canonical index; items that cannot be shown have none. */
  readonly #writers: (ItemWriter | undefined)[] = [];
  readonly #shown: ItemWriter[] = [];
  readonly #items: Item[] = [];
  #usage: Usage | undefined;
  #tools: FlatTools | undefined;

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, text, number) => emit(frame.event, frame.data(text, number)));
    this.#context = context;
  }

  event(event: Event): void {
    this.repeats = undefined;
    switch (event.type) {
      case "start":
        return this.#start(event);
      case "item_start":
        return this.#itemStart(event.index, event.item);
      case "text":
        this.repeats = this.#writers[event.index]?.text(event.part, event.text, event.logprobs);
        return;
      case "refusal":
        this.repeats = this.#writers[event.index]?.refusal(event.part, event.text);
        return;
      case "annotation":
        return this.#writers[event.index]?.annotation(event.part, event.annotation);
      case "reasoning":
        this.repeats = this.#writers[event.index]?.reasoning(event.part, event.kind, event.text);
        return;
      case "input":
        this.repeats = this.#writers[event.index]?.input(event.text);
        return;
      case "item_end":
        this.#items.push(event.item);
        return this.#writers[event.index]?.end(event.item);
      case "usage":
        this.#usage = event.usage;
        return;
      case "native":
        return this.#foreign(event);
      case "done":
        return this.#done(event.stop, event.native);
      case "problem":
        // The call's id is the answer's own here: the gateway names the call in `encodeProblemFrames`.
        this.#send("error", errorEvent(event.problem, this.#id, this.#sequence++));
        return this.#lifecycle("failed", this.#built("failed", { error: responseError(event.problem, this.#id), output: this.#output() }));
    }
  }

  goOnFrom(frames: number): void {
    this.#sequence = frames;
  }

  #start(event: Extract<Event, { type: "start" }>): void {
    const { native } = event;
    const { id, createdAt } = this.#context;
    if (isOwnObject(native, "response")) this.#native = native;
    this.#id = id ?? (this.#native ? event.id : foreignId(event.id));
    this.#model = event.model;
    this.#createdAt = event.createdAt === 0 || id !== undefined ? createdAt : event.createdAt;
    const opened: JsonObject = this.#native
      ? { ...this.#native, ...ownOverrides(this.#native, this.#context), status: "in_progress", output: [] }
      : this.#built("in_progress", { output: [] });
    // Told twice, and a good part of what a short stream costs: written once.
    const opening = JSON.stringify({ ...opened, completed_at: null, usage: null });
    for (const type of ["response.created", "response.in_progress"])
      this.#emit(type, `{"type":"${type}","sequence_number":${this.#sequence++},"response":${opening}}`);
  }

  #itemStart(index: number, item: Item): void {
    if (!isShown(item)) return;
    this.#tools ??= flattenTools(offeredTools(this.#context.call));
    const writer = new ItemWriter({
      item,
      place: this.#shown.length,
      answerId: this.#id,
      tools: this.#tools,
      next: () => this.#sequence++,
      emit: this.#emit,
      emitText: this.#emitText,
    });
    this.#writers[index] = writer;
    this.#shown.push(writer);
    writer.start();
  }

  /** Progress of hosted tools and the like: only this language's own, numbered anew. */
  #foreign(event: Extract<Event, { type: "native" }>): void {
    if (event.dialect !== ID || event.event === undefined || !isObject(event.raw)) return;
    const raw: Draft = { ...event.raw, sequence_number: this.#sequence++ };
    if (raw["output_index"] !== undefined) {
      const writer = this.#writers[countIn(raw["output_index"])];
      if (!writer) return;
      raw["output_index"] = writer.place;
    }
    if (isObject(raw["response"])) raw["response"] = { ...raw["response"], id: this.#id };
    this.#emit(event.event, JSON.stringify(raw));
  }

  #done(stop: StopReason, native: JsonObject | undefined): void {
    const output = this.#output();
    if (isOwnObject(native, "response")) {
      const status = native["status"] === "incomplete" ? "incomplete" : "completed";
      return this.#lifecycle(status, { ...native, ...ownOverrides(native, this.#context), id: this.#id, output });
    }
    const { status, incompleteReason } = statusOf(stop, this.#items);
    const usage = encodeUsage(this.#usage ?? NO_USAGE);
    const response = this.#native
      ? {
          ...this.#native,
          ...ownOverrides(this.#native, this.#context),
          status,
          incomplete_details: incompleteReason === undefined ? null : { reason: incompleteReason },
          usage,
          output,
        }
      : this.#built(status, { output, usage, ...(incompleteReason !== undefined && { incompleteReason }) });
    this.#lifecycle(status, response);
  }

  #built(
    status: string,
    rest: { readonly output: readonly Json[]; readonly usage?: Json; readonly incompleteReason?: string; readonly error?: JsonObject },
  ): JsonObject {
    const serviceTier = this.#usage?.serviceTier;
    const facts = {
      id: this.#id,
      model: this.#model,
      createdAt: this.#createdAt,
      status,
      ...rest,
      ...(serviceTier !== undefined && { serviceTier }),
    };
    return buildResponse(facts, this.#context);
  }

  #output(): Json[] {
    return this.#shown.map((writer) => writer.wire());
  }

  #lifecycle(state: string, response: JsonObject): void {
    this.#send(`response.${state}`, { type: `response.${state}`, sequence_number: this.#sequence++, response });
  }

  #send(type: string, body: JsonObject): void {
    this.#emit(type, JSON.stringify(body));
  }
}
