import type { Json } from "../canon/index.ts";
import { ConfigDocument, type ConfigProblem } from "./document.ts";
import { writtenText, type Path } from "./variables.ts";

/** Shorter texts are what local servers are given in place of a key. */
const LEAST_KEY_CHARACTERS = 12;
/** Headers that carry credentials. */
const SECRET_HEADER = /authorization|cookie|api-?key|token|secret|password|-key$|-team$/i;
const NOT_IN_A_NAME = /[^A-Za-z0-9]+/g;

/** What stands in a masked key's place. */
const MASK = '"***"';

/** Secrets of a provider that are no API keys, and how their variables end. */
const NETWORK_SECRETS: Readonly<Record<string, string>> = { proxy: "PROXY", "tls.key": "TLS_KEY", "tls.passphrase": "TLS_PASSPHRASE" };

interface WrittenSecret {
  /** Whose it is: a provider's name, `telemetry` or `identity`. */
  readonly provider: string;
  readonly path: Path;
}

/**
 * Keys that stand in the file itself: whoever can read the file, a copy of it or its history has them. A warning, because it works; the
 * message never repeats the key.
 */
export function writtenSecrets(document: ConfigDocument): ConfigProblem[] {
  return secretsIn(document).map(({ provider, path }) => {
    const what = NETWORK_SECRETS[path.slice(2).join(".")] ?? "API_KEY";
    const variable = `${provider.replaceAll(NOT_IN_A_NAME, "_").toUpperCase()}_${what}`;
    return {
      ...document.problem(
        path,
        `${path.join(".")}: The key stands in the file itself. Set it as the environment variable ${variable}, write \${${variable}} here, and replace the key where it was issued.`,
      ),
      remedy: `Write \${${variable}} in its place, and replace the key: it may have been read.`,
    };
  });
}

/** A configuration's text for people to look at: keys that stand in it are masked, references stay. */
export function maskSecrets(text: string): string {
  const document = new ConfigDocument(text);
  const ranges = secretsIn(document).flatMap(({ path }) => {
    const range = document.rangeOf(path);
    return range ? [range] : [];
  });
  let masked = text;
  for (const [from, to] of ranges.toSorted(([a], [b]) => b - a)) masked = `${masked.slice(0, from)}${MASK}${masked.slice(to)}`;
  return masked;
}

function secretsIn(document: ConfigDocument): WrittenSecret[] {
  const found: WrittenSecret[] = [];
  const { otlp } = Object.fromEntries(membersOf(membersOf(document.value).get("telemetry")));
  for (const [header, value] of membersOf(membersOf(otlp).get("headers")))
    if (SECRET_HEADER.test(header) && isKey(value)) found.push({ provider: "telemetry", path: ["telemetry", "otlp", "headers", header] });
  const oidc = membersOf(membersOf(membersOf(document.value).get("identity")).get("oidc"));
  if (isKey(oidc.get("clientSecret"))) found.push({ provider: "identity", path: ["identity", "oidc", "clientSecret"] });
  for (const [provider, options] of membersOf(membersOf(document.value).get("providers"))) {
    const members = membersOf(options);
    const look = (value: Json | undefined, ...path: Path): void => {
      if (isKey(value)) found.push({ provider, path: ["providers", provider, ...path] });
    };
    look(members.get("apiKey"), "apiKey");
    look(members.get("serviceAccount"), "serviceAccount");
    const proxy = members.get("proxy");
    if (typeof proxy === "string" && proxy.includes("@")) look(proxy, "proxy");
    const { key, passphrase } = Object.fromEntries(membersOf(members.get("tls")));
    // Otherwise it is the path of a file.
    if (typeof key === "string" && key.includes("-----BEGIN")) look(key, "tls", "key");
    look(passphrase, "tls", "passphrase");
    const keys = members.get("apiKeys");
    for (const [index, entry] of (Array.isArray(keys) ? (keys as Json[]) : []).entries()) {
      look(entry, "apiKeys", index);
      look(membersOf(entry).get("key"), "apiKeys", index, "key");
    }
    for (const [header, value] of membersOf(members.get("headers"))) if (SECRET_HEADER.test(header)) look(value, "headers", header);
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
