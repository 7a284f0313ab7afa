/** Where a call hangs in its caller's trace. Source: W3C Trace Context, section 3.2. */
export interface TraceParent {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: the caller's span. */
  readonly spanId: string;
  /** The caller records its own spans. */
  readonly sampled: boolean;
}

const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
/** `00-`, trace, `-`, span, `-`, flags. Later versions may say more behind the flags; this one may not. */
const LENGTH = 55;
const TRACE_AT = 3;
const SPAN_AT = 36;
const FLAGS_AT = 53;
const DASH = 0x2d;

/** Undefined for what is no such header: W3C wants it to be ignored, and a trace of one's own begun. */
export function readTraceparent(header: string | undefined): TraceParent | undefined {
  if (header === undefined || header.length < LENGTH) return undefined;
  if (header.length > LENGTH && (header.startsWith("00") || header.charCodeAt(LENGTH) !== DASH)) return undefined;
  // By hand, because a regular expression with groups takes a microsecond of every call that is traced.
  for (let at = 0; at < LENGTH; at++) {
    const code = header.charCodeAt(at);
    const isDash = at === TRACE_AT - 1 || at === SPAN_AT - 1 || at === FLAGS_AT - 1;
    if (isDash ? code !== DASH : !isHex(code)) return undefined;
  }
  const traceId = header.slice(TRACE_AT, SPAN_AT - 1);
  const spanId = header.slice(SPAN_AT, FLAGS_AT - 1);
  if (header.startsWith("ff") || traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(header.charAt(LENGTH - 1), 16) & 1) === 1 };
}

/** A digit, or a letter from a to f: capitals are not allowed. */
function isHex(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66);
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** The trace of a call whose caller has none. Worked out from the call's id, so that a header and an export made later agree. */
export function traceIdOf(callId: string): string {
  return lane(callId, 0x9e3779b1) + lane(callId, 0x85ebca77) + lane(callId, 0xc2b2ae3d) + lane(callId, 0x27d4eb2f);
}

/** The span of the call itself. */
export function callSpanId(callId: string): string {
  return spanIdOf(callId, CALL);
}

/** The span of an attempt. Two of a call never begin in the same microsecond, but for one that races. */
export function attemptSpanId(callId: string, startedMs: number, hedge: true | undefined): string {
  return spanIdOf(callId, (Math.round(startedMs * 1000) << 1) | (hedge ? 1 : 0));
}

/** An attempt's number only for one that races and begins in one certain microsecond of the 36th minute. */
const CALL = -1;

/** Every step of a lane keeps different numbers different, so no two spans of one call are the same. */
function spanIdOf(callId: string, which: number): string {
  return lane(callId, 0x165667b1 ^ Math.imul(which, 0x9e3779b1)) + lane(callId, 0x2545f491 ^ Math.imul(which, 0x85ebca77));
}

/** Decided by the end of the trace's id, as OpenTelemetry's TraceIdRatioBased does, so that all who share a trace decide alike. */
export function isInSample(traceId: string, share: number): boolean {
  if (share >= 1) return true;
  return Number.parseInt(traceId.slice(-SAMPLE_DIGITS), 16) < share * 16 ** SAMPLE_DIGITS;
}

/** As many as a number holds exactly. */
const SAMPLE_DIGITS = 13;

/** 32 well-mixed bits of a text as 8 hex digits, by multiply and xor: a tenth of what a cryptographic digest takes. */
function lane(text: string, seed: number): string {
  let hash = seed ^ text.length;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), FACTOR);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  hash ^= hash >>> 16;
  return hex(hash >>> 24) + hex((hash >>> 16) & 0xff) + hex((hash >>> 8) & 0xff) + hex(hash & 0xff);
}

const FACTOR = 0x2c1b3c6d;
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hex(byte: number): string {
  return HEX[byte] ?? "00";
}
