import type { EmitEvent, Item, Json, JsonObject, Origin, Part, ReasoningPart, TextPart } from "../../canon/index.ts";
import { ANSWER_PLACE } from "./answer.ts";
import { listedSources } from "./annotations.ts";
import { CallIds, reasoningItem, soundPart } from "./decode-message.ts";
import { mergeDetails } from "./details.ts";
import { frameEnvelope, isObject, object, text, type Draft } from "./shape.ts";

/** Where a delta's readable reasoning stood. `content`: as thinking parts in the list of content. */
type ReasoningPlace = "reasoning_content" | "reasoning" | "reasoning_details" | "content";

interface OpenReasoning {
  readonly index: number;
  readonly place: ReasoningPlace;
  kind: ReasoningPart["kind"];
  text: string;
  details: Draft[];
  /** Members of thinking parts beside their text: a signature, whether the thought is over. */
  readonly beside: Draft;
}
interface OpenPart {
  type: "text" | "refusal";
  text: string;
  annotations: Json[];
  /** Citations made of what stands beside the choices. */
  listed: readonly Json[];
  logprobs: Json[];
}
interface OpenMessage {
  readonly index: number;
  parts: OpenPart[];
}
interface OpenCall {
  index: number | undefined;
  readonly callId: string;
  readonly kind: "function" | "custom";
  readonly legacy: boolean;
  name: string;
  input: string;
  readonly raw: Draft;
}

/**
 * The items of an answer while its chunks come in. The wire says nowhere that an item is over: reasoning ends when something else
 * begins, a message when a tool call begins, tool calls (whose pieces may alternate) at the end of the stream.
 */
export class OpenItems {
  readonly #emit: EmitEvent;
  readonly #origin: Origin;
  readonly #ids: CallIds;
  readonly #frame: Draft = { role: "assistant", content: null };
  readonly #cut: string[] = [];
  readonly #envelope;
  #next = 0;
  #reasoning: OpenReasoning | undefined;
  #message: OpenMessage | undefined;
  readonly #calls: OpenCall[] = [];
  /** The call that the wire's index stands for now. */
  readonly #byIndex = new Map<number, OpenCall>();
  #audio: Draft | undefined;
  readonly #logprobs: Json[] = [];
  readonly said = { toolCalls: false, refusal: false };

  constructor(emit: EmitEvent, origin: Origin, answerId: string) {
    this.#emit = emit;
    this.#origin = origin;
    this.#ids = new CallIds(`call_${answerId}`);
    this.#envelope = frameEnvelope("assistant", { message: this.#frame, cut: this.#cut, answer: true }, ANSWER_PLACE);
  }

  get any(): boolean {
    return this.#next > 0;
  }

  /** The finished message without what became items. */
  frame(): JsonObject {
    return this.#frame;
  }

  logprobs(): Json {
    return this.#logprobs.length > 0 ? { content: this.#logprobs, refusal: null } : null;
  }

  reasoning(shown: string, place: ReasoningPlace, kind: ReasoningPart["kind"]): void {
    this.#closeMessage();
    let open = this.#reasoning;
    if (open && open.place !== place && place !== "reasoning_details") {
      this.#closeReasoning();
      open = undefined;
    }
    if (!open) {
      open = this.#reasoning = { index: this.#next++, place, kind, text: "", details: [], beside: {} };
      this.#take(place, place === "content" ? [] : null);
      this.#start(open.index, { type: "reasoning", parts: [] });
    }
    if (shown === "") return;
    open.text += shown;
    this.#emit({ type: "reasoning", index: open.index, part: 0, kind: open.kind, text: shown });
  }

