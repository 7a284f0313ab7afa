import {
  invalid,
  NO_USAGE,
  type JsonObject,
  type SpeechResult,
  type SpeechTask,
  type TaskAnswerContext,
  type TaskCodec,
} from "../../canon/index.ts";
import { camelCased, patched } from "../gemini/wire.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { sampleRateOf } from "../shared-sound.ts";
import { broken, object, refuseBeyond, tellLost, text, type Note } from "../shared-task-fields.ts";
import {
  answerIn,
  answerOf,
  asFrames,
  either,
  generationIn,
  givenBy,
  inlineOf,
  modelIn,
  pathTo,
  readTurn,
  refused,
  streamOf,
  unread,
  usageIn,
} from "./content.ts";
import { ID } from "./embed.ts";

const WAY = "generateContent";
/** What comes is bare samples: what can be made of them without compressing them. */
const FORMATS: ReadonlySet<string> = new Set(["wav", "pcm"]);
const DEFAULT_VOICE = "Kore";
/** Its prebuilt voices (Gemini API reference, speech generation). */
const VOICES: ReadonlySet<string> = new Set(
  (
    "Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus Iapetus Umbriel Algieba Despina Erinome Algenib Rasalgethi " +
    "Laomedeia Achernar Alnilam Schedar Gacrux Pulcherrima Achird Zubenelgenubi Vindemiatrix Sadachbia Sadaltager Sulafat"
  ).split(" "),
);
/** Fields of other languages whose meaning is carried. */
const SAID = new Set(["model", "input", "voice", "instructions", "response_format", "stream_format"]);

/** Speech by models that answer with sound: `models/NAME:generateContent`. Source: the `@google/genai` package's types (3.1). */
export const speech: TaskCodec<SpeechTask, SpeechResult> = {
  outline(body, { params }) {
    const { text: words } = readTurn(body);
    const { stream } = streamOf({ params });
    return { model: modelIn(params), stream, keep: false, background: false, units: { characters: words.length } };
  },

  decode({ fields: body }, { params }) {
    const { text: words, instructions, beyond, files, ...turn } = readTurn(body);
    if (words === "") throw invalid("`contents` holds no words to speak.", "contents");
    const generation = generationIn(body);
    const config = object(generation["speechConfig"]);
    const single = object(either(object(either(config, "voiceConfig")), "prebuiltVoiceConfig"));
    const voice = text(either(single, "voiceName"));
    const more =
      beyond ??
      (files.length > 0
        ? "sound to speak after"
        : either(config, "multiSpeakerVoiceConfig") === undefined
          ? undefined
          : "several speakers");
    const unspoken = [
      ...turn.unspoken,
      ...unread(generation, "generationConfig", ["responseModalities", "speechConfig"]),
      ...unread(camelCased(config ?? {}), "generationConfig.speechConfig", ["voiceConfig", "multiSpeakerVoiceConfig"]),
    ];
    return {
      operation: "speech",
      origin: { dialect: ID },
      model: modelIn(params),
      native: body,
      text: words,
      format: "pcm",
      ...streamOf({ params }),
      ...(voice !== undefined && { voice }),
      ...(instructions !== "" && { manner: instructions }),
      ...(more !== undefined && { beyond: more }),
      ...(unspoken.length > 0 && { unspoken }),
    };
  },

  lacks({ format, origin }) {
    if (origin.dialect === ID || format === undefined || FORMATS.has(format)) return undefined;
    return `speaks as \`wav\` or \`pcm\`, and \`${format}\` was asked for`;
  },

  encode(task, { model }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This model");
    const body = own ? ownBody(task) : crossed(task, note);
    return { path: pathTo(model, WAY), headers: {}, body: JSON.stringify(body) };
  },

  forward(body, context, { model }) {
    // The sound comes in one piece, whatever was asked for.
    if (streamOf(context).stream) return undefined;
    return { path: pathTo(model, WAY), headers: {}, replace: body["model"] === undefined ? {} : { model: `models/${model}` } };
  },

  decodeResult(body, { task }) {
    const answer = answerIn(body);
    const { files, finish, text: said } = givenBy(answer);
    const sound = files.filter(({ contentType }) => contentType.startsWith("audio/"));
    const [first] = sound;
    if (!first) throw refused(said === "" ? (finish ?? "nothing was spoken") : said);
    // Cut off in the middle of a sentence is no answer.
    if (finish !== undefined && finish !== "STOP") throw broken(`The provider stopped speaking before the end: ${finish}.`);
    const sampleRate = sampleRateOf(first.contentType);
    return {
      operation: "speech",
      model: text(answer["modelVersion"]),
      audio: Buffer.concat(sound.map(({ base64 }) => Buffer.from(base64, "base64"))),
      contentType: first.contentType,
      ...(sampleRate !== undefined && { sampleRate }),
      usage: usageIn(answer) ?? { ...NO_USAGE, media: { characters: task.text.length } },
    };
  },

  encodeResult(result, context) {
    const answer = told(result, context);
    return context.task.array ? [answer] : answer;
  },
  encodeFrames: (result, context) => asFrames(context.task, () => told(result, context)),
};

function told({ audio, contentType, sampleRate, usage, model: named }: SpeechResult, { model }: TaskAnswerContext<SpeechTask>): JsonObject {
  const type = sampleRate === undefined ? contentType : `audio/L16;codec=pcm;rate=${sampleRate}`;
  return answerOf([[inlineOf(type, audio)]], usage, named ?? model);
}

/** As it came, but for the words that somebody changed. */
function ownBody({ native, text: words, manner = "" }: SpeechTask): JsonObject {
  const turn = readTurn(native);
  if (turn.text === words && turn.instructions === manner) return native;
  return patched(native, {
    contents: [{ role: "user", parts: [{ text: words }] }],
    systemInstruction: manner === "" ? undefined : { parts: [{ text: manner }] },
  });
}

function crossed(task: SpeechTask, note: Note) {
  const { native, text: words, voice, manner, format, stream } = task;
  tellLost(native, SAID, note);
  noteUnspoken(task, note);
  const known = voice !== undefined && VOICES.has(voice);
  if (voice !== undefined && !known)
    note({ field: "voice", action: "degraded", reason: `The model has no voice of this name; ${DEFAULT_VOICE} speaks.` });
  if (format === undefined)
    note({ field: "response_format", action: "degraded", reason: "No format was asked for, and the sound comes as WAV." });
  if (stream) note({ field: "stream_format", action: "degraded", reason: "The sound comes when all of it is spoken." });
  return {
    contents: [{ role: "user", parts: [{ text: manner === undefined ? words : `${manner}\n\n${words}` }] }],
    generationConfig: {
      responseModalities: ["AUDIO"],
      speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: known ? voice : DEFAULT_VOICE } } },
    },
  };
}
