import { invalid, type Json, type JsonObject, type ModerateResult, type ModerateTask } from "../canon/index.ts";
import { broken, isList, isObject, listIn, MOST_INPUTS, object, tooMany } from "./shared-task-fields.ts";

/** Texts have a verdict each; a list of typed parts is one thing with one verdict. @throws ProblemError invalid_request */
export function readModerated(value: Json | undefined): Pick<ModerateTask, "inputs" | "single"> {
  if (typeof value === "string") return { inputs: [value], single: true };
  if (!isList(value)) throw invalid("`input` must be a text, a list of texts, or a list of typed parts.", "input");
  if (value.length === 0) throw invalid("`input` is empty: it must hold at least one text.", "input");
  tooMany(value.length, MOST_INPUTS, "input", "inputs");
  if (value.every((one) => typeof one === "string")) return { inputs: value, single: false };
  if (value.every(isObject)) return { inputs: [value], single: true };
  throw invalid("`input` must be a text, a list of texts, or a list of typed parts.", "input");
}

/** @throws ProblemError upstream_broken */
export function verdictsOf(answer: JsonObject, { inputs }: ModerateTask): ModerateResult["verdicts"] {
  const rows = listIn(answer, "results");
  if (rows.length !== inputs.length) throw broken(`The provider answered with ${rows.length} verdicts for ${inputs.length} inputs.`);
  return rows.map((row) => {
    const categories = isObject(row) ? object(row["categories"]) : undefined;
    if (!isObject(row) || !categories) throw broken("The provider's answer holds a verdict without categories.");
    const scores = object(row["category_scores"]) ?? {};
    const found = Object.fromEntries(Object.entries(categories).map(([name, value]) => [name, value === true]));
    return {
      // A vendor without the word says it by its categories alone.
      flagged: typeof row["flagged"] === "boolean" ? row["flagged"] : Object.values(found).includes(true),
      categories: found,
      scores: Object.fromEntries(Object.entries(scores).filter((entry): entry is [string, number] => typeof entry[1] === "number")),
      native: row,
    };
  });
}
