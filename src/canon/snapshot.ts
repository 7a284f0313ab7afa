import type { Provider } from "./provider.ts";

/** One place a call can go. */
export interface Target {
  /** The provider's name in the configuration. */
  readonly provider: string;
  /** The provider's own model name. */
  readonly model: string;
  readonly weight: number;
}

/** A name that callers may use, and what stands behind it. */
export interface Alias {
  readonly name: string;
  readonly targets: readonly Target[];
  readonly strategy: "fallback" | "weighted" | "latency" | "cost" | "round-robin" | "rules";
  /** Extra attempts per target. */
  readonly retries: number;
  /** Per attempt: first meaningful event when streaming, whole answer otherwise. */
  readonly timeoutMs: number;
  readonly continue: "always" | "same-model" | "never";
}

/** Bounds of the gateway, all configurable under `serve:`. */
export interface Limits {
  readonly bodyBytes: number;
  readonly jsonDepth: number;
  /** Bytes of an upstream's plain answer, and of one streamed frame. */
  readonly answerBytes: number;
  readonly frameBytes: number;
  /** Bytes of frames kept of one call for readers that come late; older ones are forgotten first. */
  readonly journalBytes: number;
  /** The same over all finished calls together. */
  readonly journalTotalBytes: number;
  readonly journalMs: number;
  /** Calls running at once. */
  readonly calls: number;
  readonly requestBodyMs: number;
  readonly drainMs: number;
  readonly turnMs: number;
  /** Turns followed back from a `previousId`. */
  readonly turnChain: number;
  readonly defaultTimeoutMs: number;
  readonly betweenDataMs: number;
}

/** The configuration in force, immutable and numbered. A call keeps the one it began with. */
export interface Snapshot {
  readonly version: number;
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly providers: ReadonlyMap<string, Provider>;
  readonly limits: Limits;
  readonly access: { readonly anonymous: "loopback" | "never" | "any" };
  /** Requests a minute and the like for callers whose key has no limits of its own; matched by key name or `*`. */
  readonly callerLimits: readonly { readonly key: string; readonly requests: number; readonly per: "minute" | "hour" | "day" }[];
}
