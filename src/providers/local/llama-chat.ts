import type { Json, JsonObject } from "../../canon/index.ts";
import type {
  ChatWrapper,
  Llama,
  LlamaChat,
  LlamaChatOptions,
  LlamaFunctions,
  LlamaGrammar,
  LlamaLibrary,
  LlamaModel,
  LlamaSaid,
  LlamaSequence,
  LlamaToken,
  LlamaTurn,
} from "./llama-library.ts";
import {
  EngineError,
  tooLong,
  type ChatJob,
  type Engine,
  type Job,
  type LocalTool,
  type Opened,
  type Outcome,
  type Piece,
  type Turn,
} from "./protocol.ts";
import { grammarSchema } from "./schema.ts";

const DEFAULT_TEMPERATURE = 0.8;
/** Tokens left free at the end of a context: the library puts marks of its own there. */
const RESERVE_TOKENS = 8;
/** Grammars that are kept; making one costs milliseconds. */
const KEPT_GRAMMARS = 32;

/** One context of the model, and the conversation that is in it. */
interface Seat {
  readonly sequence: LlamaSequence;
  readonly chat: LlamaChat;
  busy: boolean;
}

/** Conversations with a GGUF model: several side by side, each continuing from what its context still holds. */
export class LlamaTalk implements Engine {
  readonly opened: Opened;
  readonly #llama: Llama;
  readonly #model: LlamaModel;
  readonly #wrapper: ChatWrapper;
  readonly #seats: readonly Seat[];
  readonly #waiting: (() => void)[] = [];
  readonly #grammars = new Map<string, Promise<LlamaGrammar>>();

  constructor(library: LlamaLibrary, llama: Llama, model: LlamaModel, sequences: readonly LlamaSequence[], opened: Opened) {
    this.opened = opened;
    this.#llama = llama;
    this.#model = model;
    this.#wrapper = library.resolveChatWrapper(model);
    this.#seats = sequences.map((sequence) => ({
      sequence,
      chat: new library.LlamaChat({ contextSequence: sequence, chatWrapper: this.#wrapper }),
      busy: false,
    }));
  }

  async run(job: Job, tell: (piece: Piece) => void, signal: AbortSignal): Promise<Outcome> {
    if (job.does !== "chat") throw new EngineError({ kind: "unsupported", message: "This model only has conversations." });
    const history = historyOf(job);
    const functions = job.mustCall || job.tools.length === 0 ? undefined : functionsOf(job.tools);
    const tokens = this.#wrapper
      .generateContextState({ chatHistory: history, availableFunctions: functions, documentFunctionParams: true })
      .contextText.tokenize(this.#model.tokenizer);
    const room = this.opened.contextTokens - tokens.length - RESERVE_TOKENS;
    if (room < 1) throw tooLong("The conversation", tokens.length, this.opened.contextTokens - RESERVE_TOKENS - 1);
    const grammar = await this.#grammarFor(job);
    const seat = await this.#seat(tokens, signal);
    try {
      return await this.#answer(job, seat, history, tokens, { functions, grammar, room }, tell, signal);
    } catch (error) {
      // What a broken run left in its context is not to be gone on from.
      if (!signal.aborted) await seat.sequence.clearHistory();
      throw error;
    } finally {
      seat.busy = false;
      this.#waiting.shift()?.();
    }
  }

  async #answer(
    job: ChatJob,
    seat: Seat,
    history: readonly LlamaTurn[],
    tokens: readonly LlamaToken[],
    held: { readonly functions: LlamaFunctions | undefined; readonly grammar: LlamaGrammar | undefined; readonly room: number },
    tell: (piece: Piece) => void,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const before = seat.sequence.tokenMeter.getState();
    let forced = "";
    const { metadata, functionCalls = [] } = await seat.chat.generateResponse(history, {
      ...samplingOf(job),
      maxTokens: Math.min(job.maxTokens ?? held.room, held.room),
      signal,
      ...(job.stop.length > 0 && { customStopTriggers: job.stop }),
      // A context that is full ends the answer; the library would forget the conversation's beginning without a word.
      contextShift: { size: 1, strategy: contextFull },
      onResponseChunk: (chunk) => {
        if (chunk.text === "") return;
        if (job.mustCall) forced += chunk.text;
        else tell({ is: chunk.type === "segment" ? "thought" : "text", text: chunk.text });
      },
      ...(held.grammar !== undefined && { grammar: held.grammar }),
      ...(held.functions !== undefined && {
        functions: held.functions,
        documentFunctionParams: true,
        ...(!job.parallelCalls && { maxParallelFunctionCalls: 1 }),
      }),
    });
    const calls = functionCalls.map(({ functionName, params }) => ({ name: functionName, input: JSON.stringify(params ?? {}) }));
    const called = job.mustCall ? forcedCalls(forced) : calls;
    for (const call of called) tell({ is: "call", ...call });
    const after = seat.sequence.tokenMeter.getState();
    // The last token of the input is read together with the first of the output, and counted with neither.
    const read = after.usedInputTokens - before.usedInputTokens + 1;
    const usage = {
      input: tokens.length,
      cached: Math.max(0, tokens.length - read),
      output: after.usedOutputTokens - before.usedOutputTokens,
    };
    if (called.length > 0) return { did: "chat", stop: "calls", usage };
    if (metadata.stopReason === "maxTokens") return { did: "chat", stop: "length", usage };
    if (metadata.stopReason !== "customStopTrigger") return { did: "chat", stop: "end", usage };
    const stopText = metadata.customStopTrigger?.filter((part) => typeof part === "string").join("");
    return { did: "chat", stop: "stop", ...(stopText && { stopText }), usage };
  }

  /** The idle context that already holds most of this conversation; waits while all are busy. */
  async #seat(tokens: readonly LlamaToken[], signal: AbortSignal): Promise<Seat> {
    for (;;) {
      signal.throwIfAborted();
      const idle = this.#seats.filter(({ busy }) => !busy);
      const [best] = idle
        .map((seat) => ({ seat, held: seat.sequence.compareContextTokens(tokens).firstDifferentIndex }))
        .toSorted((a, b) => b.held - a.held);
      if (best) {
        best.seat.busy = true;
        return best.seat;
      }
      await new Promise<void>((go) => {
        this.#waiting.push(go);
        signal.addEventListener("abort", () => this.#leave(go), { once: true });
      });
    }
  }

  #leave(go: () => void): void {
    const at = this.#waiting.indexOf(go);
    if (at >= 0) this.#waiting.splice(at, 1);
    go();
  }

  async #grammarFor(job: ChatJob): Promise<LlamaGrammar | undefined> {
    if (job.mustCall) return this.#grammar(callSchema(job.tools));
    if (job.format.type === "schema") return this.#grammar(grammarSchema(job.format.schema, job.format.strict));
    return job.format.type === "json" ? this.#llama.getGrammarFor("json") : undefined;
  }

  #grammar(schema: JsonObject): Promise<LlamaGrammar> {
    const key = JSON.stringify(schema);
    const kept = this.#grammars.get(key);
    if (kept) return kept;
    if (this.#grammars.size >= KEPT_GRAMMARS) this.#grammars.clear();
    const made = this.#llama.createGrammarForJsonSchema(schema).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      throw new EngineError({ kind: "unsupported", message: `The JSON Schema cannot be made a grammar: ${message.slice(0, 500)}` });
    });
    this.#grammars.set(key, made);
    return made;
  }
}

