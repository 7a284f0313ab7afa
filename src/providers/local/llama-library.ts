import type { JsonObject } from "../../canon/index.ts";

// What is used of `node-llama-cpp` 3, which is not installed with this program. Source: its own documentation, version 3.22.

export interface LlamaLibrary {
  getLlama(options: {
    /** `never`: only what came prebuilt with the package. */
    readonly build: "never";
    readonly gpu: "auto" | false;
    readonly skipDownload: boolean;
    readonly progressLogs: boolean;
    readonly maxThreads: number;
    readonly logger: (level: string, message: string) => void;
  }): Promise<Llama>;
  readonly LlamaChat: new (options: { readonly contextSequence: LlamaSequence; readonly chatWrapper: ChatWrapper }) => LlamaChat;
  resolveChatWrapper(model: LlamaModel): ChatWrapper;
}

export interface Llama {
  loadModel(options: { readonly modelPath: string; readonly gpuLayers?: number | "auto" }): Promise<LlamaModel>;
  createGrammarForJsonSchema(schema: JsonObject): Promise<LlamaGrammar>;
  getGrammarFor(kind: "json"): Promise<LlamaGrammar>;
}

declare const brand: unique symbol;
export interface LlamaGrammar {
  readonly [brand]?: "grammar";
}
export type LlamaToken = number;

export interface LlamaModel {
  readonly trainContextSize: number;
  readonly tokenizer: unknown;
  tokenize(text: string): readonly LlamaToken[];
  createContext(options: {
    readonly contextSize: number;
    readonly sequences: number;
    readonly threads: number;
  }): Promise<{ getSequence(): LlamaSequence; readonly contextSize: number }>;
  createEmbeddingContext(options: { readonly contextSize: number; readonly threads: number }): Promise<LlamaEmbedder>;
}

export interface LlamaEmbedder {
  getEmbeddingFor(input: string | readonly LlamaToken[]): Promise<{ readonly vector: readonly number[] }>;
  calculateInputLength(input: string | readonly LlamaToken[]): number;
}

export interface LlamaSequence {
  readonly tokenMeter: { getState(): MeterState };
  compareContextTokens(tokens: readonly LlamaToken[]): { readonly firstDifferentIndex: number };
  clearHistory(): Promise<void>;
}
export interface MeterState {
  readonly usedInputTokens: number;
  readonly usedOutputTokens: number;
}

export type LlamaSaid =
  | string
  | { readonly type: "segment"; readonly segmentType: "thought"; readonly text: string; readonly ended: boolean }
  | {
      readonly type: "functionCall";
      readonly name: string;
      readonly params: unknown;
      readonly result: unknown;
      readonly startsNewChunk?: boolean;
    };
export type LlamaTurn =
  | { readonly type: "system" | "user"; readonly text: string }
  | { readonly type: "model"; readonly response: readonly LlamaSaid[] };

export type LlamaFunctions = Readonly<Record<string, { readonly description?: string; readonly params?: JsonObject }>>;

export interface ChatWrapper {
  generateContextState(options: {
    readonly chatHistory: readonly LlamaTurn[];
    readonly availableFunctions?: LlamaFunctions | undefined;
    readonly documentFunctionParams: boolean;
  }): { readonly contextText: { tokenize(tokenizer: unknown): readonly LlamaToken[] } };
}

export interface LlamaChat {
  generateResponse(history: readonly LlamaTurn[], options: LlamaChatOptions): Promise<LlamaResponse>;
}

export interface LlamaChatOptions {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly repeatPenalty:
    | false
    | { readonly penalty: number; readonly frequencyPenalty?: number | undefined; readonly presencePenalty?: number | undefined };
  readonly signal: AbortSignal;
  readonly customStopTriggers?: readonly string[];
  readonly onResponseChunk: (chunk: { readonly type?: "segment"; readonly segmentType?: string; readonly text: string }) => void;
  readonly contextShift: { readonly size: number; readonly strategy: () => never };
  readonly grammar?: LlamaGrammar;
  readonly functions?: LlamaFunctions;
  readonly documentFunctionParams?: boolean;
  readonly maxParallelFunctionCalls?: number;
}

export interface LlamaResponse {
  readonly functionCalls?: readonly { readonly functionName: string; readonly params: unknown }[];
  readonly metadata: { readonly stopReason: string; readonly customStopTrigger?: readonly unknown[] };
}
