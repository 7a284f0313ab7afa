import type { TensorLike, TextModel, Tokenizer, TransformersLibrary } from "./onnx-library.ts";
import { EngineError, tooLong, type Engine, type Job, type ModelSpec, type Opened, type Outcome, type Piece } from "./protocol.ts";

/** Tokens of a text where neither the configuration nor the model says how many it takes. */
const DEFAULT_TOKENS = 512;
/** Texts that go through the model together. */
const BATCH = 16;

/** ONNX models. Runs in the child. */
export async function openEngine(spec: ModelSpec): Promise<Engine> {
  const library = (await import(spec.library)) as TransformersLibrary;
  library.env.allowRemoteModels = spec.hub !== undefined;
  library.env.allowLocalModels = spec.hub === undefined;
  // Local models are named by their absolute path.
  library.env.localModelPath = "/";
  library.env.useFSCache = spec.cacheFolder !== undefined;
  if (spec.cacheFolder !== undefined) library.env.cacheDir = spec.cacheFolder;
  const options = {
    dtype: spec.dtype,
    device: "cpu",
    session_options: { intraOpNumThreads: spec.threads, interOpNumThreads: 1 },
  } as const;
  const { AutoModel, AutoModelForSequenceClassification, AutoTokenizer } = library;
  try {
    const tokenizer = await AutoTokenizer.from_pretrained(spec.path);
    const kind = spec.task === "embed" ? AutoModel : AutoModelForSequenceClassification;
    return new OnnxEngine(spec, tokenizer, await kind.from_pretrained(spec.path, options));
  } catch (error) {
    const said = (error instanceof Error ? error.message : String(error)).slice(0, 500).replace(/\.$/, "");
    throw new EngineError({ kind: "unsupported", message: `${spec.path} cannot be read as an ONNX model: ${said}.` });
  }
}

interface Texts {
  readonly first: readonly string[];
  /** What goes with each of them, where the model reads pairs. */
  readonly second?: readonly string[];
  readonly truncate: boolean;
}

