import type { EmitEvent, EventDecoder, Json, JsonObject, Problem, RepeatableFrame, WireFrame } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { detailsText, isSummary, READABLE_REASONING } from "./decode-message.ts";
import { isThinking, thinkingText } from "./decode-parts.ts";
import { OpenItems } from "./open-items.ts";
import { embeddedProblem } from "./problem.ts";
import { ID, isList, isObject, object, text, type Draft } from "./shape.ts";
import { isFailure, stopFrom } from "./stop.ts";
import { decodeUsage, usageObject } from "./usage.ts";

export const DONE = "[DONE]";

/** Frames of unknown kind kept from before the opening; more are forgotten. */
const EARLY_FRAMES = 64;

/** Fields of a chunk that are told by events, or are padding. */
const CHUNK_FIELDS = new Set(["id", "choices", "usage", "obfuscation"]);
/** Members of a chunk that nothing is read from. */
const IGNORED: readonly string[] = ["obfuscation"];
const CHOICE_FIELDS = new Set(["index", "delta", "message", "finish_reason", "logprobs", "usage"]);
const DELTA_FIELDS = new Set([
  "role",
  "content",
  "refusal",
  "annotations",
  "tool_calls",
  "function_call",
  "reasoning_content",
  "reasoning",
]);

/** Chat completion chunks to events. The regular end is `[DONE]`; a stream that ends without it was cut. */
export class ChunkDecoder implements EventDecoder {
  repeatable: RepeatableFrame | undefined;
  readonly #emit: EmitEvent;
  readonly #provider: string | undefined;
  #items: OpenItems | undefined;
  #ended = false;
  /** Everything known of the answer beside its items: the newest value of each field. */
  readonly #native: Draft = {};
  readonly #choice: Draft = { index: 0 };
  #finish: string | undefined;
  #usage: JsonObject | undefined;
  /** Frames that came before the opening was known. */
  #early: JsonObject[] = [];

  constructor(emit: EmitEvent, context: { readonly provider?: string }) {
    this.#emit = emit;
    this.#provider = context.provider;
  }

  frame(frame: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    if (frame.data === DONE) return this.#done();
    const chunk = parseJson(frame.data);
    if (!isObject(chunk))
      return this.#fail({ kind: "upstream_broken", message: "The provider sent a piece of its stream that is not a JSON object." });
    if (frame.event === "error" || (chunk["error"] !== undefined && chunk["error"] !== null))
      return this.#fail(embeddedProblem(chunk, this.#provider));
    this.#chunk(chunk);
  }

  end(): void {
    if (!this.#ended) this.#fail({ kind: "upstream_broken", message: "The provider's stream ended before its regular end." });
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }

  #chunk(chunk: JsonObject): void {
    const choices = chunk["choices"];
    if (!isList(choices)) return this.#foreign(chunk);
    const items = (this.#items ??= this.#open(chunk, choices));
    for (const key in chunk) if (!CHUNK_FIELDS.has(key)) this.#native[key] = chunk[key];
    if (!items) return;
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      if (choice["index"] !== undefined && choice["index"] !== 0) this.#emit({ type: "native", dialect: ID, raw: { choices: [choice] } });
      else this.#first(choice, items);
      if (this.#ended) return;
    }
    const usage = usageObject(chunk);
    if (!usage) {
      if (choices.length === 1) this.repeatable = this.#repeatableOf(choices[0], items);
      return;
    }
    this.#usage = usage;
    this.#emit({ type: "usage", usage: decodeUsage(usage, text(chunk["service_tier"])) });
  }

  /** The stream opens with the first chunk that names the answer or says something; some vendors send an empty one before. */
  #open(chunk: JsonObject, choices: readonly Json[]): OpenItems | undefined {
    const id = text(chunk["id"]);
    if (id === undefined && choices.length === 0) return undefined;
    const model = text(chunk["model"]) ?? "";
    const createdAt = typeof chunk["created"] === "number" ? chunk["created"] : 0;
    const native: Draft = { ...this.#native };
    for (const [key, value] of Object.entries(chunk)) if (!CHUNK_FIELDS.has(key)) native[key] = value;
    // Tells the encoder whose fields these are, also for a vendor that leaves it out.
    native["object"] = "chat.completion.chunk";
    this.#emit({ type: "start", id: id ?? "", model, createdAt, native: native });
    for (const raw of this.#early) this.#emit({ type: "native", dialect: ID, raw });
    this.#early = [];
    return new OpenItems(this.#emit, { dialect: ID, ...(this.#provider !== undefined && { provider: this.#provider }), model }, id ?? "");
  }

  #foreign(chunk: JsonObject): void {
    if (this.#items) this.#emit({ type: "native", dialect: ID, raw: chunk });
    else if (this.#early.length < EARLY_FRAMES) this.#early.push(chunk);
  }

  #first(choice: JsonObject, items: OpenItems): void {
    const finish = text(choice["finish_reason"]);
    if (isFailure(finish)) return this.#fail({ kind: "upstream_broken", message: `The provider broke off its answer: ${finish}.` });
    const logprobs = object(choice["logprobs"]);
    const delta = object(choice["delta"]) ?? object(choice["message"]);
    if (delta) this.#delta(delta, tokensOf(logprobs), items);
    for (const key in choice) if (!CHOICE_FIELDS.has(key)) this.#choice[key] = choice[key];
    if (finish !== undefined) this.#finish = finish;
  }

  /** How a chunk like this one is told whose only choice said one thing, and not that it is over. */
  #repeatableOf(choice: Json | undefined, items: OpenItems): RepeatableFrame | undefined {
    if (!isObject(choice) || (choice["index"] ?? 0) !== 0 || text(choice["finish_reason"]) !== undefined || object(choice["logprobs"]))
      return undefined;
    const delta = object(choice["delta"]);
    const key = delta && onlyField(delta);
    const value = key === undefined ? undefined : delta?.[key];
    if (typeof value === "string") {
      if (key === "content") return { text: value, ignored: IGNORED, tell: (next) => items.text(next, undefined) };
      for (const place of READABLE_REASONING)
        if (key === place) return { text: value, ignored: IGNORED, tell: (next) => items.reasoning(next, place, "text") };
    }
    const call = key === "tool_calls" && isList(value) && value.length === 1 ? object(value[0]) : undefined;
    const body = object(call?.["function"]);
    const input = text(body?.["arguments"]);
    if (input === undefined) return undefined;
    return { text: input, ignored: IGNORED, tell: (next) => items.toolCall({ ...call, function: { ...body, arguments: next } }) };
  }

  #delta(delta: JsonObject, logprobs: readonly Json[] | undefined, items: OpenItems): void {
    this.#reasoning(delta, items);
    const content = delta["content"];
    if (typeof content === "string") items.text(content, logprobs);
    else if (isList(content)) this.#contentList(content, logprobs, items);
    const refusal = text(delta["refusal"]);
    if (refusal !== undefined) items.refusal(refusal);
    const annotations = delta["annotations"];
    if (isList(annotations)) for (const annotation of annotations) items.annotation(annotation);
    const calls = delta["tool_calls"];
    if (isList(calls)) for (const call of calls) if (isObject(call)) items.toolCall(call);
    const legacy = object(delta["function_call"]);
    if (legacy) items.functionCall(legacy);
    this.#extras(delta, items);
  }

  #reasoning(delta: JsonObject, items: OpenItems): void {
    const details = delta["reasoning_details"];
    const listed = isList(details) && details.length > 0 ? details : undefined;
    for (const key of READABLE_REASONING) {
      const shown = text(delta[key]);
      if (shown === undefined) continue;
      items.reasoning(shown, key, listed && isSummary(listed) ? "summary" : "text");
      if (listed) items.details(listed);
      return;
    }
    if (!listed) return;
    items.reasoning(detailsText(listed), "reasoning_details", isSummary(listed) ? "summary" : "text");
    items.details(listed);
  }

