import {
  NO_USAGE,
  type AnswerContext,
  type EmitFrame,
  type EmitText,
  type Event,
  type EventEncoder,
  type Item,
  type Json,
  type JsonObject,
  type Usage,
} from "../../canon/index.ts";
import { TextFrame } from "../../kit/index.ts";
import { CustomInputReader } from "../shared-tools.ts";
import { asksForUsage } from "./adapt.ts";
import { annotationFor, isListed } from "./annotations.ts";
import { readsWholeCalls } from "./clients.ts";
import { AnswerNames } from "./answer-names.ts";
import { DONE } from "./decode-events.ts";
import { errorBody } from "./problem.ts";
import { frameOf, ID, isList, isObject, object, text, type Draft } from "./shape.ts";
import { finishFor, stopFrom } from "./stop.ts";
import { isServiceTier, replayUsage } from "./usage.ts";

/** What an open item needs for its next delta. */
type Open =
  | { readonly type: "message"; sent: number }
  /** `frame`: undefined where another frame carries it. */
  | { readonly type: "reasoning"; readonly frame: TextFrame | undefined }
  | {
      readonly type: "call";
      readonly frame: TextFrame;
      sent: number;
      readonly wrapped: CustomInputReader | undefined;
    }
  /** Told whole, once it has ended. */
  | { readonly type: "held"; readonly index: number }
  | { readonly type: "silent" };

const SILENT: Open = { type: "silent" };
/** Top-level fields of a chunk that are written anew. */
const OWN_FIELDS = new Set(["id", "object", "created", "model", "choices", "usage"]);
const CHOICE_FIELDS = new Set(["index", "message", "delta", "finish_reason", "logprobs", "usage"]);

