import {
  NO_USAGE,
  type FrameMeter,
  type FrameRole,
  type JsonObject,
  type Problem,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { FrameTemplates, parseFrame, parseJson } from "../../kit/index.ts";
import { hasCall, isBlocked } from "./answer.ts";
import { COUNTERS, wordsAlone } from "./decode-events.ts";
import { broken, problemOfErrorBody } from "./problem.ts";
import { decodeStop } from "./stop.ts";
import { brokenUsage, decodeUsage, mergeUsage } from "./usage.ts";
import { at, isList, isObject, textAt } from "./wire.ts";

/**
 * Reads usage and end from the raw frames of a stream. A frame that differs from an earlier one in nothing but its words and counters is
 * compared and counted; every other frame is parsed.
 */
export class ResponseMeter implements FrameMeter {
  #id: string | undefined;
  #model: string | undefined;
  #usage: JsonObject | undefined;
  #lettersSince = 0;
  #reason: string | undefined;
  #blocked = false;
  #problem: Problem | undefined;
  #characters = 0;
  #called = false;
  #calledTool = false;
  readonly #repeated = new FrameTemplates();

  frame(frame: Buffer): FrameRole {
    if (this.#problem) return "quiet";
    const characters = this.#repeated.characters(frame);
    if (characters > 0) {
      this.#count(characters, true);
      return "output";
    }
    const parsed = parseFrame(frame);
    if (!parsed) return "quiet";
    const data = parseJson(parsed.data);
    if (!isObject(data)) return this.#end(broken("The provider sent a frame that is no JSON object."));
    if (data["error"] !== undefined && data["error"] !== null) return this.#end(problemOfErrorBody(data, ""));
    return this.#response(data, frame);
  }

  /** `first`: of the answer whose figures the usage so far tells. */
  #count(characters: number, first: boolean): void {
    this.#characters += characters;
    if (first) this.#lettersSince += characters;
  }

  #response(data: JsonObject, frame: Buffer): FrameRole {
    this.#id ??= textAt(data, "responseId");
    this.#model ??= textAt(data, "modelVersion");
    this.#blocked ||= isBlocked(data);
    const { candidates } = data;
    let output = this.#blocked;
    for (const [place, candidate] of (isList(candidates) ? candidates : []).entries()) {
      if (!isObject(candidate)) return this.#end(broken("The provider's stream is garbled: a candidate is no object."));
      output = this.#candidate(candidate, (candidate["index"] ?? place) === 0) || output;
    }
    const usage = at(data, "usageMetadata");
    if (isObject(usage)) {
      this.#usage = mergeUsage(this.#usage ?? {}, usage);
      this.#lettersSince = 0;
    }
    const words = wordsAlone(data);
    if (words) this.#repeated.learn(frame, words.text, COUNTERS);
    return output ? "output" : "quiet";
  }

  #candidate(candidate: JsonObject, first: boolean): boolean {
    const reason = at(candidate, "finishReason");
    if (first && typeof reason === "string") this.#reason = reason;
    if (hasCall(candidate)) this.#calledTool ||= first;
    const { content } = candidate;
    const parts = isObject(content) && isList(content["parts"]) ? content["parts"] : [];
    for (const part of parts) {
      if (!isObject(part)) continue;
      const { text } = part;
      if (typeof text === "string") this.#count(text.length, first);
      else {
        this.#called = true;
        const call = at(part, "functionCall");
        const args = isObject(call) && isObject(call["args"]) ? JSON.stringify(call["args"]) : "";
        // No arguments are written as an empty object, or not at all.
        if (args.length > 2) this.#count(args.length, first);
      }
    }
    this.#called ||= !first;
    return parts.length > 0 || reason !== undefined;
  }

  #end(problem: Problem): FrameRole {
    this.#problem = problem;
    return "problem";
  }

  complete(): boolean {
    return !this.#problem && (this.#reason !== undefined || this.#blocked);
  }

  usage(): Usage | undefined {
    if (this.#problem || !this.complete()) {
      const known = this.#usage ? decodeUsage(this.#usage) : NO_USAGE;
      return this.#lettersSince > 0 ? brokenUsage(known, this.#lettersSince) : this.#usage && known;
    }
    return this.#usage && decodeUsage(this.#usage);
  }

  id(): string | undefined {
    return this.#id === "" ? undefined : this.#id;
  }

  model(): string | undefined {
    return this.#model === "" ? undefined : this.#model;
  }

  stop(): StopReason | undefined {
    if (this.#reason !== undefined) return decodeStop(this.#reason, this.#calledTool);
    return this.#blocked ? "content_filter" : undefined;
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
}
