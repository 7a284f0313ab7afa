import type { JsonObject, RerankDocument, RerankResult, RerankTask, TaskCodec } from "../../canon/index.ts";
import { rankedOf, readDocuments, rowsOf, searchUnits, textOfDocument } from "../shared-rerank.ts";
import {
  answered,
  demand,
  inputUsage,
  isList,
  object,
  read,
  readCount,
  renamed,
  renaming,
  text,
  type Draft,
} from "../shared-task-fields.ts";
import { defineTaskDialect } from "../task-dialect.ts";

const ID = "jina";
const PATH = "/rerank";

/** Voyage's clients come to the same door; by these fields they are known, and their answer has another shape. */
const VOYAGE_FIELDS = ["top_k", "truncation"] as const;

/**
 * `POST /rerank` as Jina, Infinity, vLLM and Together have it. The answer's rows stand in `results`; for a client that asks as Voyage's do,
 * in `data`. Source: recorded traffic and the vendors' references.
 */
const rerank: TaskCodec<RerankTask, RerankResult> = {
  outline(body) {
    const documents = body["documents"];
    const units = isList(documents) ? searchUnits(documents.length) : 1;
    return {
      model: demand(body, "model", "string"),
      stream: false,
      keep: false,
      background: false,
      units: { search_units: units },
      ...(asksAsVoyage(body) && { slow: "the client reads another shape" }),
    };
  },

  decode({ fields: body }) {
    const topN = readCount(body, "top_n") ?? readCount(body, "top_k");
    const truncate = read(body, "truncation", "boolean");
    return {
      operation: "rerank",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      query: demand(body, "query", "string"),
      documents: readDocuments(body["documents"], "documents"),
      // Infinity's and Voyage's default is no, Jina's yes; a document that was not asked for costs its size.
      returnDocuments: read(body, "return_documents", "boolean") ?? false,
      ...(topN !== undefined && { topN }),
      ...(truncate !== undefined && { truncate }),
    };
  },

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    const body: Draft = own ? { ...task.native } : {};
    for (const field of VOYAGE_FIELDS) delete body[field];
    body["model"] = model;
    body["query"] = task.query;
    body["documents"] = own ? task.documents : task.documents.map(textOfDocument);
    body["top_n"] = task.topN;
    // The gateway has the documents itself.
    body["return_documents"] = false;
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward(body, _context, { support }) {
    return { path: PATH, headers: {}, replace: renaming(body, support) };
  },

  decodeResult(body, { task }) {
    const answer = answered(body);
    const rows = isList(answer["results"]) ? answer["results"] : answer["data"];
    const usage = object(answer["usage"]);
    return {
      operation: "rerank",
      id: text(answer["id"]),
      model: text(answer["model"]),
      ranked: rankedOf(isList(rows) ? rows : [], task, "relevance_score"),
      usage: inputUsage(usage?.["total_tokens"] ?? usage?.["prompt_tokens"]),
    };
  },

  encodeResult(result, { task, model }) {
    const tokens = result.usage?.inputUncached ?? 0;
    const voyage = asksAsVoyage(task.native);
    const rows = rowsOf(result, task, "relevance_score", (document) => ({ document: voyage ? document : shown(document) }));
    return {
      object: "list",
      model: result.model ?? model,
      ...(voyage ? { data: rows } : { results: rows }),
      usage: { total_tokens: tokens, ...(!voyage && { prompt_tokens: tokens }) },
    };
  },
};

function asksAsVoyage(native: JsonObject): boolean {
  return native["top_n"] === undefined && VOYAGE_FIELDS.some((field) => native[field] !== undefined);
}

function shown(document: RerankDocument): RerankDocument {
  return typeof document === "string" ? { text: document } : document;
}

export default defineTaskDialect({
  id: ID,
  title: "Jina Rerank",
  doors: [{ method: "POST", path: "/v1/rerank", does: { kind: "call", operation: "rerank" } }],
  tasks: { rerank },
  problemBody: ({ message, kind }, callId) => ({ detail: message, type: kind, gimbal_call_id: callId }),
});
