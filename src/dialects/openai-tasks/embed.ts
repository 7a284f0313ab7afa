import {
  invalid,
  type EmbedPurpose,
  type EmbedResult,
  type EmbedTask,
  type Json,
  type JsonObject,
  type TaskCodec,
  type TaskSupport,
  type VectorEncoding,
  type Vectors,
} from "../../canon/index.ts";
import {
  answered,
  broken,
  demand,
  inputUsage,
  isObject,
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
import { fitting, rowsOfFloats, vectorOf, vectorsIn } from "../shared-vectors.ts";

export const ID = "openai-tasks";
const PATH = "/embeddings";

/** Words of compatible vendors for what a vector is for. */
const PURPOSES: Readonly<Record<string, EmbedPurpose>> = {
  query: "query",
  document: "document",
  search_query: "query",
  search_document: "document",
  "retrieval.query": "query",
  "retrieval.passage": "document",
  classification: "classification",
  clustering: "clustering",
};

/** From so many inputs on, numbers as text cost more time to read than base64 to translate. */
const MANY_INPUTS = 32;

function asksForBase64(inputs: number, encodings: readonly VectorEncoding[], { base64 }: TaskSupport): boolean {
  return base64 === true && inputs >= MANY_INPUTS && encodings.length === 1 && encodings[0] === "float";
}

/** A list of numbers is one input. */
function inputsIn(input: Json | undefined): number {
  return Array.isArray(input) && typeof input[0] !== "number" ? input.length : 1;
}

/** How compatible vendors ask for other encodings. */
const DTYPES: ReadonlySet<string> = new Set<VectorEncoding>(["float", "int8", "uint8", "binary", "ubinary"]);

/**
 * `POST /embeddings`. Texts or token numbers, as floats or in base64; also read, because clients of compatible vendors come to the same door:
 * `input_type`, `output_dimension`, `output_dtype`. Source: the `openai` package's types (7.57) and recorded traffic.
 */
export const embed: TaskCodec<EmbedTask, EmbedResult> = {
  outline: (body) => ({ model: demand(body, "model", "string"), stream: false, keep: false, background: false }),

  decode({ fields: body }) {
    const format = read(body, "encoding_format", "string");
    if (format !== undefined && format !== "float" && format !== "base64")
      throw invalid("`encoding_format` must be `float` or `base64`.", "encoding_format");
    const dtype = read(body, "output_dtype", "string");
    if (dtype !== undefined && !DTYPES.has(dtype))
      throw invalid(`\`output_dtype\` must be one of ${[...DTYPES].join(", ")}.`, "output_dtype");
    const encoding = dtype === undefined || dtype === "float" ? (format ?? "float") : (dtype as VectorEncoding);
    const dimensions = readCount(body, "dimensions") ?? readCount(body, "output_dimension");
    const purpose = PURPOSES[read(body, "input_type", "string") ?? ""];
    const user = read(body, "user", "string");
    return {
      operation: "embed",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      ...readInputs(body["input"], "input", true),
      encodings: [encoding],
      ...(dimensions !== undefined && { dimensions }),
      ...(purpose && { purpose }),
      ...(user !== undefined && { endUser: user }),
    };
  },

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const body: Draft = own ? { ...task.native } : crossed(task, note);
    body["model"] = model;
    body["input"] = task.single ? task.inputs[0] : task.inputs;
    if (asksForBase64(task.inputs.length, task.encodings, support)) body["encoding_format"] = "base64";
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward(body, _context, { support }, note) {
    const format = body["encoding_format"] ?? "float";
    const { input } = body;
    if (format === "float" && body["output_dtype"] === undefined && asksForBase64(inputsIn(input), ["float"], support)) return undefined;
    return { path: PATH, headers: {}, replace: renaming(body, support, note) };
  },

  decodeResult(body, { task }) {
    const answer = answered(body);
    const usage = object(answer["usage"]);
    return fitting(
      {
        operation: "embed",
        id: text(answer["id"]),
        model: text(answer["model"]),
        vectors: vectorsOf(listIn(answer, "data"), task),
        usage: inputUsage(usage?.["prompt_tokens"] ?? usage?.["total_tokens"]),
      },
      task,
    );
  },

  encodeResult(result, { task, model, unique }) {
    const tokens = result.usage?.inputUncached ?? 0;
    const encoding = task.encodings[0] ?? "float";
    const row = (index: number): JsonObject => ({ object: "embedding", index });
    const { base64, float } = result.vectors;
    const data =
      encoding === "float" && base64 && !float
        ? rowsOfFloats(base64, row, "embedding")
        : vectorsIn(result.vectors, encoding).map((embedding, index) => ({ ...row(index), embedding }));
    // Clients of one compatible vendor do not read an answer without an id.
    return {
      id: result.id ?? `emb-${unique}`,
      object: "list",
      data: data,
      model: result.model ?? model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    };
  },
};

function crossed({ dimensions, encodings, endUser, purpose, title, truncate }: EmbedTask, note: Note): Draft {
  const wanted = encodings[0] ?? "float";
  if (encodings.some((encoding) => encoding !== "float" && encoding !== "base64"))
    throw unsupported(`This language has vectors as floats only, and ${encodings.join(", ")} was asked for.`);
  if (purpose) note({ field: "purpose", action: "dropped", reason: "The language has no word for what a vector is for." });
  if (title !== undefined) note({ field: "title", action: "dropped", reason: "The language has no titles." });
  if (truncate && truncate !== "none") note({ field: "truncate", action: "dropped", reason: "The language refuses what is too long." });
  return { encoding_format: wanted, ...(dimensions !== undefined && { dimensions }), ...(endUser !== undefined && { user: endUser }) };
}

/** In the order of the inputs, whatever order they came in. */
export function vectorsOf(data: readonly Json[], task: EmbedTask): Vectors {
  const rows: JsonObject[] = [];
  for (const [at, row] of data.entries()) {
    if (!isObject(row)) throw broken("The provider's answer holds an embedding that is no object.");
    const index = row["index"] ?? at;
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= data.length || rows[index])
      throw broken("The provider's answer numbers its embeddings wrongly.");
    rows[index] = row;
  }
  const vectors = rows.map((row) => row["embedding"]);
  if (vectors.length > 0 && vectors.every((vector) => typeof vector === "string")) return { base64: vectors };
  const encoding = task.encodings.find((one) => one !== "base64") ?? "float";
  return { [encoding]: vectors.map(vectorOf) };
}
