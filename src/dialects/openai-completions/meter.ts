import type { FrameMeter, FrameRole, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { FrameTemplates, parseFrame, parseJson } from "../../kit/index.ts";
import { embeddedProblem } from "../openai-chat/problem.ts";
import { isFailure, stopFrom } from "../openai-chat/stop.ts";
import { usageOf } from "../openai-chat/usage.ts";
import { isList, isObject, object, text } from "../shared-shape.ts";
import { isFirst } from "./decode-events.ts";
import { DONE } from "./shape.ts";

/** Reads raw chunks without decoding them; one that differs from an earlier one in its words alone is only compared. */
export class ChunkMeter implements FrameMeter {
  readonly #withhold: boolean;
  #id: string | undefined;
  #model: string | undefined;
  #finish: string | undefined;
  #usage: Usage | undefined;
  #characters = 0;
  #opened = false;
  #several = false;
  #problem: Problem | undefined;
  #ended = false;
  readonly #chunks = new FrameTemplates();

  constructor(options: { readonly withholdUsage: boolean }) {
    this.#withhold = options.withholdUsage;
  }

  frame(frame: Buffer): FrameRole {
    if (this.#ended) return "quiet";
    const characters = this.#chunks.characters(frame);
    if (characters > 0) {
      this.#characters += characters;
      return "output";
    }
    const parsed = parseFrame(frame);
    if (!parsed) return "quiet";
    if (parsed.data === DONE) return this.#done();
    const chunk = parseJson(parsed.data);
    if (!isObject(chunk)) return this.#fail(broken("The provider sent a piece of its stream that is not a JSON object."));
    if (parsed.event === "error" || (chunk["error"] !== undefined && chunk["error"] !== null))
      return this.#fail(embeddedProblem(chunk, undefined));
    return this.#chunk(chunk, frame);
  }

  usage(): Usage | undefined {
    return this.#usage;
  }
  id(): string | undefined {
    return this.#id;
  }
  model(): string | undefined {
    return this.#model;
  }
  stop(): StopReason | undefined {
    return this.#finish === undefined ? undefined : stopFrom(this.#finish, { toolCalls: false, refusal: false });
  }
  outputCharacters(): number {
    return this.#characters;
  }
  problem(): Problem | undefined {
    return this.#problem;
  }
  called(): boolean {
    return this.#several;
  }

  #chunk(chunk: JsonObject, frame: Buffer): FrameRole {
    this.#opened = true;
    this.#id ??= text(chunk["id"]) ?? "";
    this.#model ??= text(chunk["model"]) ?? "";
    const usage = usageOf(chunk);
    this.#usage = usage ?? this.#usage;
    const choices = isList(chunk["choices"]) ? chunk["choices"] : [];
    if (usage && choices.length === 0) return this.#withhold ? "withhold" : "quiet";
    const [only] = choices;
    let output = false;
    let finish: string | undefined;
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      const words = text(choice["text"]);
      this.#characters += words?.length ?? 0;
      output ||= words !== undefined;
      finish ??= text(choice["finish_reason"]);
      if (isFirst(choice)) this.#finish = text(choice["finish_reason"]) ?? this.#finish;
      else this.#several = true;
    }
    if (isFailure(finish)) return this.#fail(broken(`The provider broke off its answer: ${finish}.`));
    const words = choices.length === 1 ? text(object(only)?.["text"]) : undefined;
    const single = words !== undefined && finish === undefined && !usage && !object(object(only)?.["logprobs"]);
    if (single) this.#chunks.learn(frame, words, []);
    return output ? "output" : "quiet";
  }

  #done(): FrameRole {
    if (!this.#opened || (this.#characters === 0 && this.#finish === undefined))
      return this.#fail(broken("The provider's stream ended without an answer."));
    this.#ended = true;
    return "done";
  }

  #fail(problem: Problem): FrameRole {
    this.#ended = true;
    this.#problem = problem;
    return "problem";
  }
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
