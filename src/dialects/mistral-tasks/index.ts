import { invalid, NO_USAGE, type Json, type ModerateResult, type ModerateTask, type TaskCodec } from "../../canon/index.ts";
import { readModerated, verdictsOf } from "../shared-moderate.ts";
import {
  answered,
  demand,
  inputUsage,
  isList,
  object,
  refuseBeyond,
  renamed,
  renaming,
  text,
  unsupported,
  type Draft,
} from "../shared-task-fields.ts";
import { defineTaskDialect } from "../task-dialect.ts";

const ID = "mistral-tasks";
const PATH = "/moderations";

/**
 * `POST /moderations` of Mistral: as OpenAI's, but a verdict has no word `flagged`. Only a provider's side: its clients come to OpenAI's door
 * and read more than they expect. Source: the `@mistralai/mistralai` package's types (2.7).
 */
const moderate: TaskCodec<ModerateTask, ModerateResult> = {
  outline: (body) => ({ model: demand(body, "model", "string"), stream: false, keep: false, background: false }),

  decode({ fields: body }) {
    return {
      operation: "moderate",
      origin: { dialect: ID },
      model: demand(body, "model", "string"),
      native: body,
      ...readModerated(body["input"]),
    };
  },

  encode(task, { model, support }, note) {
    refuseBeyond(task, "This language");
    const input: readonly Json[] = task.inputs.map(textOf);
    const body: Draft = { model, input: task.single ? input[0] : input };
    return { path: PATH, headers: {}, body: JSON.stringify(renamed(body, support, note)) };
  },

  forward: (body, _context, { support }) => ({ path: PATH, headers: {}, replace: renaming(body, support) }),

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
    id: result.id ?? unique,
    model: result.model ?? model,
    results: result.verdicts.map(({ categories, scores }) => ({ categories, category_scores: scores })),
  }),
};

/** Images it cannot judge; several texts are one. */
function textOf(input: Json): string {
  if (typeof input === "string") return input;
  if (!isList(input)) throw invalid("`input` must be a text or a list of texts.", "input");
  return input
    .map((part) => {
      const words = object(part)?.["type"] === "text" ? text(object(part)?.["text"]) : undefined;
      if (words === undefined) throw unsupported("This language judges texts, not images.", "input");
      return words;
    })
    .join("\n");
}

export default defineTaskDialect({ id: ID, title: "Mistral Moderation", doors: [], tasks: { moderate } });
