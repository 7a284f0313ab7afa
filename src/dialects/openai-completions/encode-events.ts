import {
  NO_USAGE,
  type AnswerContext,
  type EmitFrame,
  type EmitText,
  type Event,
  type EventEncoder,
  type Json,
  type JsonObject,
  type TextFrame as Frame,
  type Usage,
} from "../../canon/index.ts";
import { TextFrame } from "../../kit/index.ts";
import { asksForUsage } from "../openai-chat/adapt.ts";
import { errorBody } from "../openai-chat/problem.ts";
import { stopFrom } from "../openai-chat/stop.ts";
import { replayUsage } from "../openai-chat/usage.ts";
import { isList, isObject, object, text, type Draft } from "../shared-shape.ts";
import { finishOf } from "./answer.ts";
import { tokensTo } from "./logprobs.ts";
import { DONE, echoed, ID, OBJECT } from "./shape.ts";

/** Canonical events to chunks of one text. Thoughts and calls of tools have no place in them. */
export class ChunkEncoder implements EventEncoder {
  repeats: Frame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  readonly #wantsUsage: boolean;
  #head: Draft = {};
  #words = new TextFrame(undefined, "", "");
  readonly #sent: number[] = [];
  /** Letters of the text so far. */
  #offset = 0;
  #usage: Usage = NO_USAGE;
  #ended = false;

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, words) => emit(frame.event, frame.data(words)));
    this.#context = context;
    this.#wantsUsage = context.call.origin.dialect === ID && asksForUsage(context.call.native);
  }

  event(event: Event): void {
    this.repeats = undefined;
    if (this.#ended) return;
    switch (event.type) {
      case "start":
        return this.#start(event);
      case "text":
        this.#sent[event.index] = (this.#sent[event.index] ?? 0) + event.text.length;
        return event.logprobs === undefined ? this.#say(event.text, true) : this.#sayWith(event.text, event.logprobs);
      case "refusal":
        this.#sent[event.index] = (this.#sent[event.index] ?? 0) + event.text.length;
        return this.#say(event.text, false);
      case "item_end": {
        if (event.item.type !== "message") return;
        let whole = "";
        for (const part of event.item.parts) if (part.type === "text" || part.type === "refusal") whole += part.text;
        // What the finished item holds beyond its deltas is sent after all.
        return this.#say(whole.slice(this.#sent[event.index] ?? 0), false);
      }
      case "usage":
        this.#usage = event.usage;
        return;
      case "native":
        if (event.dialect === ID && isObject(event.raw)) this.#emit(undefined, JSON.stringify({ ...this.#head, ...event.raw }));
        return;
      case "done":
        return this.#done(event);
      case "problem":
        this.#ended = true;
        return this.#emit(undefined, JSON.stringify(errorBody(event.problem, "")));
      case "item_start":
      case "reasoning":
      case "input":
      case "annotation":
        return;
    }
  }

  #start({ id, model, createdAt, native }: Event & { type: "start" }): void {
    const own = native?.["object"] === OBJECT;
    this.#head = { id: this.#context.id ?? id, object: OBJECT, created: createdAt || (own ? 0 : this.#context.createdAt), model };
    const usage = this.#wantsUsage ? ',"usage":null' : "";
    const head = JSON.stringify(this.#head).slice(0, -1);
    this.#words = new TextFrame(undefined, `${head},"choices":[{"text":`, `,"index":0,"logprobs":null,"finish_reason":null}]${usage}}`);
    if (!own) this.#say(echoed(this.#context.call), false);
  }

  /** `alone`: it is all that an event told. */
  #say(words: string, alone: boolean): void {
    if (words === "") return;
    this.#offset += words.length;
    this.#emitText(this.#words, words);
    if (alone) this.repeats = this.#words;
  }

  #sayWith(words: string, logprobs: Json): void {
    const tokens = isList(logprobs) ? tokensTo(logprobs, this.#offset) : null;
    this.#offset += words.length;
    this.#chunk({ text: words, index: 0, logprobs: tokens, finish_reason: null }, {});
  }

  #chunk(choice: JsonObject, more: JsonObject): void {
    this.#emit(undefined, JSON.stringify({ ...this.#head, choices: [choice], ...(this.#wantsUsage && { usage: null }), ...more }));
  }

  #done({ stop, native }: Event & { type: "done" }): void {
    this.#ended = true;
    const own = native?.["object"] === OBJECT ? native : undefined;
    const choices = own?.["choices"];
    const before = text(isList(choices) ? object(choices[0])?.["finish_reason"] : undefined);
    const same = before !== undefined && stopFrom(before, { toolCalls: false, refusal: false }) === stop;
    const extras: Draft = {};
    for (const [key, value] of Object.entries(own ?? {})) if (key !== "choices" && key !== "usage" && key !== "object") extras[key] = value;
    this.#chunk({ text: "", index: 0, logprobs: null, finish_reason: same ? before : finishOf(stop) }, extras);
    if (this.#wantsUsage)
      this.#emit(undefined, JSON.stringify({ ...this.#head, choices: [], usage: replayUsage(own?.["usage"], this.#usage) }));
    this.#emit(undefined, DONE);
  }
}
