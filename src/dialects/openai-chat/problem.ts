import {
  PROBLEM_KINDS,
  problemStatus,
  type EncodedProblem,
  type Headers,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
} from "../../canon/index.ts";
import { kindOfStatus, refusedCredentials, scrubbed, sentenceOf } from "../shared-problems.ts";
import { COMMON_LIMITS, waitAsked } from "../shared-waits.ts";
import { codeOf, errorOf, isFlagged, said } from "./said.ts";
import { ID, isObject, object, text, type Draft } from "./shape.ts";

/** Comes as 429, but no wait helps: the account behind the key is empty. */
const OUT_OF_FUNDS = "insufficient_quota";

interface UpstreamResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json | undefined;
  readonly text: string;
  readonly provider: string;
  readonly now?: number;
}

export function decodeProblem(response: UpstreamResponse): Problem {
  const { status, body, provider } = response;
  const error = errorOf(body);
  if (status === 401 || (status === 403 && !isFlagged(error))) return refusedCredentials(ID, status, provider);
  const kind = kindOfStatus(status);
  const retryAfterMs = kind === "rate_limited" || kind === "upstream_unavailable" ? waitAsked(response, COMMON_LIMITS) : undefined;
  const code = codeOf(error);
  const param = kind === "upstream_rejected" ? text(error?.["param"]) : undefined;
  return {
    kind,
    message: sentenceOf(kind, provider, status, said(body, error)),
    ...(param !== undefined && { param }),
    ...(code !== undefined && { code }),
    ...(kind === "upstream_rejected" && { status: status === 402 ? 502 : status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...((status === 402 || code === OUT_OF_FUNDS) && { fault: "credentials" }),
    upstream: { status, dialect: ID, provider, ...(body !== undefined && { body: scrubbed(body) }) },
  };
}

/** An error that came as JSON inside a good answer or a stream, where no status tells its kind. */
export function embeddedProblem(body: JsonObject, provider: string | undefined): Problem {
  const error = errorOf(body);
  const status = statusOf(error);
  const problem = decodeProblem({ status: status ?? 502, headers: {}, body, text: "", provider: provider ?? "" });
  return status === undefined ? { ...problem, kind: "upstream_broken" } : problem;
}

/** Types and codes of errors that mean a status, for errors inside streams. */
const STATUS_BY_WORD: Readonly<Record<string, number>> = {
  rate_limit_exceeded: 429,
  rate_limit_error: 429,
  insufficient_quota: 429,
  invalid_request_error: 400,
  context_length_exceeded: 400,
  content_filter: 400,
  tool_use_failed: 400,
  too_many_requests_error: 429,
  request_quota_exceeded: 429,
  token_quota_exceeded: 429,
  queue_exceeded: 429,
  authentication_error: 401,
  permission_error: 403,
  server_error: 500,
  internal_server_error: 500,
  api_error: 500,
  service_unavailable: 503,
  overloaded_error: 529,
  overloaded: 529,
  timeout: 504,
};

function statusOf(error: JsonObject | undefined): number | undefined {
  if (!error) return undefined;
  for (const key of ["status_code", "status", "code"]) {
    const value = Number(error[key] ?? Number.NaN);
    if (Number.isInteger(value) && value >= 400 && value < 600) return value;
  }
  return STATUS_BY_WORD[text(error["code"]) ?? ""] ?? STATUS_BY_WORD[text(error["type"]) ?? ""];
}

/** The language's own words for each kind of problem. */
const WORDS: Readonly<Record<ProblemKind, { readonly type: string; readonly code: string | null }>> = {
  invalid_request: { type: "invalid_request_error", code: null },
  unknown_model: { type: "invalid_request_error", code: "model_not_found" },
  unauthenticated: { type: "invalid_request_error", code: "invalid_api_key" },
  forbidden: { type: "invalid_request_error", code: "insufficient_permissions" },
  not_found: { type: "invalid_request_error", code: "not_found" },
  conflict: { type: "invalid_request_error", code: "conflict" },
  too_large: { type: "invalid_request_error", code: "request_too_large" },
  rate_limited: { type: "rate_limit_error", code: "rate_limit_exceeded" },
  budget_exhausted: { type: "insufficient_quota", code: "insufficient_quota" },
  policy_denied: { type: "invalid_request_error", code: "policy_denied" },
  approval_needed: { type: "invalid_request_error", code: "approval_needed" },
  killed: { type: "server_error", code: "service_unavailable" },
  upstream_rejected: { type: "invalid_request_error", code: "upstream_rejected" },
  upstream_unavailable: { type: "server_error", code: "upstream_unavailable" },
  upstream_timeout: { type: "server_error", code: "upstream_timeout" },
  upstream_broken: { type: "server_error", code: "upstream_broken" },
  unsupported: { type: "invalid_request_error", code: "unsupported" },
  cancelled: { type: "invalid_request_error", code: "cancelled" },
  overloaded: { type: "server_error", code: "overloaded" },
  storage_unavailable: { type: "server_error", code: "storage_unavailable" },
  gateway_restarted: { type: "server_error", code: "gateway_restarted" },
  internal: { type: "server_error", code: "internal_error" },
};

/** A provider's refusal in this language goes out as it came; everything else is written in the language's own shape. */
export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  if (problem.kind === "upstream_rejected" && upstream?.dialect === ID && isObject(upstream.body) && upstream.status >= 400) {
    return { status: problemStatus(problem), body: upstream.body };
  }
  return { status: problemStatus(problem), body: errorBody(problem, callId) };
}

/**
 * `{ error: { message, type, param, code, gimbal_call_id } }`: also what a stream ends with when it fails. A refusal that came in this
 * language keeps all its members, such as what a model wrote that is no tool call.
 */
export function errorBody(problem: Problem, callId: string): JsonObject {
  const { type, code } = WORDS[problem.kind];
  const { remedy } = PROBLEM_KINDS[problem.kind];
  const message = problem.message.includes(remedy) ? problem.message : `${problem.message.trimEnd()} ${remedy}`;
  const native = nativeError(problem);
  const error: Draft = { message, type, param: problem.param ?? null, code: problem.code ?? code };
  // Vendors number their errors or name them, and their clients compare.
  if (typeof native?.["code"] === "number") error["code"] = native["code"];
  if (problem.kind === "upstream_rejected") Object.assign(error, native);
  if (callId !== "") error["gimbal_call_id"] = callId;
  return { error: error };
}

/** The error as the upstream wrote it, where that was in this language. */
function nativeError({ upstream }: Problem): JsonObject | undefined {
  return upstream?.dialect === ID ? object(object(upstream.body)?.["error"]) : undefined;
}