/** Canonical events to chat completion chunks. Everything that stays the same from chunk to chunk is written once. */
export class ChunkEncoder implements EventEncoder {
  repeats: TextFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  readonly #names: AnswerNames;
  readonly #wantsUsage: boolean;
  readonly #wholeCalls: boolean;
  /** The fields that every chunk begins with. */
  #fields: Draft = {};
  #prefix = "";
  /** How a piece of text is told. */
  #words = new TextFrame(undefined, "", "");
  /** The prefix up to `choices`, for frames that bring their own. */
  #head = "";
  #suffix = "";
  readonly #open: Open[] = [];
  /** Told at once when their message ends: clients keep the newest list that they get, not the sum. */
  readonly #annotations: Json[] = [];
  #annotated = 0;
  #calls = 0;
  readonly #said = { toolCalls: false, refusal: false };
  #usage: Usage = NO_USAGE;
  #native: JsonObject | undefined;
  /** Is the answer one of this language? */
  #own = false;
  /** Further choices that were sent on as they came. */
  readonly #told = new Set<Json | undefined>();
  #ended = false;

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, words) => emit(frame.event, frame.data(words)));
    this.#context = context;
    this.#names = new AnswerNames(context.call);
    this.#wholeCalls = readsWholeCalls(context.call);
    this.#wantsUsage = context.call.origin.dialect === ID && asksForUsage(context.call.native);
  }

  event(event: Event): void {
    this.repeats = undefined;
    if (this.#ended) return;
    switch (event.type) {
      case "text":
        return this.#text(event.index, event.text, event.logprobs);
      case "reasoning": {
        const open = this.#open[event.index];
        if (open?.type === "reasoning" && open.frame) this.#say(open.frame, event.text);
        return;
      }
      case "input": {
        const open = this.#open[event.index];
        if (open?.type !== "call") return;
        open.sent += event.text.length;
        if (!open.wrapped) {
          if (event.text !== "") this.#say(open.frame, event.text);
          return;
        }
        const piece = open.wrapped.push(event.text);
        if (piece !== "") this.#emitText(open.frame, piece);
        return;
      }
      case "refusal":
        this.#said.refusal = true;
        return this.#delta(`{"refusal":${JSON.stringify(event.text)}}`);
      case "annotation": {
        const annotation = this.#own ? event.annotation : annotationFor(event.annotation);
        if (annotation !== undefined && !(this.#own && isListed(annotation))) this.#annotations.push(annotation);
        return;
      }
      case "start":
        return this.#start(event);
      case "item_start":
        this.#open[event.index] = this.#opened(event.item);
        return;
      case "item_end":
        return this.#ending(event.index, event.item);
      case "usage":
        this.#usage = event.usage;
        return;
      case "native":
        if (event.dialect === ID && isObject(event.raw)) this.#foreign(event.raw);
        return;
      case "done":
        return this.#done(event);
      case "problem":
        this.#ended = true;
        this.#emit(undefined, JSON.stringify(errorBody(event.problem, "")));
    }
  }

  #start({ id, model, createdAt, native }: Event & { type: "start" }): void {
    const own = isOwn(native) ? native : undefined;
    this.#own = own !== undefined;
    const head = {
      id: this.#context.id ?? id,
      object: "chat.completion.chunk",
      created: createdAt || (own ? 0 : this.#context.createdAt),
      model,
    };
    const lasting: Draft = {};
    const once: Draft = {};
    for (const [key, value] of Object.entries(own ?? {})) {
      if (OWN_FIELDS.has(key)) continue;
      // Lists and objects are said once; repeating them in every chunk would cost the client their size each time.
      (typeof value === "object" && value !== null ? once : lasting)[key] = value;
    }
    this.#fields = { ...head, ...lasting };
    this.#head = `${JSON.stringify(this.#fields).slice(0, -1)},`;
    this.#prefix = `${this.#head}"choices":[{"index":0,"delta":`;
    const usage = this.#wantsUsage ? ',"usage":null' : "";
    this.#suffix = `,"logprobs":null,"finish_reason":null}]${usage}}`;
    this.#words = this.#telling('{"content":', "}");
    const extra = Object.keys(once).length > 0 ? `,${JSON.stringify(once).slice(1, -1)}` : "";
    this.#emit(
      undefined,
      `${this.#prefix}{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]${usage}${extra}}`,
    );
  }

  /** Tells an event's own text; the next one like it is told the same way. */
  #say(frame: TextFrame, said: string): void {
    this.#emitText(frame, said);
    this.repeats = frame;
  }

  #delta(delta: string): void {
    this.#emit(undefined, this.#prefix + delta + this.#suffix);
  }

  #text(index: number, value: string, logprobs: Json | undefined): void {
    const open = this.#open[index];
    if (open?.type === "message") open.sent += value.length;
    if (logprobs === undefined) {
      this.#say(this.#words, value);
      return;
    }
    const tokens = isList(logprobs) ? { content: logprobs, refusal: null } : logprobs;
    const usage = this.#wantsUsage ? ',"usage":null' : "";
    this.#emit(
      undefined,
      `${this.#prefix}{"content":${JSON.stringify(value)}},"logprobs":${JSON.stringify(tokens)},"finish_reason":null}]${usage}}`,
    );
  }

  #opened(item: Item): Open {
    if (item.type === "message") return { type: "message", sent: 0 };
    if (item.type === "reasoning") return this.#openedReasoning(item);
    if (item.type !== "tool_call") return SILENT;
    this.#said.toolCalls = true;
    const index = this.#calls++;
    if (this.#wholeCalls) return { type: "held", index };
    const wrapped = this.#names.isWrapped(item) ? new CustomInputReader() : undefined;
    const custom = wrapped !== undefined || item.kind === "custom";
    const name = this.#names.name(item);
    const body = custom ? { type: "custom", custom: { name, input: "" } } : { type: "function", function: { name, arguments: "" } };
    this.#delta(JSON.stringify({ tool_calls: [{ index, id: item.callId, ...body }] }));
    const field = custom ? '"custom":{"input":' : '"function":{"arguments":';
    return {
      type: "call",
      frame: this.#telling(`{"tool_calls":[{"index":${index},${field}`, "}}]}"),
      sent: 0,
      wrapped,
    };
  }

  /** A client of this language gets reasoning in the field from which it came; from other languages in `reasoning_content`. */
  #openedReasoning(item: Item): Open {
    const frame = frameOf(item.envelope);
    const cut = frame?.cut ?? [];
    if (cut.includes("reasoning")) return this.#reasoningIn('{"reasoning":', "}");
    if (!cut.includes("reasoning_content") && isList(frame?.message["content"])) {
      return this.#reasoningIn('{"content":[{"type":"thinking","thinking":[{"type":"text","text":', "}]}]}");
    }
    // Here the native frame beside the event carries the text.
    if (!cut.includes("reasoning_content") && cut.includes("reasoning_details")) return { type: "reasoning", frame: undefined };
    return this.#reasoningIn('{"reasoning_content":', "}");
  }

  #reasoningIn(before: string, after: string): Open {
    return { type: "reasoning", frame: this.#telling(before, after) };
  }

  /** A chunk whose delta has a string between these. */
  #telling(before: string, after: string): TextFrame {
    return new TextFrame(undefined, this.#prefix + before, after + this.#suffix);
  }

  /** What the finished item holds beyond its deltas is sent after all. */
  #ending(index: number, item: Item): void {
    const open = this.#open[index];
    if (open?.type === "message" && item.type === "message") {
      let whole = "";
      for (const part of item.parts) if (part.type === "text") whole += part.text;
      if (whole.length > open.sent) this.#text(index, whole.slice(open.sent), undefined);
      if (this.#annotations.length > this.#annotated) this.#delta(JSON.stringify({ annotations: this.#annotations }));
      this.#annotated = this.#annotations.length;
    } else if (open?.type === "held" && item.type === "tool_call") {
      this.#delta(JSON.stringify({ tool_calls: [{ index: open.index, ...this.#names.toolCall(item) }] }));
    } else if (open?.type === "call" && item.type === "tool_call") {
      const unsent = item.input.slice(open.sent);
      const rest = open.wrapped ? open.wrapped.push(unsent) + open.wrapped.end() : unsent;
      if (rest !== "") this.#emitText(open.frame, rest);
    }
    this.#open[index] = SILENT;
  }

  /** A frame of this language is sent on, under this stream's own head. */
  #foreign(raw: JsonObject): void {
    const rest: Draft = {};
    for (const [key, value] of Object.entries(raw)) if (key === "choices" || !OWN_FIELDS.has(key)) rest[key] = value;
    const { choices } = raw;
    if (isList(choices)) for (const choice of choices) this.#told.add(object(choice)?.["index"]);
    if (Object.keys(rest).length > 0) this.#emit(undefined, this.#head + JSON.stringify(rest).slice(1));
  }

  #done(event: Event & { type: "done" }): void {
    this.#ended = true;
    this.#native = isOwn(event.native) ? event.native : undefined;
    const choices = this.#native?.["choices"];
    const [first, ...others] = isList(choices) ? choices : [];
    for (const other of others) if (!this.#told.has(object(other)?.["index"])) this.#whole(object(other));
    const extras: Draft = {};
    for (const [key, value] of Object.entries(object(first) ?? {})) if (!CHOICE_FIELDS.has(key)) extras[key] = value;
    const named = text(object(first)?.["finish_reason"]) ?? text(event.stopNative?.["finish_reason"]);
    const same = this.#native !== undefined && named !== undefined && stopFrom(named, this.#said) === event.stop;
    const choice = { index: 0, delta: {}, logprobs: null, finish_reason: same ? named : finishFor(event.stop, this.#said), ...extras };
    const fields: Draft = { ...this.#fields };
    if (isServiceTier(this.#usage.serviceTier)) fields["service_tier"] = this.#usage.serviceTier;
    const lists: Draft = {};
    // What came or changed after the opening is said now.
    for (const [key, value] of Object.entries(this.#native ?? {})) {
      if (!OWN_FIELDS.has(key)) (typeof value === "object" && value !== null ? lists : fields)[key] = value;
    }
    this.#emit(undefined, JSON.stringify({ ...fields, choices: [choice], ...this.#usageBeside(), ...lists }));
    if (this.#wantsUsage)
      this.#emit(undefined, JSON.stringify({ ...fields, choices: [], usage: replayUsage(this.#native?.["usage"], this.#usage) }));
    this.#emit(undefined, DONE);
  }

  /** Usage in the chunk that ends the answer: none yet where it follows in a chunk of its own. */
  #usageBeside(): Draft {
    if (this.#wantsUsage) return { usage: null };
    return this.#wholeCalls ? { usage: replayUsage(this.#native?.["usage"], this.#usage) } : {};
  }

  /** A further choice of a plain answer, told in one chunk. */
  #whole(choice: JsonObject | undefined): void {
    const message = object(choice?.["message"]);
    if (!choice || !message) return;
    const calls = message["tool_calls"];
    const numbered = isList(calls) && { tool_calls: calls.map((call, index) => (isObject(call) ? { ...call, index } : call)) };
    const { message: _message, ...rest } = choice;
    this.#emit(undefined, this.#head + JSON.stringify({ choices: [{ ...rest, delta: { ...message, ...numbered } }] }).slice(1));
  }
}

/** Fields that a stream's start or end brings along tell by their shape whether they are of this language. */
function isOwn(native: JsonObject | undefined): native is JsonObject {
  return native !== undefined && (text(native["object"])?.startsWith("chat.completion") === true || isList(native["choices"]));
}
