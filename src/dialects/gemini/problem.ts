import {
  PROBLEM_KINDS,
  ProblemError,
  problemStatus,
  type EncodedProblem,
  type Headers,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
} from "../../canon/index.ts";
import { plainWords } from "../shared-problems.ts";
import { COMMON_LIMITS, waitAsked } from "../shared-waits.ts";
import { DIALECT, isList, isObject } from "./wire.ts";

/** Longest piece of an upstream's own words that is passed on. */
const MAX_MESSAGE_LETTERS = 1000;

/** An upstream's error response. Never echoes credentials: what it says of them is replaced. */
export function decodeProblem(response: {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json | undefined;
  readonly text: string;
  readonly provider: string;
  readonly now?: number;
}): Problem {
  const retryAfterMs = waitAsked(response, COMMON_LIMITS);
  return {
    ...problemOf(response.status, response.body, response.text, response.provider),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** An `error` object that came inside a stream, or as a plain answer with status 200. */
export function problemOfErrorBody(body: JsonObject, provider: string): Problem {
  const error = isObject(body["error"]) ? body["error"] : {};
  const { code } = error;
  const status = typeof code === "number" && code >= 400 && code < 600 ? code : 500;
  return decodeProblem({ status, headers: {}, body, text: "", provider });
}

function problemOf(status: number, given: Json | undefined, text: string, provider: string): Problem {
  // A stream that is no stream of events answers with a list of one.
  const body = isList(given) ? given[0] : given;
  const error = isObject(body) && isObject(body["error"]) ? body["error"] : undefined;
  const code = typeof error?.["status"] === "string" ? error["status"] : undefined;
  const said = typeof error?.["message"] === "string" ? error["message"].slice(0, MAX_MESSAGE_LETTERS) : plainWords(text);
  const upstream = { status, dialect: DIALECT, provider };
  const kind = kindOf(status);
  if (status === 401 || status === 403 || isKeyRefused(error)) {
    // The client's own key is fine: neither the status nor words about a key that it never had may reach it.
    return {
      kind: "upstream_rejected",
      status: 502,
      message: `The provider "${provider}" refused the gateway's own credentials (${status}); an administrator must check the key and its permissions.`,
      ...(code !== undefined && { code }),
      fault: "credentials",
      upstream,
    };
  }
  return {
    kind,
    ...(kind === "upstream_rejected" && { status }),
    message: `${provider === "" ? "The provider" : `The provider "${provider}"`} answered ${status}${said ? `: ${said}` : "."}`,
    ...(code !== undefined && { code }),
    ...(status === 402 && { fault: "credentials" }),
    upstream: { ...upstream, ...(isObject(body) && { body }) },
  };
}

/** A bad key is told as a bad argument, with its reason among the details (google.rpc.ErrorInfo). */
function isKeyRefused(error: JsonObject | undefined): boolean {
  const details = error?.["details"];
  if (!isList(details)) return false;
  return details.some((detail) => isObject(detail) && typeof detail["reason"] === "string" && detail["reason"].startsWith("API_KEY_"));
}

function kindOf(status: number): ProblemKind {
  if (status === 408 || status === 504) return "upstream_timeout";
  if (status === 429) return "rate_limited";
  // 499: the provider itself gave up on the call.
  if (status >= 499) return "upstream_unavailable";
  return "upstream_rejected";
}

export function broken(message: string, provider?: string): Problem {
  return { kind: "upstream_broken", message, ...(provider !== undefined && { upstream: { status: 200, dialect: DIALECT, provider } }) };
}

/** @throws ProblemError */
export function throwBroken(message: string, provider?: string): never {
  throw new ProblemError(broken(message, provider));
}

/** Canonical names of the statuses. Source: googleapis, `google/rpc/code.proto`, with their mapping to HTTP. */
const NAMES: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  402: "FAILED_PRECONDITION",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  409: "ABORTED",
  413: "INVALID_ARGUMENT",
  416: "OUT_OF_RANGE",
  429: "RESOURCE_EXHAUSTED",
  499: "CANCELLED",
  500: "INTERNAL",
  501: "UNIMPLEMENTED",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  const native = problem.kind === "upstream_rejected" && upstream?.dialect === DIALECT && upstream.status < 500 ? upstream.body : undefined;
  // What the provider said in this language goes out in its own words; only the call's id is added.
  if (upstream && isObject(native) && problem.fault === undefined)
    return { status: upstream.status, body: { ...native, gimbal_call_id: callId } };
  return { status: problemStatus(problem), body: errorBody(problem, callId) };
}

function errorBody(problem: Problem, callId: string): JsonObject {
  const { message, param, kind, retryAfterMs } = problem;
  const status = problemStatus(problem);
  const placed = param !== undefined && !message.includes(param) ? `${param}: ${message}` : message;
  const { remedy } = PROBLEM_KINDS[kind];
  const violations = kind === "invalid_request" && param !== undefined ? [{ field: param, description: message }] : [];
  return {
    error: {
      code: status,
      message: placed.endsWith(remedy) ? placed : `${placed} ${remedy}`,
      status: NAMES[status] ?? (status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT"),
      details: [
        {
          "@type": "type.googleapis.com/google.rpc.ErrorInfo",
          reason: (problem.code ?? kind).toUpperCase(),
          domain: "gimbal",
          metadata: { callId },
        },
        ...(violations.length > 0 ? [{ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: violations }] : []),
        ...(retryAfterMs === undefined
          ? []
          : [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${retryAfterMs / 1000}s` }]),
      ],
    },
    gimbal_call_id: callId,
  };
}
