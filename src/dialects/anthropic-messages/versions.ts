import { invalid, type Capabilities, type Diagnostic, type Headers, type Json, type JsonObject } from "../../canon/index.ts";
import { isList, isObject } from "./wire.ts";

/**
 * The two versions of the wire, by header `anthropic-version`. What differs, found by comparing the types of the SDK's releases 0.137.0
 * (which sends 2023-06-01) and 1.12.0 (2026-10-21):
 *
 * |                       | 2023-06-01                            | 2026-10-21                                               |
 * |-----------------------|---------------------------------------|----------------------------------------------------------|
 * | sampling              | `temperature`, `top_p`, `top_k`       | gone from the request                                    |
 * | betas                 | header, and often query `?beta=true`  | header alone                                             |
 * | thread                | none                                  | field `thread`, with beta message-threads-2026-08-12     |
 * | error                 | `error.type`, `error.message`         | also `error.details`, whose `error_code` names the cause |
 * | answer, stream, count | one shape                             | the same shape                                           |
 *
 * `error.details` is an addition that older clients ignore, so errors are written in the newer form for both.
 */
export const OLD_VERSION = "2023-06-01";
export const NEW_VERSION = "2026-10-21";
/** Newest first. */
const VERSIONS: readonly string[] = [NEW_VERSION, OLD_VERSION];

/** Request fields that the newer version no longer knows. */
export const SAMPLING_FIELDS: readonly string[] = ["temperature", "top_p", "top_k"];

/** The opt-in by which a client continues a conversation that the server holds. */
export const THREADS_BETA = "message-threads-2026-08-12";

/** Longest list of betas read from one request. */
const MAX_BETAS = 64;

/** @throws ProblemError invalid_request for a version that is not known. */
export function readVersion(headers: Headers): string {
  const version = headers["anthropic-version"] ?? OLD_VERSION;
  if (VERSIONS.includes(version)) return version;
  throw invalid(`anthropic-version: "${version.slice(0, 40)}" is not a known version; use ${VERSIONS.join(" or ")}.`, "anthropic-version");
}

/** The client's opt-ins, from the comma list of header `anthropic-beta`. */
export function readBetas(headers: Headers): readonly string[] {
  const list = headers["anthropic-beta"];
  if (list === undefined || list === "") return [];
  const betas = list
    .split(",")
    .map((beta) => beta.trim())
    .filter((beta) => beta !== "");
  return [...new Set(betas)].slice(0, MAX_BETAS);
}

/** The client's version where the upstream takes it, else the newest that both know. */
export function upstreamVersion(client: string, capabilities: Capabilities): string {
  const offered = capabilities.versions;
  if (offered === undefined || offered.includes(client)) return client;
  return offered.find((version) => VERSIONS.includes(version)) ?? client;
}

/** May this opt-in be sent upstream? No list of betas means that nothing is known against any. */
function passes(beta: string, capabilities: Capabilities): boolean {
  if (beta === THREADS_BETA) return false;
  const { betas } = capabilities;
  return betas === undefined || betas.includes("*") || betas.includes(beta);
}

/** The betas that go upstream. Threads never do: the gateway keeps the turns, so that they work with every provider. */
export function upstreamBetas(betas: readonly string[], capabilities: Capabilities): readonly string[] {
  return betas.filter((beta) => passes(beta, capabilities));
}

/** A top-level field that is only understood with an opt-in; any beta whose name begins so brings it. */
const FIELD_BETAS: Readonly<Record<string, readonly string[]>> = {
  billing_policy: ["user-profiles-billing-"],
  compaction: ["compact-"],
  context_management: ["context-management-", "compact-"],
  diagnostics: ["cache-diagnosis-"],
  fallback_credit_token: ["fallback-credit-"],
  fallbacks: ["server-side-fallback-"],
  mcp_servers: ["mcp-client-"],
  output_format: ["structured-outputs-"],
  speed: ["fast-mode-"],
  thread: ["message-threads-"],
};
/** Kinds of tools that are only understood with an opt-in. */
const TOOL_BETAS: readonly (readonly [kind: string, beta: string])[] = [
  ["advisor_", "advisor-tool-"],
  ["browser_toolset", "computer-use-"],
  ["computer_", "computer-use-"],
  ["mcp_toolset", "mcp-client-"],
];

