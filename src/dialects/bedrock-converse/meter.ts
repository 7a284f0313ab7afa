import type { FrameMeter, FrameRole, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { isObject, object } from "../shared-shape.ts";
import { eventMessages, isException } from "./framing.ts";
import { streamProblem } from "./problem.ts";
import { stopOf } from "./stop.ts";
import { usageOf } from "./usage.ts";

/** Reads raw messages without decoding what they hold. */
export class MessageMeter implements FrameMeter {
  #stop: StopReason | undefined;
  #usage: Usage | undefined;
  #counted = false;
  #characters = 0;
  #called = false;
  #problem: Problem | undefined;
  #ended = false;

  frame(frame: Buffer): FrameRole {
    if (this.#ended) return "quiet";
    const parsed = eventMessages.parse(frame);
    if (!parsed) return "quiet";
    const body = parseJson(parsed.data);
    if (isException(parsed.event)) return this.#fail(streamProblem(parsed.event ?? "", body, undefined));
    if (!isObject(body))
      return this.#fail({ kind: "upstream_broken", message: "The provider sent a message of its stream that is garbled." });
    switch (parsed.event) {
      case "contentBlockDelta":
        return this.#delta(object(body["delta"]) ?? {});
      case "contentBlockStart":
        this.#called = true;
        return "output";
      case "messageStop":
        this.#stop = stopOf(body);
        return this.#end(this.#counted);
      case "metadata":
        this.#usage = usageOf(body);
        this.#counted = true;
        return this.#end(this.#stop !== undefined);
      default:
        return "quiet";
    }
  }

  usage(): Usage | undefined {
    return this.#usage;
  }
  id(): undefined {
    return undefined;
  }
  model(): undefined {
    return undefined;
  }
  stop(): StopReason | undefined {
    return this.#stop;
  }
  complete(): boolean {
    return this.#stop !== undefined && this.#problem === undefined;
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

  #delta(delta: JsonObject): FrameRole {
    for (const words of [delta["text"], object(delta["reasoningContent"])?.["text"], object(delta["toolUse"])?.["input"]])
      if (typeof words === "string") this.#characters += words.length;
    if (delta["text"] === undefined && delta["reasoningContent"] === undefined) this.#called = true;
    return "output";
  }

  #end(whole: boolean): FrameRole {
    this.#ended = whole;
    return whole ? "done" : "quiet";
  }

  #fail(problem: Problem): FrameRole {
    this.#ended = true;
    this.#problem = problem;
    return "problem";
  }
}
