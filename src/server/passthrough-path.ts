/** A path of a provider that means what it says: nothing in it climbs, hides a slash, or names another host. */
const PLAIN = /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/;
/** `.`, `/`, `\`, `%` and controls may not hide behind percent signs: two readers would take them for two paths. */
const HIDDEN = /%(?:2e|2f|5c|25|7f|[01][0-9a-f])/i;
/** Parameters in which clients carry keys. */
const CREDENTIAL = /^(?:key|api[-_]?key|access[-_]?token|token)$/i;

/** May this path be passed on as it is? */
export function isPlainPath(path: string): boolean {
  if (!PLAIN.test(path) || HIDDEN.test(path) || path.includes("//")) return false;
  return path.split("/").every((segment) => segment !== "." && segment !== "..");
}

/** Is it one of those that the configuration names? */
export function isNamed(path: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : path === pattern));
}

/** The query without the client's credentials; with its `?` where anything is left. */
export function queryWithoutKeys(query: string, ownPrefix: string): string {
  const kept = query.split("&").filter((pair) => {
    if (pair === "") return false;
    const [name = "", value = ""] = [...new URLSearchParams(pair)][0] ?? [];
    return !CREDENTIAL.test(name) && !value.startsWith(ownPrefix);
  });
  return kept.length === 0 ? "" : `?${kept.join("&")}`;
}
