import type { Json } from "../canon/index.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { writtenText } from "./variables.ts";

/** Shorter texts are what local servers are given in place of a key. */
const LEAST_KEY_CHARACTERS = 12;
/** Headers that carry credentials. */
const SECRET_HEADER = /authorization|cookie|api-?key|token|secret|password/i;
const NOT_IN_A_NAME = /[^A-Za-z0-9]+/g;

/**
 * Keys that stand in the file itself: whoever can read the file, a copy of it or its history has them. A warning, because it works; the
 * message never repeats the key.
 */
export function writtenSecrets(document: ConfigDocument): ConfigProblem[] {
  const found: ConfigProblem[] = [];
  for (const [name, options] of membersOf(membersOf(document.value).get("providers"))) {
    const variable = `${name.replaceAll(NOT_IN_A_NAME, "_").toUpperCase()}_API_KEY`;
    const warn = (path: readonly string[]): void =>
      void found.push({
        ...document.problem(
          path,
          `${path.join(".")}: The key stands in the file itself. Set it as the environment variable ${variable}, write \${${variable}} here, and replace the key where it was issued.`,
        ),
        remedy: `Write \${${variable}} in its place, and replace the key: it may have been read.`,
      });
    const members = membersOf(options);
    if (isKey(members.get("apiKey"))) warn(["providers", name, "apiKey"]);
    for (const [header, value] of membersOf(members.get("headers")))
      if (SECRET_HEADER.test(header) && isKey(value)) warn(["providers", name, "headers", header]);
  }
  return found;
}

function isKey(value: Json | undefined): boolean {
  return typeof value === "string" && writtenText(value).length >= LEAST_KEY_CHARACTERS;
}

function membersOf(value: Json | undefined): ReadonlyMap<string, Json | undefined> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return new Map(isObject ? Object.entries(value) : []);
}
