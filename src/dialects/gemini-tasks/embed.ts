import {
  invalid,
  type EmbedPurpose,
  type EmbedResult,
  type EmbedTask,
  type Json,
  type JsonObject,
  type TaskCodec,
  type Usage,
} from "../../canon/index.ts";
import {
  answered,
  count,
  demand,
  inputUsage,
  isList,
  isObject,
  listIn,
  MOST_INPUTS,
  object,
  read,
  readCount,
  refuseBeyond,
  text,
  tooMany,
  unsupported,
  type Draft,
  type Note,
} from "../shared-task-fields.ts";
import { fitting, vectorOf, vectorsIn } from "../shared-vectors.ts";
import { modelIn, pathTo } from "./content.ts";

export const ID = "gemini-tasks";
/** The two doors. */
export const VARIANT = { one: "embedContent", many: "batchEmbedContents" } as const;

const PURPOSES: Readonly<Record<string, EmbedPurpose>> = {
  RETRIEVAL_QUERY: "query",
  RETRIEVAL_DOCUMENT: "document",
  SEMANTIC_SIMILARITY: "similarity",
  CLASSIFICATION: "classification",
  CLUSTERING: "clustering",
  QUESTION_ANSWERING: "question",
  FACT_VERIFICATION: "fact",
  CODE_RETRIEVAL_QUERY: "code",
};
const WORDS = Object.fromEntries(Object.entries(PURPOSES).map(([word, purpose]) => [purpose, word])) as Record<EmbedPurpose, string>;

/** Members of a request that are not read; they are the same for all texts, or only this language can say them. */
const SAID = ["taskType", "title", "outputDimensionality"] as const;

/** `models/NAME:embedContent` and `:batchEmbedContents`. Source: the `@google/genai` package's types (3.1) and recorded traffic. */
export const embed: TaskCodec<EmbedTask, EmbedResult> = {
  outline: (_body, { params }) => ({ model: modelIn(params), stream: false, keep: false, background: false }),

  decode({ fields: body }, { params }) {
    const requests = params["variant"] === VARIANT.many ? demand(body, "requests", "list") : [body];
    if (requests.length === 0) throw invalid("`requests` is empty: it must hold at least one.", "requests");
    tooMany(requests.length, MOST_INPUTS, "requests", "inputs");
    const list = requests.map((request, at) => readRequest(request, params["variant"] === VARIANT.many ? `requests[${at}].` : ""));
    const [first] = list;
    const same = list.every((one) => SAID.every((field) => one.said[field] === first?.said[field]));
    const dimensions = first && readCount(first.said, "outputDimensionality");
    const purpose = PURPOSES[text(first?.said["taskType"]) ?? ""];
    const title = text(first?.said["title"]);
    const beyond = list.some((one) => one.text === undefined)
      ? "content to embed but texts"
      : same
        ? undefined
        : "settings of single inputs";
    return {
      operation: "embed",
      origin: { dialect: ID },
      model: modelIn(params),
      native: body,
      inputs: list.map((one) => one.text ?? ""),
      single: params["variant"] !== VARIANT.many,
      encodings: ["float"],
      ...(same && dimensions !== undefined && { dimensions }),
      ...(purpose && { purpose }),
      ...(title !== undefined && { title }),
      ...(beyond !== undefined && { beyond }),
    };
  },

  encode(task, { model }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const shared = own ? {} : crossed(task, note);
    const name = `models/${model}`;
    const given = own ? ownRequests(task) : undefined;
    const requests = task.inputs.map((input, at): Json => {
      if (typeof input !== "string") throw unsupported("This language takes texts, not token numbers.", "input");
      const before = given?.[at];
      return task.beyond !== undefined && before
        ? { ...before, model: name }
        : { ...before, ...shared, model: name, content: contentOf(before, input) };
    });
    if (own && task.single) {
      const [request] = requests;
      const { model: _model, ...alone } = (request ?? {}) as JsonObject;
      return { path: pathTo(model, VARIANT.one), headers: {}, body: JSON.stringify(alone) };
    }
    return { path: pathTo(model, VARIANT.many), headers: {}, body: JSON.stringify({ requests }) };
  },

  forward(body, { params }, { model }) {
    const variant = params["variant"] === VARIANT.many ? VARIANT.many : VARIANT.one;
    const name = `models/${model}`;
    const { requests } = body;
    const replace: Draft = {};
    // The model stands in the path and again in every request.
    if (variant === VARIANT.one && body["model"] !== undefined) replace["model"] = name;
    if (isList(requests)) replace["requests"] = requests.map((request) => (isObject(request) ? { ...request, model: name } : request));
    return { path: pathTo(model, variant), headers: {}, replace };
  },

  decodeResult(body, { task }) {
    const answer = answered(body);
    const one = object(answer["embedding"]);
    const rows = one ? [one] : listIn(answer, "embeddings");
    const float = rows.map((row) => vectorOf(isObject(row) ? row["values"] : undefined));
    return fitting({ operation: "embed", vectors: { float }, usage: usageOf(answer, rows) }, task);
  },

  encodeResult(result, { task }) {
    const embeddings = vectorsIn(result.vectors, "float").map((values) => ({ values }));
    const [embedding] = embeddings;
    const tokens = result.usage?.inputUncached;
    return {
      ...(task.single && embedding ? { embedding } : { embeddings }),
      ...(tokens !== undefined && { usageMetadata: { promptTokenCount: tokens } }),
    };
  },
};

