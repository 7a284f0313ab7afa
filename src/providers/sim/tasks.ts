import { hash } from "node:crypto";
import {
  NO_USAGE,
  ProblemError,
  type Dialect,
  type EmbedTask,
  type Json,
  type JsonObject,
  type ModerateResult,
  type Provider,
  type RerankDocument,
  type Task,
  type TaskBody,
  type TaskOperation,
  type TaskResult,
  type TaskSupport,
  type UpstreamCall,
  type VectorEncoding,
  type Vectors,
} from "../../canon/index.ts";
import { openForm } from "../../dialects/task-body.ts";
import { parseJson, SeededRandomness } from "../../kit/index.ts";
import { pngOf, samplesOf, secondsOf, waveOf } from "./media.ts";
import { tokensOf } from "./words.ts";

/** Dimensions where none are asked for, and at most. */
const DIMENSIONS = 256;
const MOST_DIMENSIONS = 4096;
/** Tokens of one text, so that newcomers see what becomes of longer ones. */
const MOST_TOKENS = 8192;
const SIDE = 16;

/** Every task in every language that has it. */
export function simTasks(dialects: Iterable<Dialect>): NonNullable<Provider["tasks"]> {
  const tasks: { [O in TaskOperation]?: TaskSupport } = {};
  for (const { id, tasks: codecs } of dialects)
    for (const operation of Object.keys(codecs ?? {}) as TaskOperation[])
      tasks[operation] = {
        dialects: [...(tasks[operation]?.dialects ?? []), id],
        ...(operation === "embed" && { maxInputTokens: MOST_TOKENS }),
      };
  return tasks;
}

/** A simulated answer, as its upstream would send it. */
export interface SimTaskAnswer {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Answers a task: the same one always the same way. @throws ProblemError invalid_request, unsupported */
export function answerTask(dialect: Dialect, call: UpstreamCall, unique: string, now: number): SimTaskAnswer {
  const codec = dialect.tasks?.[call.operation as TaskOperation];
  if (!codec) throw new ProblemError({ kind: "unsupported", message: `${dialect.title} has no words for this.` });
  const { headers, path } = call.request;
  // A path ends in the name of what is asked, which is how the doors tell their variants.
  const variant = /[^/:]*$/.exec(path)?.[0] ?? "";
  const context = { operation: call.operation, headers, params: { model: call.model, variant } };
  const task = codec.decode(bodyOf(call), context);
  const result = resultOf(task, call.model);
  const answer = { task, model: call.model, unique, createdAt: Math.floor(now / 1000) };
  const raw = codec.encodeRaw?.(result, answer);
  if (raw) return { contentType: raw.contentType, headers: {}, body: Buffer.from(raw.bytes) };
  const own = codec.answerHeaders?.(result) ?? {};
  return { contentType: "application/json", headers: own, body: Buffer.from(JSON.stringify(codec.encodeResult(result, answer))) };
}

function bodyOf({ request }: UpstreamCall): TaskBody {
  const bytes = Buffer.from(request.body);
  const type = request.headers["content-type"];
  if (type?.startsWith("multipart/")) {
    const form = openForm(bytes, type, () => "");
    if (!form.ok) throw new ProblemError({ kind: "invalid_request", message: form.message });
    return form.body;
  }
  const fields = parseJson(bytes.toString("utf8"));
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    throw new ProblemError({ kind: "invalid_request", message: "The body is not a JSON object." });
  return { fields: fields as JsonObject, files: [] };
}

function resultOf(task: Task, model: string): TaskResult {
  switch (task.operation) {
    case "embed":
      return { operation: "embed", model, vectors: vectorsOf(task), usage: { ...NO_USAGE, inputUncached: embedTokens(task) } };
    case "rerank": {
      const scored = task.documents.map((document, index) => ({ index, score: overlap(task.query, wordsIn(document)) }));
      const ranked = scored.toSorted((a, b) => b.score - a.score).slice(0, task.topN ?? scored.length);
      const tokens = tokensOf(task.query) * task.documents.length + tokensOf(task.documents.map(wordsIn).join(""));
      return {
        operation: "rerank",
        model,
        ranked,
        usage: { ...NO_USAGE, inputUncached: tokens, media: { search_units: Math.ceil(task.documents.length / 100) } },
      };
    }
    case "moderate":
      return {
        operation: "moderate",
        model,
        verdicts: task.inputs.map((input) => verdictOn(typeof input === "string" ? input : JSON.stringify(input))),
        usage: { ...NO_USAGE, inputUncached: tokensOf(JSON.stringify(task.inputs)) },
      };
    case "image": {
      const images = Array.from({ length: task.count }, (_, at) => ({
        base64: pngOf(SIDE, colourOf(`${task.prompt}\0${at}`)).toString("base64"),
      }));
      return { operation: "image", model, images, createdAt: 0, usage: undefined };
    }
    case "speech": {
      const samples = samplesOf(task.text, 200 + (seedOf(task.text) % 400));
      const plain = task.format === "pcm";
      return {
        operation: "speech",
        model,
        audio: plain ? samples : waveOf(samples),
        contentType: plain ? "audio/pcm" : "audio/wav",
        usage: undefined,
      };
    }
    case "transcribe": {
      const words = `A recording of ${task.file.bytes.length} bytes${task.translate ? ", translated" : ""}.`;
      return { operation: "transcribe", model, text: words, seconds: secondsOf(words), usage: undefined };
    }
  }
}

function embedTokens({ inputs }: EmbedTask): number {
  let tokens = 0;
  for (const [at, input] of inputs.entries()) {
    const own = typeof input === "string" ? tokensOf(input) : input.length;
    if (own > MOST_TOKENS)
      throw new ProblemError({
        kind: "upstream_rejected",
        message: `Input ${at} has ${own} tokens; the simulator takes ${MOST_TOKENS}.`,
        param: `input[${at}]`,
      });
    tokens += own;
  }
  return tokens;
}

function vectorsOf({ inputs, dimensions = DIMENSIONS, encodings }: EmbedTask): Vectors {
  if (dimensions > MOST_DIMENSIONS)
    throw new ProblemError({
      kind: "invalid_request",
      message: `The simulator has at most ${MOST_DIMENSIONS} dimensions.`,
      param: "dimensions",
    });
  const float = inputs.map((input) => unitVector(typeof input === "string" ? input : input.join(","), dimensions));
  const written: Record<VectorEncoding, () => readonly (readonly number[])[]> = {
    float: () => float,
    // The codec writes it from floats.
    base64: () => float,
    int8: () => float.map((vector) => vector.map((value) => Math.round(value * 127))),
    uint8: () => float.map((vector) => vector.map((value) => Math.round((value + 1) * 127.5))),
    binary: () => float.map((vector) => bitsOf(vector, -128)),
    ubinary: () => float.map((vector) => bitsOf(vector, 0)),
  };
  return Object.fromEntries(encodings.map((encoding) => [encoding === "base64" ? "float" : encoding, written[encoding]()]));
}

/** Of length 1, drawn from the text: equal texts have equal vectors. Each value is one that a 32-bit float holds. */
export function unitVector(text: string, dimensions: number): readonly number[] {
  const random = new SeededRandomness(seedOf(text));
  const drawn = Array.from({ length: dimensions }, () => random.number() - 0.5);
  const length = Math.hypot(...drawn) || 1;
  return drawn.map((value) => Math.fround(value / length));
}

function bitsOf(vector: readonly number[], offset: number): readonly number[] {
  const bytes: number[] = [];
  for (let at = 0; at < vector.length; at += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) if ((vector[at + bit] ?? 0) > 0) byte |= 128 >> bit;
    bytes.push(byte + offset);
  }
  return bytes;
}

