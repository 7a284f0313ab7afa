import type { FrameMeter, FrameRole, JsonObject, Problem, StopReason, Usage } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { broken, problemOfErrorBody } from "./problem.ts";
import { decodeStop } from "./stop.ts";
import { decodeUsage, mergeUsage } from "./usage.ts";
import { isList, isObject } from "./wire.ts";

const TYPE = Buffer.from('"type":"');
const DELTA = Buffer.from('"delta":{"type":"');
const QUOTE = 34;
const COLON = 58;
const BACKSLASH = 92;
const U = 117;
/** Letters behind the backslash of `\\u0041`. */
const UNICODE_ESCAPE = 5;
/** The first byte of a character of four. */
const FOUR_BYTES = 0xf0;
const LF = 10;
/** `event: ` as the first seven bytes, of which the first two tell it from a data line. */
const E = 101;
const V = 118;
const NAME_AT = 7;

/** The letters by which the event names differ, so that an ordinary frame is known from two bytes. */
const C = 99;
const M = 109;
/** Offset of the letter that tells the names of one beginning apart: `content_block_d|s`, `message_d|s`. */
const AFTER_CONTENT_BLOCK = 14;
const AFTER_MESSAGE = 8;
const D = 100;
const S = 115;
const T = 116;
const A = 97;
const I = 105;

/**
 * Reads usage and end from the raw frames of a stream. Only the first and the last frames and errors are parsed; a delta is known by the
 * letters of its event name and measured by its bytes.
 */
export class MessageMeter implements FrameMeter {
  #native: JsonObject | undefined;
  #usage: JsonObject | undefined;
  #stop: StopReason | undefined;
  #problem: Problem | undefined;
  #ended = false;
  #characters = 0;
  #called = false;
  /** Frames that begin a block and were not looked into. */
  #starts: Buffer[] = [];

  frame(frame: Buffer): FrameRole {
    if (this.#ended) return "quiet";
    const at = nameAt(frame);
    switch (frame[at]) {
      case C:
        if (frame[at + AFTER_CONTENT_BLOCK] === D) this.#characters += deltaLength(frame, at);
        else if (frame[at + AFTER_CONTENT_BLOCK + 2] === A) this.#starts.push(frame);
        return "output";
      case M:
        return this.#message(frame, at);
      case E:
        return frame[at + 1] === 114 ? this.#fail(frame) : "quiet";
      default:
        return "quiet";
    }
  }

  #message(frame: Buffer, at: number): FrameRole {
    const letter = frame[at + AFTER_MESSAGE];
    if (letter === S && frame[at + AFTER_MESSAGE + 2] === 111) {
      if (!this.#native) return this.#end(broken("The provider's stream stops without having begun."));
      this.#ended = true;
      this.#stop ??= decodeStop(this.#native["stop_reason"]);
      return "done";
    }
    const data = dataOf(frame);
    if (!data) return this.#end(broken("The provider sent a frame that is no JSON object."));
    if (letter === S && frame[at + AFTER_MESSAGE + 1] === T) return this.#begin(data);
    if (letter !== D) return "quiet";
    const delta = isObject(data["delta"]) ? data["delta"] : {};
    if (delta["stop_reason"] !== undefined) this.#stop = decodeStop(delta["stop_reason"]);
    if (isObject(data["usage"])) this.#usage = mergeUsage(this.#usage ?? {}, data["usage"]);
    return "output";
  }

  #begin(data: JsonObject): FrameRole {
    if (this.#native) return this.#end(broken("The provider's stream began anew before it was complete."));
    const message = isObject(data["message"]) ? data["message"] : {};
    this.#native = message;
    if (isObject(message["usage"])) this.#usage = message["usage"];
    return isList(message["content"]) && message["content"].length > 0 ? "output" : "quiet";
  }

  #fail(frame: Buffer): FrameRole {
    return this.#end(problemOfErrorBody(dataOf(frame) ?? {}, ""));
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
    for (const frame of this.#starts) {
      const block = dataOf(frame)?.["content_block"];
      if (!isObject(block) || !WORDS.has(String(block["type"]))) this.#called = true;
    }
    if (this.#starts.length > 0) this.#starts = [];
    return this.#called;
  }
}

/** Blocks that are nothing but what the model says and thinks. */
const WORDS: ReadonlySet<string> = new Set(["text", "thinking", "redacted_thinking"]);

/** Where the event's name begins: behind `event: `, or, in a frame without one, in the data's first `type`. */
function nameAt(frame: Buffer): number {
  if (frame[0] === E && frame[1] === V) return NAME_AT;
  const at = frame.indexOf(TYPE);
  return at < 0 ? frame.length : at + TYPE.length;
}

/** Characters of text, thought or arguments in a delta frame; signatures and citations are not output. */
function deltaLength(frame: Buffer, at: number): number {
  const delta = frame.indexOf(DELTA, at);
  if (delta < 0) return parsedLength(frame);
  const kind = delta + DELTA.length;
  if (frame[kind] !== T && frame[kind] !== I) return 0;
  // Behind the kind comes `","text":"` or the like, and the words' own closing quote is the frame's last.
  const open = frame.indexOf(COLON, kind) + 1;
  return charactersIn(frame, open + 1, frame.lastIndexOf(QUOTE));
}

/** Characters of JSON text as JavaScript counts them: an escape is one, and what UTF-8 writes in four bytes is two. */
function charactersIn(frame: Buffer, from: number, to: number): number {
  let characters = 0;
  for (let at = from; at < to; at++) {
    const byte = frame[at] ?? QUOTE;
    if (byte === BACKSLASH) at += frame[at + 1] === U ? UNICODE_ESCAPE : 1;
    if ((byte & 0xc0) !== 0x80) characters += byte >= FOUR_BYTES ? 2 : 1;
  }
  return characters;
}

/** For a provider that writes its JSON in another order or with spaces. */
function parsedLength(frame: Buffer): number {
  const delta = dataOf(frame)?.["delta"];
  if (!isObject(delta)) return 0;
  const words = delta["text"] ?? delta["thinking"] ?? delta["partial_json"];
  return typeof words === "string" ? words.length : 0;
}

function dataOf(frame: Buffer): JsonObject | undefined {
  // A frame handed over whole ends in a blank line; a WebSocket message would not, and parses as well.
  const data = frame[0] === E || frame.includes(LF) ? parseFrame(frame)?.data : frame.toString();
  const value = data === undefined ? undefined : parseJson(data);
  return isObject(value) ? value : undefined;
}
