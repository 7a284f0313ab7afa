import type { FrameMeter, FrameRole, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { FrameTemplates, parseFrame, parseJson } from "../../kit/index.ts";
import { isObject, object, text } from "../shared-shape.ts";
import { endedBadly } from "./problem.ts";
import { failed, stopOf, usageOf } from "./shape.ts";

/** Reads raw events without decoding them; one that differs from an earlier one in its words alone is only compared. */
export class EventMeter implements FrameMeter {
  #id: string | undefined;
  #stop: StopReason | undefined;
  #usage: Usage | undefined;
  #characters = 0;
  #called = false;
  #problem: Problem | undefined;
  #ended = false;
  readonly #events = new FrameTemplates();

  frame(frame: Buffer): FrameRole {
    if (this.#ended) return "quiet";
    const characters = this.#events.characters(frame);
    if (characters > 0) {
      this.#characters += characters;
      return "output";
    }
    const parsed = parseFrame(frame);
    if (!parsed || parsed.data === "[DONE]") return "quiet";
    const body = parseJson(parsed.data);
    if (!isObject(body)) return this.#fail({ kind: "upstream_broken", message: "The provider sent an event that is not a JSON object." });
    this.#id ??= text(body["id"]);
    return this.#read(text(body["type"]) ?? parsed.event ?? "", body, frame);
  }

  usage(): Usage | undefined {
    return this.#usage;
  }
  id(): string | undefined {
    return this.#id;
  }
  model(): undefined {
    return undefined;
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

  #read(type: string, body: JsonObject, frame: Buffer): FrameRole {
    const delta = object(body["delta"]) ?? {};
    const message = object(delta["message"]) ?? {};
    switch (type) {
      case "content-start":
      case "content-delta": {
        const content = object(message["content"]) ?? {};
        return this.#words(
          text(content["text"]) ?? text(content["thinking"]),
          type === "content-delta" && body["logprobs"] === undefined,
          frame,
        );
      }
      case "tool-plan-delta":
        return this.#words(text(message["tool_plan"]), true, frame);
      case "tool-call-start":
      case "tool-call-delta": {
        this.#called = true;
        const words = text(object(object(message["tool_calls"])?.["function"])?.["arguments"]);
        this.#words(words, type === "tool-call-delta", frame);
        return "output";
      }
      case "message-end":
        if (failed(delta)) return this.#fail(endedBadly(delta, undefined));
        this.#ended = true;
        this.#usage = usageOf(delta);
        this.#stop = stopOf(delta);
        return "done";
      default:
        return "quiet";
    }
  }

  #words(words: string | undefined, repeats: boolean, frame: Buffer): FrameRole {
    if (words === undefined) return "quiet";
    this.#characters += words.length;
    if (repeats) this.#events.learn(frame, words, []);
    return "output";
  }

  #fail(problem: Problem): FrameRole {
    this.#ended = true;
    this.#problem = problem;
    return "problem";
  }
}
