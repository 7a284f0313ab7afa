import { invalid, type CustomToolSpec, type FunctionToolSpec, type Json, type JsonObject, type ToolSpec } from "../../canon/index.ts";
import { cacheTtl } from "./decode-parts.ts";
import { demand, isList, isObject, ORIGIN, read, type Draft } from "./shape.ts";

/**
 * The tools of a request: `tools`, then the older `functions`. An empty or null list declares nothing and is kept verbatim in `native`.
 * @throws ProblemError
 */
export function decodeTools(body: JsonObject): { readonly tools: readonly ToolSpec[]; readonly native: JsonObject } {
  const native: Draft = {};
  const tools: ToolSpec[] = [];
  for (const key of ["tools", "functions"] as const) {
    const value = body[key];
    const list = read(body, key, "list");
    if (list && list.length > 0) {
      for (const [at, raw] of list.entries())
        tools.push(key === "tools" ? decodeTool(raw, `tools[${at}]`) : decodeLegacy(raw, `functions[${at}]`));
    } else if (value !== undefined) native[key] = isList(value) ? [] : null;
  }
  return { tools, native: native };
}

function decodeTool(raw: Json, path: string): ToolSpec {
  if (!isObject(raw)) throw invalid(`\`${path}\` must be an object.`, path);
  const type = raw["type"] === undefined && isObject(raw["function"]) ? "function" : demand(raw, "type", "string", `${path}.`);
  const ttl = cacheTtl(raw);
  const base = { origin: ORIGIN, raw, ...(ttl !== undefined && { cacheTtlSeconds: ttl }) };
  // Some clients write a function's fields beside the type instead of below it.
  if (type === "function") {
    const nested = read(raw, "function", "object", `${path}.`);
    return { ...functionFields(nested ?? raw, nested ? `${path}.function.` : `${path}.`), ...base };
  }
  if (type === "custom") return { ...customFields(demand(raw, "custom", "object", `${path}.`), `${path}.custom.`), ...base };
  return { type: "native", kind: type, ...base };
}

function decodeLegacy(raw: Json, path: string): ToolSpec {
  if (!isObject(raw)) throw invalid(`\`${path}\` must be an object.`, path);
  return { ...functionFields(raw, `${path}.`), origin: ORIGIN, raw };
}

/** A declaration from the older `functions` list: bare, without type or wrapper. */
export function isLegacyDeclaration(raw: Json | undefined): boolean {
  return isObject(raw) && raw["type"] === undefined && raw["function"] === undefined;
}

function functionFields(body: JsonObject, path: string): FunctionToolSpec {
  const description = read(body, "description", "string", path);
  const schema = read(body, "parameters", "object", path);
  const strict = read(body, "strict", "boolean", path);
  return {
    type: "function",
    name: demand(body, "name", "string", path),
    ...(description !== undefined && { description }),
    ...(schema !== undefined && { schema }),
    ...(strict !== undefined && { strict }),
  };
}

function customFields(body: JsonObject, path: string): CustomToolSpec {
  const description = read(body, "description", "string", path);
  const format = read(body, "format", "object", path);
  return {
    type: "custom",
    name: demand(body, "name", "string", path),
    ...(description !== undefined && { description }),
    ...(format !== undefined && { format: flatGrammar(format) }),
  };
}

/** Here a grammar's fields are nested one level deeper than in the canonical form. */
function flatGrammar(format: JsonObject): JsonObject {
  const grammar = format["grammar"];
  return isObject(grammar) ? { type: "grammar", ...grammar } : format;
}
