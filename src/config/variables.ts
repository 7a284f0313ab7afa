import type { Json } from "../canon/index.ts";

/** Where `${NAME}` and `${NAME:-default}` get their values. */
export type Environment = Readonly<Record<string, string | undefined>>;
export type Path = readonly (string | number)[];

/**
 * Private-use code points stand for a reference's letters while YAML is parsed: its braces would otherwise begin a mapping inside
 * `{ apiKey: ${KEY} }`. One for one, so that lines and columns stay.
 */
const VEIL = 0xe000;
const REFERENCE = /(?<!\$)\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}\n"']*)?\}/g;
const VEILED = /[\ue000-\ue0ff]+/g;

/** Hides references from the YAML parser. A character beyond U+00FF inside a default keeps its own face. */
export function veil(text: string): string {
  return text.replace(REFERENCE, (reference) => Array.from(reference, veilLetter).join(""));
}

function veilLetter(letter: string): string {
  const code = letter.charCodeAt(0);
  return code <= 0xff ? String.fromCharCode(VEIL + code) : letter;
}

export function unveil(text: string): string {
  return text.replace(VEILED, (run) => run.replace(/./gs, (letter) => String.fromCharCode(letter.charCodeAt(0) - VEIL)));
}

/** What of a parsed document's string stands in the file itself: the defaults of its references, but nothing of their variables. */
export function writtenText(value: string): string {
  return unveil(value).replace(REFERENCE, (reference) => reference.slice(2, -1).split(":-").slice(1).join(":-"));
}

export interface Expansion {
  readonly value: Json;
  /** References without a value and without a default. */
  readonly unset: readonly { readonly path: Path; readonly name: string }[];
  /** Strings that came out of references: a number may be meant. */
  readonly expanded: readonly Path[];
}

/** Replaces every reference in every string of a parsed document. An empty variable counts as unset, as in a shell's `:-`. */
export function expand(document: Json, env: Environment): Expansion {
  const unset: { path: Path; name: string }[] = [];
  const expanded: Path[] = [];
  const visit = (value: Json, path: Path): Json => {
    if (typeof value === "string") {
      const plain = unveil(value);
      const replaced = plain === value ? value : replaceReferences(plain, env, (name) => unset.push({ path, name }));
      if (replaced !== value) expanded.push(path);
      return replaced.replaceAll("$${", "${");
    }
    if (Array.isArray(value)) return value.map((item: Json, index) => visit(item, [...path, index]));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [unveil(key), visit(member ?? null, [...path, unveil(key)])]));
  };
  return { value: visit(document, []), unset, expanded };
}

function replaceReferences(text: string, env: Environment, missing: (name: string) => void): string {
  return text.replace(REFERENCE, (reference) => {
    const [name = "", ...rest] = reference.slice(2, -1).split(":-");
    const value = env[name];
    if (value !== undefined && value !== "") return value;
    if (rest.length > 0) return rest.join(":-");
    missing(name);
    return "";
  });
}
