import type { Fetched } from "../listing.ts";
import { parseJson } from "../../kit/index.ts";

/** Models taken from one list, and letters of a name; what is more is left out. */
export const MOST_MODELS = 2000;
const NAME_LETTERS = 300;
/** No model holds more; what claims to is not believed. */
const MOST_TOKENS = 1_000_000_000;

/** Asks a server: `path` below its host, or with `inApi` below its API. Never rejects. */
export type Ask = (path: string, options?: { readonly body?: string; readonly inApi?: true }) => Promise<Fetched>;

/** What an answer said, as JSON; undefined where it is no good answer. */
export function jsonOf(fetched: Fetched): unknown {
  return fetched.ok && fetched.status >= 200 && fetched.status < 300 ? parseJson(fetched.text) : undefined;
}

export function textOfGood(fetched: Fetched): string | undefined {
  return fetched.ok && fetched.status === 200 ? fetched.text : undefined;
}

/** A member of an object, along a path of names. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}

export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? (found as readonly unknown[]).slice(0, MOST_MODELS) : [];
}

/** The name of a model; undefined where it is none. */
export function nameAt(value: unknown, ...path: readonly string[]): string | undefined {
  const found = at(value, ...path);
  return typeof found === "string" && found !== "" && found.length <= NAME_LETTERS ? found : undefined;
}

/** A number of tokens, also written as text. */
export function tokensAt(value: unknown, ...path: readonly string[]): number | undefined {
  const found = at(value, ...path);
  const number = typeof found === "string" && found.trim() !== "" ? Number(found) : found;
  return typeof number === "number" && Number.isSafeInteger(number) && number > 0 && number <= MOST_TOKENS ? number : undefined;
}

export function countAt(value: unknown, ...path: readonly string[]): number | undefined {
  const found = at(value, ...path);
  return typeof found === "number" && Number.isFinite(found) && found >= 0 ? found : undefined;
}

export function flagAt(value: unknown, ...path: readonly string[]): boolean | undefined {
  const found = at(value, ...path);
  return typeof found === "boolean" ? found : undefined;
}

export function wordsAt(value: unknown, ...path: readonly string[]): readonly string[] {
  return listAt(value, ...path).filter((word) => typeof word === "string");
}

/** Why a server is held to be down, from what it said to a question that a healthy one answers; undefined: it is not. */
export function whyDown(fetched: Fetched): string | undefined {
  if (!fetched.ok) return withoutStop(fetched.problem.message);
  if (fetched.status < 500) return undefined;
  const words = nameAt(parseJson(fetched.text), "error", "message") ?? nameAt(parseJson(fetched.text), "message");
  return `it answers ${fetched.status}${words === undefined ? "" : `: ${words}`}`;
}

function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, "");
}