  #contentList(content: readonly Json[], logprobs: readonly Json[] | undefined, items: OpenItems): void {
    for (const part of content) {
      if (isThinking(part)) items.reasoning(thinkingText(part), "content", "text");
      else if (isObject(part) && part["type"] === "text" && typeof part["text"] === "string") items.text(part["text"], logprobs);
      else this.#emit({ type: "native", dialect: ID, raw: { choices: [{ index: 0, delta: { content: [part] } }] } });
    }
  }

  /** What only this language understands goes to its own clients as it came, and into the finished message. */
  #extras(delta: JsonObject, items: OpenItems): void {
    let extras: Draft | undefined;
    for (const key in delta) {
      const value = delta[key];
      if (DELTA_FIELDS.has(key) || value === null || (isList(value) && value.length === 0)) continue;
      extras ??= {};
      extras[key] = value;
      if (key === "audio" && isObject(value)) items.audio(value);
      else if (key !== "reasoning_details") items.extra(key, value ?? null);
    }
    if (extras) this.#emit({ type: "native", dialect: ID, raw: { choices: [{ index: 0, delta: extras }] } });
  }

  #done(): void {
    const items = this.#items;
    if (!items || (!items.any && this.#finish === undefined)) {
      return this.#fail({ kind: "upstream_broken", message: "The provider's stream ended without an answer." });
    }
    this.#ended = true;
    items.close();
    const finish = this.#finish;
    const choice: Draft = { ...this.#choice, message: items.frame(), finish_reason: finish ?? null, logprobs: items.logprobs() };
    const native: Draft = { ...this.#native, choices: [choice] };
    if (this.#usage) native["usage"] = this.#usage;
    this.#emit({
      type: "done",
      stop: stopFrom(finish, items.said),
      ...(finish !== undefined && { stopNative: { finish_reason: finish } }),
      native: { ...native, object: "chat.completion.chunk" },
    });
  }
}

/** The one member of a delta that says something; undefined where there are several, or none. */
function onlyField(delta: JsonObject): string | undefined {
  let only: string | undefined;
  for (const key in delta) {
    const value = delta[key];
    if (key === "role" || value === null || value === "" || (isList(value) && value.length === 0)) continue;
    if (only !== undefined) return undefined;
    only = key;
  }
  return only;
}

function tokensOf(logprobs: JsonObject | undefined): readonly Json[] | undefined {
  const tokens = logprobs?.["content"] ?? logprobs?.["refusal"];
  return isList(tokens) && tokens.length > 0 ? tokens : undefined;
}
