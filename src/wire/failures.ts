import type { Problem, ProblemKind } from "../canon/index.ts";
import { ADDRESS_REFUSED } from "./dial.ts";
import { ProxyFailure } from "./proxy.ts";
import type { ProxyFault } from "./proxy.ts";

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

/** Certificates that were not believed, and handshakes that asked for more: what to configure. Source: Node's table of X.509 codes. */
const TLS_REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "shows a certificate that has expired; whoever runs it must renew it",
  CERT_NOT_YET_VALID: "shows a certificate that is not valid yet; compare the clocks of both machines",
  ERR_TLS_CERT_ALTNAME_INVALID: "shows a certificate for another name; correct baseUrl, or set tls.servername to the name it is for",
  HOSTNAME_MISMATCH: "shows a certificate for another name; correct baseUrl, or set tls.servername to the name it is for",
  CERT_REVOKED: "shows a certificate that was revoked",
  ...Object.fromEntries(
    [
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      "CERT_UNTRUSTED",
    ].map((code) => [code, "shows a certificate that no trusted authority has signed; set tls.ca to its authority's certificate"] as const),
  ),
  ...Object.fromEntries(
    [
      "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
      "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
      "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
      "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE",
      "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
      "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    ].map((code) => [code, "did not accept who we are; set tls.cert and tls.key to the certificate and key it expects"] as const),
  ),
  ...Object.fromEntries(
    ["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG", "EPROTO"].map(
      (code) => [code, "does not speak TLS at this port; correct baseUrl"] as const,
    ),
  ),
};

const PROXY_FAULTS: Readonly<Record<ProxyFault, { readonly kind: ProblemKind; readonly code: string; readonly says: string }>> = {
  unreachable: { kind: "upstream_unavailable", code: "proxy_unreachable", says: "cannot be reached; check the provider's `proxy`" },
  credentials: {
    kind: "upstream_unavailable",
    code: "proxy_credentials",
    says: "wants other credentials; set `proxy` with its user and password: http://user:password@host:port",
  },
  refused: { kind: "upstream_unavailable", code: "proxy_refused", says: "would not open a way to it" },
  garbled: { kind: "upstream_unavailable", code: "proxy_garbled", says: "did not answer as a proxy does; check the provider's `proxy`" },
};

const CUT: Failure = { kind: "upstream_broken", code: "cut", says: "closed the connection in the middle of its answer" };
const CLOSED: Failure = { kind: "upstream_unavailable", code: "closed", says: "closed the connection before it answered" };
const TLS: Failure = { kind: "upstream_unavailable", code: "tls", says: "could not be reached over TLS" };

/** What happened, in a sentence that names the host and nothing that could be a secret (no header, no query, no body). */
export function connectionProblem(error: unknown, host: string, answered: boolean): Problem {
  if (error instanceof ProxyFailure) {
    const { kind, code: fault, says } = PROXY_FAULTS[error.fault];
    return { kind, code: fault, message: `The upstream ${host} was not reached: its proxy ${error.proxy} ${says} (${error.detail}).` };
  }
  const code = codeOf(error);
  const failure = FAILURES[code] ?? classify(code, answered);
  const detail = failure === TLS ? ` (${code})` : "";
  const says = failure === TLS ? (TLS_REASONS[code] ?? failure.says) : failure.says;
  return { kind: failure.kind, code: failure.code, message: `The upstream ${host} ${says}${detail}.` };
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
