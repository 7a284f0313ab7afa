import { isMap, isScalar, isSeq, parseDocument, type Document, type YAMLMap } from "yaml";
import { ProblemError, type Json, type JsonObject } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import { unveil, veil } from "./variables.ts";

/**
 * What is to be changed of one model of the configuration, as in RFC 7396 (JSON merge patch): null takes a member out, absent leaves it
 * alone, a mapping is merged into the one that is there, anything else replaces.
 */
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
  merge(document, model, patch.members ?? {});
  return write(document);
}

/** Strategies under which the order of the targets says nothing: what stays beside a promoted canary would go on getting calls. */
const UNORDERED: ReadonlySet<unknown> = new Set(["round-robin", "latency", "cost"]);

/**
 * Every call of the model goes from now on as its canary's calls went: the canary's targets first, the others as their fallback, under
 * `weighted` without weight. `alone`, and strategies without an order, leave the canary's targets only.
 * @throws ProblemError not_found: there is no such model, or it has no canary
 */
export function promoteCanary(text: string, name: string, alone: boolean): string {
  const document = parseDocument(veil(text));
  const model = modelOf(document, name);
  const canary = canaryOf(model, name);
  const strategy: unknown = model.get("strategy");
  const several = canary.get("targets", true) as unknown;
  const single = canary.get("target", true) as unknown;
  const promoted = isSeq(several) ? several.items : [single];
  const names = promoted.map(targetNameOf);
  const written = model.get("targets", true) as unknown;
  const others = (isSeq(written) ? written.items : []).filter((item) => !names.includes(targetNameOf(item)));
  const kept = alone || UNORDERED.has(strategy) ? [] : strategy === "weighted" ? others.map((item) => weightless(document, item)) : others;
  const targets = isSeq(written) ? written : document.createNode<unknown[]>([]);
  targets.items = [...promoted, ...kept];
  model.set("targets", targets);
  model.delete("canary");
  return write(document);
}

/** The configuration's text with other budgets, and everything else as it was. */
export function patchBudgets(text: string, budgets: readonly Json[]): string {
  const document = parseDocument(veil(text));
  document.set("budgets", document.createNode(budgets));
  return write(document);
}

/** @throws ProblemError not_found: there is no such model, or it has no canary */
export function abortCanary(text: string, name: string): string {
  const document = parseDocument(veil(text));
  const model = modelOf(document, name);
  canaryOf(model, name);
  model.delete("canary");
  return write(document);
}

function canaryOf(model: YAMLMap, name: string): YAMLMap {
  const canary = model.get("canary", true) as unknown;
  if (isMap(canary)) return canary;
  throw new ProblemError({ kind: "not_found", message: `The model "${name}" has no canary.` });
}

function weightless(document: Document.Parsed, item: unknown): unknown {
  if (!isMap(item)) return document.createNode({ target: unveiledNode(item), weight: 0 });
  item.set("weight", 0);
  return item;
}

function unveiledNode(item: unknown): unknown {
  return isScalar(item) ? item.value : item;
}

function targetNameOf(item: unknown): string {
  return unveil(String(isMap(item) ? item.get("target") : unveiledNode(item)));
}

function write(document: Document.Parsed): string {
  return unveil(document.toString({ lineWidth: 0 }));
}

function merge(document: Document.Parsed, map: YAMLMap, members: Readonly<Record<string, Json | undefined>>): void {
  for (const [member, value] of Object.entries(members)) {
    if (value === undefined) continue;
    const there = map.get(member, true) as unknown;
    if (value === null) map.delete(member);
    else if (typeof value !== "object" || Array.isArray(value)) map.set(document.createNode(member), document.createNode(value));
    else if (isMap(there)) merge(document, there, value as JsonObject);
    else map.set(document.createNode(member), document.createNode(withoutNulls(value as JsonObject)));
  }
}

function withoutNulls(members: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) => {
      if (value === null || value === undefined) return [];
      return [[name, typeof value === "object" && !Array.isArray(value) ? withoutNulls(value as JsonObject) : value]];
    }),
  );
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
  const names = items.map(targetNameOf);
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
