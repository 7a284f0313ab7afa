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
import { TextFrame } from "../../kit/index.ts";
import { isList, object, text, type Draft } from "../shared-shape.ts";
import { flattenToolCall, flattenTools, type FlatTools } from "../shared-tools.ts";
import { errorBody } from "./problem.ts";
import { ID, shapeOf, type Shape } from "./shape.ts";
import { argumentsOf } from "./tool-call.ts";
import { COUNTS, reasonFor, stopOf, timeOf, usageFields, usageOf } from "./usage.ts";

/** Canonical events to frames of the shape that the client's door has. Tool calls are told when they are whole, as the server does. */
export class FrameEncoder implements EventEncoder {
  repeats: TextFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  readonly #shape: Shape;
  #flat: FlatTools | undefined;
  /** What every frame begins with, up to where its words stand. */
  #head = "";
  #said: TextFrame | undefined;
  #thinking: TextFrame | undefined;
  #time = "";
  #model = "";
  readonly #sent: number[] = [];
  #calls = 0;
  #usage: Usage = NO_USAGE;
  #ended = false;

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, words) => emit(undefined, frame.data(words)));
    this.#context = context;
    this.#shape = shapeOf(context.call);
  }

  event(event: Event): void {
    this.repeats = undefined;
    if (this.#ended) return;
    switch (event.type) {
      case "start":
        return this.#start(event);
      case "text":
      case "refusal":
        this.#sent[event.index] = (this.#sent[event.index] ?? 0) + event.text.length;
        return this.#words(event.text, event.type === "text" ? event.logprobs : undefined);
      case "reasoning":
        return this.#thought(event.text);
      case "item_end":
        return this.#ending(event.index, event.item);
      case "usage":
        this.#usage = event.usage;
        return;
      case "done":
        return this.#done(event);
      case "problem":
        this.#ended = true;
        return this.#emit(undefined, JSON.stringify(errorBody(event.problem, "")));
      case "item_start":
      case "input":
      case "annotation":
      case "native":
        return;
    }
  }

  #start({ model, createdAt, native }: Event & { type: "start" }): void {
    this.#model = model;
    this.#time = text(native?.["created_at"]) ?? timeOf(createdAt || this.#context.createdAt);
    const head = JSON.stringify({ model, created_at: this.#time }).slice(0, -1);
    this.#head = this.#shape === "chat" ? `${head},"message":{"role":"assistant","content":` : `${head},"response":`;
  }

  #words(words: string, logprobs: Json | undefined): void {
    if (words === "") return;
    if (!isList(logprobs)) return this.#tell((this.#said ??= this.#frame("")), words);
    const end = this.#shape === "chat" ? "}" : "";
    this.#emit(undefined, `${this.#head}${JSON.stringify(words)}${end},"done":false,"logprobs":${JSON.stringify(logprobs)}}`);
  }

  #thought(words: string): void {
    if (words === "") return;
    this.#tell((this.#thinking ??= this.#frame('"","thinking":')), words);
  }

  /** Words behind the head and `before`, and nothing else. */
  #frame(before: string): TextFrame {
    return new TextFrame(undefined, this.#head + before, this.#shape === "chat" ? '},"done":false}' : ',"done":false}', undefined, "line");
  }

  #tell(frame: TextFrame, words: string): void {
    this.#emitText(frame, words);
    this.repeats = frame;
  }

  /** What the finished item holds beyond its deltas is sent after all. */
  #ending(index: number, item: Item): void {
    if (item.type === "tool_call") return this.#call(item);
    if (item.type !== "message") return;
    let whole = "";
    for (const part of item.parts) if (part.type === "text" || part.type === "refusal") whole += part.text;
    this.#words(whole.slice(this.#sent[index] ?? 0), undefined);
  }

  #call(item: ToolCallItem): void {
    // `/api/generate` has no tools.
    if (this.#shape === "generate") return;
    this.#flat ??= flattenTools(offeredTools(this.#context.call));
    const { name, input } = flattenToolCall(item, this.#flat);
    const raw = item.origin?.dialect === ID ? item.raw : undefined;
    const call = raw ?? { id: item.callId, function: { index: this.#calls, name, arguments: argumentsOf(input) } };
    this.#calls++;
    this.#emit(undefined, `${this.#head}"","tool_calls":[${JSON.stringify(call)}]},"done":false}`);
  }

  #done({ stop, native }: Event & { type: "done" }): void {
    this.#ended = true;
    const own = native?.["done"] === true ? native : undefined;
    const before = own && text(own["done_reason"]);
    const same = own !== undefined && before !== undefined && stopOf(own, this.#calls > 0) === stop;
    const counted = own ? usageOf(own) : undefined;
    const unchanged = counted?.output === this.#usage.output && counted.inputUncached === this.#usage.inputUncached;
    const extras: Draft = own ? othersOf(own) : {};
    const body: Draft = {
      model: this.#model,
      created_at: (own && text(own["created_at"])) ?? this.#time,
      ...(this.#shape === "chat" ? { message: { ...leftOf(own), role: "assistant", content: "" } } : { response: "" }),
      done: true,
      done_reason: same ? before : reasonFor(stop),
      ...extras,
      ...(!unchanged && usageFields(this.#usage)),
    };
    this.#emit(undefined, JSON.stringify(body));
  }
}

const WRITTEN = new Set(["model", "created_at", "message", "response", "thinking", "done", "done_reason", "logprobs"]);

/** Durations, counts and whatever else the last frame of this language held. */
function othersOf(own: JsonObject): Draft {
  const others: Draft = {};
  for (const key of COUNTS) if (own[key] !== undefined) others[key] = own[key];
  for (const [key, value] of Object.entries(own)) if (!WRITTEN.has(key)) others[key] = value;
  return others;
}

/** Fields of a message that only this language has. */
function leftOf(own: JsonObject | undefined): Draft {
  const left: Draft = {};
  for (const [key, value] of Object.entries(object(own?.["message"]) ?? {})) if (value !== null) left[key] = value;
  return left;
}
