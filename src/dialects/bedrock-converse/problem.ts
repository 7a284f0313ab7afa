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
import { cleanWords, kindOfStatus, refusedCredentials, scrubbed, sentenceOf } from "../shared-problems.ts";
import { isObject, text } from "../shared-shape.ts";
import { COMMON_LIMITS, waitAsked } from "../shared-waits.ts";
import { ID } from "./shape.ts";

/** What each exception means, where a status alone does not tell: in a stream there is none. Source: errors of the service's model. */
const KINDS: Readonly<Record<string, ProblemKind>> = {
  ThrottlingException: "rate_limited",
  TooManyRequestsException: "rate_limited",
  ModelNotReadyException: "upstream_unavailable",
  ServiceUnavailableException: "upstream_unavailable",
  InternalServerException: "upstream_unavailable",
  ModelErrorException: "upstream_unavailable",
  ModelStreamErrorException: "upstream_broken",
  ModelTimeoutException: "upstream_timeout",
  ValidationException: "upstream_rejected",
  ResourceNotFoundException: "upstream_rejected",
};
const STATUSES: Readonly<Record<string, number>> = {
  ThrottlingException: 429,
  ServiceUnavailableException: 503,
  ModelTimeoutException: 408,
  ModelStreamErrorException: 424,
  ModelErrorException: 424,
  ValidationException: 400,
  ResourceNotFoundException: 404,
  AccessDeniedException: 403,
};
const FAILURE = 500;
/** Sent by what stands before the service: who calls owes money. Not the caller's own debt, so it hears of a bad gateway. */
const PAYMENT_REQUIRED = 402;

/** Refusals of the signature, in words that help: the general ones speak of a key. */
const SIGNATURES: Readonly<Record<string, string>> = {
  ExpiredTokenException: "says that the session token has expired; get new temporary credentials",
  ExpiredToken: "says that the session token has expired; get new temporary credentials",
  UnrecognizedClientException: "does not know the access key or its session token; check the credentials configured for it",
  InvalidSignatureException: "does not accept the signature; check the secret access key, the region and this machine's clock",
  SignatureDoesNotMatch: "does not accept the signature; check the secret access key, the region and this machine's clock",
  IncompleteSignatureException: "does not accept the signature; check the credentials configured for it",
  MissingAuthenticationTokenException: "got no credentials; configure an apiKey, or an accessKeyId and a secretAccessKey",
};

/** The exception's name: in the header before a colon, in the body behind a `#`. */
export function exceptionOf(headers: Headers, body: Json | undefined): string | undefined {
  const header = headers["x-amzn-errortype"]?.split(":")[0];
  if (header) return header;
  if (!isObject(body)) return undefined;
  const said = text(body["__type"]) ?? text(body["code"]);
  return said?.slice(said.lastIndexOf("#") + 1);
}

function wordsIn(body: Json | undefined): string | undefined {
  return isObject(body) ? (text(body["message"]) ?? text(body["Message"])) : undefined;
}

export function decodeProblem(response: {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json | undefined;
  readonly text: string;
  readonly provider: string;
  readonly now?: number;
}): Problem {
  const { status, headers, body, provider } = response;
  const code = exceptionOf(headers, body);
  if (status === 401 || status === 403) return refused(status, code, provider);
  const kind = (code !== undefined && Object.hasOwn(KINDS, code) && KINDS[code]) || kindOfStatus(status);
  const words = wordsIn(body);
  const retryAfterMs = kind === "rate_limited" || kind === "upstream_unavailable" ? waitAsked(response, COMMON_LIMITS) : undefined;
  return {
    kind,
    message: sentenceOf(kind, provider, status, words === undefined ? undefined : cleanWords(words)),
    ...(code !== undefined && { code: code.slice(0, CODE_CHARACTERS) }),
    ...(kind === "upstream_rejected" && { status: status === PAYMENT_REQUIRED ? 502 : status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(status === PAYMENT_REQUIRED && { fault: "credentials" as const }),
    upstream: { status, dialect: ID, provider, ...(body !== undefined && { body: scrubbed(body) }) },
  };
}

const CODE_CHARACTERS = 100;

function refused(status: number, code: string | undefined, provider: string): Problem {
  const problem = refusedCredentials(ID, status, provider);
  const why = code !== undefined && Object.hasOwn(SIGNATURES, code) ? SIGNATURES[code] : undefined;
  if (why === undefined) return { ...problem, ...(code !== undefined && { code: code.slice(0, CODE_CHARACTERS) }) };
  return { ...problem, code: code ?? "", message: `The provider${provider === "" ? "" : ` "${provider}"`} ${why}.` };
}

/** An exception inside a stream; `event` is its name there, which begins small. */
export function streamProblem(event: string, body: Json | undefined, provider: string | undefined): Problem {
  const code = event.slice(0, 1).toUpperCase() + event.slice(1);
  const status = STATUSES[code] ?? FAILURE;
  return decodeProblem({ status, headers: { "x-amzn-errortype": code }, body, text: "", provider: provider ?? "" });
}

/** What the service would call this. Clients take it from the body where no header names it. */
function exceptionFor(kind: ProblemKind, status: number): string {
  if (kind === "rate_limited") return "ThrottlingException";
  if (kind === "overloaded" || kind === "killed" || status === 503) return "ServiceUnavailableException";
  if (kind === "upstream_timeout") return "ModelTimeoutException";
  if (kind === "upstream_broken") return "ModelStreamErrorException";
  if (status === 401) return "UnrecognizedClientException";
  if (status === PAYMENT_REQUIRED) return "ServiceQuotaExceededException";
  if (status === 403) return "AccessDeniedException";
  if (status === 404) return "ResourceNotFoundException";
  return status < FAILURE ? "ValidationException" : "InternalServerException";
}

/** A provider's refusal in this language goes out as it came; everything else is written in the language's own shape. */
export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  const status = problemStatus(problem);
  const type = exceptionFor(problem.kind, status);
  const passes = problem.kind === "upstream_rejected" && upstream?.dialect === ID && isObject(upstream.body) && upstream.status >= 400;
  // The header that named the exception is not passed on: the body says it in its place.
  if (passes && isObject(upstream.body))
    return { status, body: { __type: problem.code ?? exceptionFor(problem.kind, upstream.status), ...upstream.body } };
  return { status, body: { __type: type, ...errorBody(problem, callId) } };
}

function errorBody(problem: Problem, callId: string): JsonObject {
  const { remedy } = PROBLEM_KINDS[problem.kind];
  const message = problem.message.includes(remedy) ? problem.message : `${problem.message.trimEnd()} ${remedy}`;
  return { message, ...(callId !== "" && { gimbal_call_id: callId }) };
}

/** Exceptions that a stream of this language can hold. */
const IN_STREAMS = new Set([
  "throttlingException",
  "serviceUnavailableException",
  "modelStreamErrorException",
  "validationException",
  "internalServerException",
]);

/** A stream's last message when it fails. */
export function problemFrame(problem: Problem, callId: string): { readonly event: string; readonly data: string } {
  const type = exceptionFor(problem.kind, problemStatus(problem));
  const name = type.slice(0, 1).toLowerCase() + type.slice(1);
  const isServers = problemStatus(problem) >= FAILURE;
  const event = IN_STREAMS.has(name) ? name : isServers ? "internalServerException" : "validationException";
  return { event, data: JSON.stringify(errorBody(problem, callId)) };
}
