import { isMap, isScalar, isSeq, parseDocument, type Document, type YAMLMap } from "yaml";
import { ProblemError, type Json } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import { unveil, veil } from "./variables.ts";

/** What is to be changed of one model of the configuration; null takes a member out, absent leaves it alone. */
export interface ModelPatch {
  /** Weights by `provider/model`, of targets the model has. */
  readonly weights?: Readonly<Record<string, number>> | undefined;
  /** Members as they are written under `models.NAME`. */
  readonly members?: Readonly<Record<string, Json>> | undefined;
}

/**
 * The configuration's text with one model changed and everything else, comments and references included, as it was. Whether the outcome
 * is a valid configuration is for `readConfig` to say.
 * @throws ProblemError not_found (no such model), invalid_request (no such target, or a text that is no mapping)
 */
export function patchModel(text: string, name: string, patch: ModelPatch): string {
  const document = parseDocument(veil(text));
  const model = modelOf(document, name);
  for (const [target, weight] of Object.entries(patch.weights ?? {})) setWeight(model, name, target, weight);
  for (const [member, value] of Object.entries(patch.members ?? {})) {
    if (value === null) model.delete(member);
    else model.set(document.createNode(member), document.createNode(value));
  }
  return unveil(document.toString({ lineWidth: 0 }));
}

/** The model as a mapping; the short form becomes one. */
function modelOf(document: Document.Parsed, name: string): YAMLMap {
  const models = document.get("models", true);
  const known = isMap(models) ? models.items.map(({ key }) => unveil(String(isScalar(key) ? key.value : key))) : [];
  if (!isMap(models) || !known.includes(name)) {
    const like = nearest(name, known);
    throw new ProblemError({
      kind: "not_found",
      message: `The configuration has no model "${name.slice(0, 200)}".${like ? ` Did you mean "${like}"?` : ""}`,
    });
  }
  const written = models.get(name, true) as unknown;
  if (isMap(written)) return written;
  const map = document.createNode({ targets: [isScalar(written) ? written.value : written] });
  models.set(name, map);
  return map;
}

function setWeight(model: YAMLMap, name: string, target: string, weight: number): void {
  const targets = model.get("targets", true) as unknown;
  const items = isSeq(targets) ? targets.items : [];
  const names = items.map((item) => unveil(String(isMap(item) ? item.get("target") : isScalar(item) ? item.value : item)));
  const place = names.indexOf(target);
  const item = items[place];
  if (!isSeq(targets) || item === undefined) {
    const like = nearest(target, names);
    throw new ProblemError({
      kind: "invalid_request",
      message: `The model "${name}" has no target "${target.slice(0, 200)}".${like ? ` Did you mean "${like}"?` : ""}`,
      param: "weights",
    });
  }
  if (isMap(item)) item.set("weight", weight);
  else targets.set(place, { target: isScalar(item) ? item.value : target, weight });
}
