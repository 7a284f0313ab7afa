import type { TaskOperation, TaskSupport } from "../canon/index.ts";
import type { CatalogRow } from "./catalog.ts";

/** The tasks that a kind of provider takes. */
export type TaskRow = { readonly [O in TaskOperation]?: TaskSupport };

const OPENAI = "openai-tasks";
const COHERE = "cohere-tasks";
const GEMINI = "gemini-tasks";
const OLLAMA = "ollama-tasks";
const MISTRAL = "mistral-tasks";
const JINA = "jina";
const VOYAGE = "voyage";
const TEI = "tei";
const CHAT = "chat-tasks";

const MIB = 1024 * 1024;
const inOne = (dialect: string, limits: Omit<TaskSupport, "dialects"> = {}): TaskSupport => ({ dialects: [dialect], ...limits });

/** Sound files that hosted transcribers take. */
const SOUND_BYTES = 25 * MIB;
/** A request of 20 MB that holds its sound in base64. */
const HEARD_BYTES = 14 * MIB;
/** Models that answer with images and sound, and hear. */
const MAKES_AND_HEARS: TaskRow = { image: inOne(GEMINI), speech: inOne(GEMINI), transcribe: inOne(GEMINI, { maxFileBytes: HEARD_BYTES }) };
/** A server of one's own that speaks OpenAI's API: whatever its models can do. */
const OWN_SERVER: TaskRow = {
  embed: inOne(OPENAI),
  rerank: { dialects: [JINA, COHERE] },
  moderate: inOne(OPENAI),
  image: inOne(OPENAI),
  speech: inOne(OPENAI),
  transcribe: inOne(OPENAI),
};
const OPENAI_EMBED: TaskSupport = inOne(OPENAI, { maxInputs: 2048, maxInputTokens: 8192, maxTotalTokens: 300_000, base64: true });

/** By kind of provider. Limits are those that vendors and servers state for their usual models; the configuration corrects them. */
const TASKS: Readonly<Record<string, TaskRow>> = {
  openai: {
    embed: OPENAI_EMBED,
    moderate: inOne(OPENAI),
    image: inOne(OPENAI),
    speech: inOne(OPENAI),
    transcribe: inOne(OPENAI, { maxFileBytes: SOUND_BYTES }),
  },
  azure: {
    embed: OPENAI_EMBED,
    image: inOne(OPENAI),
    speech: inOne(OPENAI),
    transcribe: inOne(OPENAI, { maxFileBytes: SOUND_BYTES }),
  },
  mistral: {
    embed: inOne(OPENAI, {
      maxInputs: 512,
      maxInputTokens: 8192,
      maxTotalTokens: 16_384,
      renames: { dimensions: "output_dimension", user: null },
    }),
    moderate: inOne(MISTRAL),
    transcribe: inOne(OPENAI, { renames: { response_format: null, prompt: null } }),
  },
  local: { embed: inOne(OPENAI), rerank: inOne(JINA), moderate: inOne(OPENAI) },
  groq: { speech: inOne(OPENAI), transcribe: inOne(OPENAI, { maxFileBytes: SOUND_BYTES }) },
  together: {
    embed: inOne(OPENAI, { renames: { user: null } }),
    rerank: inOne(JINA),
    image: inOne(OPENAI, {
      sizes: "sides",
      sources: "image_url",
      values: { response_format: { b64_json: "base64" } },
      renames: { quality: null, style: null, background: null, moderation: null, user: null },
    }),
    speech: inOne(OPENAI),
    transcribe: inOne(OPENAI),
  },
  fireworks: { embed: inOne(OPENAI), rerank: inOne(JINA), transcribe: inOne(OPENAI) },
  openrouter: { embed: inOne(OPENAI), transcribe: inOne(CHAT, { maxFileBytes: HEARD_BYTES }) },
  xai: {
    image: inOne(OPENAI, {
      sizes: "aspect_ratio",
      sources: "image",
      renames: { style: null, background: null, moderation: null, output_compression: null },
    }),
  },
  "workers-ai": { embed: inOne(OPENAI, { maxInputs: 100 }) },
  nvidia: { embed: inOne(OPENAI) },
  baseten: { embed: inOne(OPENAI) },
  sambanova: { embed: inOne(OPENAI), transcribe: inOne(OPENAI) },
  cohere: { embed: inOne(COHERE, { maxInputs: 96 }), rerank: inOne(COHERE, { maxInputs: 1000 }) },
  gemini: { embed: inOne(GEMINI, { maxInputs: 100 }), ...MAKES_AND_HEARS },
  vertex: MAKES_AND_HEARS,
  vllm: { ...OWN_SERVER, embed: inOne(OPENAI, { base64: true }) },
  ollama: { embed: { dialects: [OLLAMA, OPENAI] } },
  llamacpp: { embed: inOne(OPENAI, { base64: true }), rerank: inOne(JINA) },
  lmstudio: { embed: inOne(OPENAI) },
  sglang: { embed: inOne(OPENAI), rerank: inOne(JINA) },
  "openai-compatible": OWN_SERVER,
  jina: {
    embed: inOne(OPENAI, { renames: { encoding_format: "embedding_type", user: null } }),
    rerank: inOne(JINA, { maxInputs: 2048 }),
  },
  voyage: {
    embed: inOne(VOYAGE, { maxInputs: 1000, maxInputTokens: 32_000, maxTotalTokens: 120_000 }),
    rerank: inOne(VOYAGE, { maxInputs: 1000 }),
  },
  tei: { embed: inOne(TEI, { maxInputs: 32 }), rerank: inOne(TEI, { maxInputs: 32 }) },
  infinity: { embed: inOne(OPENAI, { maxInputs: 2048, base64: true }), rerank: inOne(JINA) },
};

