import type { RerankResult, RerankTask, TaskCodec } from "../../canon/index.ts";
import { rankedOf, readDocuments, rowsOf, searchUnits, textOfDocument } from "../shared-rerank.ts";
import {
  answered,
  count,
  demand,
  inputUsage,
  listIn,
  object,
  read,
  readCount,
  renamed,
  renaming,
  text,
  type Draft,
} from "../shared-task-fields.ts";
import { ID } from "./embed.ts";

const PATH = "/v2/rerank";

/** `POST /v2/rerank`. Source: the `cohere-ai` package's types (8.1) and recorded traffic. */
export const rerank: TaskCodec<RerankTask, RerankResult> = {
  outline(body) {
    const documents = body["documents"];
    const units = Array.isArray(documents) ? searchUnits(documents.length) : 1;
    return { model: demand(body, "model", "string"), stream: false, keep: false, background: false, units: { search_units: units } };
  },

  decode({ fields: body }) {
    const topN = readCount(body, "top_n");
    return {
      operation: "rerank",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      query: demand(body, "query", "string"),
      documents: readDocuments(body["documents"], "documents"),
      returnDocuments: read(body, "return_documents", "boolean") ?? false,
      ...(topN !== undefined && { topN }),
    };
  },

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    const body: Draft = own ? { ...task.native } : {};
    body["model"] = model;
    body["query"] = task.query;
    body["documents"] = own ? task.documents : task.documents.map(textOfDocument);
    body["top_n"] = task.topN;
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: PATH, headers: {}, replace: renaming(body, support) }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const meta = object(answer["meta"]);
    const units = count(object(meta?.["billed_units"])?.["search_units"]);
    const tokens = object(meta?.["tokens"])?.["input_tokens"];
    return {
      operation: "rerank",
      id: text(answer["id"]),
      ranked: rankedOf(listIn(answer, "results"), task, "relevance_score"),
      usage: units > 0 ? inputUsage(tokens, { search_units: units }) : inputUsage(tokens),
    };
  },

  encodeResult(result, { task, unique }) {
    const units = result.usage?.media?.["search_units"];
    const tokens = result.usage?.inputUncached ?? 0;
    return {
      id: result.id ?? unique,
      results: rowsOf(result, task, "relevance_score", (document) => ({
        document: typeof document === "string" ? { text: document } : document,
      })),
      meta: {
        api_version: { version: "2" },
        billed_units: units === undefined ? { input_tokens: tokens } : { search_units: units },
        ...(tokens > 0 && { tokens: { input_tokens: tokens } }),
      },
    };
  },
};
