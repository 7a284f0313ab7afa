import type { FrameMeter, FrameRole, Problem, StopReason, Usage } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { DONE } from "./decode-events.ts";
import { FrameShapes } from "./frame-shapes.ts";
import { embeddedProblem } from "./problem.ts";
import { isList, isObject, text } from "./shape.ts";
import { isFailure, stopFrom } from "./stop.ts";
import { usageOf } from "./usage.ts";

const DATA_LETTERS = 6;
const DONE_LETTERS = DONE.length;
const SPACE_CODE = 32;
const QUOTE_CODE = 34;
const BACKSLASH_CODE = 92;
const BRACKET_CODE = 91;
const CLOSE_BRACKET_CODE = 93;
const BRACE_CODE = 123;

const DELTA_KEY = '"delta":';
/** Fields of a delta whose text is output. */
const OUTPUT_KEYS = ['"content":', '"arguments":', '"reasoning_content":', '"reasoning":', '"refusal":', '"input":', '"text":'] as const;

/**
 * Reads raw frames without parsing them. Frames shaped like an earlier one are only compared. In others keys are searched for: inside JSON strings every quote is escaped, so a quoted key followed by a colon is a key.
 * Only the opening frames and those that name a finish reason, an error or usage are parsed; usage only when it is asked for, because
 * some vendors send it with every frame.
 */
export class ChunkMeter implements FrameMeter {
  readonly #withhold: boolean;
  #id: string | undefined;
  #model: string | undefined;
  #opened = false;
  #finish: string | undefined;
  #usageFrame: string | undefined;
  #usage: Usage | undefined;
  #characters = 0;
  #output = false;
  readonly #said = { toolCalls: false, refusal: false };
  #problem: Problem | undefined;
  #done = false;
  readonly #shapes = new FrameShapes();
  /** Where the only output of the frame at hand begins; -1 when the frame is not an ordinary one. */
  #ordinary = -1;

  constructor(options: { readonly withholdUsage: boolean }) {
    this.#withhold = options.withholdUsage;
  }

  frame(given: Buffer): FrameRole {
    const frame = asBuffer(given);
    const characters = this.#shapes.match(frame);
    if (characters > 0 && !this.#done && !this.#problem) {
      this.#characters += characters;
      return "output";
    }
    const raw = frame.toString("utf8");
    if (!raw.startsWith("data: {")) {
      const parsed = parseFrame(raw);
      return parsed ? this.#data(parsed.data, 0, parsed.data.length, parsed.event === "error") : "quiet";
    }
    let end = raw.length;
    while (raw.charCodeAt(end - 1) <= SPACE_CODE) end--;
    const role = this.#data(raw, DATA_LETTERS, end, false);
    if (this.#ordinary >= 0) this.#shapes.learn(frame, Buffer.byteLength(raw.slice(0, this.#ordinary)));
    return role;
  }

  #data(raw: string, start: number, end: number, isError: boolean): FrameRole {
    this.#ordinary = -1;
    if (this.#done || this.#problem) return "quiet";
    if (end - start === DONE_LETTERS && raw.startsWith(DONE, start)) return this.#ended();
    if (isError || raw.includes('"error":', start)) {
      const role = this.#error(raw.slice(start, end), isError);
      if (role) return role;
    }
    if (!this.#opened) this.#open(raw.slice(start, end));
    const usage = hasValue(raw, '"usage":', start, BRACE_CODE);
    if (usage) this.#seeUsage(raw.slice(start, end));
    const finish = hasValue(raw, '"finish_reason":', start, QUOTE_CODE);
    if (finish && !this.#finishing(raw.slice(start, end))) return "problem";
    if (usage && hasValue(raw, '"choices":', start, BRACKET_CODE) && !hasEntries(raw, '"choices":', start))
      return this.#withhold ? "withhold" : "quiet";
    const output = this.#delta(raw, start);
    if (usage || finish) this.#ordinary = -1;
    return output ? "output" : "quiet";
  }

  #seeUsage(data: string): void {
    this.#usageFrame = data;
    this.#usage = undefined;
  }

  /** Counts the frame's output; false when there is none. */
  #delta(raw: string, start: number): boolean {
    const delta = raw.indexOf(DELTA_KEY, start);
    if (delta < 0) return false;
    const from = delta + DELTA_KEY.length;
    let found = 0;
    let first = -1;
    for (const key of OUTPUT_KEYS) {
      const { letters, start: at } = textsAt(raw, key, from);
      found += letters;
      if (letters > 0) first = first < 0 || at < first ? at : first;
    }
    this.#ordinary = first;
    const called = hasEntries(raw, '"tool_calls":', from) || hasValue(raw, '"function_call":', from, BRACE_CODE);
    if (called) this.#said.toolCalls = true;
    if (!this.#said.refusal && textsAt(raw, '"refusal":', from).letters > 0) this.#said.refusal = true;
    this.#characters += found;
    const output = found > 0 || called || hasValue(raw, '"audio":', from, BRACE_CODE);
    this.#output ||= output;
    return output;
  }

  #open(data: string): void {
    const chunk = parseJson(data);
    if (!isObject(chunk) || !isList(chunk["choices"])) return;
    const id = text(chunk["id"]);
    if (id === undefined && chunk["choices"].length === 0) return;
    this.#opened = true;
    this.#id = id ?? "";
    this.#model = text(chunk["model"]) ?? "";
  }

  #finishing(data: string): boolean {
    const chunk = parseJson(data);
    const choices = isObject(chunk) ? chunk["choices"] : undefined;
    if (!isList(choices)) return true;
    for (const choice of choices) {
      if (!isObject(choice) || (choice["index"] !== undefined && choice["index"] !== 0)) continue;
      const finish = text(choice["finish_reason"]);
      if (isFailure(finish)) {
        this.#problem = { kind: "upstream_broken", message: `The provider broke off its answer: ${finish}.` };
        return false;
      }
      this.#finish = finish ?? this.#finish;
    }
    return true;
  }