export function tasksOf(kind: string): TaskRow {
  return Object.hasOwn(TASKS, kind) ? (TASKS[kind] ?? {}) : {};
}

const TASKS_ONLY = { auth: { style: "bearer" }, dialects: [], wire: {}, assume: {}, hints: [] } as const;

/** Providers with which no conversation can be had. */
export const TASK_CATALOG: Readonly<Record<string, CatalogRow>> = {
  cohere: {
    ...TASKS_ONLY,
    title: "Cohere",
    baseUrl: "https://api.cohere.com",
    environment: ["COHERE_API_KEY", "CO_API_KEY"],
    needsKey: true,
    dialects: ["cohere-chat"],
    wire: { streamUsage: true, audio: false, files: false },
    assume: { tools: true, vision: true, structuredOutput: true },
    hints: ["command-a-03-2025", "command-r7b-12-2024"],
    quirks: [
      "must be told what vectors are for",
      "usage counts what is billed: a preamble of the provider's own is among the tokens, and free",
      "JSON output only where no tools are offered",
    ],
  },
  voyage: {
    ...TASKS_ONLY,
    title: "Voyage AI",
    baseUrl: "https://api.voyageai.com/v1",
    environment: ["VOYAGE_API_KEY"],
    needsKey: true,
    quirks: ["embeddings and reranking only", "tells queries and documents apart"],
  },
  jina: {
    ...TASKS_ONLY,
    title: "Jina AI",
    baseUrl: "https://api.jina.ai/v1",
    environment: ["JINA_API_KEY"],
    needsKey: true,
    quirks: ["embeddings and reranking only"],
  },
  tei: {
    ...TASKS_ONLY,
    title: "Text Embeddings Inference",
    baseUrl: "http://127.0.0.1:8080",
    baseUrlEnvironment: ["TEI_BASE_URL"],
    environment: ["TEI_API_KEY"],
    needsKey: false,
    localPort: 8080,
    quirks: ["one model a server, so any name will do", "32 inputs a request unless the server was started with more"],
  },
  infinity: {
    ...TASKS_ONLY,
    title: "Infinity",
    baseUrl: "http://127.0.0.1:7997",
    baseUrlEnvironment: ["INFINITY_BASE_URL"],
    environment: ["INFINITY_API_KEY"],
    needsKey: false,
    modelsPath: "/models",
    ownedBy: "infinity",
    localPort: 7997,
    quirks: ["embeddings and reranking only"],
  },
};
