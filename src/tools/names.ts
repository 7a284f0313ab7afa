import type { ServerOptions } from "./options.ts";

/** Source: specification 2025-11-25, "Tool Names": 1 to 128 letters, digits, `_`, `-` and `.`. */
const NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const SHOWN = 120;

export function isToolName(name: string): boolean {
  return NAME.test(name);
}

export function prefixOf(server: string, { prefix }: ServerOptions): string {
  return prefix ?? `${server}__`;
}

/** May this be offered at all, by the configuration of its server? */
export function isOffered({ allow, deny }: ServerOptions, name: string): boolean {
  return (!allow || matches(allow, name)) && !matches(deny, name);
}

function matches(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
}

/** What a server says of itself, for a line of a log or an error: on one line, without anything that steers a terminal, and short. */
export function plain(words: unknown, letters = SHOWN): string {
  const text = (typeof words === "string" ? words : words instanceof Error ? words.message : String(words)).replace(
    // Control and format characters, line and paragraph separators: what hides, reorders or forges lines.
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu,
    " ",
  );
  return text.length > letters ? `${text.slice(0, letters)}...` : text;
}