  #error(data: string, isError: boolean): FrameRole | undefined {
    const chunk = parseJson(data);
    if (!isObject(chunk)) {
      this.#problem = { kind: "upstream_broken", message: "The provider sent a piece of its stream that is not a JSON object." };
      return "problem";
    }
    if (!isError && (chunk["error"] === undefined || chunk["error"] === null)) return undefined;
    this.#problem = embeddedProblem(chunk, undefined);
    return "problem";
  }

  #ended(): FrameRole {
    if (!this.#output && this.#finish === undefined) {
      this.#problem = { kind: "upstream_broken", message: "The provider's stream ended without an answer." };
      return "problem";
    }
    this.#done = true;
    return "done";
  }

  usage(): Usage | undefined {
    if (this.#usageFrame === undefined) return undefined;
    if (!this.#usage) {
      const chunk = parseJson(this.#usageFrame);
      this.#usage = isObject(chunk) ? usageOf(chunk) : undefined;
    }
    return this.#usage;
  }
  id(): string | undefined {
    return this.#id;
  }
  model(): string | undefined {
    return this.#model;
  }
  stop(): StopReason | undefined {
    if (this.#finish === undefined && !this.#done) return undefined;
    return stopFrom(this.#finish, this.#said);
  }
  outputCharacters(): number {
    return this.#characters;
  }
  problem(): Problem | undefined {
    return this.#problem;
  }
  called(): boolean {
    return this.#said.toolCalls;
  }
}

/** A frame that spans two chunks may come as plain bytes, whose methods are others. */
function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The index of the first letter of a value that stands behind its key. */
function skipSpace(raw: string, at: number): number {
  let value = at;
  while (raw.charCodeAt(value) === SPACE_CODE) value++;
  return value;
}

/** Does any `"key":` from here on have a value that begins with this character? */
function hasValue(raw: string, key: string, from: number, first: number): boolean {
  for (let at = raw.indexOf(key, from); at >= 0; at = raw.indexOf(key, at + key.length)) {
    if (raw.charCodeAt(skipSpace(raw, at + key.length)) === first) return true;
  }
  return false;
}

/** Does any `"key":` from here on hold a list that is not empty? */
function hasEntries(raw: string, key: string, from: number): boolean {
  for (let at = raw.indexOf(key, from); at >= 0; at = raw.indexOf(key, at + key.length)) {
    const value = skipSpace(raw, at + key.length);
    if (raw.charCodeAt(value) === BRACKET_CODE && raw.charCodeAt(skipSpace(raw, value + 1)) !== CLOSE_BRACKET_CODE) return true;
  }
  return false;
}

/** Characters of all strings under `"key":` from here on, and where the first that is not empty begins. */
function textsAt(raw: string, key: string, from: number): { readonly letters: number; readonly start: number } {
  let letters = 0;
  let start = -1;
  for (let at = raw.indexOf(key, from); at >= 0; at = raw.indexOf(key, at + key.length)) {
    const value = skipSpace(raw, at + key.length) + 1;
    if (raw.charCodeAt(value - 1) !== QUOTE_CODE) continue;
    const length = endOfString(raw, value) - value;
    if (length > 0 && start < 0) start = value;
    letters += length;
  }
  return { letters, start };
}

/** The index of the quote that ends the string whose first character is at `from`. */
function endOfString(raw: string, from: number): number {
  let end = raw.indexOf('"', from);
  while (end > 0 && raw.charCodeAt(end - 1) === BACKSLASH_CODE && isEscaped(raw, end)) end = raw.indexOf('"', end + 1);
  return end < 0 ? raw.length : end;
}

function isEscaped(raw: string, quote: number): boolean {
  let backslashes = 0;
  while (raw.charCodeAt(quote - 1 - backslashes) === BACKSLASH_CODE) backslashes++;
  return backslashes % 2 === 1;
}
