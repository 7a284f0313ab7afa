import type { FrameRole, JsonObject } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { StreamMeter } from "../shared-meter.ts";
import { errorIn, problemOfError } from "./problem.ts";
import { isObject, stringIn, textIn } from "./shape.ts";
import { stopOf } from "./stop.ts";
import { usageOf } from "./usage.ts";

const OPEN_BRACE = 123;
/** Members of a delta that nothing is read from. */
const IGNORED: readonly string[] = ["sequence_number", "obfuscation"];

/** What an event means, by its name. Everything not listed that begins with `response.` shows that a provider is at work. */
type Meaning = "open" | "delta" | "item" | "refusal" | "quiet" | "end" | "failed" | "error" | "work";
const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ["response.created", "open"],
  ["response.queued", "open"],
  ["response.in_progress", "open"],
  ["response.output_item.added", "item"],
  ["response.output_item.done", "work"],
  ["response.content_part.added", "quiet"],
  ["response.reasoning_summary_part.added", "quiet"],
  ["response.output_text.delta", "delta"],
  ["response.reasoning_summary_text.delta", "delta"],
  ["response.reasoning_text.delta", "delta"],
  ["response.function_call_arguments.delta", "delta"],
  ["response.custom_tool_call_input.delta", "delta"],
  ["response.refusal.delta", "refusal"],
  ["response.refusal.done", "refusal"],
  ["response.completed", "end"],
  ["response.incomplete", "end"],
  ["response.failed", "failed"],
  ["error", "error"],
]);

/**
 * Reads a stream's usage and end without decoding it. A delta that differs from an earlier one in nothing but its words is compared and
 * counted; every other frame is parsed, so that a garbled one is found out here as it is by whoever decodes it.
 */
export class ResponsesMeter extends StreamMeter {
  #toolCall = false;
  #refusal = false;

  protected read(frame: Buffer): FrameRole {
    const text = frameText(frame);
    const parsed = frame[0] === OPEN_BRACE ? { event: undefined, data: text } : parseFrame(text);
    if (!parsed || parsed.data === "" || parsed.data === "[DONE]") return "quiet";
    const data = parseJson(parsed.data);
    if (!isObject(data)) {
      return this.fail({ kind: "upstream_broken", message: "The provider's stream holds an event that is not a JSON object." });
    }
    const type = stringIn(data["type"]) || (parsed.event ?? "");
    return this.#event(type === "" && isObject(data["error"]) ? "error" : meaningOf(type), data, frame);
  }

  #event(meaning: Meaning, data: JsonObject, frame: Buffer): FrameRole {
    switch (meaning) {
      case "open":
        if (this.idSeen === undefined) this.#open(responseIn(data));
        return "quiet";
      case "item":
        this.#item(stringIn(isObject(data["item"]) ? data["item"]["type"] : undefined));
        return "quiet";
      case "quiet":
        return "quiet";
      case "refusal":
        this.#refusal = true;
        this.#delta(data, frame);
        return "output";
      case "delta":
        this.#delta(data, frame);
        return "output";
      case "end":
        return this.#finish(responseIn(data));
      case "failed": {
        const response = responseIn(data);
        this.usageSeen = usageOf(response) ?? this.usageSeen;
        return this.#failed({ error: response["error"] ?? {} });
      }
      case "error":
        return this.#failed(data);
      case "work":
        return "output";
    }
  }

  #item(type: string): void {
    this.hasCalled ||= type !== "message" && type !== "reasoning";
    this.#toolCall ||= type === "function_call" || type === "custom_tool_call";
  }

  #delta(data: JsonObject, frame: Buffer): void {
    const words = stringIn(data["delta"]);
    this.characters += words.length;
    this.templates.learn(frame, words, IGNORED);
  }

  #open(response: JsonObject): void {
    this.idSeen = textIn(response["id"]);
    this.modelSeen = textIn(response["model"]);
  }

  #finish(response: JsonObject): FrameRole {
    if (this.idSeen === undefined) this.#open(response);
    this.usageSeen = usageOf(response) ?? this.usageSeen;
    this.stopSeen = stopOf(response, { toolCall: this.#toolCall, refusal: this.#refusal });
    this.ended = true;
    return "done";
  }

  #failed(body: JsonObject): FrameRole {
    return this.fail(problemOfError(errorIn(body), { error: body["error"] ?? body }, ""));
  }
}

function meaningOf(name: string): Meaning {
  const meaning = MEANINGS.get(name);
  if (meaning !== undefined) return meaning;
  return name.startsWith("response.") ? "work" : "quiet";
}

function responseIn(data: JsonObject): JsonObject {
  const { response } = data;
  return isObject(response) ? response : {};
}

/** A frame that spans two chunks may come as plain bytes, whose methods are others. */
function frameText(frame: Uint8Array): string {
  return (frame instanceof Buffer ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)).toString("utf8");
}
