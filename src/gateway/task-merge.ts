import {
  addUsage,
  type EmbedResult,
  type ImageResult,
  type ModerateResult,
  type RerankResult,
  type Task,
  type TaskResult,
  type TaskSupport,
  type Usage,
  type VectorEncoding,
} from "../canon/index.ts";
import { textOfDocument } from "../dialects/shared-rerank.ts";
import { vectorsIn } from "../dialects/shared-vectors.ts";
import { mostTokens } from "./task-limits.ts";

/**
 * A task in pieces that a provider takes in one request each, in the order of its inputs; itself, where it is not too large.
 * @param most inputs that the model takes at once, where that is less than its provider does
 */
export function slicesOf(task: Task, support: TaskSupport, most = Number.MAX_SAFE_INTEGER): readonly Task[] {
  const { maxTotalTokens = Number.MAX_SAFE_INTEGER } = support;
  const maxInputs = Math.min(most, support.maxInputs ?? Number.MAX_SAFE_INTEGER);
  switch (task.operation) {
    case "embed": {
      const ranges = rangesOf(task.inputs, maxInputs, maxTotalTokens);
      if (ranges.length < 2 || task.beyond !== undefined) return [task];
      return ranges.map(([from, to]) => ({ ...task, inputs: task.inputs.slice(from, to), single: false }));
    }
    case "rerank": {
      // The query is read once more with each document.
      const ranges = rangesOf(task.documents.map(textOfDocument), maxInputs, maxTotalTokens, task.query);
      if (ranges.length < 2) return [task];
      const { topN: _topN, ...whole } = task;
      // The best of all may all be in one piece: every piece is ranked whole.
      return ranges.map(([from, to]) => ({ ...whole, documents: task.documents.slice(from, to) }));
    }
    case "moderate":
      if (task.inputs.length <= maxInputs) return [task];
      return counted(task.inputs.length, maxInputs).map(([from, to]) => ({ ...task, inputs: task.inputs.slice(from, to), single: false }));
    case "image":
      if (task.count <= maxInputs) return [task];
      return counted(task.count, maxInputs).map(([from, to]) => ({ ...task, count: to - from, stream: false }));
    case "speech":
    case "transcribe":
      return [task];
  }
}

type Range = readonly [from: number, to: number];

function counted(length: number, most: number): readonly Range[] {
  return Array.from({ length: Math.ceil(length / most) }, (_, at): Range => [at * most, Math.min(length, (at + 1) * most)]);
}

function rangesOf(inputs: readonly (string | readonly number[])[], maxInputs: number, maxTokens: number, beside = ""): readonly Range[] {
  const each = beside === "" ? 0 : mostTokens(beside);
  const ranges: Range[] = [];
  let from = 0;
  let tokens = 0;
  for (const [at, input] of inputs.entries()) {
    const own = maxTokens === Number.MAX_SAFE_INTEGER ? 0 : mostTokens(input) + each;
    if (at > from && (at - from >= maxInputs || tokens + own > maxTokens)) {
      ranges.push([from, at]);
      from = at;
      tokens = 0;
    }
    tokens += own;
  }
  return [...ranges, [from, inputs.length]];
}

/** The answers to the pieces as one answer to the whole. */
export function merged(task: Task, slices: readonly Task[], results: readonly TaskResult[]): TaskResult {
  const usage = sumOf(results);
  const model = results.find((result) => result.model !== undefined)?.model;
  switch (task.operation) {
    case "embed":
      return { operation: "embed", model, vectors: vectorsOf(results as readonly EmbedResult[]), usage };
    case "rerank": {
      const ranked = (results as readonly RerankResult[]).flatMap((result, piece) => {
        const before = slices.slice(0, piece).reduce((sum, slice) => sum + (slice.operation === "rerank" ? slice.documents.length : 0), 0);
        return result.ranked.map((row) => ({ ...row, index: row.index + before }));
      });
      return {
        operation: "rerank",
        model,
        ranked: ranked.toSorted((a, b) => b.score - a.score).slice(0, task.topN ?? ranked.length),
        usage,
      };
    }
    case "image": {
      const made = results as readonly ImageResult[];
      return { operation: "image", model, images: made.flatMap(({ images }) => images), createdAt: made[0]?.createdAt ?? 0, usage };
    }
    default:
      return { operation: "moderate", model, verdicts: (results as readonly ModerateResult[]).flatMap(({ verdicts }) => verdicts), usage };
  }
}

/** In the encodings of the first piece: a server may change its mind between two requests. */
function vectorsOf(results: readonly EmbedResult[]): EmbedResult["vectors"] {
  const encodings = Object.keys(results[0]?.vectors ?? {}) as readonly VectorEncoding[];
  return Object.fromEntries(
    encodings.map((encoding) => [encoding, results.flatMap(({ vectors }): readonly unknown[] => vectorsIn(vectors, encoding))]),
  );
}

/** Undefined where one of them does not say: then all of it is estimated. */
function sumOf(results: readonly TaskResult[]): Usage | undefined {
  let sum: Usage | undefined;
  for (const { usage } of results) {
    if (!usage) return undefined;
    sum = sum ? addUsage(sum, usage) : usage;
  }
  return sum;
}
