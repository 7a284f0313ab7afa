import type { FrameMeter, FrameRole, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { FrameTemplates, jsonLines, parseJson } from "../../kit/index.ts";
import { isList, isObject, object, text } from "../shared-shape.ts";
import { messageIn } from "./answer.ts";
import { IGNORED } from "./decode-events.ts";
import { embeddedProblem } from "./problem.ts";
import { idOf, stopOf, usageOf } from "./usage.ts";

/** Reads raw lines without decoding them; one that differs from an earlier one in its words and its time alone is only compared. */
export class LineMeter implements FrameMeter {
  #id: string | undefined;
  #model: string | undefined;
  #stop: StopReason | undefined;
  #usage: Usage | undefined;
  #characters = 0;
  #called = false;
  #problem: Problem | undefined;
  #ended = false;
  readonly #lines = new FrameTemplates();

  frame(frame: Buffer): FrameRole {
    if (this.#ended) return "quiet";
    const characters = this.#lines.characters(frame);
    if (characters > 0) {
      this.#characters += characters;
      return "output";
    }
    const parsed = jsonLines.parse(frame);
    if (!parsed) return "quiet";
    const body = parseJson(parsed.data);
    if (!isObject(body))
      return this.#fail({ kind: "upstream_broken", message: "The provider sent a piece of its stream that is not a JSON object." });
    if (body["error"] !== undefined) return this.#fail(embeddedProblem(body, undefined));
    return this.#read(body, frame);
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
    return this.#stop;
  }
  outputCharacters(): number {
    return this.#characters;
  }
  problem(): Problem | undefined {
    return this.#problem;
  }
  called(): boolean {
    return this.#called;
  }

  #read(body: JsonObject, frame: Buffer): FrameRole {
    this.#id ??= idOf(body);
    this.#model ??= text(body["model"]) ?? "";
    const message = messageIn(body);
    const content = text(message["content"]);
    const thinking = text(message["thinking"]);
    const calls = isList(message["tool_calls"]) ? message["tool_calls"] : [];
    this.#characters += (content?.length ?? 0) + (thinking?.length ?? 0);
    for (const call of calls) this.#characters += JSON.stringify(object(object(call)?.["function"])?.["arguments"] ?? "").length;
    if (calls.length > 0) this.#called = true;
    if (body["done"] === true) {
      this.#ended = true;
      this.#usage = usageOf(body);
      this.#stop = stopOf(body, this.#called);
      return "done";
    }
    const piece = content ?? thinking;
    const single = (content === undefined) !== (thinking === undefined) && calls.length === 0 && body["logprobs"] === undefined;
    if (single && piece !== undefined) this.#lines.learn(frame, piece, IGNORED);
    return piece !== undefined || calls.length > 0 ? "output" : "quiet";
  }

  #fail(problem: Problem): FrameRole {
    this.#ended = true;
    this.#problem = problem;
    return "problem";
  }
}