  details(details: readonly Json[]): void {
    if (!this.#reasoning) return;
    mergeDetails(this.#reasoning.details, details);
    this.#take("reasoning_details");
  }

  /** What a thinking part says of the open thought beside its words. */
  thought(part: JsonObject): void {
    if (!this.#reasoning) return;
    for (const [key, value] of Object.entries(part)) if (key !== "type" && key !== "thinking") this.#reasoning.beside[key] = value;
  }

  text(value: string, logprobs: readonly Json[] | undefined): void {
    if (value === "") return;
    const { index, part, open } = this.#part("text");
    open.text += value;
    if (logprobs) {
      open.logprobs.push(...logprobs);
      this.#logprobs.push(...logprobs);
      this.#emit({ type: "text", index, part, text: value, logprobs });
    } else this.#emit({ type: "text", index, part, text: value });
  }

  refusal(value: string): void {
    this.said.refusal = true;
    const { index, part, open } = this.#part("refusal");
    open.text += value;
    this.#emit({ type: "refusal", index, part, text: value });
  }

  annotation(annotation: Json): void {
    const { index, part, open } = this.#part("text");
    open.annotations.push(annotation);
    this.#emit({ type: "annotation", index, part, annotation });
  }

  /** What the whole answer names as its sources, where its text has no citations of its own. It stays where it is in the wire's own form. */
  cite(native: JsonObject): void {
    const first = this.#message?.parts.findIndex((open) => open.type === "text") ?? -1;
    const open = this.#message?.parts[first];
    if (!open || open.annotations.length > 0) return;
    open.listed = listedSources(native, open.text);
    for (const annotation of open.listed) this.#emit({ type: "annotation", index: this.#message?.index ?? 0, part: first, annotation });
  }

  audio(delta: JsonObject): void {
    this.#openMessage();
    const audio = (this.#audio ??= {});
    for (const [key, value] of Object.entries(delta)) {
      const grows = key === "data" || key === "transcript";
      audio[key] = grows && typeof value === "string" ? (text(audio[key]) ?? "") + value : value;
    }
  }

  /** A field of the message that has no canonical place. */
  extra(key: string, value: Json): void {
    this.#frame[key] = value;
  }

  toolCall(delta: JsonObject): void {
    const call = this.#callFor(delta);
    const custom = call.kind === "custom";
    const body = object(delta[custom ? "custom" : "function"]);
    for (const [key, value] of Object.entries(delta)) if (!CALL_FIELDS.has(key)) call.raw[key] = value;
    if (body) for (const [key, value] of Object.entries(body)) if (!BODY_FIELDS.has(key)) call.raw[`.${key}`] = value;
    const input = body?.[custom ? "input" : "arguments"];
    this.#grow(call, text(body?.["name"]), typeof input === "string" ? input : isObject(input) ? JSON.stringify(input) : "");
  }

  functionCall(delta: JsonObject): void {
    const name = text(delta["name"]);
    let call = this.#calls.find((other) => other.legacy);
    if (!call) {
      if (name === undefined) return;
      call = { index: undefined, callId: this.#ids.legacy(name), kind: "function", legacy: true, name: "", input: "", raw: {} };
      this.#calls.push(call);
    }
    this.#grow(call, call.name === "" ? name : undefined, text(delta["arguments"]) ?? "");
  }

  /** Ends everything, in the order of the items' start. */
  close(): void {
    this.#closeReasoning();
    this.#closeMessage();
    for (const call of this.#calls) {
      // A call whose name never came is told as it is.
      if (call.index === undefined) this.#startCall(call);
      this.#endCall(call);
    }
  }

  #callFor(delta: JsonObject): OpenCall {
    const id = text(delta["id"]);
    const at = typeof delta["index"] === "number" ? delta["index"] : undefined;
    const open =
      at === undefined
        ? id === undefined
          ? this.#calls.at(-1)
          : this.#calls.find((call) => call.raw["id"] === id)
        : this.#byIndex.get(at);
    // Some vendors give every parallel call the index 0: another id with a name is another call.
    const other =
      open &&
      id !== undefined &&
      open.raw["id"] !== id &&
      text(open.raw["id"]) !== undefined &&
      text(object(delta["function"])?.["name"]) !== undefined;
    if (open && !other) return open;
    const kind = delta["type"] === "custom" ? "custom" : "function";
    const raw: Draft = { id: delta["id"] ?? "", type: delta["type"] ?? kind };
    const call: OpenCall = { index: undefined, callId: id ?? this.#ids.unnamed(), kind, legacy: false, name: "", input: "", raw };
    this.#calls.push(call);
    this.#byIndex.set(at ?? this.#calls.length - 1, call);
    return call;
  }

  #grow(call: OpenCall, name: string | undefined, input: string): void {
    const before = call.input;
    if (name !== undefined && call.name === "") call.name = name;
    call.input += input;
    if (call.index === undefined) {
      // Held until its name is known.
      if (call.name === "") return;
      this.#startCall(call);
      if (before !== "") this.#emit({ type: "input", index: call.index ?? 0, text: before });
    }
    if (input !== "") this.#emit({ type: "input", index: call.index ?? 0, text: input });
  }

  #startCall(call: OpenCall): void {
    this.#closeReasoning();
    this.#closeMessage();
    this.said.toolCalls = true;
    call.index = this.#next++;
    this.#take(call.legacy ? "function_call" : "tool_calls");
    this.#start(call.index, { type: "tool_call", callId: call.callId, name: call.name, kind: call.kind, input: "" });
  }

  #endCall(call: OpenCall): void {
    const { callId, name, kind, input, legacy } = call;
    const item: Item = { type: "tool_call", callId, name, kind, input, raw: legacy ? { name, arguments: input } : rawCall(call) };
    this.#end(call.index ?? 0, item);
  }

  #part(type: "text" | "refusal"): { index: number; part: number; open: OpenPart } {
    const message = this.#openMessage();
    let open = message.parts.at(-1);
    if (open?.type !== type) {
      open = { type, text: "", annotations: [], listed: [], logprobs: [] };
      message.parts.push(open);
    }
    return { index: message.index, part: message.parts.length - 1, open };
  }

  #openMessage(): OpenMessage {
    this.#closeReasoning();
    if (this.#message) return this.#message;
    const message = (this.#message = { index: this.#next++, parts: [] });
    this.#start(message.index, { type: "message", role: "assistant", parts: [] });
    return message;
  }

  #closeReasoning(): void {
    const open = this.#reasoning;
    if (!open) return;
    this.#reasoning = undefined;
    const raw: Draft = {};
    if (open.place === "content") raw["content"] = [{ type: "thinking", thinking: [{ type: "text", text: open.text }], ...open.beside }];
    else if (open.place !== "reasoning_details") raw[open.place] = open.text;
    if (open.details.length > 0) raw["reasoning_details"] = open.details as Json;
    const item = reasoningItem(open.text, open.place === "content" ? [open.beside] : open.details, raw);
    this.#end(open.index, { ...item, parts: item.parts.map((part) => ({ ...part, kind: open.kind })) });
  }

  #closeMessage(): void {
    const open = this.#message;
    if (!open) return;
    this.#message = undefined;
    const raw: Draft = {};
    const parts: Part[] = [];
    for (const { type, text: value, annotations, listed, logprobs } of open.parts) {
      const key = type === "text" ? "content" : "refusal";
      raw[key] = (text(raw[key]) ?? "") + value;
      this.#take(key);
      parts.push(type === "refusal" ? { type, text: value } : textPart(value, annotations.length > 0 ? annotations : listed, logprobs));
      if (annotations.length === 0) continue;
      raw["annotations"] = annotations;
      this.#take("annotations");
    }
    if (Array.isArray(this.#frame["content"])) raw["content"] = [{ type: "text", text: text(raw["content"]) ?? "" }];
    if (this.#audio) {
      parts.push(soundPart(this.#audio));
      raw["audio"] = this.#audio;
      this.#take("audio");
      this.#audio = undefined;
    }
    this.#end(open.index, { type: "message", role: "assistant", parts, raw: raw });
  }

  #take(key: string, placeholder: Json = null): void {
    if (this.#cut.includes(key)) return;
    this.#cut.push(key);
    this.#frame[key] = placeholder;
  }

  #start(index: number, item: Item): void {
    this.#emit({ type: "item_start", index, item: { ...item, origin: this.#origin, envelope: this.#envelope } });
  }
  #end(index: number, item: Item): void {
    this.#emit({ type: "item_end", index, item: { ...item, origin: this.#origin, envelope: this.#envelope } });
  }
}

const CALL_FIELDS = new Set(["index", "id", "type", "function", "custom"]);
const BODY_FIELDS = new Set(["name", "arguments", "input"]);

function textPart(value: string, annotations: readonly Json[], logprobs: readonly Json[]): TextPart {
  return { type: "text", text: value, ...(annotations.length > 0 && { annotations }), ...(logprobs.length > 0 && { logprobs }) };
}

/** The whole call as a plain answer would hold it. Fields below the body were collected under a dot. */
function rawCall(call: OpenCall): JsonObject {
  const outer: Draft = {};
  const inner: Draft = {};
  for (const [key, value] of Object.entries(call.raw)) {
    if (key.startsWith(".")) inner[key.slice(1)] = value;
    else outer[key] = value;
  }
  const body =
    call.kind === "custom"
      ? { custom: { name: call.name, input: call.input, ...inner } }
      : { function: { name: call.name, arguments: call.input, ...inner } };
  return { ...outer, ...body };
}
