import type { EmitEvent, EventDecoder, Item, Json, JsonObject, Origin, Problem, RepeatableFrame, WireFrame } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { isList, isObject, text, type Draft } from "../shared-shape.ts";
import { ANSWER_PLACE, messageIn } from "./answer.ts";
import { CallIds, decodeToolCall } from "./decode-message.ts";
import { embeddedProblem } from "./problem.ts";
import { frameEnvelope, ID } from "./shape.ts";
import { createdAt, idOf, stopOf, usageOf } from "./usage.ts";

/** Members of a frame that mean nothing by themselves. */
export const IGNORED: readonly string[] = ["created_at"];
/** Fields of a message that become items. */
const MESSAGE_FIELDS = new Set(["role", "content", "thinking", "tool_calls"]);

interface OpenItem {
  readonly index: number;
  readonly type: "message" | "reasoning";
  text: string;
}

/** The frames of either shape to canonical events. Each frame is one JSON object; the last says that it is `done`. */
export class FrameDecoder implements EventDecoder {
  readonly #emit: EmitEvent;
  #origin: Origin;
  #ids = new CallIds("call_unnamed");
  readonly #frame: Draft = { role: "assistant" };
  readonly #cut: string[] = [];
  readonly #envelope;
  #started = false;
  #ended = false;
  #called = false;
  #next = 0;
  #open: OpenItem | undefined;
  repeatable: RepeatableFrame | undefined;

  constructor(emit: EmitEvent, context: { readonly provider?: string }) {
    this.#emit = emit;
    this.#origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
    this.#envelope = frameEnvelope({ message: this.#frame, cut: this.#cut }, ANSWER_PLACE);
  }

  frame({ data }: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    const body = parseJson(data);
    if (!isObject(body)) return this.#fail(broken("The provider sent a piece of its stream that is not a JSON object."));
    if (body["error"] !== undefined) return this.#fail(embeddedProblem(body, this.#origin.provider));
    if (!this.#started) this.#start(body);
    const message = messageIn(body);
    this.#message(message, body["logprobs"]);
    if (body["done"] === true) return this.#done(body);
    this.#repeat(message, body);
  }

  end(): void {
    if (!this.#ended) this.#fail(broken("The provider's stream ended before its regular end."));
  }

  #start(body: JsonObject): void {
    this.#started = true;
    const id = idOf(body);
    const model = text(body["model"]) ?? "";
    this.#origin = { ...this.#origin, model };
    this.#ids = new CallIds(`call_${id}`);
    // To the nanosecond, for clients of this language.
    const at = text(body["created_at"]);
    this.#emit({ type: "start", id, model, createdAt: createdAt(body), ...(at !== undefined && { native: { created_at: at } }) });
  }

  #message(message: JsonObject, logprobs: Json | undefined): void {
    const thinking = text(message["thinking"]);
    if (thinking !== undefined) this.#say("reasoning", thinking, undefined);
    const content = text(message["content"]);
    if (content !== undefined) this.#say("message", content, isList(logprobs) && logprobs.length > 0 ? logprobs : undefined);
    const calls = message["tool_calls"];
    if (isList(calls)) for (const call of calls) this.#call(call);
    for (const key in message) if (!MESSAGE_FIELDS.has(key)) this.#frame[key] = message[key];
  }

  /** A frame that did nothing but go on with what is open. */
  #repeat(message: JsonObject, body: JsonObject): void {
    const open = this.#open;
    if (!open || body["logprobs"] !== undefined || isList(message["tool_calls"])) return;
    const words = text(message[open.type === "message" ? "content" : "thinking"]);
    const others = text(message[open.type === "message" ? "thinking" : "content"]);
    if (words === undefined || others !== undefined) return;
    this.repeatable = { text: words, ignored: IGNORED, tell: (next) => this.#say(open.type, next, undefined) };
  }

  #say(type: OpenItem["type"], words: string, logprobs: Json | undefined): void {
    if (this.#open?.type !== type) {
      this.#close();
      this.#open = { index: this.#next++, type, text: "" };
      this.#take(type === "message" ? "content" : "thinking");
      const item: Item = type === "message" ? { type, role: "assistant", parts: [] } : { type, parts: [] };
      this.#emit({ type: "item_start", index: this.#open.index, item: this.#dressed(item) });
    }
    const open = this.#open;
    open.text += words;
    if (type === "message")
      this.#emit({ type: "text", index: open.index, part: 0, text: words, ...(logprobs !== undefined && { logprobs }) });
    else this.#emit({ type: "reasoning", index: open.index, part: 0, kind: "text", text: words });
  }

  /** A call comes whole. */
  #call(raw: Json): void {
    const item = decodeToolCall(raw, undefined, this.#ids);
    if (!item) return;
    this.#close();
    this.#called = true;
    this.#take("tool_calls");
    const index = this.#next++;
    const { raw: _raw, ...bare } = item;
    this.#emit({ type: "item_start", index, item: this.#dressed({ ...bare, input: "" }) });
    this.#emit({ type: "input", index, text: item.input });
    this.#emit({ type: "item_end", index, item: this.#dressed(item) });
  }

  #close(): void {
    const open = this.#open;
    if (!open) return;
    this.#open = undefined;
    const item: Item =
      open.type === "message"
        ? { type: "message", role: "assistant", parts: [{ type: "text", text: open.text }], raw: { content: open.text } }
        : { type: "reasoning", parts: [{ kind: "text", text: open.text }], raw: { thinking: open.text } };
    this.#emit({ type: "item_end", index: open.index, item: this.#dressed(item) });
  }

  #done(body: JsonObject): void {
    this.#ended = true;
    this.#close();
    const usage = usageOf(body);
    if (usage) this.#emit({ type: "usage", usage });
    const reason = text(body["done_reason"]);
    const { response: _response, thinking: _thinking, ...rest } = body;
    this.#emit({
      type: "done",
      stop: stopOf(body, this.#called),
      ...(reason !== undefined && { stopNative: { done_reason: reason } }),
      native: { ...rest, message: this.#frame },
    });
  }

  #dressed(item: Item): Item {
    return { ...item, origin: this.#origin, envelope: this.#envelope };
  }

  #take(key: string): void {
    if (this.#cut.includes(key)) return;
    this.#cut.push(key);
    this.#frame[key] = null;
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
