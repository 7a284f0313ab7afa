import {
  ProblemError,
  type Dialect,
  type EmbedTask,
  type Json,
  type JsonObject,
  type RerankDocument,
  type Task,
  type TaskOperation,
  type TaskResult,
  type UpstreamCall,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import type { Job, Outcome } from "./protocol.ts";
import { usageOf } from "./reply.ts";

/** Labels that flag nothing. */
const HARMLESS = ["safe", "benign", "clean", "neutral", "ok", "label_0"];
/** A label whose share is larger flags a text. */
const FLAGGING_SHARE = 0.5;

/** @throws ProblemError invalid_request, unsupported */
export function readTask(dialect: Dialect, call: UpstreamCall): Task {
  const codec = dialect.tasks?.[call.operation as TaskOperation];
  if (!codec) throw new ProblemError({ kind: "unsupported", message: `${dialect.title} has no words for this.` });
  const { headers, body } = call.request;
  const fields = parseJson(typeof body === "string" ? body : body.toString("utf8"));
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    throw new ProblemError({ kind: "invalid_request", message: "The body is not a JSON object." });
  return codec.decode({ fields: fields as JsonObject, files: [] }, { operation: call.operation, headers, params: { model: call.model } });
}

/** @throws ProblemError unsupported, for what no model in process does */
export function jobOf(task: Task): Job {
  switch (task.operation) {
    case "embed":
      return { does: "embed", texts: embedTexts(task), truncate: task.truncate === "end" };
    case "rerank":
      return { does: "rerank", query: task.query, documents: task.documents.map(documentText), truncate: task.truncate ?? true };
    case "moderate":
      return { does: "classify", texts: task.inputs.map(moderatedText) };
    case "image":
    case "speech":
    case "transcribe":
      throw unsupported(`Models in process take no ${task.operation} tasks.`, "model");
  }
}

function embedTexts({ inputs, encodings, truncate }: EmbedTask): readonly string[] {
  const unknown = encodings.find((encoding) => encoding !== "float" && encoding !== "base64");
  if (unknown !== undefined) throw unsupported(`Models in process write no ${unknown} vectors.`, "encoding_format");
  if (truncate === "start") throw unsupported("Models in process cut texts at their end only.", "truncate");
  return inputs.map((input) => {
    if (typeof input === "string") return input;
    throw unsupported("Models in process take texts, not numbers of tokens: each has numbers of its own.", "input");
  });
}

function documentText(document: RerankDocument): string {
  if (typeof document === "string") return document;
  const { text } = document;
  return typeof text === "string" ? text : Object.values(document).map(String).join(" ");
}

function moderatedText(input: Json): string {
  if (typeof input === "string") return input;
  const text = typeof input === "object" && input !== null && !Array.isArray(input) ? (input as JsonObject)["text"] : undefined;
  if (typeof text !== "string") throw unsupported("Models in process judge texts only.", "input");
  return text;
}

/** @throws ProblemError unsupported, where the vectors have other dimensions than asked for */
export function resultOf(task: Task, outcome: Outcome, model: string, harmless: readonly string[] = HARMLESS): TaskResult {
  const usage = outcome.did === "chat" ? undefined : usageOf(outcome.usage);
  if (task.operation === "embed" && outcome.did === "embed") {
    const made = outcome.vectors[0]?.length ?? 0;
    if (task.dimensions !== undefined && task.dimensions !== made)
      throw unsupported(`The model's vectors have ${made} dimensions, not ${task.dimensions}.`, "dimensions");
    return { operation: "embed", model, vectors: { float: outcome.vectors.map((vector) => [...vector]) }, usage };
  }
  if (task.operation === "rerank" && outcome.did === "rerank") {
    const scored = outcome.scores.map((score, index) => ({ index, score, ...documentOf(task.returnDocuments, task.documents[index]) }));
    const ranked = scored.toSorted((a, b) => b.score - a.score || a.index - b.index).slice(0, task.topN ?? scored.length);
    return { operation: "rerank", model, ranked, usage };
  }
  if (task.operation === "moderate" && outcome.did === "classify") {
    const quiet = new Set(harmless.map((label) => label.toLowerCase()));
    return { operation: "moderate", model, verdicts: outcome.labels.map((scores) => verdictOf(scores, quiet)), usage };
  }
  throw new ProblemError({ kind: "internal", message: "The model did something else than it was asked for." });
}

function documentOf(wanted: boolean, document: RerankDocument | undefined): { readonly document?: RerankDocument } {
  return wanted && document !== undefined ? { document } : {};
}

function verdictOf(shares: Readonly<Record<string, number>>, quiet: ReadonlySet<string>) {
  const scores = Object.fromEntries(Object.entries(shares).filter(([label]) => !quiet.has(label.toLowerCase())));
  const categories = Object.fromEntries(Object.entries(scores).map(([label, share]) => [label, share > FLAGGING_SHARE]));
  const flagged = Object.values(categories).includes(true);
  const native: JsonObject = { flagged, categories, category_scores: scores };
  return { flagged, categories, scores, native };
}

function unsupported(message: string, param: string): ProblemError {
  return new ProblemError({ kind: "unsupported", message, param });
}
