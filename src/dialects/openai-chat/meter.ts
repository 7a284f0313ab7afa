import type { FrameMeter, FrameRole, Problem, StopReason, Usage } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { DONE } from "./decode-events.ts";
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
const CLOSE_BRACE_CODE = 125;

/** Fields of a delta whose text is output. */
const OUTPUT_KEYS = ['"content":', '"arguments":', '"reasoning_content":', '"reasoning":', '"refusal":', '"input":', '"text":'] as const;

/**
 * Reads raw frames without parsing them: inside JSON strings every quote is escaped, so a quoted key followed by a colon is a key.
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

  constructor(options: { readonly withholdUsage: boolean }) {
    this.#withhold = options.withholdUsage;
  }

  frame(frame: Buffer): FrameRole {
    // A string once, because every search in it is then native and without a crossing into C++.
    const raw = frame.toString("utf8");
    if (!raw.startsWith("data: {")) {
      const parsed = parseFrame(raw);
      return parsed ? this.#data(parsed.data, 0, parsed.data.length, parsed.event === "error") : "quiet";
    }
    let end = raw.length;
    while (raw.charCodeAt(end - 1) <= SPACE_CODE) end--;
    return this.#data(raw, DATA_LETTERS, end, false);
  }

  #data(raw: string, start: number, end: number, isError: boolean): FrameRole {
    if (this.#done || this.#problem) return "quiet";
    if (end - start === DONE_LETTERS && raw.startsWith(DONE, start)) return this.#ended();
    if (isError || raw.includes('"error":', start)) {
      const role = this.#error(raw.slice(start, end), isError);
      if (role) return role;
    }
    if (!this.#opened) this.#open(raw.slice(start, end));
    const usageOnly = this.#seeUsage(raw, start, end);
    if (hasValue(raw, '"finish_reason":', start, QUOTE_CODE) && !this.#finishing(raw.slice(start, end))) return "problem";
    if (usageOnly) return this.#withhold ? "withhold" : "quiet";
    return this.#delta(raw, start) ? "output" : "quiet";
  }

  /** True for a frame that holds usage and no choices. */
  #seeUsage(raw: string, start: number, end: number): boolean {
    if (!hasValue(raw, '"usage":', start, BRACE_CODE)) return false;
    this.#usageFrame = raw.slice(start, end);
    this.#usage = undefined;
    return hasValue(raw, '"choices":', start, BRACKET_CODE) && !hasEntries(raw, '"choices":', start);
  }

  /** Counts the frame's output; false when there is none. */
  #delta(raw: string, start: number): boolean {
    const delta = raw.indexOf('"delta":', start);
    if (delta < 0) return false;
    const brace = raw.indexOf("{", delta + 8);
    const from = brace + 1;
    let found = 0;
    if (raw.startsWith('"content":"', from)) {
      const close = endOfString(raw, from + 11);
      found = close - from - 11;
      // The plain delta of text, and nothing else in it.
      if (found > 0 && raw.charCodeAt(close + 1) === CLOSE_BRACE_CODE) {
        this.#characters += found;
        this.#output = true;
        return true;
      }
    }
    found = 0;
    for (const key of OUTPUT_KEYS) found += textsAt(raw, key, from);
    const called = hasEntries(raw, '"tool_calls":', from) || hasValue(raw, '"function_call":', from, BRACE_CODE);
    if (called) this.#said.toolCalls = true;
    if (!this.#said.refusal && textsAt(raw, '"refusal":', from) > 0) this.#said.refusal = true;
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

/** Characters of all strings under `"key":` from here on. */
function textsAt(raw: string, key: string, from: number): number {
  let total = 0;
  for (let at = raw.indexOf(key, from); at >= 0; at = raw.indexOf(key, at + key.length)) {
    const value = skipSpace(raw, at + key.length);
    if (raw.charCodeAt(value) === QUOTE_CODE) total += endOfString(raw, value + 1) - value - 1;
  }
  return total;
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
