import type { FrameRole, JsonObject, Problem, StopReason } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { embeddedProblem } from "../openai-chat/problem.ts";
import { isFailure, stopFrom } from "../openai-chat/stop.ts";
import { usageOf } from "../openai-chat/usage.ts";
import { StreamMeter } from "../shared-meter.ts";
import { isList, isObject, object, text } from "../shared-shape.ts";
import { isFirst } from "./decode-events.ts";
import { DONE } from "./shape.ts";

/** Reads raw chunks without decoding them; one that differs from an earlier one in its words alone is only compared. */
export class ChunkMeter extends StreamMeter {
  readonly #withhold: boolean;
  #finish: string | undefined;
  #opened = false;

  constructor(options: { readonly withholdUsage: boolean }) {
    super();
    this.#withhold = options.withholdUsage;
  }

  protected read(frame: Buffer): FrameRole {
    const parsed = parseFrame(frame);
    if (!parsed) return "quiet";
    if (parsed.data === DONE) return this.#done();
    const chunk = parseJson(parsed.data);
    if (!isObject(chunk)) return this.fail(broken("The provider sent a piece of its stream that is not a JSON object."));
    if (parsed.event === "error" || (chunk["error"] !== undefined && chunk["error"] !== null))
      return this.fail(embeddedProblem(chunk, undefined));
    return this.#chunk(chunk, frame);
  }

  override stop(): StopReason | undefined {
    return this.#finish === undefined ? undefined : stopFrom(this.#finish, { toolCalls: false, refusal: false });
  }

  #chunk(chunk: JsonObject, frame: Buffer): FrameRole {
    this.#opened = true;
    this.idSeen ??= text(chunk["id"]) ?? "";
    this.modelSeen ??= text(chunk["model"]) ?? "";
    const usage = usageOf(chunk);
    this.usageSeen = usage ?? this.usageSeen;
    const choices = isList(chunk["choices"]) ? chunk["choices"] : [];
    if (usage && choices.length === 0) return this.#withhold ? "withhold" : "quiet";
    const [only] = choices;
    let output = false;
    let finish: string | undefined;
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      const words = text(choice["text"]);
      this.characters += words?.length ?? 0;
      output ||= words !== undefined;
      finish ??= text(choice["finish_reason"]);
      if (isFirst(choice)) this.#finish = text(choice["finish_reason"]) ?? this.#finish;
      else this.hasCalled = true;
    }
    if (isFailure(finish)) return this.fail(broken(`The provider broke off its answer: ${finish}.`));
    const words = choices.length === 1 ? text(object(only)?.["text"]) : undefined;
    const single = words !== undefined && finish === undefined && !usage && !object(object(only)?.["logprobs"]);
    if (single) this.templates.learn(frame, words, []);
    return output ? "output" : "quiet";
  }

  #done(): FrameRole {
    if (!this.#opened || (this.characters === 0 && this.#finish === undefined))
      return this.fail(broken("The provider's stream ended without an answer."));
    this.ended = true;
    return "done";
  }
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