function readRequest(request: Json, path: string): { readonly text: string | undefined; readonly said: JsonObject } {
  if (!isObject(request)) throw invalid(`\`${path.slice(0, -1)}\` must be an object.`, path.slice(0, -1));
  const content = demand(request, "content", "object", path);
  const parts = demand(content, "parts", "list", `${path}content.`);
  if (parts.length === 0) throw invalid(`\`${path}content.parts\` is empty: there is nothing to work on.`, `${path}content.parts`);
  const texts = parts.map((part) => (isObject(part) && typeof part["text"] === "string" ? part["text"] : undefined));
  const config = read(request, "embedContentConfig", "object", path);
  return { text: texts.every((one) => one !== undefined) ? texts.join("") : undefined, said: config ? { ...request, ...config } : request };
}

function ownRequests({ native, single }: EmbedTask): readonly JsonObject[] {
  if (single) return [native];
  return isList(native["requests"]) ? native["requests"].filter(isObject) : [];
}

function contentOf(before: JsonObject | undefined, input: string): JsonObject {
  const content = object(before?.["content"]);
  const parts = content?.["parts"];
  const whole = isList(parts) ? parts.map((part) => (isObject(part) ? (text(part["text"]) ?? "") : "")).join("") : undefined;
  return content && whole === input ? content : { ...content, parts: [{ text: input }] };
}

function crossed({ purpose, dimensions, title, encodings, truncate }: EmbedTask, note: Note): JsonObject {
  if (encodings.some((encoding) => encoding !== "float" && encoding !== "base64"))
    throw unsupported(`This language has vectors as floats only, and ${encodings.join(", ")} was asked for.`);
  if (truncate === "start") note({ field: "truncate", action: "dropped", reason: "The language cuts what is too long at its end." });
  return {
    ...(purpose && { taskType: WORDS[purpose] }),
    ...(title !== undefined && { title }),
    ...(dimensions !== undefined && { outputDimensionality: dimensions }),
  };
}

/** In newer answers beside the vectors, in others within each. */
function usageOf(answer: JsonObject, rows: readonly Json[]): Usage | undefined {
  const told = object(answer["usageMetadata"])?.["promptTokenCount"];
  if (told !== undefined) return inputUsage(told);
  let tokens = 0;
  for (const row of rows) tokens += isObject(row) ? count(object(row["statistics"])?.["tokenCount"]) : 0;
  return tokens > 0 ? inputUsage(tokens) : undefined;
}
