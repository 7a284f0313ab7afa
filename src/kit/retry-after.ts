/** Header names in lower case, as both ends of the wire give them. */
type HeaderLines = Readonly<Record<string, string | undefined>>;

/** Longest wait that anybody may ask for and be believed: one day. */
const MAX_WAIT_MS = 86_400_000;
/** Numbers above these are times since 1970 in seconds, or in milliseconds; no wait is as long. */
const EPOCH_SECONDS = 1e9;
const EPOCH_MS = 1e12;
/** Details of an error that are looked through for a wait. */
const MAX_DETAILS = 20;

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * How long an upstream asks to be left alone, in whole milliseconds: `retry-after-ms`, else `retry-after` in seconds or as a date
 * (RFC 9110, section 10.2.3). A date is read against the answer's own `date` header, whose clock is the one it was set by, else
 * against `now`; where there is neither, it says nothing. Undefined: nothing was said that can be read.
 */
export function readRetryAfter(headers: HeaderLines, now?: number): number | undefined {
  const inMs = plainNumber(headers["retry-after-ms"]);
  if (inMs !== undefined) return bounded(inMs);
  const text = headers["retry-after"];
  const seconds = plainNumber(text);
  if (seconds !== undefined) return bounded(seconds * 1000);
  return text === undefined ? undefined : until(readDate(text), hereAndNow(headers, now));
}

/** Names of the headers that say what is left of a limit and when it is full again. */
export interface LimitHeaders {
  readonly remaining: string;
  readonly reset: string;
}

/**
 * When limits that are used up are full again, in whole milliseconds from now: the longest of those whose `remaining` is 0. A reset is
 * a duration (`6m0s`, `1.5s`, `20ms`), seconds, a time since 1970, or a date. Undefined when no limit is used up or none can be read.
 */
export function readLimitReset(headers: HeaderLines, limits: readonly LimitHeaders[], now?: number): number | undefined {
  let longest: number | undefined;
  for (const { remaining, reset } of limits) {
    const left = plainNumber(headers[remaining]);
    const text = headers[reset];
    if (left === undefined || left > 0 || text === undefined) continue;
    const wait = readReset(text, hereAndNow(headers, now));
    if (wait !== undefined && (longest === undefined || wait > longest)) longest = wait;
  }
  return longest;
}

function readReset(text: string, now: number | undefined): number | undefined {
  const number = plainNumber(text);
  if (number !== undefined)
    return number >= EPOCH_SECONDS ? until(number >= EPOCH_MS ? number : number * 1000, now) : bounded(number * 1000);
  const duration = readDuration(text);
  return duration === undefined ? until(readDate(text), now) : bounded(duration);
}

/** `6m0s`, `1h2m3.5s`, `20ms` in milliseconds; undefined when it is none. */
export function readDuration(text: string): number | undefined {
  const parts = text.trim().matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/gy);
  let total = 0;
  let read = 0;
  for (const [all, number = "", unit = ""] of parts) {
    total += Number(number) * (UNIT_MS[unit] ?? 0);
    read += all.length;
  }
  return read > 0 && read === text.trim().length ? total : undefined;
}

/**
 * The wait in an error body that follows google.rpc.Status: a detail of type `google.rpc.RetryInfo` whose `retryDelay` is a duration
 * such as `3.5s` (googleapis, `google/rpc/error_details.proto`). The error may stand bare, under `error`, or in a list.
 */
export function readRetryInfo(body: unknown): number | undefined {
  const first: unknown = Array.isArray(body) ? body[0] : body;
  const details = member(member(first, "error") ?? first, "details");
  if (!Array.isArray(details)) return undefined;
  for (const detail of details.slice(0, MAX_DETAILS) as readonly unknown[]) {
    const type = member(detail, "@type");
    if (typeof type !== "string" || !type.endsWith("google.rpc.RetryInfo")) continue;
    const delay = member(detail, "retryDelay");
    const wait = typeof delay === "string" ? readDuration(delay) : undefined;
    if (wait !== undefined) return bounded(wait);
  }
  return undefined;
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function plainNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\d+(?:\.\d+)?(?:e\d{1,2})?\s*$/.test(text) ? Number(text) : undefined;
}

function hereAndNow(headers: HeaderLines, now: number | undefined): number | undefined {
  const said = readDate(headers["date"] ?? "");
  return Number.isNaN(said) ? now : said;
}

/** Only what looks like a date of HTTP or of RFC 3339: the platform's parser takes nearly any text for one. */
function readDate(text: string): number {
  return /^\s*(?:[A-Za-z]{3,9}, \d|\d{4}-\d\d-\d\dT)/.test(text) ? Date.parse(text) : Number.NaN;
}

function until(time: number, now: number | undefined): number | undefined {
  return Number.isNaN(time) || now === undefined ? undefined : bounded(Math.max(0, time - now));
}

function bounded(ms: number): number {
  return Math.min(Math.ceil(ms), MAX_WAIT_MS);
}
