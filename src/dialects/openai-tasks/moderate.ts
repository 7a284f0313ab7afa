import { NO_USAGE, type ModerateResult, type ModerateTask, type TaskCodec } from "../../canon/index.ts";
import { readModerated, verdictsOf } from "../shared-moderate.ts";
import { answered, inputUsage, object, read, renamed, renaming, text, type Draft } from "../shared-task-fields.ts";
import { ID } from "./embed.ts";

const PATH = "/moderations";
/** What the language takes a request for that names no model. */
const DEFAULT_MODEL = "omni-moderation-latest";

/** `POST /moderations`. Source: the `openai` package's types (7.57). */
export const moderate: TaskCodec<ModerateTask, ModerateResult> = {
  outline: (body) => ({ model: read(body, "model", "string") ?? DEFAULT_MODEL, stream: false, keep: false, background: false }),

  decode: ({ fields: body }) => ({
    operation: "moderate",
    origin: { dialect: ID },
    model: read(body, "model", "string") ?? DEFAULT_MODEL,
    native: body,
    ...readModerated(body["input"]),
  }),

  encode(task, { model, support }, note) {
    const body: Draft = task.origin.dialect === ID ? { ...task.native } : {};
    body["model"] = model;
    body["input"] = task.single ? task.inputs[0] : task.inputs;
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }, note) => ({ path: PATH, headers: {}, replace: renaming(body, support, note) }),

  decodeResult(body, { task }) {
    const answer = answered(body);
    const usage = object(answer["usage"]);
    return {
      operation: "moderate",
      id: text(answer["id"]),
      model: text(answer["model"]),
      verdicts: verdictsOf(answer, task),
      // Who says nothing of it charges nothing.
      usage: inputUsage(usage?.["prompt_tokens"] ?? usage?.["total_tokens"]) ?? NO_USAGE,
    };
  },

  encodeResult: (result, { model, unique }) => ({
    id: result.id ?? `modr-${unique}`,
    model: result.model ?? model,
    results: result.verdicts.map(({ flagged, categories, scores, native }) => ({
      ...native,
      flagged,
      categories,
      category_scores: scores,
      category_applied_input_types:
        native["category_applied_input_types"] ?? Object.fromEntries(Object.keys(categories).map((name) => [name, ["text"]])),
    })),
  }),
};