class OnnxEngine implements Engine {
  readonly opened: Opened;
  readonly #spec: ModelSpec;
  readonly #tokenizer: Tokenizer;
  readonly #model: TextModel;
  /** One text after the other: threads are shared out within each already. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(spec: ModelSpec, tokenizer: Tokenizer, model: TextModel) {
    this.#spec = spec;
    this.#tokenizer = tokenizer;
    this.#model = model;
    const known = [tokenizer.model_max_length, model.config.max_position_embeddings].filter(
      (length): length is number => typeof length === "number" && length > 0 && length < 1e9,
    );
    this.opened = { contextTokens: spec.contextTokens ?? (known.length > 0 ? Math.min(...known) : DEFAULT_TOKENS) };
  }

  run(job: Job, _tell: (piece: Piece) => void, signal: AbortSignal): Promise<Outcome> {
    const mine = this.#last.then(() => this.#do(job, signal));
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #do(job: Job, signal: AbortSignal): Promise<Outcome> {
    if (job.does !== this.#spec.task) throw new EngineError({ kind: "unsupported", message: `This model is for ${this.#spec.task}.` });
    switch (job.does) {
      case "embed": {
        const { rows, usage } = await this.#batches({ first: job.texts, truncate: job.truncate }, signal, (output, inputs) =>
          pooled(output, inputs["attention_mask"], this.#spec),
        );
        return { did: "embed", vectors: rows, usage };
      }
      case "rerank": {
        const texts = { first: job.documents.map(() => job.query), second: job.documents, truncate: job.truncate };
        const { rows, usage } = await this.#batches(texts, signal, (output) => rowsOf(logitsIn(output)));
        return { did: "rerank", scores: rows.map(relevance), usage };
      }
      case "classify": {
        const { rows, usage } = await this.#batches({ first: job.texts, truncate: false }, signal, (output) => rowsOf(logitsIn(output)));
        return { did: "classify", labels: rows.map((row) => this.#labelled(row)), usage };
      }
      case "chat":
        throw new EngineError({ kind: "unsupported", message: "ONNX models have no conversations here." });
    }
  }

  async #batches(
    { first, second, truncate }: Texts,
    signal: AbortSignal,
    read: (output: Readonly<Record<string, TensorLike>>, inputs: Readonly<Record<string, TensorLike>>) => readonly Float32Array[],
  ): Promise<{ readonly rows: readonly Float32Array[]; readonly usage: { input: number; cached: number; output: number } }> {
    const { contextTokens } = this.opened;
    const rows: Float32Array[] = [];
    let input = 0;
    for (const [at, text] of first.entries()) {
      const pair = second?.[at];
      const { length } = this.#tokenizer.encode(text, pair === undefined ? {} : { text_pair: pair });
      if (length > contextTokens && !truncate) throw tooLong(`${second ? "Document" : "Input"} ${at}`, length, contextTokens);
      input += Math.min(length, contextTokens);
    }
    for (let at = 0; at < first.length; at += BATCH) {
      signal.throwIfAborted();
      const pairs = second?.slice(at, at + BATCH);
      const inputs = this.#tokenizer(first.slice(at, at + BATCH), {
        ...(pairs && { text_pair: pairs }),
        padding: true,
        truncation: true,
        max_length: contextTokens,
      });
      rows.push(...read(await this.#model(inputs), inputs));
    }
    return { rows, usage: { input, cached: 0, output: 0 } };
  }

  #labelled(row: Float32Array): Readonly<Record<string, number>> {
    const { id2label = {}, problem_type: kind } = this.#model.config;
    const shares = kind === "multi_label_classification" || row.length === 1 ? [...row].map(sigmoid) : softmax(row);
    return Object.fromEntries(shares.map((share, at) => [id2label[String(at)] ?? `LABEL_${at}`, share]));
  }
}

function logitsIn(output: Readonly<Record<string, TensorLike>>): TensorLike {
  const { logits } = output;
  if (!logits) throw new EngineError({ kind: "unsupported", message: "The ONNX model has no output named logits." });
  return logits;
}

function rowsOf({ data, dims }: TensorLike): readonly Float32Array[] {
  const width = dims[1] ?? 1;
  return Array.from({ length: dims[0] ?? 0 }, (_, at) =>
    Float32Array.from({ length: width }, (_value, place) => Number(data[at * width + place])),
  );
}

/** One vector a text, of its tokens' vectors. */
function pooled(output: Readonly<Record<string, TensorLike>>, mask: TensorLike | undefined, spec: ModelSpec): readonly Float32Array[] {
  const whole = output["sentence_embedding"];
  const tokens = output["last_hidden_state"] ?? output["token_embeddings"];
  if (whole && whole.dims.length === 2) return rowsOf(whole).map((row) => (spec.normalize ? unit(row) : row));
  if (!tokens || !mask) throw new EngineError({ kind: "unsupported", message: "The ONNX model has no output of tokens' vectors." });
  const [texts = 0, length = 0, width = 0] = tokens.dims;
  return Array.from({ length: texts }, (_, text) => {
    const vector = new Float32Array(width);
    let counted = 0;
    for (let token = 0; token < length; token++) {
      if (Number(mask.data[text * length + token]) === 0) continue;
      const start = (text * length + token) * width;
      for (let place = 0; place < width; place++) vector[place] = (vector[place] ?? 0) + Number(tokens.data[start + place]);
      counted++;
      if (spec.pooling === "cls") break;
    }
    if (counted > 1) for (let place = 0; place < width; place++) vector[place] = (vector[place] ?? 0) / counted;
    return spec.normalize ? unit(vector) : vector;
  });
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

/** A cross-encoder says how well a pair fits by one number, or by the shares of "no" and "yes". */
function relevance(row: Float32Array): number {
  return row.length === 1 ? sigmoid(row[0] ?? 0) : (softmax(row).at(-1) ?? 0);
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}

function softmax(row: Float32Array): readonly number[] {
  const highest = Math.max(...row);
  const powers = [...row].map((value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}