function seedOf(text: string): number {
  return Number.parseInt(hash("sha256", text, "hex").slice(0, 8), 16);
}

function colourOf(text: string): readonly [number, number, number] {
  const seed = seedOf(text);
  return [seed & 255, (seed >> 8) & 255, (seed >> 16) & 255];
}

function wordsIn(document: RerankDocument): string {
  return typeof document === "string" ? document : Object.values(document).map(String).join(" ");
}

/** Share of the query's words that the document has, 0 to 1. */
function overlap(query: string, document: string): number {
  const wanted = new Set(query.toLowerCase().match(/[\p{L}\p{N}]+/gu));
  const held = new Set(document.toLowerCase().match(/[\p{L}\p{N}]+/gu));
  let common = 0;
  for (const word of wanted) if (held.has(word)) common++;
  return wanted.size === 0 ? 0 : common / wanted.size;
}

/** Words by which the simulator judges; a real model knows better. */
const CATEGORIES: Readonly<Record<string, RegExp>> = {
  violence: /\b(?:kill|murder|attack|shoot)\b/i,
  harassment: /\b(?:idiot|stupid|loser)\b/i,
  "self-harm": /\b(?:suicide|self-harm)\b/i,
};

function verdictOn(text: string): ModerateResult["verdicts"][number] {
  const categories = Object.fromEntries(Object.entries(CATEGORIES).map(([name, words]) => [name, words.test(text)]));
  const scores = Object.fromEntries(Object.entries(categories).map(([name, found]) => [name, found ? 0.99 : 0.01]));
  const flagged = Object.values(categories).includes(true);
  const native: Readonly<Record<string, Json>> = { flagged, categories, category_scores: scores };
  return { flagged, categories, scores, native };
}
