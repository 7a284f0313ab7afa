import type { Problem, ProblemKind } from "../canon/index.ts";
import { ADDRESS_REFUSED } from "./dial.ts";

interface Failure {
  readonly kind: ProblemKind;
  readonly code: string;
  readonly says: string;
}

/** Everything a connection is known to die of, by the error codes of Node and undici. */
const FAILURES: Readonly<Record<string, Failure>> = {
  [ADDRESS_REFUSED]: {
    kind: "upstream_unavailable",
    code: "address_refused",
    says: "is a private address, which this provider may not reach; set allowPrivateNetwork: true if that is meant",
  },
  ECONNREFUSED: { kind: "upstream_unavailable", code: "connection_refused", says: "refused the connection" },
  ENOTFOUND: { kind: "upstream_unavailable", code: "name_unknown", says: "has no address: the name does not resolve" },
  EAI_AGAIN: { kind: "upstream_unavailable", code: "name_unknown", says: "could not be resolved: the name server does not answer" },
  EHOSTUNREACH: { kind: "upstream_unavailable", code: "unreachable", says: "cannot be reached from here" },
  ENETUNREACH: { kind: "upstream_unavailable", code: "unreachable", says: "cannot be reached from here" },
  EMFILE: { kind: "overloaded", code: "file_descriptors", says: "was not dialled: this process has no file descriptors left" },
  ENFILE: { kind: "overloaded", code: "file_descriptors", says: "was not dialled: this machine has no file descriptors left" },
  UND_ERR_CONNECT_TIMEOUT: { kind: "upstream_timeout", code: "connect_timeout", says: "did not accept the connection in time" },
  ETIMEDOUT: { kind: "upstream_timeout", code: "connect_timeout", says: "did not accept the connection in time" },
  UND_ERR_HEADERS_TIMEOUT: { kind: "upstream_timeout", code: "head_timeout", says: "did not begin to answer in time" },
  UND_ERR_BODY_TIMEOUT: { kind: "upstream_timeout", code: "data_timeout", says: "fell silent in the middle of its answer" },
  UND_ERR_HEADERS_OVERFLOW: { kind: "upstream_broken", code: "headers_too_large", says: "sent response headers larger than the limit" },
};

const CUT: Failure = { kind: "upstream_broken", code: "cut", says: "closed the connection in the middle of its answer" };
const CLOSED: Failure = { kind: "upstream_unavailable", code: "closed", says: "closed the connection before it answered" };
const GARBLED: Failure = { kind: "upstream_broken", code: "not_http", says: "sent something that is not valid HTTP" };
const TLS: Failure = { kind: "upstream_unavailable", code: "tls", says: "could not be reached over TLS" };
const UNSENT: Failure = { kind: "internal", code: "request_unsendable", says: "was not called: the request cannot be written as HTTP" };

/** What happened, in a sentence that names the host and nothing that could be a secret (no header, no query, no body). */
export function connectionProblem(error: unknown, host: string, answered: boolean): Problem {
  const code = codeOf(error);
  const failure = FAILURES[code] ?? classify(code, answered);
  const detail = failure === TLS ? ` (${code})` : "";
  return { kind: failure.kind, code: failure.code, message: `The upstream ${host} ${failure.says}${detail}.` };
}

/** A problem with what an upstream sent, found on this side. */
export function brokenAnswer(host: string, code: string, says: string): Problem {
  return { kind: "upstream_broken", code, message: `The upstream ${host} ${says}.` };
}

function classify(code: string, answered: boolean): Failure {
  if (code === "HPE_INVALID_EOF_STATE" || code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH") return answered ? CUT : CLOSED;
  if (code.startsWith("HPE_")) return GARBLED;
  if (code === "UND_ERR_INVALID_ARG" || code === "UND_ERR_NOT_SUPPORTED" || code === "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH") return UNSENT;
  if (!answered && isTls(code)) return TLS;
  return answered ? CUT : CLOSED;
}

/** Source: Node's table of X.509 verification codes and OpenSSL's prefixes. */
function isTls(code: string): boolean {
  return (
    code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS") || code === "EPROTO" || /CERT|CRL|SIGNATURE|^HOSTNAME_MISMATCH$/.test(code)
  );
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  // Several addresses were tried and each failed: the first one speaks for all.
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  // undici's parser errors have lost their code in 7.x; only the name and the parser's own words are left.
  if (error instanceof Error && error.name === "HTTPParserError")
    return error.message.includes("EOF") ? "HPE_INVALID_EOF_STATE" : "HPE_INVALID";
  const code: unknown = "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}
