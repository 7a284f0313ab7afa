import { invalid, NO_USAGE, type Json, type SpeechResult, type SpeechTask, type TaskCodec, type Usage } from "../../canon/index.ts";
import { broken, count, demand, object, read, renamed, renaming } from "../shared-task-fields.ts";
import { ID } from "./embed.ts";

const PATH = "/audio/speech";
/** Letters of one text. */
const MOST_LETTERS = 4096;

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
    return {
      operation: "speech",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      text: input,
      stream: read(body, "stream_format", "string") === "sse",
      ...(typeof voice === "string" && { voice }),
      ...(format !== undefined && { format }),
    };
  },

  encode(task, { model, support }, note) {
    const body = renamed({ ...task.native, model, input: task.text }, support, note);
    return { path: PATH, headers: ANY_TYPE, body: JSON.stringify(body) };
  },

  forward: (body, _context, { support }) => ({ path: PATH, headers: ANY_TYPE, replace: renaming(body, support) }),

  decodeResult() {
    throw broken("The provider answered with JSON where sound was asked for.");
  },
  encodeResult: () => ({}),
  encodeRaw: ({ audio, contentType }) => ({ contentType, bytes: audio }),
  readFrame: ({ type, usage }) => (type === "speech.audio.done" ? { done: true, usage: tokensOf(usage) } : undefined),
  readRaw: ({ task }) => ({ ...NO_USAGE, media: { characters: task.text.length } }),
};

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
