import type { FrameRole, Json, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { StreamMeter } from "../shared-meter.ts";
import { DONE } from "./decode-events.ts";
import { detailsText, READABLE_REASONING } from "./decode-message.ts";
import { isThinking, thinkingText } from "./decode-parts.ts";
import { embeddedProblem } from "./problem.ts";
import { carriedError } from "./said.ts";
import { isList, isObject, object, text } from "./shape.ts";
import { isFailure, stopFrom } from "./stop.ts";
import { usageObject, usageOf } from "./usage.ts";

const NO_USAGE_YET = ',"usage":null';
/** Members of a chunk that nothing is read from. */
const IGNORED: readonly string[] = ["obfuscation"];

/**
 * Reads raw frames without decoding them. A chunk that differs from an earlier one in nothing but its words is compared and counted; every
 * other frame is parsed, so that a garbled one is found out here as it is by whoever decodes it. Usage is worked out only when it is asked
 * for, because some vendors send it with every frame. All choices of an answer are counted, because all of them are paid for.
 */
export class ChunkMeter extends StreamMeter {
  readonly #withhold: boolean;
  #opened = false;
  #finish: string | undefined;
  /** The newest chunk that named usage. */
  #usageChunk: JsonObject | undefined;
  #output = false;
  readonly #said = { toolCalls: false, refusal: false };
  /** Of the chunk at hand: its newest piece of output, and how many it has. */
  #piece = "";
  #pieces = 0;

  constructor(options: { readonly withholdUsage: boolean }) {
    super();
    this.#withhold = options.withholdUsage;
  }

  protected read(frame: Buffer): FrameRole {
    const parsed = parseFrame(frameText(frame));
    if (!parsed) return "quiet";
    if (parsed.data === DONE) return this.#done();
    const chunk = parseJson(parsed.data);
    if (!isObject(chunk)) return this.fail(broken("The provider sent a piece of its stream that is not a JSON object."));
    const error = parsed.event === "error" ? chunk : carriedError(chunk);
    if (error) return this.fail(embeddedProblem(error, undefined));
    return this.#chunk(chunk, frame);
  }

  /** Upstreams that are asked for usage say in every other chunk that there is none yet: strict clients that did not ask cannot read that. */
  shown(frame: Buffer): Buffer {
    const at = this.#withhold ? frame.indexOf(NO_USAGE_YET) : -1;
    // Within a text the quotes would be escaped.
    return at < 0 ? frame : Buffer.concat([frame.subarray(0, at), frame.subarray(at + NO_USAGE_YET.length)]);
  }

  #chunk(chunk: JsonObject, frame: Buffer): FrameRole {
    const usage = usageObject(chunk) !== undefined;
    if (usage) {
      this.#usageChunk = chunk;
      this.usageSeen = undefined;
    }
    const { choices } = chunk;
    if (!isList(choices)) return "quiet";
    if (!this.#opened) this.#open(chunk, choices);
    if (usage && choices.length === 0) return this.#withhold ? "withhold" : "quiet";
    this.#pieces = 0;
    let output = false;
    let finish = false;
    for (const choice of choices) {
      if (!isObject(choice)) continue;
      output = this.#choice(choice) || output;
      finish ||= text(choice["finish_reason"]) !== undefined;
      if (this.problemSeen) return "problem";
    }
    this.#output ||= output;
    if (this.#pieces === 1 && !usage && !finish) this.templates.learn(frame, this.#piece, IGNORED);
    return output ? "output" : "quiet";
  }

  #open(chunk: JsonObject, choices: readonly Json[]): void {
    const id = text(chunk["id"]);
    if (id === undefined && choices.length === 0) return;
    this.#opened = true;
    this.idSeen = id ?? "";
    this.modelSeen = text(chunk["model"]) ?? "";
  }

  /** Counts a choice's output; false when there is none. How the answer ended is told by the first choice. */
  #choice(choice: JsonObject): boolean {
    const isFirst = choice["index"] === undefined || choice["index"] === 0;
    const finish = isFirst ? text(choice["finish_reason"]) : undefined;
    if (isFailure(finish)) {
      this.fail(broken(`The provider broke off its answer: ${finish}.`));
      return false;
    }
    this.#finish = finish ?? this.#finish;
    const delta = object(choice["delta"]) ?? object(choice["message"]);
    return delta !== undefined && this.#delta(delta, isFirst);
  }

  #delta(delta: JsonObject, isFirst: boolean): boolean {
    const before = this.#pieces;
    this.#count(reasoningIn(delta));
    const { content } = delta;
    if (typeof content === "string") this.#count(content);
    else if (isList(content)) for (const part of content) this.#count(partText(part));
    const refusal = text(delta["refusal"]);
    this.#count(refusal);
    if (refusal !== undefined && isFirst) this.#said.refusal = true;
    const called = this.#calls(delta);
    if (called && isFirst) this.#said.toolCalls = true;
    const sounds = object(delta["audio"]) !== undefined;
    if (sounds || !isFirst) this.hasCalled = true;
    return this.#pieces > before || called || sounds;
  }

  #calls(delta: JsonObject): boolean {
    const calls = isList(delta["tool_calls"]) ? delta["tool_calls"] : [];
    const legacy = object(delta["function_call"]);
    if (calls.length === 0 && !legacy) return false;
    this.hasCalled = true;
    for (const call of calls) {
      if (!isObject(call)) continue;
      this.#count(text(object(call["function"])?.["arguments"]));
      this.#count(text(object(call["custom"])?.["input"]));
    }
    this.#count(text(legacy?.["arguments"]));
    return true;
  }

  #count(piece: string | undefined): void {
    if (piece === undefined || piece === "") return;
    this.characters += piece.length;
    this.#piece = piece;
    this.#pieces++;
  }

  #done(): FrameRole {
    if (!this.#output && this.#finish === undefined) return this.fail(broken("The provider's stream ended without an answer."));
    this.ended = true;
    return "done";
  }

  override usage(): Usage | undefined {
    if (this.#usageChunk) this.usageSeen ??= usageOf(this.#usageChunk);
    return this.usageSeen;
  }
  override stop(): StopReason | undefined {
    // Without a finish reason only a regular end, behind which no problem came, says that the answer is over.
    if (this.#finish === undefined && (!this.ended || this.problemSeen)) return undefined;
    return stopFrom(this.#finish, this.#said);
  }
}

/** The same thought often stands in several fields at once; it is counted in the one that is told. */
function reasoningIn(delta: JsonObject): string | undefined {
  for (const key of READABLE_REASONING) {
    const shown = text(delta[key]);
    if (shown !== undefined) return shown;
  }
  return isList(delta["reasoning_details"]) ? detailsText(delta["reasoning_details"]) : undefined;
}

function partText(part: Json): string | undefined {
  if (isThinking(part)) return thinkingText(part);
  return isObject(part) ? text(part["text"]) : undefined;
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}

/** A frame that spans two chunks may come as plain bytes, whose methods are others. */
function frameText(frame: Uint8Array): string {
  return (frame instanceof Buffer ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)).toString("utf8");
}
