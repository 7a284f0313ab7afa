import type { Modality, ModelOperation } from "../canon/index.ts";
import { bareModel, compilePattern } from "./pattern.ts";

/** What models of some names can be asked for. The last row that matches counts. Patterns match the name after its last slash, in lower case. */
export interface OperationRow {
  readonly models: readonly string[];
  readonly operations: readonly ModelOperation[];
  /** What comes out besides what the operations say. */
  readonly makes?: readonly Modality[];
}

/** Sources: the makers' lists of models. A name that no row matches may be asked for whatever its provider takes. */
export const OPERATION_ROWS: readonly OperationRow[] = [
  {
    models: [
      "gpt-*",
      "chatgpt-*",
      "o1*",
      "o3*",
      "o4*",
      "codex-*",
      "claude-*",
      "gemini-*",
      "gemma*",
      "deepseek-*",
      "grok-*",
      "mistral-*",
      "ministral-*",
      "magistral-*",
      "codestral*",
      "devstral*",
      "pixtral-*",
      "voxtral-*",
      "open-mi*",
      "kimi-*",
      "llama-*",
      "llama3*",
      "llama4*",
      "meta-llama*",
      "qwen*",
      "qwq*",
      "glm-*",
      "sonar*",
      "command*",
      "c4ai-aya*",
      "babbage*",
      "davinci*",
      "curie*",
      "text-davinci-*",
      "ft:gpt-*",
      "computer-use*",
      "mixtral-*",
      "nemotron*",
      "phi-*",
      "minimax-*",
      "hermes-*",
      "granite-*",
      "solar-*",
      "yi-*",
    ],
    operations: ["generate"],
  },
  { models: ["gpt-4o-audio*", "gpt-4o-mini-audio*", "gpt-audio*"], operations: ["generate"], makes: ["audio"] },
  { models: ["gpt-5*-image*"], operations: ["generate"], makes: ["image"] },
  { models: ["gemini-*", "voxtral-*"], operations: ["generate", "transcribe"] },
  { models: ["gemini-*-image*"], operations: ["generate", "image"], makes: ["image"] },
  { models: ["gemini-*-tts*"], operations: ["generate", "speech"], makes: ["audio"] },
  { models: ["*embed*", "voyage-*", "bge-*", "text-similarity-*", "text-search-*", "plamo-*embedding*"], operations: ["embed"] },
  { models: ["*rerank*"], operations: ["rerank"] },
  { models: ["*moderation*"], operations: ["moderate"] },
  {
    models: ["dall-e*", "gpt-image*", "chatgpt-image*", "imagen-*", "grok-2-image*", "grok-imagine-image*", "flux*", "stable-diffusion*"],
    operations: ["image"],
  },
  { models: ["tts-*", "gpt-*-tts*", "playai-tts*"], operations: ["speech"] },
  { models: ["whisper*", "gpt-*-transcribe*", "voxtral-*-transcribe*"], operations: ["transcribe"] },
  {
    models: ["gpt-realtime*", "gpt-4o-realtime*", "gpt-4o-mini-realtime*", "gemini-*-live*", "gemini-*native-audio*"],
    operations: ["realtime"],
  },
  { models: ["sora*", "veo-*", "grok-imagine-video*"], operations: [] },
];

const COMPILED = OPERATION_ROWS.map((row) => ({ row, matches: row.models.map(compilePattern) }));

/** What the rows say of a model; undefined when none matches. */
export function operationsFromRows(model: string): Omit<OperationRow, "models"> | undefined {
  const name = bareModel(model);
  const found = COMPILED.findLast(({ matches }) => matches.some((match) => match(name)))?.row;
  if (!found) return undefined;
  return { operations: found.operations, ...(found.makes && { makes: found.makes }) };
}
