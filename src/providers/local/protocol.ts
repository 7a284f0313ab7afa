import type { JsonObject, ProblemKind } from "../../canon/index.ts";

/** What a model in process is for. */
export type LocalTask = "chat" | "embed" | "rerank" | "classify";

/** Everything the child needs to open one model. */
export interface ModelSpec {
  readonly task: LocalTask;
  /** Absolute path of a GGUF file, or of a folder with an ONNX model. */
  readonly path: string;
  /** URL of the engine's module, which exports `openEngine`. */
  readonly engine: string;
  /** URL of the optional package that the engine runs on. */
  readonly library: string;
  /** Tokens that one conversation or text may have; undefined: what the model was made for, within the engine's own bound. */
  readonly contextTokens?: number | undefined;
  readonly gpuLayers?: number | undefined;
  /** Conversations at once, each with its own context. */
  readonly sequences: number;
  readonly threads: number;
  readonly pooling: "mean" | "cls";
  readonly normalize: boolean;
  /** File of weights, as the package names its kinds: `fp32`, `q8`, ... */
  readonly dtype: string;
  /** Name of a model on a hub, where it may be fetched from there. */
  readonly hub?: string | undefined;
  /** Where what was fetched from a hub is kept. */
  readonly cacheFolder?: string | undefined;
}

/** One thing that the model said before: text, or a tool that it called and what that gave. */
export type SaidPart =
  | { readonly text: string }
  | { readonly thought: string }
  | { readonly call: { readonly name: string; readonly input: string; readonly result: string } };

export type Turn =
  | { readonly role: "system" | "user"; readonly text: string }
  | { readonly role: "model"; readonly said: readonly SaidPart[] };

export interface LocalTool {
  readonly name: string;
  readonly description?: string | undefined;
  readonly schema?: JsonObject | undefined;
}

/** A conversation as an engine takes it. */
export interface ChatJob {
  readonly does: "chat";
  readonly turns: readonly Turn[];
  readonly tools: readonly LocalTool[];
  /** The model must call one of the tools. */
  readonly mustCall: boolean;
  readonly parallelCalls: boolean;
  readonly format:
    | { readonly type: "text" }
    | { readonly type: "json" }
    | { readonly type: "schema"; readonly schema: JsonObject; readonly strict: boolean };
  readonly maxTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly seed?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly stop: readonly string[];
}
export interface EmbedJob {
  readonly does: "embed";
  readonly texts: readonly string[];
  /** Cut what is too long, at its end, instead of refusing it. */
  readonly truncate: boolean;
}
export interface RerankJob {
  readonly does: "rerank";
  readonly query: string;
  readonly documents: readonly string[];
  readonly truncate: boolean;
}
export interface ClassifyJob {
  readonly does: "classify";
  readonly texts: readonly string[];
}
export type Job = ChatJob | EmbedJob | RerankJob | ClassifyJob;

/** Exact counts, by the model's own tokenizer. */
export interface JobUsage {
  /** All input tokens. */
  readonly input: number;
  /** Those of them that were still in memory from before and were not read again. */
  readonly cached: number;
  readonly output: number;
}

/** What comes while a conversation is answered. */
export type Piece =
  | { readonly is: "text"; readonly text: string }
  | { readonly is: "thought"; readonly text: string }
  /** A tool is called, with all its arguments as JSON text. */
  | { readonly is: "call"; readonly name: string; readonly input: string };

export type Outcome =
  | { readonly did: "chat"; readonly stop: "end" | "length" | "stop" | "calls"; readonly stopText?: string; readonly usage: JobUsage }
  | { readonly did: "embed"; readonly vectors: readonly Float32Array[]; readonly usage: JobUsage }
  /** One score a document, in their order; 0 to 1. */
  | { readonly did: "rerank"; readonly scores: readonly number[]; readonly usage: JobUsage }
  /** One mapping of labels to shares a text. */
  | { readonly did: "classify"; readonly labels: readonly Readonly<Record<string, number>>[]; readonly usage: JobUsage };

/** What is known of a model once it is open. */
export interface Opened {
  /** Tokens of one conversation or text. */
  readonly contextTokens: number;
  /** What the model was made for, where its file says. */
  readonly trainedTokens?: number | undefined;
}

/** An open model. Jobs may run side by side; each ends in its outcome or throws. */
export interface Engine {
  readonly opened: Opened;
  run(job: Job, tell: (piece: Piece) => void, signal: AbortSignal): Promise<Outcome>;
}

/** What an engine's module exports. @throws EngineError when the file cannot be used */
export type OpenEngine = (spec: ModelSpec) => Promise<Engine>;

/** A problem that a child reports as data. */
export interface Fault {
  readonly kind: Extract<ProblemKind, "invalid_request" | "unsupported" | "upstream_unavailable" | "upstream_broken" | "cancelled">;
  readonly message: string;
  readonly code?: string;
}

/** Thrown by engines for what is not their defect. */
export class EngineError extends Error {
  readonly fault: Fault;
  constructor(fault: Fault, options?: ErrorOptions) {
    super(fault.message, options);
    this.name = "EngineError";
    this.fault = fault;
  }
}

export function tooLong(what: string, tokens: number, limit: number): EngineError {
  return new EngineError({
    kind: "invalid_request",
    code: "context_length_exceeded",
    message: `${what} has ${tokens} tokens; this model takes ${limit}.`,
  });
}

export type ToChild =
  | { readonly tell: "open"; readonly spec: ModelSpec }
  | { readonly tell: "run"; readonly id: number; readonly job: Job }
  | { readonly tell: "cancel"; readonly id: number };

export type FromChild =
  | { readonly said: "opened"; readonly opened: Opened }
  | { readonly said: "unusable"; readonly fault: Fault }
  | { readonly said: "piece"; readonly id: number; readonly piece: Piece }
  | { readonly said: "done"; readonly id: number; readonly outcome: Outcome }
  | { readonly said: "failed"; readonly id: number; readonly fault: Fault };
