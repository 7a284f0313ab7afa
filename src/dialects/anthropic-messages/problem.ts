import {
  PROBLEM_KINDS,
  ProblemError,
  problemStatus,
  type EmitFrame,
  type EncodedProblem,
  type Headers,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
} from "../../canon/index.ts";
import { plainWords } from "../shared-problems.ts";
import { waitAsked } from "../shared-waits.ts";
import { DIALECT, isObject, textAt } from "./wire.ts";

/** Longest piece of an upstream's own words that is passed on. */
const MAX_MESSAGE_LETTERS = 1000;
/** Source: API reference, "Rate limits", response headers; resets are RFC 3339 times. */
const LIMITS = ["requests", "tokens", "input-tokens", "output-tokens"].map((of) => ({
  remaining: `anthropic-ratelimit-${of}-remaining`,
  reset: `anthropic-ratelimit-${of}-reset`,
}));

/** The status that goes with an error's type, for errors inside a stream that began with 200. Source: SDK 1.12.0, `ErrorObject`. */
const STATUS_OF_TYPE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

/** An upstream's error response. Never echoes credentials: what it says of them is replaced. */
export function decodeProblem(response: {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json | undefined;
  readonly text: string;
  readonly provider: string;
  readonly now?: number;
}): Problem {
  const retryAfterMs = waitAsked(response, LIMITS);
  return {
    ...problemOf(response.status, response.body, response.text, response.provider),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** An `error` object that came inside a stream, or as a plain answer with status 200. */
export function problemOfErrorBody(body: JsonObject, provider: string): Problem {
  const error = isObject(body["error"]) ? body["error"] : {};
  const status = STATUS_OF_TYPE[textAt(error, "type")] ?? 500;
  return problemOf(status, body, "", provider);
}

function problemOf(status: number, body: Json | undefined, text: string, provider: string): Problem {
  const kind = kindOf(status);
  const error = isObject(body) && isObject(body["error"]) ? body["error"] : undefined;
  const code =
    error && isObject(error["details"]) && typeof error["details"]["error_code"] === "string"
      ? error["details"]["error_code"]
      : error?.["type"];
  const said = typeof error?.["message"] === "string" ? error["message"].slice(0, MAX_MESSAGE_LETTERS) : plainWords(text);
  const upstream = { status, dialect: DIALECT, provider };
  if (status === 401 || status === 403) {
    // The client's own key is fine: neither the status nor words about a key that it never had may reach it.
    return {
      kind,
      status: 502,
      message: `The provider "${provider}" refused the gateway's own credentials (${status}); an administrator must check the key and its permissions.`,
      ...(typeof code === "string" && { code }),
      fault: "credentials",
      upstream,
    };
  }
  return {
    kind,
    ...(kind === "upstream_rejected" && { status }),
    message: `${provider === "" ? "The provider" : `The provider "${provider}"`} answered ${status}${said ? `: ${said}` : "."}`,
    ...(typeof code === "string" && { code }),
    ...(status === 402 && { fault: "credentials" }),
    upstream: { ...upstream, ...(isObject(body) && { body }) },
  };
}

function kindOf(status: number): ProblemKind {
  if (status === 408 || status === 504) return "upstream_timeout";
  if (status === 429) return "rate_limited";
  if (status >= 500) return "upstream_unavailable";
  return "upstream_rejected";
}

export function broken(message: string, provider?: string): Problem {
  return { kind: "upstream_broken", message, ...(provider !== undefined && { upstream: { status: 200, dialect: DIALECT, provider } }) };
}

/** @throws ProblemError */
export function throwBroken(message: string, provider?: string): never {
  throw new ProblemError(broken(message, provider));
}

const TYPES: Readonly<Record<ProblemKind, string>> = {
  invalid_request: "invalid_request_error",
  unknown_model: "not_found_error",
  unauthenticated: "authentication_error",
  forbidden: "permission_error",
  not_found: "not_found_error",
  conflict: "conflict_error",
  too_large: "request_too_large",
  rate_limited: "rate_limit_error",
  budget_exhausted: "billing_error",
  policy_denied: "permission_error",
  approval_needed: "permission_error",
  killed: "overloaded_error",
  upstream_rejected: "invalid_request_error",
  upstream_unavailable: "api_error",
  upstream_timeout: "timeout_error",
  upstream_broken: "api_error",
  unsupported: "invalid_request_error",
  cancelled: "invalid_request_error",
  overloaded: "overloaded_error",
  storage_unavailable: "overloaded_error",
  gateway_restarted: "overloaded_error",
  internal: "api_error",
};

/** The house's own codes in this language's words: clients of threads act on them (SDK 1.12.0, `ThreadState`). */
const CODES: Readonly<Record<string, string>> = {
  turn_not_found: "thread_not_found",
  turn_changed: "thread_fingerprint_mismatch",
  turn_continued: "thread_already_continued",
  turn_in_flight: "thread_continue_in_flight",
};

export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  const native = problem.kind === "upstream_rejected" && upstream?.dialect === DIALECT && upstream.status < 500 ? upstream.body : undefined;
  // What the provider said in this language goes out in its own words; only the call's id is added.
  if (upstream && isObject(native)) return { status: upstream.status, body: { ...native, gimbal_call_id: callId } };
  const overloaded = problem.kind === "upstream_unavailable" && upstream?.status === 529;
  return {
    status: overloaded ? 529 : problemStatus(problem),
    body: errorBody(problem, callId, overloaded ? "overloaded_error" : undefined),
  };
}

/** Clients throw on this frame, whatever came before it. */
export function encodeProblemFrames(problem: Problem, callId: string, emit: EmitFrame): void {
  emit("error", JSON.stringify(encodeProblem(problem, callId).body));
}

function errorBody(problem: Problem, callId: string, type: string = typeOf(problem)): JsonObject {
  const { message, param } = problem;
  const placed = param !== undefined && !message.includes(param) ? `${param}: ${message}` : message;
  const { remedy } = PROBLEM_KINDS[problem.kind];
  const code = problem.code === undefined ? undefined : (CODES[problem.code] ?? problem.code);
  return {
    type: "error",
    error: {
      type,
      message: placed.endsWith(remedy) ? placed : `${placed} ${remedy}`,
      ...(code !== undefined && { details: { error_code: code } }),
    },
    request_id: callId,
    gimbal_call_id: callId,
  };
}

/** A refusal of 402 or 404 by a provider of another language keeps its meaning. */
function typeOf(problem: Problem): string {
  if (problem.kind !== "upstream_rejected") return TYPES[problem.kind];
  return (
    Object.entries(STATUS_OF_TYPE).find(([, status]) => status === problemStatus(problem))?.[0] ??
    (problemStatus(problem) >= 500 ? "api_error" : TYPES.upstream_rejected)
  );
}
