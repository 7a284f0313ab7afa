import { type TaskCodec, type TranscribeResult, type TranscribeTask } from "../../canon/index.ts";
import { soundType } from "../shared-sound.ts";
import { answered, broken, text, unsupported } from "../shared-task-fields.ts";
import { cannotTell, instructionsFor, temperatureOf, tellLostOfSound } from "../shared-transcribe.ts";
import { givenBy, inlineOf, pathTo, refused, usageIn } from "./content.ts";

const WAY = "generateContent";

/**
 * Transcription by models that hear: `models/NAME:generateContent` with the sound and the instruction to write down what is said. The
 * language has no door for it: its clients ask for it in conversations. Source: the Gemini API reference, audio understanding.
 */
export const transcribe: TaskCodec<TranscribeTask, TranscribeResult> = {
  outline: noDoor,
  decode: noDoor,
  forward: noDoor,
  encodeResult: noDoor,

  lacks: cannotTell,

  encode(task, { model }, note) {
    const lacking = cannotTell(task);
    if (lacking !== undefined) throw unsupported(`This model ${lacking}.`);
    tellLostOfSound(task, note);
    const temperature = temperatureOf(task);
    const body = {
      systemInstruction: { parts: [{ text: instructionsFor(task) }] },
      contents: [{ role: "user", parts: [inlineOf(soundType(task.file) ?? "", task.file.bytes)] }],
      generationConfig: { responseMimeType: "text/plain", ...(temperature !== undefined && { temperature }) },
    };
    return { path: pathTo(model, WAY), headers: {}, body: JSON.stringify(body) };
  },

  decodeResult(body) {
    const answer = answered(body);
    const { text: words, finish } = givenBy(answer);
    if (finish === "MAX_TOKENS") throw broken("The provider stopped writing before the end of the recording.");
    if (finish !== undefined && finish !== "STOP") throw refused(finish);
    if (finish === undefined && words === "") throw broken("The provider's answer has no candidate.");
    return { operation: "transcribe", model: text(answer["modelVersion"]), text: words.trim(), seconds: 0, usage: usageIn(answer) };
  },
};

function noDoor(): never {
  throw unsupported("This language has no door for transcriptions.");
}
