import type { EmbedPurpose, EmbedResult, EmbedTask, RerankResult, RerankTask, TaskCodec, VectorEncoding } from "../../canon/index.ts";
import { vectorsOf } from "../openai-tasks/embed.ts";
import { rankedOf, readDocuments, rowsOf, textOfDocument } from "../shared-rerank.ts";
import {
  answered,
  demand,
  inputUsage,
  listIn,
  object,
  read,
  readCount,
  readInputs,
  refuseBeyond,
  renamed,
  renaming,
  text,
  unsupported,
  type Draft,
  type Note,
} from "../shared-task-fields.ts";
import { fitting, vectorsIn } from "../shared-vectors.ts";
import { defineTaskDialect } from "../task-dialect.ts";

const ID = "voyage";
const EMBED = "/embeddings";
const RERANK = "/rerank";

const WORDS: Readonly<Record<EmbedPurpose, "query" | "document" | undefined>> = {
  query: "query",
  document: "document",
  similarity: undefined,
  classification: undefined,
  clustering: undefined,
  question: "query",
  fact: "query",
  code: "query",
};

/**
 * Only a provider's side: its clients come to the doors of the languages that it resembles. Source: the vendor's reference and recorded
 * traffic.
 */
const embed: TaskCodec<EmbedTask, EmbedResult> = {
  outline: (body) => ({ model: demand(body, "model", "string"), stream: false, keep: false, background: false }),

  decode({ fields: body }) {
    const dimensions = readCount(body, "output_dimension");
    const dtype = read(body, "output_dtype", "string");
    const base64 = read(body, "encoding_format", "string") === "base64";
    return {
      operation: "embed",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      ...readInputs(body["input"], "input", false),
      encodings: [dtype !== undefined && dtype !== "float" ? (dtype as VectorEncoding) : base64 ? "base64" : "float"],
      truncate: read(body, "truncation", "boolean") === false ? "none" : "end",
      ...(dimensions !== undefined && { dimensions }),
    };
  },

  encode(task, { model, support }, note) {
    refuseBeyond(task, "This language");
    if (!task.inputs.every((input) => typeof input === "string"))
      throw unsupported("This language takes texts, not token numbers.", "input");
    const body: Draft = { model, input: task.single ? task.inputs[0] : task.inputs, ...crossed(task, note) };
    return { path: EMBED, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: EMBED, headers: {}, replace: renaming(body, support) }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const usage = inputUsage(object(answer["usage"])?.["total_tokens"]);
    return fitting({ operation: "embed", model: text(answer["model"]), vectors: vectorsOf(listIn(answer, "data"), task), usage }, task);
  },

  encodeResult(result, { task, model }) {
    const data = vectorsIn(result.vectors, task.encodings[0] ?? "float").map((embedding, index) => ({
      object: "embedding",
      index,
      embedding,
    }));
    return { object: "list", data: data, model: result.model ?? model, usage: { total_tokens: result.usage?.inputUncached ?? 0 } };
  },
};

function crossed({ purpose, dimensions, encodings, title, truncate }: EmbedTask, note: Note): Draft {
  const [encoding = "float", ...more] = encodings;
  if (more.length > 0) throw unsupported(`This language gives vectors in one encoding a call, and ${encodings.join(", ")} were asked for.`);
  if (title !== undefined) note({ field: "title", action: "dropped", reason: "The language has no titles." });
  if (purpose && WORDS[purpose] === undefined)
    note({ field: "purpose", action: "dropped", reason: "The language tells queries and documents apart, and nothing else." });
  return {
    truncation: truncate !== undefined && truncate !== "none",
    ...(purpose && WORDS[purpose] !== undefined && { input_type: WORDS[purpose] }),
    ...(dimensions !== undefined && { output_dimension: dimensions }),
    ...(encoding === "base64" && { encoding_format: "base64" }),
    ...(encoding !== "base64" && encoding !== "float" && { output_dtype: encoding }),
  };
}

const rerank: TaskCodec<RerankTask, RerankResult> = {
  outline: (body) => ({ model: demand(body, "model", "string"), stream: false, keep: false, background: false }),

  decode({ fields: body }) {
    const topN = readCount(body, "top_k");
    return {
      operation: "rerank",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      query: demand(body, "query", "string"),
      documents: readDocuments(body["documents"], "documents"),
      returnDocuments: read(body, "return_documents", "boolean") ?? false,
      truncate: read(body, "truncation", "boolean") ?? true,
      ...(topN !== undefined && { topN }),
    };
  },

  encode({ query, documents, topN, truncate }, { model, support }, note) {
    const body: Draft = { model, query, documents: documents.map(textOfDocument), top_k: topN, truncation: truncate ?? true };
    return { path: RERANK, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: RERANK, headers: {}, replace: renaming(body, support) }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const usage = inputUsage(object(answer["usage"])?.["total_tokens"]);
    return { operation: "rerank", model: text(answer["model"]), ranked: rankedOf(listIn(answer, "data"), task, "relevance_score"), usage };
  },

  encodeResult: (result, { task, model }) => ({
    object: "list",
    data: rowsOf(result, task, "relevance_score", (document) => ({ document })),
    model: result.model ?? model,
    usage: { total_tokens: result.usage?.inputUncached ?? 0 },
  }),
};

export default defineTaskDialect({ id: ID, title: "Voyage", doors: [], tasks: { embed, rerank } });
