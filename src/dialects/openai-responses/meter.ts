import type { FrameMeter, FrameRole, JsonObject, Json, Problem, StopReason, Usage } from "../../canon/index.ts";
import { parseFrame, parseJson } from "../../kit/index.ts";
import { errorIn, problemOfError } from "./problem.ts";
import { isObject, textIn } from "./shape.ts";
import { stopOf } from "./stop.ts";
import { usageOf } from "./usage.ts";

const LINE_FEED = 10;
const QUOTE = 34;
const BACKSLASH = 92;
const OPEN_BRACE = 123;
const LETTER_D = 100;
const LETTER_E = 101;
/** `event: ` before the name. */
const EVENT_LETTERS = 7;
/** The longest event name is a third of this; a name further in is found by parsing. */
const NAME_WINDOW_BYTES = 120;

const DELTA = Buffer.from('"delta":"');
const FUNCTION_CALL = Buffer.from('"type":"function_call"');
const CUSTOM_CALL = Buffer.from('"type":"custom_tool_call"');
const NOTHING = new Uint8Array(0);
const TYPE_KEY = '"type":"';

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

/** Reads a stream's usage and end without decoding it. */
export class ResponsesMeter implements FrameMeter {
  #usage: Usage | undefined;
  #id: string | undefined;
  #model: string | undefined;
  #stop: StopReason | undefined;
  #problem: Problem | undefined;
  #characters = 0;
  /** How the newest delta began, up to and with the end of its name. */
  #delta: Uint8Array = NOTHING;
  #toolCall = false;
  #called = false;
  /** Frames that begin an item and were not looked into. */
  #starts: Buffer[] = [];
  #refusal = false;

  frame(frame: Buffer): FrameRole {
    // Deltas come in long runs that begin with the same bytes, which are compared without a call into the runtime.
    if (startsWith(frame, this.#delta)) {
      this.#count(frame);
      return "output";
    }
    const name = nameOf(frame);
    const meaning = meaningOf(name);
    if (meaning !== "delta") return this.#rare(meaning, frame);
    this.#delta = headOf(frame, name);
    this.#count(frame);
    return "output";
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
    for (const frame of this.#starts) {
      const item = jsonIn(frame)?.["item"];
      if (!isObject(item) || (item["type"] !== "message" && item["type"] !== "reasoning")) this.#called = true;
    }
    if (this.#starts.length > 0) this.#starts = [];
    return this.#called;
  }

  #rare(meaning: Meaning, frame: Buffer): FrameRole {
    switch (meaning) {
      case "open":
        if (this.#id === undefined) this.#open(responseIn(frame));
        return "quiet";
      case "item":
        this.#starts.push(frame);
        this.#toolCall ||= frame.indexOf(FUNCTION_CALL) >= 0 || frame.indexOf(CUSTOM_CALL) >= 0;
        return "quiet";
      case "quiet":
        return "quiet";
      case "refusal":
        this.#refusal = true;
        this.#count(frame);
        return "output";
      case "end":
        return this.#end(responseIn(frame));
      case "failed": {
        const response = responseIn(frame);
        this.#usage = usageOf(response) ?? this.#usage;
        return this.#fail({ error: response["error"] ?? {} });
      }
      case "error":
        return this.#fail(jsonIn(frame) ?? {});
      case "delta":
      case "work":
        return "output";
    }
  }

  #open(response: JsonObject): void {
    this.#id = textIn(response["id"]);
    this.#model = textIn(response["model"]);
  }

  #end(response: JsonObject): FrameRole {
    if (this.#id === undefined) this.#open(response);
    this.#usage = usageOf(response) ?? this.#usage;
    this.#stop = stopOf(response, { toolCall: this.#toolCall, refusal: this.#refusal });
    return "done";
  }

  #fail(body: JsonObject): FrameRole {
    this.#problem ??= problemOfError(errorIn(body), { error: body["error"] ?? body }, "");
    return "problem";
  }

  /** Characters of a delta: bytes that begin one, an escape counting as one. */
  #count(frame: Buffer): void {
    let at = frame.indexOf(DELTA);
    if (at < 0) return;
    let characters = 0;
    for (at += DELTA.length; at < frame.length; at++) {
      const byte = frame[at] ?? QUOTE;
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) at++;
      if ((byte & 0xc0) !== 0x80) characters++;
    }
    this.#characters += characters;
  }
}

function startsWith(frame: Uint8Array, head: Uint8Array): boolean {
  const { length } = head;
  if (length === 0 || frame.length < length) return false;
  for (let at = 0; at < length; at++) if (frame[at] !== head[at]) return false;
  return true;
}

/** The bytes up to one behind the name, which is a line end or a quote. */
function headOf(frame: Buffer, name: string): Uint8Array {
  const at = frame.indexOf(name);
  return at < 0 ? NOTHING : new Uint8Array(frame.subarray(0, at + name.length + 1));
}

function meaningOf(name: string): Meaning {
  const meaning = MEANINGS.get(name);
  if (meaning !== undefined) return meaning;
  return name.startsWith("response.") ? "work" : "quiet";
}

/** The event's name: from the `event:` line where there is one, else from the beginning of the JSON. */
function nameOf(frame: Buffer): string {
  const first = frame[0];
  if (first === LETTER_E) {
    const end = frame.indexOf(LINE_FEED);
    if (end > EVENT_LETTERS) return frame.toString("latin1", EVENT_LETTERS, frame[end - 1] === 13 ? end - 1 : end);
  }
  if (first !== LETTER_D && first !== OPEN_BRACE && first !== LETTER_E) return typeIn(frame);
  const head = frame.toString("latin1", 0, NAME_WINDOW_BYTES);
  const at = head.indexOf(TYPE_KEY);
  // A type within an object inside is not the event's own.
  if (at < 0 || head.lastIndexOf("{", at) !== head.indexOf("{")) return typeIn(frame);
  const end = head.indexOf('"', at + TYPE_KEY.length);
  return end < 0 ? typeIn(frame) : head.slice(at + TYPE_KEY.length, end);
}

function typeIn(frame: Buffer): string {
  const data = jsonIn(frame);
  if (!data) return "";
  return textIn(data["type"]) ?? (isObject(data["error"]) ? "error" : "");
}

function jsonIn(frame: Buffer): JsonObject | undefined {
  const text = frame[0] === OPEN_BRACE ? frame.toString("utf8") : parseFrame(frame)?.data;
  const data: Json | undefined = text === undefined ? undefined : parseJson(text);
  return isObject(data) ? data : undefined;
}

function responseIn(frame: Buffer): JsonObject {
  const response = jsonIn(frame)?.["response"];
  return isObject(response) ? response : {};
}
