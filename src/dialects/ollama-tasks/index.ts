import type { EmbedResult, EmbedTask, TaskCodec } from "../../canon/index.ts";
import {
  answered,
  demand,
  inputUsage,
  listIn,
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
import { fitting, vectorOf, vectorsIn } from "../shared-vectors.ts";
import { defineTaskDialect } from "../task-dialect.ts";

const ID = "ollama-tasks";
const PATH = "/api/embed";

/** `POST /api/embed`. Source: the `ollama` package's types (0.6) and its server's reference. */
const embed: TaskCodec<EmbedTask, EmbedResult> = {
  outline: (body) => ({ model: demand(body, "model", "string"), stream: false, keep: false, background: false }),

  decode({ fields: body }) {
    const dimensions = readCount(body, "dimensions");
    return {
      operation: "embed",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      ...readInputs(body["input"], "input", false),
      encodings: ["float"],
      truncate: read(body, "truncate", "boolean") === false ? "none" : "end",
      ...(dimensions !== undefined && { dimensions }),
    };
  },

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const body: Draft = own ? { ...task.native } : crossed(task, note);
    if (!task.inputs.every((input) => typeof input === "string"))
      throw unsupported("This language takes texts, not token numbers.", "input");
    body["model"] = model;
    body["input"] = task.single ? task.inputs[0] : task.inputs;
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: PATH, headers: {}, replace: renaming(body, support) }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const float = listIn(answer, "embeddings").map(vectorOf);
    return fitting(
      { operation: "embed", model: text(answer["model"]), vectors: { float }, usage: inputUsage(answer["prompt_eval_count"]) },
      task,
    );
  },

  encodeResult: (result, { model }) => ({
    model: result.model ?? model,
    embeddings: vectorsIn(result.vectors, "float"),
    ...(result.usage && { prompt_eval_count: result.usage.inputUncached }),
  }),
};

function crossed({ purpose, dimensions, title, encodings, truncate }: EmbedTask, note: Note): Draft {
  if (encodings.some((encoding) => encoding !== "float" && encoding !== "base64"))
    throw unsupported(`This language has vectors as floats only, and ${encodings.join(", ")} was asked for.`);
  if (purpose) note({ field: "purpose", action: "dropped", reason: "The language has no word for what a vector is for." });
  if (title !== undefined) note({ field: "title", action: "dropped", reason: "The language has no titles." });
  if (truncate === "start") note({ field: "truncate", action: "degraded", reason: "The language cuts what is too long at its end." });
  return { truncate: truncate !== undefined && truncate !== "none", ...(dimensions !== undefined && { dimensions }) };
}

export default defineTaskDialect({
  id: ID,
  title: "Ollama Embeddings",
  doors: [{ method: "POST", path: PATH, does: { kind: "call", operation: "embed" } }],
  tasks: { embed },
  problemBody: ({ message }, callId) => ({ error: `${message} (call ${callId})` }),
});