function contextFull(): never {
  throw new EngineError({ kind: "upstream_broken", message: "The model's context is full." });
}

function samplingOf(job: ChatJob): Pick<LlamaChatOptions, "temperature" | "topP" | "topK" | "seed" | "repeatPenalty"> {
  const { temperature = DEFAULT_TEMPERATURE, topP, topK, seed, presencePenalty, frequencyPenalty } = job;
  return {
    temperature,
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(seed !== undefined && { seed }),
    repeatPenalty: presencePenalty || frequencyPenalty ? { penalty: 1, presencePenalty, frequencyPenalty } : false,
  };
}

function historyOf({ turns, mustCall, tools }: ChatJob): readonly LlamaTurn[] {
  const history = turns.map(turnOf);
  const instruction: LlamaTurn[] = mustCall ? [{ type: "system", text: callInstruction(tools) }] : [];
  const end: LlamaTurn[] = history.at(-1)?.type === "model" ? [] : [{ type: "model", response: [] }];
  return [...instruction, ...history, ...end];
}

function turnOf(turn: Turn): LlamaTurn {
  if (turn.role !== "model") return { type: turn.role, text: turn.text };
  return {
    type: "model",
    response: turn.said.map((part): LlamaSaid => {
      if ("text" in part) return part.text;
      if ("thought" in part) return { type: "segment", segmentType: "thought", text: part.thought, ended: true };
      const { name, input, result } = part.call;
      return { type: "functionCall", name, params: parsed(input), result: parsed(result) };
    }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function functionsOf(tools: readonly LocalTool[]): LlamaFunctions {
  return Object.fromEntries(
    tools.map(({ name, description, schema }) => [
      name,
      { ...(description !== undefined && { description }), ...(schema && { params: grammarSchema(schema, false) }) },
    ]),
  );
}

/** A call that must come is written as one object: templates have no words for "you must". */
function callSchema(tools: readonly LocalTool[]): JsonObject {
  const definitions: Record<string, Json> = {};
  const choices = tools.map(({ name, schema }, at): JsonObject => {
    const whole: JsonObject = schema ? grammarSchema(schema, false) : { type: "object", properties: {} };
    const { $defs, ...params } = whole;
    const prefix = `tool${at}_`;
    for (const [key, value] of Object.entries(($defs ?? {}) as JsonObject)) definitions[prefix + key] = renamed(value ?? null, prefix);
    return { type: "object", properties: { name: { const: name }, arguments: renamed(params, prefix) } };
  });
  return { oneOf: choices, ...(Object.keys(definitions).length > 0 && { $defs: definitions }) };
}

/** Definitions of several tools live side by side, so each gets its tool's prefix. */
function renamed(schema: Json, prefix: string): Json {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/$defs/', `"$ref":"#/$defs/${prefix}`)) as Json;
}

function callInstruction(tools: readonly LocalTool[]): string {
  const offered = tools.map(({ name, description, schema }) => JSON.stringify({ name, description, parameters: schema ?? {} }));
  return `Call one of these functions. Answer only with JSON: {"name": its name, "arguments": its arguments}.\n${offered.join("\n")}`;
}

/** Undone by a limit in the middle it is no call. */
function forcedCalls(text: string): readonly { readonly name: string; readonly input: string }[] {
  const call = parsed(text);
  if (typeof call !== "object" || call === null || !("name" in call) || typeof call.name !== "string") return [];
  return [{ name: call.name, input: JSON.stringify("arguments" in call ? call.arguments : {}) }];
}
