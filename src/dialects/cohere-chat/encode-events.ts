import {
  NO_USAGE,
  offeredTools,
  textOf,
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
import { isObject, object } from "../shared-shape.ts";
import { flattenTools, wrapCustomInput, type FlatTools } from "../shared-tools.ts";
import { problemEvent } from "./problem.ts";
import { ID, PLAN, reasonFor, saysUsage, usageFields } from "./shape.ts";

/** The words that are being told: a part of the content, or the plan. */
interface Told {
  readonly kind: "text" | "thinking" | "plan";
  readonly item: number;
  readonly part: number;
  /** Number of the content. */
  readonly index: number;
  readonly frame: TextFrame;
}

interface WaitingCall {
  readonly item: number;
  readonly value: ToolCallItem;
  input: string;
  ended: ToolCallItem | undefined;
}

/** Canonical events to the language's own. */
export class MessageEncoder implements EventEncoder {
  repeats: TextFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  #flat: FlatTools | undefined;
  #told: Told | undefined;
  /** The call that is being told. Clients put one call together at a time: one that overlaps it waits. */
  #open: { readonly item: number; readonly index: number; readonly frame: TextFrame } | undefined;
  #waiting: WaitingCall[] = [];
  #contents = 0;
  #calls = 0;
  #citations = 0;
  /** Letters told of each part of each item. */
  readonly #sent = new Map<string, number>();
  readonly #plans = new Set<number>();
  readonly #custom = new Set<number>();
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
        return this.#send("message-start", {
          id: this.#context.id ?? event.id,
          delta: { message: { role: "assistant", content: [], tool_plan: "", tool_calls: [], citations: [] } },
        });
      case "item_start":
        return this.#begin(event.index, event.item);
      case "text":
      case "refusal":
        return this.#say(
          this.#plans.has(event.index) ? "plan" : "text",
          event.index,
          event.part,
          event.text,
          event.type === "text" ? event.logprobs : undefined,
        );
      case "reasoning":
        return this.#say("thinking", event.index, 0, event.text);
      case "input":
        return this.#custom.has(event.index) ? undefined : this.#input(event.index, event.text);
      case "annotation":
        return this.#cite(event.annotation);
      case "item_end":
        return this.#end(event.index, event.item);
      case "usage":
        this.#usage = event.usage;
        return;
      case "native":
        if (event.dialect !== ID || !isObject(event.raw)) return;
        return this.#emit(event.event, JSON.stringify(event.raw));
      case "done":
        return this.#done(event);
      case "problem":
        this.#ended = true;
        return this.#emit("message-end", JSON.stringify(problemEvent(event.problem, "")));
    }
  }

  #send(type: string, body: JsonObject): void {
    this.#emit(type, JSON.stringify({ type, ...body }));
  }

  #begin(item: number, value: Item): void {
    if (value.type === "message" && value.phase === PLAN) this.#plans.add(item);
    if (value.type !== "tool_call") return;
    if (this.#open) this.#waiting.push({ item, value, input: "", ended: undefined });
    else this.#call(item, value);
  }

  #call(item: number, value: ToolCallItem): void {
    this.#close();
    this.#flat ??= flattenTools(offeredTools(this.#context.call));
    const index = this.#calls++;
    const call = {
      id: value.callId,
      type: "function",
      function: { name: this.#flat.names.of(value.namespace, value.name), arguments: "" },
    };
    this.#send("tool-call-start", { index, delta: { message: { tool_calls: call } } });
    this.#open = { item, index, frame: frameOf("tool-call-delta", index, '"tool_calls":{"function":{"arguments":', "}}") };
    if (value.kind === "custom") this.#custom.add(item);
  }

  #say(kind: Told["kind"], item: number, part: number, words: string, logprobs?: Json): void {
    if (words === "") return;
    const isOpen = this.#told?.kind === kind && this.#told.item === item && this.#told.part === part;
    const told = isOpen && this.#told ? this.#told : this.#openWords(kind, item, part);
    this.#count(item, part, words);
    if (logprobs !== undefined) {
      const data = told.frame.data(words);
      return this.#emit(told.frame.event, `${data.slice(0, -1)},"logprobs":${JSON.stringify(logprobs)}}`);
    }
    this.#emitText(told.frame, words);
    // What opened it was told, too.
    if (isOpen) this.repeats = told.frame;
  }

  #count(item: number, part: number, words: string): void {
    const key = `${item} ${part}`;
    this.#sent.set(key, (this.#sent.get(key) ?? 0) + words.length);
  }

  #openWords(kind: Told["kind"], item: number, part: number): Told {
    this.#close();
    if (kind === "plan") return (this.#told = { kind, item, part, index: 0, frame: PLAN_FRAME });
    const index = this.#contents++;
    this.#send("content-start", { index, delta: { message: { content: { type: kind, [kind]: "" } } } });
    return (this.#told = { kind, item, part, index, frame: frameOf("content-delta", index, `"content":{"${kind}":`, "}") });
  }

  #close(): void {
    const told = this.#told;
    this.#told = undefined;
    if (told && told.kind !== "plan") this.#send("content-end", { index: told.index });
  }

  #input(item: number, piece: string): void {
    if (piece === "") return;
    const waiting = this.#waiting.find((call) => call.item === item);
    if (waiting) waiting.input += piece;
    const call = this.#open;
    if (call?.item !== item) return;
    this.#count(item, 0, piece);
    this.#emitText(call.frame, piece);
    this.repeats = call.frame;
  }

  /** Citations are written differently in each language; one with a place in the text and its sources is this one's. */
  #cite(citation: Json): void {
    if (!isObject(citation) || citation["sources"] === undefined || citation["start"] === undefined) return;
    const index = this.#citations++;
    this.#send("citation-start", { index, delta: { message: { citations: citation } } });
    this.#send("citation-end", { index });
  }

  /** What the finished item holds beyond its deltas is sent after all. */
  #end(item: number, value: Item): void {
    if (value.type === "message") {
      const kind = value.phase === PLAN || this.#plans.has(item) ? "plan" : "text";
      for (const [part, { type }] of value.parts.entries()) {
        if (type !== "text" && type !== "refusal") continue;
        this.#say(kind, item, part, textOf(value.parts.slice(part, part + 1)).slice(this.#sent.get(`${item} ${part}`) ?? 0));
      }
    }
    if (value.type === "tool_call") this.#endCall(item, value);
    if (this.#told?.item === item) this.#close();
    this.repeats = undefined;
  }

  #endCall(item: number, value: ToolCallItem): void {
    const waiting = this.#waiting.find((each) => each.item === item);
    if (waiting) waiting.ended = value;
    if (this.#open?.item !== item) return;
    const whole = value.kind === "custom" ? wrapCustomInput(value.input) : value.input;
    this.#input(item, whole.slice(this.#sent.get(`${item} 0`) ?? 0));
    this.#send("tool-call-end", { index: this.#open.index });
    this.#open = undefined;
    const next = this.#waiting.shift();
    if (!next) return;
    this.#call(next.item, next.value);
    if (!this.#custom.has(next.item)) this.#input(next.item, next.input);
    if (next.ended) this.#endCall(next.item, next.ended);
  }

  #done({ stop, native }: Event & { type: "done" }): void {
    this.#close();
    this.#ended = true;
    const own = native && object(native["message"]) ? native : undefined;
    const usage = own && saysUsage(own, this.#usage) ? (own["usage"] ?? null) : usageFields(this.#usage);
    this.#send("message-end", { delta: { finish_reason: reasonFor(stop, own), usage } });
  }
}

const PLAN_FRAME = new TextFrame("tool-plan-delta", '{"type":"tool-plan-delta","delta":{"message":{"tool_plan":', "}}}");

function frameOf(event: string, index: number, member: string, after: string): TextFrame {
  return new TextFrame(event, `{"type":"${event}","index":${index},"delta":{"message":{${member}`, `${after}}}}`);
}
