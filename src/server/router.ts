import type { FrontOut, FrontRequest } from "../wire/types.ts";

export type Params = Readonly<Record<string, string>>;
export type RouteHandler = (request: FrontRequest, out: FrontOut, params: Params) => void;

interface Pattern {
  readonly method: string;
  readonly segments: readonly string[];
  /** What must follow the rest that `{name...}` takes. */
  readonly end: string;
  readonly handler: RouteHandler;
}

export type Match =
  | { readonly kind: "found"; readonly handler: RouteHandler; readonly params: Params }
  | { readonly kind: "wrong-method"; readonly allow: string }
  | { readonly kind: "none" };

const NO_PARAMS: Params = {};

/**
 * Finds the handler of a path. Exact paths cost one look-up; `{name}` matches one segment, `{name...}` the rest with its slashes, and
 * `{name...}/end` or `{name...}:end` as much of the rest as leaves that end. Patterns are tried in the order in which they were added.
 */
export class Router {
  readonly #exact = new Map<string, RouteHandler>();
  readonly #patterns: Pattern[] = [];
  readonly #methods = new Map<string, string[]>();

  add(method: string, path: string, handler: RouteHandler): void {
    if (!path.includes("{")) {
      this.#exact.set(`${method} ${path}`, handler);
      this.#methods.set(path, [...(this.#methods.get(path) ?? []), method]);
      return;
    }
    // What follows the brace may itself hold slashes.
    const open = path.indexOf("...}");
    const end = open < 0 ? "" : path.slice(open + "...}".length);
    const head = open < 0 ? path : path.slice(0, path.length - end.length);
    this.#patterns.push({ method, segments: head.split("/"), end, handler });
  }

  match(method: string, path: string): Match {
    const handler = this.#exact.get(`${method} ${path}`);
    if (handler) return { kind: "found", handler, params: NO_PARAMS };
    const segments = path.split("/");
    const allowed = [...(this.#methods.get(path) ?? [])];
    for (const pattern of this.#patterns) {
      const params = bind(pattern, segments);
      if (!params) continue;
      if (pattern.method === method) return { kind: "found", handler: pattern.handler, params };
      allowed.push(pattern.method);
    }
    return allowed.length > 0 ? { kind: "wrong-method", allow: [...new Set(allowed)].join(", ") } : { kind: "none" };
  }
}

function bind(pattern: Pattern, segments: readonly string[]): Params | undefined {
  const params: Record<string, string> = {};
  for (const [place, part] of pattern.segments.entries()) {
    const segment = segments[place];
    if (segment === undefined) return undefined;
    if (part.startsWith("{") && part.endsWith("...}")) {
      const all = segments.slice(place).join("/");
      if (!all.endsWith(pattern.end)) return undefined;
      const rest = decode(all.slice(0, all.length - pattern.end.length));
      if (rest === undefined || rest === "") return undefined;
      params[part.slice(1, -4)] = rest;
      return params;
    }
    if (part.startsWith("{")) {
      const value = decode(segment);
      if (value === undefined || value === "") return undefined;
      params[part.slice(1, -1)] = value;
    } else if (part !== segment) return undefined;
  }
  return segments.length === pattern.segments.length ? params : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** The query's parameters; of a repeated one the last. */
export function queryParams(query: string): Params {
  return query === "" ? NO_PARAMS : Object.fromEntries(new URLSearchParams(query));
}
