import type { EmitEvent, EventDecoder, Json, JsonObject, Origin, Problem, RepeatableFrame, WireFrame } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { OpenChoice, OtherChoices } from "./choice.ts";
import { embeddedProblem } from "./problem.ts";
import { carriedError } from "./said.ts";
import { ID, isList, isObject, text, type Draft } from "./shape.ts";
import { decodeUsage, usageObject } from "./usage.ts";

export const DONE = "[DONE]";

/** Frames of unknown kind kept from before the opening; more are forgotten. */
const EARLY_FRAMES = 64;

/** Fields of a chunk that are told by events, or are padding. */
const CHUNK_FIELDS = new Set(["id", "choices", "usage", "obfuscation"]);

/** Chat completion chunks to events. The regular end is `[DONE]`; a stream that ends without it was cut. */
export class ChunkDecoder implements EventDecoder {
  repeatable: RepeatableFrame | undefined;
  readonly #emit: EmitEvent;
  readonly #provider: string | undefined;
  /** The first choice is the answer. */
  #first: OpenChoice | undefined;
  #others: OtherChoices | undefined;
  #answerId = "";
  #origin: Origin;
  #ended = false;
  /** Everything known of the answer beside its items: the newest value of each field. */
  readonly #native: Draft = {};
  #usage: JsonObject | undefined;
  /** Frames that came before the opening was known. */
  #early: JsonObject[] = [];

  constructor(emit: EmitEvent, context: { readonly provider?: string }) {
    this.#emit = emit;
    this.#provider = context.provider;
    this.#origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  }

  frame(frame: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    if (frame.data === DONE) return this.#done();
    const chunk = parseJson(frame.data);
    if (!isObject(chunk))
      return this.#fail({ kind: "upstream_broken", message: "The provider sent a piece of its stream that is not a JSON object." });
    const error = frame.event === "error" ? chunk : carriedError(chunk);
    if (error) return this.#fail(embeddedProblem(error, this.#provider));
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
    const first = (this.#first ??= this.#open(chunk, choices));
    for (const key in chunk) if (!CHUNK_FIELDS.has(key)) this.#native[key] = chunk[key];
    if (!first) return;
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      if (!isFirst(choice)) {
        (this.#others ??= new OtherChoices(this.#emit, this.#origin, this.#answerId)).read(choice);
        continue;
      }
      const failure = first.read(choice);
      if (failure !== undefined) return this.#fail({ kind: "upstream_broken", message: `The provider broke off its answer: ${failure}.` });
    }
    const usage = usageObject(chunk);
    if (!usage) {
      const [only] = choices;
      if (choices.length === 1 && isObject(only) && isFirst(only)) this.repeatable = first.repeatableOf(only);
      return;
    }
    this.#usage = usage;
    this.#emit({ type: "usage", usage: decodeUsage(usage, text(chunk["service_tier"])) });
  }

  /** The stream opens with the first chunk that names the answer or says something; some vendors send an empty one before. */
  #open(chunk: JsonObject, choices: readonly Json[]): OpenChoice | undefined {
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
    this.#answerId = id ?? "";
    this.#origin = { ...this.#origin, model };
    return new OpenChoice(this.#emit, this.#origin, this.#answerId, 0);
  }

  #foreign(chunk: JsonObject): void {
    if (this.#first) this.#emit({ type: "native", dialect: ID, raw: chunk });
    else if (this.#early.length < EARLY_FRAMES) this.#early.push(chunk);
  }

  #done(): void {
    const first = this.#first;
    if (!first?.any) return this.#fail({ kind: "upstream_broken", message: "The provider's stream ended without an answer." });
    this.#ended = true;
    first.cite(this.#native);
    const choices = [first.close(), ...(this.#others?.close() ?? [])];
    const native: Draft = { ...this.#native, choices };
    if (this.#usage) native["usage"] = this.#usage;
    const { finish } = first;
    this.#emit({
      type: "done",
      stop: first.stop,
      ...(finish !== undefined && { stopNative: { finish_reason: finish } }),
      native: { ...native, object: "chat.completion.chunk" },
    });
  }
}

function isFirst(choice: JsonObject): boolean {
  return choice["index"] === undefined || choice["index"] === 0;
}
