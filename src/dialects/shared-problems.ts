import type { Json, Problem, ProblemKind } from "../canon/index.ts";

const MESSAGE_CHARACTERS = 1000;
/** Of a body that is no JSON. */
const PLAIN_CHARACTERS = 200;

/** Key-like words that a vendor may repeat in its message. */
const KEY_LIKE = /\b(?:sk|pk|rk|gsk|xai|api|key|bearer)[-_ ][A-Za-z0-9._*-]{8,}/gi;

/** The kind of problem that an upstream's status means. */
export function kindOfStatus(status: number): ProblemKind {
  if (status === 408 || status === 504) return "upstream_timeout";
  if (status === 429) return "rate_limited";
  if (status === 409 || status === 425 || status >= 500 || status < 400) return "upstream_unavailable";
  return "upstream_rejected";
}

/** The body is left out: vendors repeat part of the key in it. The client's own key is not at fault, so the status is not 401. */
export function refusedCredentials(dialect: string, status: number, provider: string): Problem {
  const what = status === 401 ? "refused the gateway's credentials" : "does not let the gateway's credentials do this";
  return {
    kind: "upstream_rejected",
    message: `The provider${provider === "" ? "" : ` "${provider}"`} ${what}; check the key configured for it.`,
    status: 502,
    fault: "credentials",
    upstream: { status, dialect, provider },
  };
}

/** A vendor's words on one line, without key-like words. */
export function cleanWords(words: string): string {
  const line = words.replaceAll(KEY_LIKE, "[key]").replaceAll(/\s+/g, " ").trim();
  return line.length > MESSAGE_CHARACTERS ? `${line.slice(0, MESSAGE_CHARACTERS)}...` : line;
}

/** What a person reads: who failed, how, and the vendor's `words` where it has any that help. */
export function sentenceOf(kind: ProblemKind, provider: string, status: number, words: string | undefined): string {
  // A page of HTML says nothing that helps; the status does.
  const tail = words === undefined ? ` (status ${status}).` : `: ${words}`;
  const name = provider === "" ? "The provider" : `The provider "${provider}"`;
  if (kind === "rate_limited") return `${name} limits the rate of calls${tail}`;
  if (kind === "upstream_timeout") return `${name} took too long${tail}`;
  if (kind === "upstream_rejected") return `${name} refused the request${tail}`;
  return `${name} is failing${tail}`;
}

/** A vendor's body without key-like words. */
export function scrubbed(body: Json): Json {
  const written = JSON.stringify(body);
  const clean = written.replaceAll(KEY_LIKE, "[key]");
  return clean === written ? body : (JSON.parse(clean) as Json);
}

/** The beginning of a body that is no JSON of ours, without mark-up and line breaks. */
export function plainWords(text: string): string {
  const words = text
    .replaceAll(/<(script|style)\b[^]*?(<\/\1>|$)/gi, " ")
    .replaceAll(/<[^>]*>/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
  return words.slice(0, PLAIN_CHARACTERS);
}
