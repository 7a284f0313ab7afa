import {
  invalid,
  NO_USAGE,
  type JsonObject,
  type TaskCodec,
  type TaskFile,
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
    };
  },

  encode(task, { model, support }, note) {
    const body = renamed({ ...task.native, model }, support, note);
    return { path: pathTo(task.translate), headers: ANY_TYPE, body: JSON.stringify(body) };
  },

  forward: (body, { params }, { support }) => ({
    path: pathTo(params["variant"] === TRANSCRIBE.english),
    headers: ANY_TYPE,
    replace: renaming(body, support),
  }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const words = answer["text"];
    if (typeof words !== "string") throw broken("The provider's answer has no `text`.");
    const usage = usageOf(answer) ?? lengthOf(task.file);
    return { operation: "transcribe", text: words, seconds: usage?.media?.["audio_seconds"] ?? 0, usage };
  },

  encodeResult: ({ text: words, seconds }, { task }) =>
    task.format === "verbose_json"
      ? {
          task: task.translate ? "translate" : "transcribe",
          language: "english",
          duration: seconds,
          text: words,
          segments: [{ id: 0, start: 0, end: seconds, text: words }],
          usage: { type: "duration", seconds: Math.ceil(seconds) },
        }
      : { text: words, usage: { type: "duration", seconds: Math.ceil(seconds) } },

  encodeRaw({ text: words, seconds }, { task: { format } }) {
    const contentType = "text/plain; charset=utf-8";
    const end = (dot: string): string => `00:00:00${dot}000 --> ${clockOf(seconds, dot)}`;
    if (format === "text") return { contentType, bytes: Buffer.from(`${words}\n`) };
    if (format === "srt") return { contentType, bytes: Buffer.from(`1\n${end(",")}\n${words}\n\n`) };
    if (format === "vtt") return { contentType, bytes: Buffer.from(`WEBVTT\n\n${end(".")}\n${words}\n\n`) };
    return undefined;
  },

  readFrame: (frame) => (frame["type"] === "transcript.text.done" ? { done: true, usage: usageOf(frame) } : undefined),
  readRaw: ({ task, tail }) => subtitled(tail) ?? lengthOf(task.file),
};

const ANY_TYPE = { accept: "*/*" };

function pathTo(translate: boolean): string {
  return `/audio/${translate ? TRANSCRIBE.english : TRANSCRIBE.same}`;
}

/** Newer models count tokens, older ones seconds. */
export function usageOf(answer: JsonObject): Usage | undefined {
  const usage = object(answer["usage"]);
  const seconds = usage?.["seconds"] ?? answer["duration"];
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
