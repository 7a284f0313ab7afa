import {
  invalid,
  NO_USAGE,
  type JsonObject,
  type TaskCodec,
  type TaskFile,
  type TaskSupport,
  type TranscribeResult,
  type TranscribeTask,
  type Usage,
} from "../../canon/index.ts";
import { answered, broken, count, demand, object, read, renamed, renaming, text } from "../shared-task-fields.ts";
import { ID } from "./embed.ts";
import { isTrue } from "./image.ts";

/** The two doors. */
export const TRANSCRIBE = { same: "transcriptions", english: "translations" } as const;
const FORMATS: ReadonlySet<string> = new Set(["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]);
const FILE = "file";
/** Bytes of a second of speech at the lowest rate in use: what a file of unknown length is at most charged for. */
const LOWEST_BYTES_PER_SECOND = 1000;

/**
 * `POST /audio/transcriptions` and `/audio/translations`: a form. The answer is JSON, text, subtitles or a stream of events. Source: the
 * `openai` package's types (7.57) and recorded traffic.
 */
export const transcribe: TaskCodec<TranscribeTask, TranscribeResult> = {
  outline: (body) => ({
    model: demand(body, "model", "string"),
    stream: isTrue(body["stream"]),
    keep: false,
    background: false,
    units: { audio_seconds: Math.ceil(count(object(body[FILE])?.["bytes"]) / LOWEST_BYTES_PER_SECOND) },
  }),

  decode({ fields: body, files }, { params }) {
    const file = files.find(({ field }) => field === FILE);
    if (!file) throw invalid("`file` is missing: the form must hold the sound.", FILE);
    if (file.bytes.length === 0) throw invalid("`file` is empty.", FILE);
    const language = read(body, "language", "string");
    const hint = read(body, "prompt", "string");
    const format = read(body, "response_format", "string") ?? "json";
    if (!FORMATS.has(format)) throw invalid(`\`response_format\` must be one of ${[...FORMATS].join(", ")}.`, "response_format");
    return {
      operation: "transcribe",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      file,
      translate: params["variant"] === TRANSCRIBE.english,
      format: format as TranscribeTask["format"],
      stream: isTrue(body["stream"]),
      ...(language !== undefined && language !== "" && { language }),
      ...(hint !== undefined && hint !== "" && { hint }),
    };
  },

  lacks({ format }, { support }) {
    if (!choosesNoFormat(support) || format === "json" || format === "text") return undefined;
    return `answers transcriptions as JSON or text, and \`${format}\` was asked for`;
  },

  encode(task, { model, support }, note) {
    const body = renamed({ ...task.native, model, ...(task.hint !== undefined && { prompt: task.hint }) }, support, note);
    return { path: pathTo(task.translate), headers: ANY_TYPE, body: JSON.stringify(body), files: [task.file] };
  },

  forward(body, { params }, { support }, note) {
    // What comes is JSON: whoever wants text must have it made of that.
    if (choosesNoFormat(support) && body["response_format"] === "text") return undefined;
    return { path: pathTo(params["variant"] === TRANSCRIBE.english), headers: ANY_TYPE, replace: renaming(body, support, note) };
  },

  decodeResult(body, { task }) {
    const answer = answered(body);
    const words = answer["text"];
    if (typeof words !== "string") throw broken("The provider's answer has no `text`.");
    const usage = usageOf(answer) ?? lengthOf(task.file);
    return { operation: "transcribe", text: words, seconds: usage?.media?.["audio_seconds"] ?? 0, usage };
  },

  encodeFrames({ text: words, usage }, { task }) {
    if (!task.stream) return undefined;
    return [
      { event: DELTA, json: { type: DELTA, delta: words } },
      { event: DONE, json: { type: DONE, text: words, ...(usage && { usage: usageTold(usage) }) } },
    ];
  },

  encodeResult: ({ text: words, seconds, usage }, { task }) =>
    task.format === "verbose_json"
      ? {
          task: task.translate ? "translate" : "transcribe",
          language: "english",
          duration: seconds,
          text: words,
          segments: [{ id: 0, start: 0, end: seconds, text: words }],
          usage: durationTold(seconds),
        }
      : { text: words, usage: usage ? usageTold(usage) : durationTold(seconds) },

  encodeRaw({ text: words, seconds }, { task: { format } }) {
    const contentType = "text/plain; charset=utf-8";
    const end = (dot: string): string => `00:00:00${dot}000 --> ${clockOf(seconds, dot)}`;
    if (format === "text") return { contentType, bytes: Buffer.from(`${words}\n`) };
    if (format === "srt") return { contentType, bytes: Buffer.from(`1\n${end(",")}\n${words}\n\n`) };
    if (format === "vtt") return { contentType, bytes: Buffer.from(`WEBVTT\n\n${end(".")}\n${words}\n\n`) };
    return undefined;
  },

  readFrame: (frame) => (frame["type"] === DONE ? { done: true, usage: usageOf(frame) } : undefined),
  readRaw: ({ task, tail }) => subtitled(tail) ?? lengthOf(task.file),
};

const DELTA = "transcript.text.delta";
const DONE = "transcript.text.done";

/** The provider refuses to be told how to answer. */
function choosesNoFormat({ renames }: TaskSupport): boolean {
  return renames?.["response_format"] === null;
}

function durationTold(seconds: number): JsonObject {
  return { type: "duration", seconds: Math.ceil(seconds) };
}

function usageTold({ inputUncached, output, media = {} }: Usage): JsonObject {
  if (inputUncached + output === 0) return durationTold(media["audio_seconds"] ?? 0);
  const audio = media["input_audio_tokens"] ?? 0;
  return {
    type: "tokens",
    input_tokens: inputUncached,
    output_tokens: output,
    total_tokens: inputUncached + output,
    input_token_details: { audio_tokens: audio, text_tokens: inputUncached - audio },
  };
}

const ANY_TYPE = { accept: "*/*" };

function pathTo(translate: boolean): string {
  return `/audio/${translate ? TRANSCRIBE.english : TRANSCRIBE.same}`;
}

/** Newer models count tokens, older ones seconds. */
export function usageOf(answer: JsonObject): Usage | undefined {
  const usage = object(answer["usage"]);
  // One compatible vendor counts tokens for what is read and written, and is paid by these seconds.
  const seconds = usage?.["seconds"] ?? usage?.["prompt_audio_seconds"] ?? answer["duration"];
  if (usage && text(usage["type"]) !== "duration" && usage["input_tokens"] !== undefined) {
    const audio = count(object(usage["input_token_details"])?.["audio_tokens"]);
    return {
      ...NO_USAGE,
      inputUncached: count(usage["input_tokens"]),
      output: count(usage["output_tokens"]),
      ...(audio > 0 && { media: { input_audio_tokens: audio } }),
    };
  }
  return typeof seconds === "number" ? heard(seconds) : undefined;
}

function heard(seconds: number): Usage {
  return { ...NO_USAGE, media: { audio_seconds: Math.max(1, Math.ceil(seconds)) } };
}

/** The end of the last subtitle. */
function subtitled(tail: Uint8Array): Usage | undefined {
  const all = [
    ...Buffer.from(tail)
      .toString("utf8")
      .matchAll(/--> (?:(\d+):)?(\d{2}):(\d{2})[.,]\d{3}/g),
  ];
  const last = all.at(-1);
  return last && heard(Number(last[1] ?? 0) * 3600 + Number(last[2]) * 60 + Number(last[3]));
}

/** A RIFF file says how many bytes a second it has; of others the bytes are all that is known, and they are taken for the usual rate. */
export function lengthOf({ bytes }: TaskFile): Usage {
  const USUAL_BYTES_PER_SECOND = 16_000;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isRiff = bytes.length > 44 && view.getUint32(0) === 0x52494646 && view.getUint32(8) === 0x57415645;
  const rate = isRiff ? view.getUint32(28, true) : 0;
  if (rate > 0) return heard((bytes.length - 44) / rate);
  return { ...heard(bytes.length / USUAL_BYTES_PER_SECOND), estimated: true };
}

function clockOf(seconds: number, dot: string): string {
  const ms = Math.round(seconds * 1000);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${dot}${String(ms % 1000).padStart(3, "0")}`;
}
