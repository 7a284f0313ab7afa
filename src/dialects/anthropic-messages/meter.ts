import type { FrameMeter, FrameRole, Json, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { FrameTemplates, parseFrame, parseJson } from "../../kit/index.ts";
import { broken, problemOfErrorBody } from "./problem.ts";
import { decodeStop } from "./stop.ts";
import { decodeUsage, mergeUsage } from "./usage.ts";
import { isList, isObject } from "./wire.ts";

const OPEN_BRACE = 123;
/** Every member of a delta frame says where it belongs. */
const NOTHING_IGNORED: readonly string[] = [];
/** Blocks that are nothing but what the model says and thinks. */
const WORDS: ReadonlySet<Json | undefined> = new Set(["text", "thinking", "redacted_thinking"]);

/**
 * Reads usage and end from the raw frames of a stream. A delta that differs from an earlier one in nothing but its words is compared and
 * counted; every other frame is parsed, so that a garbled one is found out here as it is by whoever decodes it.
 */
export class MessageMeter implements FrameMeter {
  #native: JsonObject | undefined;
  #usage: JsonObject | undefined;
  #stop: StopReason | undefined;
  #problem: Problem | undefined;
  #ended = false;
  #characters = 0;
  #called = false;
  readonly #deltas = new FrameTemplates();

  frame(frame: Buffer): FrameRole {
    if (this.#ended) return "quiet";
    const characters = this.#deltas.characters(frame);
    if (characters > 0) {
      this.#characters += characters;
      return "output";
    }
    const text = frameText(frame);
    const parsed = frame[0] === OPEN_BRACE ? { event: undefined, data: text } : parseFrame(text);
    if (!parsed) return "quiet";
    const data = parseJson(parsed.data);
    if (!isObject(data)) return this.#end(broken("The provider sent a frame that is no JSON object."));
    return this.#event(typeof data["type"] === "string" ? data["type"] : (parsed.event ?? ""), data, frame);
  }

  #event(type: string, data: JsonObject, frame: Buffer): FrameRole {
    switch (type) {
      case "content_block_delta":
        return this.#delta(data, frame);
      case "content_block_start":
        this.#called ||= !isObject(data["content_block"]) || !WORDS.has(data["content_block"]["type"]);
        return "output";
      case "content_block_stop":
        return "output";
      case "message_start":
        return this.#begin(data);
      case "message_delta":
        return this.#messageDelta(data);
      case "message_stop":
        return this.#finish();
      case "error":
        return this.#end(problemOfErrorBody(data, ""));
      default:
        return "quiet";
    }
  }

  #delta(data: JsonObject, frame: Buffer): FrameRole {
    const delta = isObject(data["delta"]) ? data["delta"] : {};
    // Signatures and citations are not output.
    const words = delta["text"] ?? delta["thinking"] ?? delta["partial_json"];
    if (typeof words !== "string") return "output";
    this.#characters += words.length;
    this.#deltas.learn(frame, words, NOTHING_IGNORED);
    return "output";
  }

  #begin(data: JsonObject): FrameRole {
    if (this.#native) return this.#end(broken("The provider's stream began anew before it was complete."));
    const message = isObject(data["message"]) ? data["message"] : {};
    this.#native = message;
    if (isObject(message["usage"])) this.#usage = message["usage"];
    return isList(message["content"]) && message["content"].length > 0 ? "output" : "quiet";
  }

  #messageDelta(data: JsonObject): FrameRole {
    const delta = isObject(data["delta"]) ? data["delta"] : {};
    if (delta["stop_reason"] !== undefined) this.#stop = decodeStop(delta["stop_reason"]);
    if (isObject(data["usage"])) this.#usage = mergeUsage(this.#usage ?? {}, data["usage"]);
    return "output";
  }

  #finish(): FrameRole {
    if (!this.#native) return this.#end(broken("The provider's stream stops without having begun."));
    this.#ended = true;
    this.#stop ??= decodeStop(this.#native["stop_reason"]);
    return "done";
  }

  #end(problem: Problem): FrameRole {
    this.#ended = true;
    this.#problem = problem;
    return "problem";
  }

  usage(): Usage | undefined {
    return this.#usage && decodeUsage(this.#usage);
  }

  id(): string | undefined {
    const id = this.#native?.["id"];
    return typeof id === "string" ? id : undefined;
  }

  model(): string | undefined {
    const model = this.#native?.["model"];
    return typeof model === "string" ? model : undefined;
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
}

/** A frame that spans two chunks may come as plain bytes, whose methods are others. */
function frameText(frame: Uint8Array): string {
  return (frame instanceof Buffer ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)).toString("utf8");
}
