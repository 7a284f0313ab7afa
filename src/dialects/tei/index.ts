import {
  invalid,
  type EmbedResult,
  type EmbedTask,
  type Headers,
  type RerankResult,
  type RerankTask,
  type TaskCodec,
  type Usage,
} from "../../canon/index.ts";
import { rankedOf, readDocuments, rowsOf, searchUnits, textOfDocument } from "../shared-rerank.ts";
import {
  broken,
  demand,
  inputUsage,
  isList,
  read,
  readCount,
  readInputs,
  refuseBeyond,
  renamed,
  renaming,
  unsupported,
  type Draft,
  type Note,
} from "../shared-task-fields.ts";
import { fitting, vectorOf, vectorsIn } from "../shared-vectors.ts";
import { defineTaskDialect } from "../task-dialect.ts";

const ID = "tei";
const EMBED = "/embed";
const RERANK = "/rerank";
/** Tokens that were read. */
const TOKENS = "x-compute-tokens";

/** `POST /embed`: a server with one model, whose name stands nowhere but in our door's path. Source: TEI's OpenAPI description (1.8). */
const embed: TaskCodec<EmbedTask, EmbedResult> = {
  outline: (_body, { params }) => ({ model: params["model"] ?? "", stream: false, keep: false, background: false }),

  decode({ fields: body }, { params }) {
    const dimensions = readCount(body, "dimensions");
    const truncate = read(body, "truncate", "boolean") ?? false;
    const from = read(body, "truncation_direction", "string")?.toLowerCase() === "left" ? "start" : "end";
    return {
      operation: "embed",
      origin: { dialect: ID },
      model: params["model"] ?? "",
      native: body,
      ...readInputs(body["inputs"], "inputs", true),
      encodings: ["float"],
      truncate: truncate ? from : "none",
      ...(dimensions !== undefined && { dimensions }),
    };
  },

  encode(task, { support }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const body: Draft = own ? { ...task.native } : crossed(task, note);
    body["inputs"] = task.single ? task.inputs[0] : task.inputs;
    return { path: EMBED, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: EMBED, headers: {}, replace: { ...renaming(body, support), model: undefined } }),

  decodeResult(body, { task, headers }) {
    if (!isList(body)) throw broken("The provider answered with something that is no list of vectors.");
    return fitting({ operation: "embed", vectors: { float: body.map(vectorOf) }, usage: usageIn(headers) }, task);
  },

  encodeResult: (result) => vectorsIn(result.vectors, "float"),
  answerHeaders: headersOf,
};

/** `POST /rerank`. */
const rerank: TaskCodec<RerankTask, RerankResult> = {
  outline(body, { params }) {
    const units = isList(body["texts"]) ? searchUnits(body["texts"].length) : 1;
    return { model: params["model"] ?? "", stream: false, keep: false, background: false, units: { search_units: units } };
  },

  decode({ fields: body }, { params }) {
    const truncate = read(body, "truncate", "boolean");
    const documents = readDocuments(body["texts"], "texts");
    if (!documents.every((document) => typeof document === "string")) throw invalid("`texts` must hold texts.", "texts");
    return {
      operation: "rerank",
      origin: { dialect: ID },
      model: params["model"] ?? "",
      native: body,
      query: demand(body, "query", "string"),
      documents,
      returnDocuments: read(body, "return_text", "boolean") ?? false,
      ...(truncate !== undefined && { truncate }),
    };
  },

  encode(task, { support }, note) {
    const own = task.origin.dialect === ID;
    const body: Draft = own ? { ...task.native } : { truncate: task.truncate ?? true };
    body["query"] = task.query;
    body["texts"] = task.documents.map(textOfDocument);
    return { path: RERANK, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: RERANK, headers: {}, replace: { ...renaming(body, support), model: undefined } }),

  decodeResult(body, { task, headers }) {
    if (!isList(body)) throw broken("The provider answered with something that is no list of scores.");
    return { operation: "rerank", ranked: rankedOf(body, task, "score"), usage: usageIn(headers) };
  },

  encodeResult: (result, { task }) => rowsOf(result, task, "score", (document) => ({ text: textOfDocument(document) })),
  answerHeaders: headersOf,
};

function headersOf({ usage }: EmbedResult | RerankResult): Readonly<Record<string, string>> {
  return usage ? { [TOKENS]: String(usage.inputUncached) } : {};
}

/** The body has no room for it. */
function usageIn(headers: Headers): Usage | undefined {
  const tokens = Number(headers[TOKENS] ?? Number.NaN);
  return Number.isInteger(tokens) ? inputUsage(tokens) : undefined;
}

function crossed({ purpose, dimensions, title, encodings, truncate }: EmbedTask, note: Note): Draft {
  if (encodings.some((encoding) => encoding !== "float" && encoding !== "base64"))
    throw unsupported(`This language has vectors as floats only, and ${encodings.join(", ")} was asked for.`);
  if (purpose) note({ field: "purpose", action: "dropped", reason: "The server's prompts have names of their own." });
  if (title !== undefined) note({ field: "title", action: "dropped", reason: "The language has no titles." });
  const cut = truncate !== undefined && truncate !== "none";
  return {
    truncate: cut,
    ...(truncate === "start" && { truncation_direction: "Left" }),
    ...(dimensions !== undefined && { dimensions }),
  };
}

export default defineTaskDialect({
  id: ID,
  title: "Text Embeddings Inference",
  modelInPath: true,
  doors: [
    { method: "POST", path: "/tei/{model...}/embed", does: { kind: "call", operation: "embed" } },
    { method: "POST", path: "/tei/{model...}/rerank", does: { kind: "call", operation: "rerank" } },
  ],
  tasks: { embed, rerank },
  problemBody: ({ message, kind }) => ({ error: message, error_type: kind }),
});
