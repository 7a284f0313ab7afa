import {
  invalid,
  NO_USAGE,
  type Json,
  type RawAnswer,
  type SpeechResult,
  type SpeechTask,
  type TaskCodec,
  type Usage,
} from "../../canon/index.ts";
import { mediaType } from "../../kit/index.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { sampleRateOf, waveHead } from "../shared-sound.ts";
import {
  broken,
  count,
  demand,
  object,
  read,
  refuseBeyond,
  renamed,
  renaming,
  tellLost,
  type Draft,
  type Note,
} from "../shared-task-fields.ts";
import { ID } from "./embed.ts";

const PATH = "/audio/speech";
/** Letters of one text. */
const MOST_LETTERS = 4096;
/** Samples a second of what the language calls `pcm`: 16 bits, mono. */
const PCM_RATE = 24_000;
/** Bytes of sound in one event. */
const EVENT_BYTES = 48 * 1024;
const DEFAULT_VOICE = "alloy";
/** Models whose voices are known: all others may have any. */
const OWN_MODELS = /^(?:tts-|gpt-[^/]*tts)/;
const VOICES: ReadonlySet<string> = new Set("alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split(" "));
/** What other languages say in the fields of the task itself. */
const SAID = new Set(["contents", "generationConfig", "generation_config", "systemInstruction", "system_instruction", "model"]);

/** `POST /audio/speech`: sound as bytes, or as events where `stream_format` is `sse`. Source: the `openai` package's types (7.57). */
export const speech: TaskCodec<SpeechTask, SpeechResult> = {
  outline(body) {
    const model = demand(body, "model", "string");
    const { length } = demand(body, "input", "string");
    return { model, stream: true, keep: false, background: false, units: { characters: length } };
  },

  decode({ fields: body }) {
    const input = demand(body, "input", "string");
    if (input.length > MOST_LETTERS) throw tooLong(input.length);
    const format = read(body, "response_format", "string");
    const voice = body["voice"];
    const manner = read(body, "instructions", "string");
    return {
      operation: "speech",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      text: input,
      stream: read(body, "stream_format", "string") === "sse",
      ...(typeof voice === "string" && { voice }),
      ...(format !== undefined && { format }),
      ...(manner !== undefined && manner !== "" && { manner }),
    };
  },

  lacks({ origin, text: { length } }) {
    if (origin.dialect === ID || length <= MOST_LETTERS) return undefined;
    return `speaks at most ${MOST_LETTERS} characters, and ${length} were sent`;
  },

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const body = renamed({ ...(own ? task.native : crossed(task, model, note)), model, input: task.text, ...said(task) }, support, note);
    return { path: PATH, headers: ANY_TYPE, body: JSON.stringify(body) };
  },

  forward: (body, _context, { support }, note) => ({ path: PATH, headers: ANY_TYPE, replace: renaming(body, support, note) }),

  decodeResult() {
    throw broken("The provider answered with JSON where sound was asked for.");
  },
  decodeRaw(bytes, { task, headers }) {
    const contentType = mediaType(headers["content-type"] ?? "");
    if (bytes.length === 0) throw broken("The provider's answer is empty.");
    if (!contentType.startsWith("audio/") && contentType !== "application/octet-stream")
      throw broken("The provider answered with something that is no sound.");
    const usage: Usage = { ...NO_USAGE, media: { characters: task.text.length } };
    const isBare = task.format === "pcm" && BARE.has(contentType);
    const sampleRate = isBare ? (sampleRateOf(headers["content-type"] ?? "") ?? PCM_RATE) : undefined;
    return { operation: "speech", audio: bytes, contentType, ...(sampleRate !== undefined && { sampleRate }), usage };
  },
  encodeResult: () => ({}),
  encodeRaw(result, { task }) {
    const { contentType, bytes } = soundOf(result, task);
    return { contentType, bytes };
  },
  encodeFrames(result, { task }) {
    if (!task.stream) return undefined;
    const { bytes } = soundOf(result, task);
    const deltas = Array.from({ length: Math.ceil(bytes.length / EVENT_BYTES) }, (_, at) => {
      const piece = Buffer.from(bytes.subarray(at * EVENT_BYTES, (at + 1) * EVENT_BYTES));
      return { event: DELTA, json: { type: DELTA, audio: piece.toString("base64") } };
    });
    const { inputUncached = 0, output = 0 } = result.usage ?? {};
    const usage = { input_tokens: inputUncached, output_tokens: output, total_tokens: inputUncached + output };
    return [...deltas, { event: DONE, json: { type: DONE, usage } }];
  },
  readFrame: ({ type, usage }) => (type === DONE ? { done: true, usage: tokensOf(usage) } : undefined),
  readRaw: ({ task }) => ({ ...NO_USAGE, media: { characters: task.text.length } }),
};

/** What servers call the bare samples that they were asked for. */
const BARE: ReadonlySet<string> = new Set(["audio/pcm", "audio/l16", "application/octet-stream"]);
const DELTA = "speech.audio.delta";
const DONE = "speech.audio.done";

/** Bare samples with the head that makes a file of them, unless they were asked for bare. */
function soundOf({ audio, contentType, sampleRate }: SpeechResult, { format }: SpeechTask): RawAnswer {
  if (sampleRate === undefined) return { contentType, bytes: audio };
  if (format !== "pcm") return { contentType: "audio/wav", bytes: Buffer.concat([waveHead(audio.length, sampleRate), audio]) };
  if (sampleRate !== PCM_RATE)
    throw broken(`The provider's speech has ${sampleRate} samples a second, and \`pcm\` has ${PCM_RATE}: ask for \`wav\`.`);
  return { contentType: "audio/pcm", bytes: audio };
}

function said({ manner }: SpeechTask): Draft {
  return manner === undefined ? {} : { instructions: manner };
}

/** Another language's task in this one's words. */
function crossed(task: SpeechTask, model: string, note: Note): Draft {
  const { native, format, stream } = task;
  tellLost(native, SAID, note);
  noteUnspoken(task, note);
  if (stream) note({ field: "stream", action: "degraded", reason: "The sound comes when all of it is spoken." });
  const named = task.voice ?? DEFAULT_VOICE;
  const known = OWN_MODELS.test(model) ? [named.toLowerCase()].find((voice) => VOICES.has(voice)) : named;
  if (known === undefined)
    note({ field: "voice", action: "degraded", reason: `The model has no voice of this name; ${DEFAULT_VOICE} speaks.` });
  const voice = known ?? DEFAULT_VOICE;
  return { voice, ...(format !== undefined && { response_format: format }) };
}

function tokensOf(value: Json | undefined): Usage | undefined {
  const usage = object(value);
  if (!usage) return undefined;
  const output = count(usage["output_tokens"]);
  return { ...NO_USAGE, inputUncached: count(usage["input_tokens"]), output, media: { output_audio_tokens: output } };
}

const ANY_TYPE = { accept: "*/*" };

function tooLong(letters: number): Error {
  return invalid(`\`input\` has ${letters} characters; one call speaks at most ${MOST_LETTERS}.`, "input", "string_above_max_length");
}