/**
 * What must change in a request of this language for an upstream: top-level fields to replace (a value) or remove (undefined). A field
 * whose opt-in was stripped goes with it, because the upstream would refuse the request for it; a field without its opt-in was not
 * stripped here and is for the upstream to judge.
 */
export function adaptBody(
  body: JsonObject,
  client: { readonly version: string; readonly betas: readonly string[] },
  capabilities: Capabilities,
  note: (diagnostic: Diagnostic) => void,
): Record<string, Json | undefined> {
  const replace: Record<string, Json | undefined> = {};
  const drop = (field: string, reason: string): void => {
    if (body[field] === undefined || field in replace) return;
    replace[field] = undefined;
    note({ field, action: "dropped", reason });
  };
  const stripped = client.betas.filter((beta) => !passes(beta, capabilities));
  const kept = upstreamBetas(client.betas, capabilities);
  const lost = (prefixes: readonly string[]): string | undefined => {
    const begins = (beta: string): boolean => prefixes.some((prefix) => beta.startsWith(prefix));
    return kept.some(begins) ? undefined : stripped.find(begins);
  };
  for (const [field, prefixes] of Object.entries(FIELD_BETAS)) {
    const beta = body[field] === undefined ? undefined : lost(prefixes);
    if (beta !== undefined && field !== "thread") drop(field, `The upstream does not take the beta ${beta}.`);
  }
  // The field itself says what it wants; a thread goes upstream under no circumstances.
  if (body["thread"] !== undefined) replace["thread"] = undefined;
  if (upstreamVersion(client.version, capabilities) === NEW_VERSION && client.version !== NEW_VERSION) {
    for (const field of SAMPLING_FIELDS) drop(field, `Version ${NEW_VERSION}, the only one the upstream takes, has no such field.`);
  }
  for (const field of capabilities.refuses ?? []) drop(field, "The upstream refuses this field.");
  Object.assign(replace, adaptTools(body["tools"], lost, note), adaptOutput(body["output_config"], lost(["task-budgets-"]), note));
  return replace;
}

function adaptTools(
  tools: Json | undefined,
  lost: (prefixes: readonly string[]) => string | undefined,
  note: (diagnostic: Diagnostic) => void,
): JsonObject {
  if (!isList(tools)) return {};
  const kept = tools.filter((tool) => {
    const kind = isObject(tool) && typeof tool["type"] === "string" ? tool["type"] : "";
    const rule = TOOL_BETAS.find(([prefix]) => kind.startsWith(prefix));
    const beta = rule && lost([rule[1]]);
    if (beta === undefined) return true;
    note({
      field: "tools[].native",
      action: "dropped",
      reason: `The tool ${kind} needs the beta ${beta}, which the upstream does not take.`,
    });
    return false;
  });
  return kept.length === tools.length ? {} : { tools: kept };
}

function adaptOutput(output: Json | undefined, lostBeta: string | undefined, note: (diagnostic: Diagnostic) => void): JsonObject {
  if (lostBeta === undefined || !isObject(output) || output["task_budget"] === undefined) return {};
  note({ field: "output_config.task_budget", action: "dropped", reason: `The upstream does not take the beta ${lostBeta}.` });
  const { task_budget: _budget, ...rest } = output;
  return { output_config: rest };
}

/** The headers of a request upstream. */
export function wireHeaders(version: string, betas: readonly string[]): Record<string, string> {
  return { "anthropic-version": version, ...(betas.length > 0 && { "anthropic-beta": betas.join(",") }) };
}
