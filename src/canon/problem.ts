import type { Json } from "./json.ts";

/** What each kind of failure means: its HTTP status, whether the same call may be tried again, how loudly it is logged. */
export interface ProblemKindFacts {
  readonly status: number;
  /** May an attempt that failed this way be repeated, here or on another target? */
  readonly retryable: boolean;
  readonly log: "debug" | "info" | "warn" | "error";
  /** A sentence that tells a person what to do. */
  readonly remedy: string;
}

/** Every way a call can fail. Exhaustive: a new kind states all its facts here and nowhere else. */
export const PROBLEM_KINDS = {
  invalid_request: { status: 400, retryable: false, log: "info", remedy: "Correct the request and send it again." },
  unknown_model: { status: 404, retryable: false, log: "info", remedy: "Name a model that GET /v1/models lists." },
  unauthenticated: { status: 401, retryable: false, log: "info", remedy: "Send a valid key; create one with `gimbal keys create`." },
  forbidden: { status: 403, retryable: false, log: "info", remedy: "Ask an administrator for a key whose scopes allow this." },
  not_found: { status: 404, retryable: false, log: "info", remedy: "Check the path and the id." },
  conflict: { status: 409, retryable: false, log: "info", remedy: "Another request holds this; wait for it or use another id." },
  too_large: { status: 413, retryable: false, log: "info", remedy: "Send a smaller body, or raise the limit in the configuration." },
  rate_limited: { status: 429, retryable: true, log: "info", remedy: "Wait as long as retry-after says." },
  budget_exhausted: { status: 402, retryable: false, log: "warn", remedy: "Raise the budget or wait for its next period." },
  policy_denied: {
    status: 403,
    retryable: false,
    log: "warn",
    remedy: "The policy in force forbids this call; its reason is in the message.",
  },
  approval_needed: { status: 403, retryable: false, log: "info", remedy: "A person must approve this first." },
  killed: { status: 503, retryable: false, log: "warn", remedy: "A kill switch covers this call; an administrator can lift it." },
  upstream_rejected: {
    status: 400,
    retryable: false,
    log: "info",
    remedy: "The provider refused the request; its reason is in the message.",
  },
  upstream_unavailable: {
    status: 502,
    retryable: true,
    log: "warn",
    remedy: "The provider cannot be reached or is failing; try again or add a fallback target.",
  },
  upstream_timeout: {
    status: 504,
    retryable: true,
    log: "warn",
    remedy: "The provider was too slow; raise timeoutMs or add a fallback target.",
  },
  upstream_broken: { status: 502, retryable: true, log: "warn", remedy: "The provider's answer was cut or garbled; try again." },
  unsupported: { status: 501, retryable: false, log: "info", remedy: "Use a model or an endpoint that offers this." },
  cancelled: { status: 499, retryable: false, log: "debug", remedy: "The caller cancelled the call." },
  overloaded: { status: 503, retryable: true, log: "warn", remedy: "The gateway is at its limit; wait as long as retry-after says." },
  storage_unavailable: {
    status: 503,
    retryable: true,
    log: "error",
    remedy: "The record cannot be written; check the disk of the data folder.",
  },
  gateway_restarted: { status: 503, retryable: true, log: "warn", remedy: "The gateway restarted during this call; send it again." },
  internal: { status: 500, retryable: false, log: "error", remedy: "This is a defect of the gateway; report it with the call id." },
} as const satisfies Record<string, ProblemKindFacts>;

export type ProblemKind = keyof typeof PROBLEM_KINDS;

/** What an upstream itself said, kept so that a client of the same dialect gets it in its native words. */
export interface UpstreamFailure {
  readonly status: number;
  readonly dialect: string;
  readonly provider: string;
  /** The error body as JSON where it was JSON; never holds a secret. */
  readonly body?: Json;
}

export interface Problem {
  readonly kind: ProblemKind;
  /** One sentence a person can act on, in English, without secrets. */
  readonly message: string;
  /** The request field at fault, as a path in the caller's own language: `messages[2].content`. */
  readonly param?: string;
  /** A machine-readable detail below the kind: a vendor's own error code or ours. */
  readonly code?: string;
  /** The HTTP status when it differs from the kind's own (an upstream's 422, say). */
  readonly status?: number;
  readonly retryAfterMs?: number;
  /** The provider refused the gateway's own key or its account, not this call: another key or another target may take it. */
  readonly fault?: "credentials";
  readonly upstream?: UpstreamFailure;
}

/** A problem on its way through code that throws; it becomes data again at the next seam. */
export class ProblemError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.message, options);
    this.name = "ProblemError";
    this.problem = problem;
  }
}

export function problemStatus(problem: Problem): number {
  return problem.status ?? PROBLEM_KINDS[problem.kind].status;
}

/** Shorthand for the door's most frequent refusal. */
export function invalid(message: string, param?: string, code?: string): ProblemError {
  return new ProblemError({ kind: "invalid_request", message, ...(param !== undefined && { param }), ...(code !== undefined && { code }) });
}

/** Turns anything thrown into a problem. What is not a ProblemError is a defect and says nothing of its inside to the caller. */
export function problemFrom(thrown: unknown): Problem {
  if (thrown instanceof ProblemError) return thrown.problem;
  return { kind: "internal", message: "The gateway failed while handling this call." };
}
