/** Where a call hangs in its caller's trace. Source: W3C Trace Context, section 3.2. */
export interface TraceParent {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: the caller's span. */
  readonly spanId: string;
  /** The caller records its own spans. */
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-|$)/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
/** Later versions may say more after the flags; this one may not. */
const VERSION_LENGTH = 55;

/** Undefined for what is no such header: W3C wants it to be ignored, and a trace of one's own begun. */
export function readTraceparent(header: string | undefined): TraceParent | undefined {
  if (header === undefined) return undefined;
  const [, version, traceId = NO_TRACE, spanId = NO_SPAN, flags = "00"] = TRACEPARENT.exec(header) ?? [];
  if (version === undefined || version === "ff" || traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  if (version === "00" && header.length !== VERSION_LENGTH) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** The trace of a call whose caller has none. Worked out from the call's id, so that a header and an export made later agree. */
export function traceIdOf(callId: string): string {
  return lane(callId, 0x9e3779b1) + lane(callId, 0x85ebca77) + lane(callId, 0xc2b2ae3d) + lane(callId, 0x27d4eb2f);
}

/** A span of the call; `what` tells its spans apart. */
export function spanIdOf(callId: string, what: string): string {
  return lane(what, laneNumber(callId, 0x165667b1)) + lane(what, laneNumber(callId, 0x2545f491));
}

/** What tells an attempt from the call's other ones: two never begin at one target in the same instant, but for a hedge. */
export function attemptName(target: string, startedMs: number, hedge: true | undefined): string {
  return `${hedge ? "hedge" : "attempt"} ${target} ${startedMs}`;
}

/** Decided by the end of the trace's id, as OpenTelemetry's TraceIdRatioBased does, so that all who share a trace decide alike. */
export function isInSample(traceId: string, share: number): boolean {
  if (share >= 1) return true;
  return Number.parseInt(traceId.slice(-SAMPLE_DIGITS), 16) < share * 16 ** SAMPLE_DIGITS;
}

/** As many as a number holds exactly. */
const SAMPLE_DIGITS = 13;

function lane(text: string, seed: number): string {
  return (laneNumber(text, seed) >>> 0).toString(16).padStart(8, "0");
}

/** 32 well-mixed bits of a text, by multiply and xor. A quarter of a microsecond for four of them; a cryptographic digest takes one. */
function laneNumber(text: string, seed: number): number {
  let hash = seed ^ text.length;
  const factor = seed | 1;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), factor);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return hash ^ (hash >>> 16);
}
