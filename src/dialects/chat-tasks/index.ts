import { type Json, type TaskCodec, type TranscribeResult, type TranscribeTask } from "../../canon/index.ts";
import { decodeUsage } from "../openai-chat/usage.ts";
import { soundType } from "../shared-sound.ts";
import { answered, broken, isList, object, text, unsupported } from "../shared-task-fields.ts";
import { cannotTell, instructionsFor, temperatureOf, tellLostOfSound } from "../shared-transcribe.ts";
import { defineTaskDialect } from "../task-dialect.ts";

const ID = "chat-tasks";
const PATH = "/chat/completions";
/** What the language calls the sounds that it takes. */
const FORMATS: Readonly<Record<string, string | undefined>> = { "audio/wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3" };

/** Transcription by chat models that hear (`input_audio`). Source: the `openai` package's types (7.57). */
const transcribe: TaskCodec<TranscribeTask, TranscribeResult> = {
  outline: noDoor,
  decode: noDoor,
  forward: noDoor,
  encodeResult: noDoor,

  lacks,

  encode(task, { model }, note) {
    const lacking = lacks(task);
    if (lacking !== undefined) throw unsupported(`This model ${lacking}.`);
    tellLostOfSound(task, note);
    const { bytes } = task.file;
    const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    const temperature = temperatureOf(task);
    const body: Json = {
      model,
      messages: [
        { role: "system", content: instructionsFor(task) },
        { role: "user", content: [{ type: "input_audio", input_audio: { data, format: formatOf(task) ?? "" } }] },
      ],
      ...(temperature !== undefined && { temperature }),
    };
    return { path: PATH, headers: {}, body: JSON.stringify(body) };
  },

  decodeResult(body) {
    const answer = answered(body);
    const choices = answer["choices"];
    const choice = isList(choices) ? object(choices[0]) : undefined;
    const words = object(choice?.["message"])?.["content"];
    if (choice?.["finish_reason"] === "length") throw broken("The provider stopped writing before the end of the recording.");
    if (typeof words !== "string") throw broken("The provider's answer holds no words.");
    const usage = object(answer["usage"]);
    return {
      operation: "transcribe",
      id: text(answer["id"]),
      model: text(answer["model"]),
      text: words.trim(),
      seconds: 0,
      usage: usage && decodeUsage(usage, undefined),
    };
  },
};

function formatOf({ file }: TranscribeTask): string | undefined {
  return FORMATS[soundType(file) ?? ""];
}

function lacks(task: TranscribeTask): string | undefined {
  return (
    cannotTell(task) ?? (formatOf(task) === undefined ? `hears WAV and MP3, and "${task.file.name.slice(0, 80)}" is neither` : undefined)
  );
}

function noDoor(): never {
  throw unsupported("This language has no door for transcriptions.");
}

/** Tasks that are put to a chat model in words. A provider's side alone: clients ask in languages that have the task. */
export default defineTaskDialect({ id: ID, title: "Chat models that hear", doors: [], tasks: { transcribe } });
