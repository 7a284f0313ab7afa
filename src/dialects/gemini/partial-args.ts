import { ProblemError, type Json, type JsonObject } from "../../canon/index.ts";
import { broken } from "./problem.ts";
import { at, isObject } from "./wire.ts";

/** Steps of one path into a function's arguments, and places of one list in them. */
const MAX_STEPS = 64;
const MAX_PLACES = 10_000;

/** One step of a path: `.name`, `[0]`, `['name']` or `["name"]`. */
const STEP = /\.([^.[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/gy;

type Branch = Json[] | Map<string, Grown>;
type Grown = Json | Branch;

/**
 * Arguments that a stream brings value by value, each with the JSON path of its place: `{ jsonPath: "$.a.b[0]", stringValue, willContinue }`.
 * Strings come in pieces. Source: `PartialArg` of `@google/genai` 3; the paths are the singular queries of RFC 9535.
 */
export class PartialArgs {
  readonly #root = new Map<string, Grown>();

  /** @throws ProblemError upstream_broken */
  add(value: Json): void {
    if (!isObject(value)) throw new ProblemError(broken("a piece of a function's arguments is no object"));
    const steps = stepsOf(value);
    let place: Branch = this.#root;
    for (const [index, step] of steps.entries()) {
      const next = steps[index + 1];
      const last = next === undefined;
      const before = read(place, step);
      const grown: Grown | undefined = last
        ? grow(before, value)
        : (branch(before) ?? (typeof next === "number" ? [] : new Map<string, Grown>()));
      write(place, step, grown);
      if (!last) place = branch(grown) ?? this.#root;
    }
  }

  value(): JsonObject {
    return settled(this.#root) as JsonObject;
  }
}

function branch(value: Grown | undefined): Branch | undefined {
  return value instanceof Map || Array.isArray(value) ? value : undefined;
}

function read(place: Branch, step: string | number): Grown | undefined {
  if (place instanceof Map) return place.get(String(step));
  return typeof step === "number" ? place[step] : undefined;
}

function write(place: Branch, step: string | number, value: Grown): void {
  if (place instanceof Map) place.set(String(step), value);
  else if (typeof step === "number") place[step] = value as Json;
  else throw new ProblemError(broken("a function's arguments have a name in a list"));
}

function grow(before: Grown | undefined, piece: JsonObject): Json {
  const text = at(piece, "stringValue");
  if (typeof text === "string") return (typeof before === "string" ? before : "") + text;
  const value = at(piece, "numberValue") ?? at(piece, "boolValue");
  if (typeof value === "number" || typeof value === "boolean") return value;
  // A string whose first piece is still to come tells its place alone.
  if (at(piece, "nullValue") === undefined && at(piece, "willContinue") === true) return typeof before === "string" ? before : "";
  return null;
}

function settled(value: Grown): Json {
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, inner]) => [name, settled(inner)]));
  return Array.isArray(value) ? value.map((inner: Grown | undefined) => (inner === undefined ? null : settled(inner))) : value;
}

/** @throws ProblemError upstream_broken */
function stepsOf(piece: JsonObject): (string | number)[] {
  const path = at(piece, "jsonPath");
  if (typeof path !== "string" || !path.startsWith("$")) throw new ProblemError(broken("a piece of a function's arguments has no path"));
  const steps: (string | number)[] = [];
  const rest = path.slice(1);
  let taken = 0;
  for (const match of rest.matchAll(STEP)) {
    taken += match[0].length;
    const [, name, place, single, double] = match;
    const quoted = single ?? double;
    if (place !== undefined) steps.push(Number(place));
    else steps.push(quoted === undefined ? (name ?? "") : quoted.replaceAll(/\\(.)/g, "$1"));
  }
  const far = steps.some((step) => typeof step === "number" && step >= MAX_PLACES);
  if (taken !== rest.length || steps.length === 0 || steps.length > MAX_STEPS || far)
    throw new ProblemError(broken("a piece of a function's arguments has a path that leads nowhere"));
  return steps;
}
