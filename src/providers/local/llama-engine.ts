import { LlamaTalk } from "./llama-chat.ts";
import type { LlamaEmbedder, LlamaLibrary, LlamaModel } from "./llama-library.ts";
import {
  EngineError,
  tooLong,
  type EmbedJob,
  type Engine,
  type Job,
  type ModelSpec,
  type Opened,
  type Outcome,
  type Piece,
} from "./protocol.ts";

/** Tokens of a conversation where the configuration names none: models are made for far more than most machines have memory for. */
const DEFAULT_CONTEXT = 4096;

/** GGUF models. Runs in the child. */
export async function openEngine(spec: ModelSpec): Promise<Engine> {
  const library = (await import(spec.library)) as LlamaLibrary;
  const complaints: string[] = [];
  const llama = await library.getLlama({
    build: "never",
    gpu: spec.gpuLayers === 0 ? false : "auto",
    skipDownload: true,
    progressLogs: false,
    maxThreads: spec.threads,
    logger: (level, message) => {
      if (level === "error" && complaints.length < 3) complaints.push(message.trim());
    },
  });
  let model: LlamaModel;
  try {
    model = await llama.loadModel({ modelPath: spec.path, gpuLayers: spec.gpuLayers ?? "auto" });
  } catch (error) {
    const said = complaints[0] ?? (error instanceof Error ? error.message : String(error));
    throw new EngineError({ kind: "unsupported", message: `${spec.path} cannot be read as a GGUF model: ${said.replace(/\.$/, "")}.` });
  }
  const contextTokens = spec.contextTokens ?? Math.min(model.trainContextSize, DEFAULT_CONTEXT);
  const opened: Opened = { contextTokens, trainedTokens: model.trainContextSize };
  if (spec.task === "embed") {
    const embedder = await model.createEmbeddingContext({ contextSize: contextTokens, threads: spec.threads });
    return new LlamaVectors(spec, opened, model, embedder);
  }
  const context = await model.createContext({ contextSize: contextTokens, sequences: spec.sequences, threads: spec.threads });
  return new LlamaTalk(
    library,
    llama,
    model,
    Array.from({ length: spec.sequences }, () => context.getSequence()),
    opened,
  );
}

class LlamaVectors implements Engine {
  readonly opened: Opened;
  readonly #spec: ModelSpec;
  readonly #model: LlamaModel;
  readonly #embedder: LlamaEmbedder;

  constructor(spec: ModelSpec, opened: Opened, model: LlamaModel, embedder: LlamaEmbedder) {
    this.#spec = spec;
    this.opened = opened;
    this.#model = model;
    this.#embedder = embedder;
  }

  async run(job: Job, _tell: (piece: Piece) => void, signal: AbortSignal): Promise<Outcome> {
    if (job.does !== "embed") throw new EngineError({ kind: "unsupported", message: "This model only makes embeddings." });
    const inputs = job.texts.map((text, at) => this.#fitting(job, text, at));
    const vectors: Float32Array[] = [];
    for (const { input } of inputs) {
      signal.throwIfAborted();
      const { vector } = await this.#embedder.getEmbeddingFor(input);
      vectors.push(Float32Array.from(this.#spec.normalize ? unit(vector) : vector));
    }
    const input = inputs.reduce((sum, { tokens }) => sum + tokens, 0);
    return { did: "embed", vectors, usage: { input, cached: 0, output: 0 } };
  }

  #fitting(job: EmbedJob, text: string, at: number): { readonly input: string | readonly number[]; readonly tokens: number } {
    const tokens = this.#embedder.calculateInputLength(text);
    const { contextTokens } = this.opened;
    if (tokens <= contextTokens) return { input: text, tokens };
    if (!job.truncate) throw tooLong(`Input ${at}`, tokens, contextTokens);
    const plain = this.#model.tokenize(text);
    // The library adds the marks of beginning and end itself.
    return { input: plain.slice(0, contextTokens - (tokens - plain.length)), tokens: contextTokens };
  }
}

function unit(vector: readonly number[]): readonly number[] {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}
