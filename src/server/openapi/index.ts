import { PROBLEM_KINDS, type Dialect, type JsonObject } from "../../canon/index.ts";
import { NOT_BUILT } from "../not-built.ts";
import { ROUTE_ROLES } from "../roles.ts";
import { ADMIN_ROUTES } from "./admin.ts";
import { doorOperations, failureIn, securityNames } from "./doors.ts";
import { OWN_ROUTES, SCHEMAS } from "./own.ts";
import { HEADERS, PARAMETERS } from "./parts.ts";
import { parametersOf, ref, schemaOf, shape, text, type Described } from "./shapes.ts";

const ADMIN_TAG = "Admin API";
const OWN_TAG = "Gateway";
const ADMIN_TOKEN = "adminToken";

/** Everything under the gateway's address, as OpenAPI 3.1 says it. Source: OpenAPI Specification 3.1.1. */
export function openApiDocument(dialects: Iterable<Dialect>): JsonObject {
  const languages = [...dialects];
  const paths = new Paths();
  for (const { method, path, tag, says } of doorOperations(languages)) paths.add(method, path, { tags: [tag], ...says });
  for (const [name, described] of Object.entries(OWN_ROUTES)) {
    const [method = "", path = ""] = name.split(" ");
    paths.add(method, path, { tags: [OWN_TAG], ...operationOf(described), security: [{ authorization: [] }, {}] });
  }
  for (const [name, described] of Object.entries(ADMIN_ROUTES)) {
    const [method = "", path = ""] = name.split(" ");
    const roles = ["admin", ...(ROUTE_ROLES[name] ?? [])];
    const rest = { ...operationOf(described), security: [{ [ADMIN_TOKEN]: [] }], "x-gimbal-roles": roles };
    paths.add(method, `/admin/api${path.replaceAll(/:(\w+)(\{\.\+\})?/g, "{$1}")}`, { tags: [ADMIN_TAG], ...rest });
  }
  for (const { method, path, what } of NOT_BUILT)
    paths.add(method, path, {
      tags: [OWN_TAG],
      summary: `Not built yet: ${what}.`,
      responses: { 501: { $ref: "#/components/responses/Problem" } },
    });
  return {
    openapi: "3.1.1",
    info: {
      title: "Gimbal",
      version: "1",
      description:
        "An inference layer for agents. The doors of each wire language take and give what that language's own reference says; what is the gateway's own is described here whole.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set([...languages.filter(hasDoors).map(({ title }) => title), OWN_TAG, ADMIN_TAG])].map((name) => ({ name })),
    paths: paths.all(),
    components: componentsOf(languages),
  };
}

function hasDoors({ doors }: Dialect): boolean {
  return doors.length > 0;
}

/** Paths by their place in the hierarchy: two that differ only in what they call their segments are one. */
class Paths {
  readonly #items = new Map<string, { readonly path: string; readonly operations: Record<string, JsonObject> }>();
  readonly #ids = new Set<string>();

  add(method: string, routed: string, says: JsonObject): void {
    const path = routed.replaceAll("...}", "}");
    const place = path.replaceAll(/\{\w+\}/g, "{}");
    const item = this.#items.get(place) ?? { path, operations: {} };
    this.#items.set(place, item);
    const key = method.toLowerCase();
    const known = item.operations[key];
    // A door that several languages share is told once, under each of their names.
    if (known) item.operations[key] = { ...known, tags: [...new Set([...(known["tags"] as string[]), ...(says["tags"] as string[])])] };
    else item.operations[key] = this.#operation(key, item.path, says);
  }

  all(): JsonObject {
    const byPath = [...this.#items.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
    return Object.fromEntries(byPath.map(({ path, operations }) => [path, operations]));
  }

  #operation(method: string, path: string, says: JsonObject): JsonObject {
    const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
    const name = [method, ...words].join("_");
    const operationId = this.#ids.has(name) ? `${name}_${this.#ids.size}` : name;
    this.#ids.add(operationId);
    const segments = [...path.matchAll(/\{(\w+)\}/g)].map(([, segment = ""]) => ({
      name: segment,
      in: "path",
      required: true,
      schema: text,
    }));
    const parameters = [...segments, ...((says["parameters"] ?? []) as JsonObject[])];
    return { operationId, ...says, ...(parameters.length > 0 && { parameters }) };
  }
}

function operationOf({ summary, query, body, answer, status = 200 }: Described): JsonObject {
  const types = "media" in answer ? Object.fromEntries((answer["media"] as string[]).map((type) => [type, { schema: text }])) : undefined;
  const content = types ?? { "application/json": { schema: answer } };
  return {
    summary,
    ...(query && { parameters: parametersOf(query) }),
    ...(body && { requestBody: { required: true, content: { "application/json": { schema: schemaOf(body) } } } }),
    responses: {
      [status]: { description: "As asked.", ...(Object.keys(content).length > 0 && { content }) },
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

function componentsOf(languages: readonly Dialect[]): JsonObject {
  const kinds = Object.keys(PROBLEM_KINDS);
  const problem = shape({ error: shape({ type: { type: "string", enum: kinds }, message: text }, { param: text, code: text }) });
  const names = [...new Set(["authorization", ...languages.flatMap((dialect) => securityNames(dialect))])];
  const scheme = (name: string): JsonObject =>
    name === "authorization" ? { type: "http", scheme: "bearer" } : { type: "apiKey", in: "header", name };
  return {
    schemas: { ...SCHEMAS, Problem: problem },
    responses: {
      ...Object.fromEntries(languages.filter(hasDoors).map((dialect) => [dialect.id, failureIn(dialect)])),
      Problem: {
        description: "A failure: its kind, and a sentence that a person can act on.",
        headers: { "x-gimbal-problem": { $ref: "#/components/headers/x-gimbal-problem" } },
        content: { "application/json": { schema: ref("Problem") } },
      },
    },
    parameters: PARAMETERS,
    headers: HEADERS,
    securitySchemes: {
      ...Object.fromEntries(
        names.map((name) => [name, { ...scheme(name), description: "A key of this gateway (`gk_...`), or a token of a trusted issuer." }]),
      ),
      [ADMIN_TOKEN]: { type: "http", scheme: "bearer", description: "The admin token, a key with a role, or a token of a trusted issuer." },
    },
  };
}
