import type { EmitEvent, EventDecoder, Item, Json, JsonObject, Origin, Problem, RepeatableFrame, WireFrame } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { embeddedProblem } from "../openai-chat/problem.ts";
import { isFailure, stopFrom } from "../openai-chat/stop.ts";
import { decodeUsage } from "../openai-chat/usage.ts";
import { isList, isObject, object, text, type Draft } from "../shared-shape.ts";
import { tokensFrom } from "./logprobs.ts";
import { DONE, ID, OBJECT } from "./shape.ts";

const CHUNK_FIELDS = new Set(["id", "object", "created", "model", "choices", "usage"]);
/** Further choices that are put together; more are only passed on. */
const MAX_CHOICES = 128;

/** Chunks to canonical events. The first choice is the answer; the others are passed on as they are. */
export class ChunkDecoder implements EventDecoder {
  readonly #emit: EmitEvent;
  #origin: Origin;
  #native: Draft = {};
  #started = false;
  #ended = false;
  #text: string | undefined;
  #finish: string | undefined;
  readonly #tokens: Json[] = [];
  readonly #others = new Map<number, Draft>();
  #usage: JsonObject | undefined;
  repeatable: RepeatableFrame | undefined;

  constructor(emit: EmitEvent, context: { readonly provider?: string }) {
    this.#emit = emit;
    this.#origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  }

  frame({ event, data }: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    if (data === DONE) return this.#done();
    const chunk = parseJson(data);
    if (!isObject(chunk)) return this.#fail(broken("The provider sent a piece of its stream that is not a JSON object."));
    if (event === "error" || (chunk["error"] !== undefined && chunk["error"] !== null))
      return this.#fail(embeddedProblem(chunk, this.#origin.provider));
    this.#chunk(chunk);
  }

  end(): void {
    if (!this.#ended) this.#fail(broken("The provider's stream ended before its regular end."));
  }

  #chunk(chunk: JsonObject): void {
    if (!this.#started) this.#start(chunk);
    for (const key in chunk) if (!CHUNK_FIELDS.has(key)) this.#native[key] = chunk[key];
    const choices = isList(chunk["choices"]) ? chunk["choices"] : [];
    const others: Json[] = [];
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      if (isFirst(choice)) this.#first(choice);
      else others.push(this.#other(choice));
      if (this.#ended) return;
    }
    if (others.length > 0) this.#emit({ type: "native", dialect: ID, raw: { choices: others }, characters: lettersIn(others) });
    const usage = object(chunk["usage"]);
    if (usage) {
      this.#usage = usage;
      this.#emit({ type: "usage", usage: decodeUsage(usage, text(chunk["service_tier"])) });
    }
    const [only] = choices;
    if (choices.length !== 1 || usage || !isObject(only) || !isFirst(only)) return;
    const words = text(only["text"]);
    if (words === undefined || text(only["finish_reason"]) !== undefined || object(only["logprobs"])) return;
    this.repeatable = { text: words, ignored: [], tell: (next) => this.#say(next, undefined) };
  }

  #start(chunk: JsonObject): void {
    this.#started = true;
    const model = text(chunk["model"]) ?? "";
    this.#origin = { ...this.#origin, model };
    const createdAt = typeof chunk["created"] === "number" ? chunk["created"] : 0;
    this.#emit({ type: "start", id: text(chunk["id"]) ?? "", model, createdAt, native: { object: OBJECT } });
  }

  #first(choice: JsonObject): void {
    const finish = text(choice["finish_reason"]);
    if (isFailure(finish)) return this.#fail(broken(`The provider broke off its answer: ${finish}.`));
    const tokens = tokensFrom(choice["logprobs"]);
    const words = text(choice["text"]);
    if (words !== undefined) this.#say(words, tokens);
    this.#finish = finish ?? this.#finish;
  }

  #say(words: string, tokens: readonly Json[] | undefined): void {
    if (this.#text === undefined) {
      this.#text = "";
      this.#emit({ type: "item_start", index: 0, item: this.#item([]) });
    }
    this.#text += words;
    if (tokens) this.#tokens.push(...tokens);
    this.#emit({ type: "text", index: 0, part: 0, text: words, ...(tokens && { logprobs: tokens }) });
  }

  #other(choice: JsonObject): JsonObject {
    const index = typeof choice["index"] === "number" ? choice["index"] : 0;
    const whole = this.#others.get(index);
    if (whole) {
      const { text: words, ...rest } = choice;
      Object.assign(whole, rest, { text: (text(whole["text"]) ?? "") + (text(words) ?? "") });
    } else if (this.#others.size < MAX_CHOICES) this.#others.set(index, { ...choice });
    return choice;
  }

  #item(parts: Extract<Item, { type: "message" }>["parts"]): Item {
    return { type: "message", role: "assistant", parts, origin: this.#origin };
  }

  #done(): void {
    if (!this.#started || (this.#text === undefined && this.#finish === undefined))
      return this.#fail(broken("The provider's stream ended without an answer."));
    this.#ended = true;
    if (this.#text === undefined) this.#emit({ type: "item_start", index: 0, item: this.#item([]) });
    const words = this.#text ?? "";
    const logprobs = this.#tokens.length > 0 && { logprobs: this.#tokens };
    this.#emit({ type: "item_end", index: 0, item: { ...this.#item([{ type: "text", text: words, ...logprobs }]), raw: { text: words } } });
    const first = { text: "", index: 0, logprobs: null, finish_reason: this.#finish ?? null };
    this.#emit({
      type: "done",
      stop: stopFrom(this.#finish, { toolCalls: false, refusal: false }),
      ...(this.#finish !== undefined && { stopNative: { finish_reason: this.#finish } }),
      native: {
        ...this.#native,
        object: OBJECT,
        choices: [first, ...this.#others.values()],
        ...(this.#usage && { usage: this.#usage }),
      },
    });
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }
}

export function isFirst(choice: JsonObject): boolean {
  return choice["index"] === undefined || choice["index"] === 0;
}

function lettersIn(choices: readonly Json[]): number {
  return choices.reduce<number>((sum, choice) => sum + (text(object(choice)?.["text"])?.length ?? 0), 0);
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
