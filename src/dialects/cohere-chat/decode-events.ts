import type {
  EmitEvent,
  EventDecoder,
  Item,
  Json,
  JsonObject,
  Origin,
  Problem,
  RepeatableFrame,
  TextPart,
  WireFrame,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { isObject, object, text, type Draft } from "../shared-shape.ts";
import { ANSWER_PLACE } from "./answer.ts";
import { argumentsIn } from "./decode-message.ts";
import { endedBadly } from "./problem.ts";
import { envelopeOf, failed, ID, PLAN, stopOf, usageOf } from "./shape.ts";

/** What the language's events are told of while it is open. */
type Open =
  | { readonly kind: "text"; readonly index: number; readonly parts: TextPart[]; words: string }
  | { readonly kind: "plan" | "thinking"; readonly index: number; words: string }
  | { readonly kind: "call"; readonly index: number; readonly call: JsonObject; words: string };

const NOTHING_IGNORED: readonly string[] = [];

/** The language's events to canonical ones. The message that they build is the envelope of all items, and grows as they end. */
export class MessageDecoder implements EventDecoder {
  readonly #emit: EmitEvent;
  readonly #origin: Origin;
  readonly #message: Draft = { role: "assistant" };
  readonly #content: JsonObject[] = [];
  readonly #calls: JsonObject[] = [];
  readonly #citations: Json[] = [];
  readonly #envelope;
  #open: Open | undefined;
  #next = 0;
  #started = false;
  #ended = false;
  repeatable: RepeatableFrame | undefined;

  constructor(emit: EmitEvent, provider: string | undefined) {
    this.#emit = emit;
    this.#origin = { dialect: ID, ...(provider !== undefined && { provider }) };
    this.#envelope = envelopeOf(this.#message, ANSWER_PLACE);
  }

  frame({ event, data }: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended || data === "[DONE]") return;
    const body = parseJson(data);
    if (!isObject(body)) return this.#fail(broken("The provider sent an event that is not a JSON object."));
    const type = text(body["type"]) ?? event ?? "";
    if (!this.#started) this.#start(body);
    const message = object(object(body["delta"])?.["message"]) ?? {};
    switch (type) {
      case "content-delta":
        return this.#delta(object(message["content"]) ?? {}, body["logprobs"]);
      case "content-start":
        return this.#begin(object(message["content"]) ?? {});
      case "tool-plan-delta":
        return this.#plan(message["tool_plan"]);
      case "tool-call-start":
        return this.#call(object(message["tool_calls"]) ?? {});
      case "tool-call-delta":
        return this.#input(object(object(message["tool_calls"])?.["function"])?.["arguments"]);
      case "tool-call-end":
        return this.#close();
      case "citation-start":
        return this.#cite(message["citations"]);
      case "message-end":
        return this.#end(object(body["delta"]) ?? {});
      case "message-start":
      case "content-end":
      case "citation-end":
        return;
      default:
        this.#emit({ type: "native", dialect: ID, ...(type !== "" && { event: type }), raw: body });
    }
  }

  end(): void {
    if (!this.#ended) this.#fail(broken("The provider's stream ended before its regular end."));
  }

  #start(body: JsonObject): void {
    this.#started = true;
    this.#emit({ type: "start", id: text(body["id"]) ?? "", model: "", createdAt: 0 });
  }

  #begin(content: JsonObject): void {
    if (content["type"] === "thinking") this.#openWords("thinking");
    else this.#openText();
    this.#delta(content, undefined, false);
  }

  #delta({ text: words, thinking }: JsonObject, logprobs: Json | undefined, repeats = true): void {
    if (typeof thinking === "string" && thinking !== "") {
      if (this.#open?.kind !== "thinking") this.#openWords("thinking");
      this.#told(thinking, (next) => this.#think(next), repeats);
    }
    if (typeof words !== "string" || words === "") return;
    if (this.#open?.kind !== "text") this.#openText();
    if (logprobs === undefined) this.#told(words, (next) => this.#say(next), repeats && thinking === undefined);
    else this.#say(words, logprobs);
  }

  /** Tells an event's only string, and how the next one can be told. */
  #told(words: string, tell: (words: string) => void, repeats = true): void {
    tell(words);
    if (repeats) this.repeatable = { text: words, ignored: NOTHING_IGNORED, tell };
  }

  #say(words: string, logprobs?: Json): void {
    const open = this.#open;
    if (open?.kind !== "text") return;
    open.words += words;
    this.#emit({ type: "text", index: open.index, part: open.parts.length, text: words, ...(logprobs !== undefined && { logprobs }) });
  }

  #think(words: string): void {
    const open = this.#open;
    if (open?.kind !== "thinking") return;
    open.words += words;
    this.#emit({ type: "reasoning", index: open.index, part: 0, kind: "text", text: words });
  }

  #plan(words: Json | undefined): void {
    if (typeof words !== "string" || words === "") return;
    if (this.#open?.kind !== "plan") this.#openWords("plan");
    this.#told(words, (next) => {
      const open = this.#open;
      if (open?.kind !== "plan") return;
      open.words += next;
      this.#emit({ type: "text", index: open.index, part: 0, text: next });
    });
  }

  #openWords(kind: "plan" | "thinking"): void {
    this.#close();
    this.#open = { kind, index: this.#next++, words: "" };
    const item: Item = kind === "plan" ? { type: "message", role: "assistant", phase: PLAN, parts: [] } : { type: "reasoning", parts: [] };
    this.#emit({ type: "item_start", index: this.#open.index, item: this.#dressed(item) });
  }

  /** A text, or another part of the message that is open. */
  #openText(): void {
    const open = this.#open;
    if (open?.kind === "text") return this.#endPart(open);
    this.#close();
    this.#open = { kind: "text", index: this.#next++, parts: [], words: "" };
    this.#emit({ type: "item_start", index: this.#open.index, item: this.#dressed({ type: "message", role: "assistant", parts: [] }) });
  }

  #endPart(open: Open & { kind: "text" }): void {
    if (open.words === "") return;
    const at = this.#content.length;
    this.#content.push({ type: "text", text: open.words });
    const annotations = this.#citations.filter(
      (citation) => isObject(citation) && citation["type"] !== "PLAN" && (citation["content_index"] ?? 0) === at,
    );
    open.parts.push({ type: "text", text: open.words, ...(annotations.length > 0 && { annotations }) });
    open.words = "";
  }

  #cite(citation: Json | undefined): void {
    const open = this.#open;
    if (!isObject(citation)) return;
    this.#citations.push(citation);
    this.#message["citations"] = this.#citations;
    const isOfText = citation["type"] !== "PLAN" && (citation["content_index"] ?? 0) === this.#content.length;
    if (open?.kind === "text" && isOfText)
      this.#emit({ type: "annotation", index: open.index, part: open.parts.length, annotation: citation });
    else
      this.#emit({
        type: "native",
        dialect: ID,
        event: "citation-start",
        raw: { type: "citation-start", delta: { message: { citations: citation } } },
      });
  }

  #call(call: JsonObject): void {
    const body = object(call["function"]) ?? {};
    const [callId, name] = [text(call["id"]), text(body["name"])];
    if (callId === undefined || name === undefined)
      return this.#fail(broken("The provider's stream is garbled: a tool call has no id or no name."));
    this.#close();
    this.#open = { kind: "call", index: this.#next++, call, words: "" };
    const item: Item = { type: "tool_call", callId, name, kind: "function", input: "" };
    this.#emit({ type: "item_start", index: this.#open.index, item: this.#dressed(item) });
    this.#input(body["arguments"]);
    this.repeatable = undefined;
  }

  #input(piece: Json | undefined): void {
    if (typeof piece !== "string" || piece === "") return;
    if (this.#open?.kind !== "call") return this.#fail(broken("The provider's stream is garbled: arguments belong to no tool call."));
    this.#told(piece, (next) => {
      const open = this.#open;
      if (open?.kind !== "call") return;
      open.words += next;
      this.#emit({ type: "input", index: open.index, text: next });
    });
  }

  #close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    this.#emit({ type: "item_end", index: open.index, item: this.#dressed(this.#finished(open)) });
  }

  #finished(open: Open): Item {
    switch (open.kind) {
      case "text":
        this.#endPart(open);
        if (this.#content.length > 0) this.#message["content"] = this.#content;
        return { type: "message", role: "assistant", parts: open.parts };
      case "thinking":
        this.#content.push({ type: "thinking", thinking: open.words });
        this.#message["content"] = this.#content;
        return { type: "reasoning", parts: [{ kind: "text", text: open.words }] };
      case "plan":
        this.#message["tool_plan"] = open.words;
        return { type: "message", role: "assistant", phase: PLAN, parts: [{ type: "text", text: open.words }] };
      case "call": {
        const body = object(open.call["function"]) ?? {};
        const input = argumentsIn(open.words);
        // Clients that wait for arguments get them, also of a tool that has none.
        if (open.words === "") this.#emit({ type: "input", index: open.index, text: input });
        this.#calls.push({ ...open.call, function: { ...body, arguments: open.words === "" ? input : open.words } });
        this.#message["tool_calls"] = this.#calls;
        return { type: "tool_call", callId: text(open.call["id"]) ?? "", name: text(body["name"]) ?? "", kind: "function", input };
      }
    }
  }

  #end(end: JsonObject): void {
    if (failed(end)) return this.#fail(endedBadly(end, this.#origin.provider));
    this.#close();
    this.#ended = true;
    const usage = usageOf(end);
    if (usage) this.#emit({ type: "usage", usage });
    const reason = end["finish_reason"] ?? null;
    this.#emit({ type: "done", stop: stopOf(end), stopNative: { finish_reason: reason }, native: { ...end, message: this.#message } });
  }

  #dressed(item: Item): Item {
    return { ...item, origin: this.#origin, envelope: this.#envelope };
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
