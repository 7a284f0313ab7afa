import type { Problem, ProblemKind } from "../canon/index.ts";
import { ADDRESS_REFUSED } from "./dial.ts";

interface Failure {
  readonly kind: ProblemKind;
  readonly code: string;
  readonly says: string;
}

/** What ends an exchange on this side, as error codes beside Node's own. */
export const LOCAL = {
  closed: { code: "ERR_CLIENT_CLOSED" },
  connectTimeout: { code: "ERR_CONNECT_TIMEOUT" },
  headTimeout: { code: "ERR_HEAD_TIMEOUT" },
  dataTimeout: { code: "ERR_DATA_TIMEOUT" },
  headersTooLarge: { code: "ERR_HEADERS_TOO_LARGE" },
  notHttp: { code: "ERR_NOT_HTTP" },
  unsendable: { code: "ERR_UNSENDABLE" },
} as const;

/** Everything a connection is known to die of, by the error codes of Node and those above. */
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
  [LOCAL.connectTimeout.code]: { kind: "upstream_timeout", code: "connect_timeout", says: "did not accept the connection in time" },
  ETIMEDOUT: { kind: "upstream_timeout", code: "connect_timeout", says: "did not accept the connection in time" },
  [LOCAL.headTimeout.code]: { kind: "upstream_timeout", code: "head_timeout", says: "did not begin to answer in time" },
  [LOCAL.dataTimeout.code]: { kind: "upstream_timeout", code: "data_timeout", says: "fell silent in the middle of its answer" },
  [LOCAL.headersTooLarge.code]: { kind: "upstream_broken", code: "headers_too_large", says: "sent response headers larger than the limit" },
  [LOCAL.notHttp.code]: { kind: "upstream_broken", code: "not_http", says: "sent something that is not valid HTTP" },
  [LOCAL.unsendable.code]: { kind: "internal", code: "request_unsendable", says: "was not called: the request cannot be written as HTTP" },
};

const CUT: Failure = { kind: "upstream_broken", code: "cut", says: "closed the connection in the middle of its answer" };
const CLOSED: Failure = { kind: "upstream_unavailable", code: "closed", says: "closed the connection before it answered" };
const TLS: Failure = { kind: "upstream_unavailable", code: "tls", says: "could not be reached over TLS" };

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
  const code: unknown = "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}
