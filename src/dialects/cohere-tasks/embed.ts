import {
  invalid,
  type EmbedPurpose,
  type EmbedResult,
  type EmbedTask,
  type Json,
  type JsonObject,
  type TaskCodec,
  type VectorEncoding,
} from "../../canon/index.ts";
import {
  answered,
  broken,
  demand,
  inputUsage,
  isList,
  isObject,
  MOST_INPUTS,
  object,
  read,
  readCount,
  readInputs,
  refuseBeyond,
  renamed,
  renaming,
  text,
  tooMany,
  unsupported,
  type Draft,
  type Note,
} from "../shared-task-fields.ts";
import { fitting, vectorOf, vectorsIn } from "../shared-vectors.ts";

export const ID = "cohere-tasks";
const PATH = "/v2/embed";

const PURPOSES: Readonly<Record<string, EmbedPurpose>> = {
  search_query: "query",
  search_document: "document",
  classification: "classification",
  clustering: "clustering",
};
const WORDS: Readonly<Record<EmbedPurpose, string>> = {
  query: "search_query",
  document: "search_document",
  similarity: "clustering",
  classification: "classification",
  clustering: "clustering",
  question: "search_query",
  fact: "search_query",
  code: "search_query",
};
const ENCODINGS: ReadonlySet<string> = new Set<VectorEncoding>(["float", "base64", "int8", "uint8", "binary", "ubinary"]);
const TRUNCATIONS: Readonly<Record<string, EmbedTask["truncate"]>> = { NONE: "none", START: "start", END: "end" };

/** `POST /v2/embed`. Source: the `cohere-ai` package's types (8.1) and recorded traffic. */
export const embed: TaskCodec<EmbedTask, EmbedResult> = {
  outline: (body) => ({ model: demand(body, "model", "string"), stream: false, keep: false, background: false }),

  decode({ fields: body }) {
    const types = read(body, "embedding_types", "list") ?? ["float"];
    if (types.length === 0 || !types.every((type) => typeof type === "string" && ENCODINGS.has(type)))
      throw invalid(`\`embedding_types\` must name at least one of ${[...ENCODINGS].join(", ")}.`, "embedding_types");
    const dimensions = readCount(body, "output_dimension");
    const purpose = PURPOSES[read(body, "input_type", "string") ?? ""];
    return {
      operation: "embed",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      ...inputsOf(body),
      single: false,
      encodings: types as readonly VectorEncoding[],
      truncate: TRUNCATIONS[read(body, "truncate", "string")?.toUpperCase() ?? "END"] ?? "end",
      ...(dimensions !== undefined && { dimensions }),
      ...(purpose && { purpose }),
    };
  },

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const body: Draft = own ? { ...task.native } : crossed(task, note);
    body["model"] = model;
    if (task.beyond === undefined) {
      if (!task.inputs.every((input) => typeof input === "string"))
        throw unsupported("This language takes texts, not token numbers.", "input");
      delete body["inputs"];
      body["texts"] = task.inputs;
    }
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: PATH, headers: {}, replace: renaming(body, support) }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const billed = object(object(answer["meta"])?.["billed_units"]);
    const images = billed?.["images"];
    return fitting(
      {
        operation: "embed",
        id: text(answer["id"]),
        vectors: vectorsOf(answer["embeddings"], task),
        usage: billed && inputUsage(billed["input_tokens"] ?? 0, typeof images === "number" && images > 0 ? { images } : undefined),
      },
      task,
    );
  },

  encodeResult(result, { task, unique }) {
    const embeddings: Draft = {};
    for (const encoding of task.encodings) embeddings[encoding] = vectorsIn(result.vectors, encoding);
    return {
      id: result.id ?? unique,
      response_type: "embeddings_by_type",
      embeddings: embeddings,
      texts: task.inputs.filter((input) => typeof input === "string"),
      meta: { api_version: { version: "2" }, billed_units: { input_tokens: result.usage?.inputUncached ?? 0 } },
    };
  },
};

/** Texts by themselves or as content; what holds images only its own language can say. */
function inputsOf(body: JsonObject): Pick<EmbedTask, "inputs" | "beyond"> {
  if (body["texts"] !== undefined && body["texts"] !== null) {
    if (!isList(body["texts"])) throw invalid("`texts` must be a list of texts.", "texts");
    return { inputs: readInputs(body["texts"], "texts", false).inputs };
  }
  const images = read(body, "images", "list");
  const mixed = read(body, "inputs", "list");
  const list = images ?? mixed;
  if (!list || list.length === 0) throw invalid("`texts` is missing: it must hold at least one text.", "texts");
  tooMany(list.length, MOST_INPUTS, images ? "images" : "inputs", "inputs");
  const texts = images ? [] : list.map(textOf);
  return texts.length > 0 && texts.every((one) => one !== undefined)
    ? { inputs: texts }
    : { inputs: list.map(() => ""), beyond: "images to embed" };
}

function textOf(input: Json): string | undefined {
  const content = isObject(input) ? input["content"] : undefined;
  if (!isList(content)) throw invalid("Each of `inputs` must have a list `content`.", "inputs");
  const texts = content.map((part) => (isObject(part) && part["type"] === "text" ? text(part["text"]) : undefined));
  return texts.length > 0 && texts.every((one) => one !== undefined) ? texts.join("\n") : undefined;
}

function crossed({ purpose, truncate, dimensions, encodings, title }: EmbedTask, note: Note): Draft {
  if (!purpose)
    note({ field: "purpose", action: "degraded", reason: "The language must be told what vectors are for; they are taken for documents." });
  if (title !== undefined) note({ field: "title", action: "dropped", reason: "The language has no titles." });
  return {
    input_type: WORDS[purpose ?? "document"],
    embedding_types: encodings,
    truncate: (truncate ?? "none").toUpperCase(),
    ...(dimensions !== undefined && { output_dimension: dimensions }),
  };
}

function vectorsOf(embeddings: Json | undefined, { encodings }: EmbedTask): EmbedResult["vectors"] {
  // Older models answer one type as a list of its own.
  if (isList(embeddings)) return { [encodings.find((one) => one !== "base64") ?? "float"]: embeddings.map(vectorOf) };
  if (!isObject(embeddings)) throw broken("The provider's answer has no `embeddings`.");
  const vectors: Record<string, readonly string[] | readonly (readonly number[])[]> = {};
  for (const encoding of encodings) {
    // Floats and base64 are the same vectors: either will do.
    const other = encoding === "base64" ? "float" : encoding === "float" ? "base64" : encoding;
    const given = isList(embeddings[encoding]) ? encoding : other;
    const list = embeddings[given];
    if (!isList(list)) throw broken(`The provider's answer holds no vectors as ${encoding}.`);
    vectors[given] = given === "base64" ? list.map(base64Of) : list.map(vectorOf);
  }
  return vectors;
}

function base64Of(value: Json): string {
  if (typeof value === "string" && value !== "") return value;
  throw broken("The provider's answer holds a vector that is no base64.");
}
