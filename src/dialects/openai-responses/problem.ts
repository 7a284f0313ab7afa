import {
  type BegunStream,
  PROBLEM_KINDS,
  problemStatus,
  type EmitFrame,
  type EncodedProblem,
  type Headers,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
} from "../../canon/index.ts";
import { COMMON_LIMITS, waitAsked } from "../shared-waits.ts";
import { failedResponse } from "./response.ts";
import { ID, isObject, stringIn, textIn, type Draft } from "./shape.ts";

/** Longest sentence of a provider that is passed on. */
const MAX_MESSAGE_CHARACTERS = 1000;
/** Comes as 429, but no wait helps: the account behind the key is empty. */
const OUT_OF_FUNDS = "insufficient_quota";

/** An upstream's error response. */
export function decodeProblem(response: {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json | undefined;
  readonly text: string;
  readonly provider: string;
  readonly now?: number;
}): Problem {
  const { status, body, provider } = response;
  const kind = kindOfStatus(status);
  if (status === 401 || status === 403) return refusedCredentials(status, provider);
  const error = errorIn(body);
  const retryAfterMs = kind === "rate_limited" || kind === "upstream_unavailable" ? waitAsked(response, COMMON_LIMITS) : undefined;
  return {
    kind,
    message:
      error.message ??
      `"${provider}" answered with status ${status}${body === undefined ? " and no JSON" : ""}${describeText(response.text, body)}.`,
    ...(error.param !== undefined && { param: error.param }),
    ...(error.code !== undefined && { code: error.code }),
    ...(kind === "upstream_rejected" && status >= 400 && status < 500 && { status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...((status === 402 || error.code === OUT_OF_FUNDS) && { fault: "credentials" }),
    upstream: { status, dialect: ID, provider, ...(body !== undefined && { body }) },
  };
}

function kindOfStatus(status: number): ProblemKind {
  if (status === 429) return "rate_limited";
  if (status === 408 || status === 504) return "upstream_timeout";
  if (status >= 500) return "upstream_unavailable";
  return status >= 400 ? "upstream_rejected" : "upstream_broken";
}

/** Nothing of the provider's words is passed on: they quote part of the key. */
function refusedCredentials(status: number, provider: string): Problem {
  return {
    kind: "upstream_rejected",
    message: `"${provider}" refused the gateway's own credentials (status ${status}). An administrator must check the provider's key.`,
    code: "provider_credentials_refused",
    status: 502,
    fault: "credentials",
    upstream: { status, dialect: ID, provider },
  };
}

interface WireError {
  readonly message: string | undefined;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly param: string | undefined;
}

/** Errors come nested, bare, or as a word; servers that only imitate the language vary. */
export function errorIn(body: Json | undefined): WireError {
  const holder: JsonObject = isObject(body) ? body : {};
  const nested = holder["error"];
  const error = isObject(nested) ? nested : holder;
  const message = textIn(error["message"]) ?? textIn(nested) ?? textIn(holder["detail"]) ?? textIn(error["error"]);
  const code = typeof error["code"] === "number" ? String(error["code"]) : textIn(error["code"]);
  return { message: message?.slice(0, MAX_MESSAGE_CHARACTERS), type: textIn(error["type"]), code, param: textIn(error["param"]) };
}

/** An HTML page or plain text says little; its title or first words may help a person. */
function describeText(text: string, body: Json | undefined): string {
  if (body !== undefined || text === "") return "";
  const title = /<title[^>]*>([^<]*)<\/title>/i.exec(text)?.[1] ?? (text.trimStart().startsWith("<") ? "" : text);
  const clean = title
    .replaceAll(/[^\u0020-\u007E]+/g, " ")
    .trim()
    .slice(0, 120);
  return clean === "" ? "" : `: ${clean}`;
}

/** What the codes inside a stream or a failed answer mean; there is no status there to go by. */
const CODE_KINDS: Readonly<Record<string, ProblemKind>> = {
  rate_limit_exceeded: "rate_limited",
  too_many_requests: "rate_limited",
  insufficient_quota: "rate_limited",
  server_error: "upstream_unavailable",
  internal_error: "upstream_unavailable",
  server_is_overloaded: "upstream_unavailable",
  overloaded: "upstream_unavailable",
  overloaded_error: "upstream_unavailable",
  slow_down: "upstream_unavailable",
  timeout: "upstream_timeout",
  request_timeout: "upstream_timeout",
  context_length_exceeded: "upstream_rejected",
  invalid_prompt: "upstream_rejected",
  invalid_request_error: "upstream_rejected",
  invalid_request: "upstream_rejected",
  not_found: "upstream_rejected",
  bio_policy: "upstream_rejected",
  model_error: "upstream_unavailable",
};

/** Of those, the ones that say that it is busy: told as the status that means so, because nothing else sets them apart. */
const BUSY_CODES: ReadonlySet<string> = new Set(["server_is_overloaded", "overloaded", "overloaded_error", "slow_down"]);
const BUSY_STATUS = 503;

/** The problem that an error object inside an answer or a stream tells of. */
export function problemOfError(error: WireError, body: Json, provider: string): Problem {
  const kind = CODE_KINDS[error.code ?? ""] ?? CODE_KINDS[error.type ?? ""] ?? kindOfUnknownCode(error);
  const busy = BUSY_CODES.has(error.code ?? "") || BUSY_CODES.has(error.type ?? "");
  return {
    kind,
    message: error.message ?? `"${provider}" reported an error without saying which.`,
    ...(error.param !== undefined && { param: error.param }),
    ...(error.code !== undefined && { code: error.code }),
    ...(error.code === OUT_OF_FUNDS && { fault: "credentials" as const }),
    upstream: { status: busy ? BUSY_STATUS : 200, dialect: ID, provider, body },
  };
}

function kindOfUnknownCode({ code, type }: WireError): ProblemKind {
  // A numeric code is a status in disguise; words about images, policies and the like all blame the request.
  if (code !== undefined && /^[45]\d\d$/.test(code)) return kindOfStatus(Number(code));
  if (code !== undefined && /image|polic|violation|unsupported|invalid/.test(code)) return "upstream_rejected";
  return type === "server_error" ? "upstream_unavailable" : "upstream_broken";
}

/** An answer that arrived with status 200 and yet failed; undefined for one that did not. */
export function problemInAnswer(body: JsonObject, provider: string): Problem | undefined {
  const { error, status } = body;
  if (status === "failed" || (isObject(error) && !Array.isArray(body["output"])))
    return problemOfError(errorIn({ error: error ?? {} }), { error: error ?? null }, provider);
  if (status === "cancelled") return { kind: "upstream_broken", message: `"${provider}" cancelled the answer.` };
  return undefined;
}

/** `type` and `code` of an error by the kind of problem; a problem's own code wins over this one. */
const NATIVE: Readonly<Record<ProblemKind, readonly [type: string, code: string | null]>> = {
  invalid_request: ["invalid_request_error", null],
  unknown_model: ["invalid_request_error", "model_not_found"],
  unauthenticated: ["invalid_request_error", "invalid_api_key"],
  forbidden: ["invalid_request_error", "insufficient_permissions"],
  not_found: ["invalid_request_error", "not_found"],
  conflict: ["invalid_request_error", "conflict"],
  too_large: ["invalid_request_error", "request_too_large"],
  rate_limited: ["rate_limit_error", "rate_limit_exceeded"],
  budget_exhausted: ["insufficient_quota", "insufficient_quota"],
  policy_denied: ["invalid_request_error", "policy_denied"],
  approval_needed: ["invalid_request_error", "approval_needed"],
  killed: ["server_error", "service_unavailable"],
  upstream_rejected: ["invalid_request_error", null],
  upstream_unavailable: ["server_error", "server_error"],
  upstream_timeout: ["server_error", "timeout"],
  upstream_broken: ["server_error", "server_error"],
  unsupported: ["invalid_request_error", "unsupported"],
  cancelled: ["invalid_request_error", "cancelled"],
  overloaded: ["server_error", "server_is_overloaded"],
  storage_unavailable: ["server_error", "server_error"],
  gateway_restarted: ["server_error", "server_error"],
  internal: ["server_error", "server_error"],
};

/** Codes of the gateway's own that clients know under another name: on this one they send the whole conversation again. */
const CODE_NAMES: Readonly<Record<string, string>> = { turn_not_found: "previous_response_not_found" };

function nativeError(problem: Problem, callId: string): JsonObject {
  const [type, code] = NATIVE[problem.kind];
  const remedy = PROBLEM_KINDS[problem.kind].remedy;
  return {
    message: problem.message.endsWith(remedy) ? problem.message : `${problem.message} ${remedy}`,
    type,
    param: problem.param ?? null,
    code: CODE_NAMES[problem.code ?? ""] ?? problem.code ?? code,
    gimbal_call_id: callId,
  };
}

export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  if (problem.kind === "upstream_rejected" && upstream?.dialect === ID && upstream.status >= 400 && isObject(upstream.body)) {
    return { status: upstream.status, body: upstream.body };
  }
  return { status: problemStatus(problem), body: { error: nativeError(problem, callId) } };
}

/** The event that tells of the error; flat as the specification has it, nested as it is really sent. */
export function errorEvent(problem: Problem, callId: string, sequenceNumber: number): JsonObject {
  const error = nativeError(problem, callId);
  return { type: "error", sequence_number: sequenceNumber, code: error["code"], message: error["message"], param: error["param"], error };
}

/** The `error` of a response that failed. */
export function responseError(problem: Problem, callId: string): JsonObject {
  const error = nativeError(problem, callId);
  return { code: stringIn(error["code"]) || "server_error", message: stringIn(error["message"]) };
}

/**
 * An error event, then the failed response: the first is for people's SDKs, the second for clients that wait for a terminal state. Every
 * event of a stream is numbered, so these go on where it broke off.
 */
export function encodeProblemFrames(problem: Problem, callId: string, emit: EmitFrame, begun?: BegunStream): void {
  const sequence = begun?.frames ?? 0;
  emit("error", JSON.stringify(errorEvent(problem, callId, sequence)));
  const id = begun?.context?.id ?? begun?.answerId ?? `resp_${callId.replaceAll(/[^A-Za-z0-9]/g, "")}`;
  const response = failedResponse(id, responseError(problem, callId), begun?.context?.createdAt ?? 0, begun?.context);
  emit("response.failed", JSON.stringify({ type: "response.failed", sequence_number: sequence + 1, response }));
}

/** The message that tells of a failure over a WebSocket. */
export function socketProblem(problem: Problem, callId: string, extra: Draft = {}): string {
  const { status } = encodeProblem(problem, callId);
  return JSON.stringify({ type: "error", status, error: nativeError(problem, callId), ...extra });
}
