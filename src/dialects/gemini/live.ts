import {
  invalid,
  NO_USAGE,
  type ClientWord,
  type Heard,
  type Json,
  type JsonObject,
  type RealtimeLanguage,
  type ServerWord,
  type Usage,
} from "../../canon/index.ts";
import { count, isList, object, text } from "../shared-shape.ts";

const pathOf = (version: string): string => `/ws/google.ai.generativelanguage.${version}.GenerativeService.BidiGenerateContent`;
/** The one that has everything the others have. */
const PATH = pathOf("v1beta");
const MODELS = "models/";
/** Sound goes out with 24 kHz and 16 bits, 25 tokens a second. */
const SOUND_BYTES_PER_TOKEN = 1920;
const BASE64 = 0.75;
const CHARACTERS_PER_TOKEN = 4;

/** Gemini's Live API. Source: the types of `@google/genai` 3 (`LiveClientMessage`, `LiveServerMessage`) and the Live API reference. */
export const live: RealtimeLanguage = {
  paths: [PATH, pathOf("v1"), pathOf("v1alpha")],
  modelAsked: () => undefined,
  modelIn(first) {
    const named = text(object(first["setup"])?.["model"]);
    if (named === undefined) throw invalid("setup.model: the first message of a session names its model.", "setup.model");
    return bare(named);
  },
  address: () => PATH,
  client,
  server,
  // This language has no message for failures: whoever reads it learns of them as the socket closes.
  problem: (problem, callId) => JSON.stringify({ error: { status: problem.kind, message: `${problem.message} (${callId})` } }),
  host: {
    greet: () => [],
    hear,
    answer: (said, usage) => [
      { serverContent: { modelTurn: { role: "model", parts: [{ text: said }] } } },
      { serverContent: { generationComplete: true } },
      {
        serverContent: { turnComplete: true },
        usageMetadata: {
          promptTokenCount: usage.inputUncached,
          responseTokenCount: usage.output,
          totalTokenCount: usage.inputUncached + usage.output,
        },
      },
    ],
  },
};

function bare(model: string): string {
  return model.startsWith(MODELS) ? model.slice(MODELS.length) : model;
}

function client(message: JsonObject, model: string): ClientWord {
  const setup = object(message["setup"]);
  const content = object(message["clientContent"]);
  const tools = list(setup?.["tools"]).flatMap((tool) => namesIn(object(tool) ?? {}));
  const asks = content !== undefined && content["turnComplete"] !== false;
  const isSound = Object.keys(message).every((key) => key === "realtimeInput");
  if (isSound) return { tools, asks };
  // What is written anew says everything once: a name that stands twice could be read otherwise elsewhere.
  return { tools, asks, instead: setup ? { ...message, setup: { ...setup, model: MODELS + model } } : message };
}

/** Functions by their names, tools of the provider's own by their kind. */
function namesIn(tool: JsonObject): string[] {
  return Object.entries(tool).flatMap(([kind, value]) =>
    kind === "functionDeclarations" ? list(value).map((declared) => text(object(declared)?.["name"]) ?? "") : [kind],
  );
}

function server(message: JsonObject): ServerWord {
  const content = object(message["serverContent"]);
  const usage = object(message["usageMetadata"]);
  const parts = list(object(content?.["modelTurn"])?.["parts"]);
  const outputTokens = parts.reduce<number>((sum, part) => sum + tokensOf(object(part) ?? {}), 0);
  return {
    ...(content?.["turnComplete"] === true && { answer: "ends" }),
    ...(outputTokens > 0 && { outputTokens }),
    ...(usage && { usage: usageOf(usage) }),
  };
}

function tokensOf(part: JsonObject): number {
  const sound = text(object(part["inlineData"])?.["data"]);
  if (sound !== undefined) return (sound.length * BASE64) / SOUND_BYTES_PER_TOKEN;
  return (text(part["text"])?.length ?? 0) / CHARACTERS_PER_TOKEN;
}

/** Thoughts stand beside the answer, what was cached within the prompt. */
function usageOf(usage: JsonObject): Usage {
  const prompt = count(usage["promptTokenCount"]) + count(usage["toolUsePromptTokenCount"]);
  const cached = Math.min(count(usage["cachedContentTokenCount"]), prompt);
  const thoughts = count(usage["thoughtsTokenCount"]);
  const heard = soundIn(usage["promptTokensDetails"]);
  const spoken = soundIn(usage["responseTokensDetails"]);
  const media = { ...(heard > 0 && { input_audio_tokens: heard }), ...(spoken > 0 && { output_audio_tokens: spoken }) };
  return {
    ...NO_USAGE,
    inputUncached: prompt - cached,
    cacheRead: cached,
    output: count(usage["responseTokenCount"]) + thoughts,
    reasoning: thoughts,
    ...(Object.keys(media).length > 0 && { media }),
  };
}

function soundIn(details: Json | undefined): number {
  const of = list(details).map((detail) => object(detail));
  return count(of.find((detail) => detail?.["modality"] === "AUDIO")?.["tokenCount"]);
}

function hear(message: JsonObject): Heard {
  if (message["setup"] !== undefined) return { replies: [{ setupComplete: {} }], asks: false };
  const content = object(message["clientContent"]);
  const written = text(object(message["realtimeInput"])?.["text"]);
  if (!content) return { replies: [], ...(written !== undefined && { said: written }), asks: written !== undefined };
  const parts = list(content["turns"]).flatMap((turn) => list(object(turn)?.["parts"]));
  const said = parts.map((part) => text(object(part)?.["text"]) ?? "").join("");
  return { replies: [], said, asks: content["turnComplete"] !== false };
}

function list(value: Json | undefined): readonly Json[] {
  return isList(value) ? value : [];
}
