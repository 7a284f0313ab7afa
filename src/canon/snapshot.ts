import type { Budget, RateLimit } from "./budget.ts";
import type { ContentPolicy } from "./content.ts";
import type { Provider } from "./provider.ts";

/** One place a call can go. */
export interface Target {
  /** The provider's name in the configuration. */
  readonly provider: string;
  /** The provider's own model name. */
  readonly model: string;
  readonly weight: number;
  /** Where it runs and where it keeps data, when that differs from its provider's. */
  readonly place?: Place;
}

/** Where a model runs (`region`) and where what it is sent is kept (`residency`): names such as `eu` or `eu-west-1`. */
export interface Place {
  readonly region?: string;
  readonly residency?: string;
}

/** Where a call may go. A place fits when it is one of the names or lies within it: `eu-west-1` lies within `eu`. Absent: anywhere. */
export interface Requirements {
  readonly region?: readonly string[];
  readonly residency?: readonly string[];
}

export type Strategy = "fallback" | "weighted" | "latency" | "cost" | "round-robin" | "rules";

/** Some calls of an alias go elsewhere. */
export interface AliasRule {
  readonly name: string;
  /** A condition in CEL over the facts of the call, of type bool. */
  readonly when: string;
  readonly targets: readonly Target[];
  /** Undefined: the alias's own. */
  readonly strategy?: Strategy;
}

/** A name that callers may use, and what stands behind it. */
export interface Alias {
  readonly name: string;
  readonly targets: readonly Target[];
  readonly strategy: Strategy;
  /** The first whose condition holds says where the call goes. */
  readonly rules?: readonly AliasRule[];
  /**
   * What holds a session to the target that answered it last. `session`: as long as it is remembered. `cache`: while that target's prompt
   * cache is warm. `off`: nothing. Undefined means `cache`.
   */
  readonly sticky?: "session" | "cache" | "off";
  readonly requires?: Requirements;
  /** A model that is asked how demanding a call is, for rules that name `call.complexity`. Undefined: it is worked out here. */
  readonly complexity?: { readonly model: string; readonly timeoutMs: number };
  /** Extra attempts per target. */
  readonly retries: number;
  /** Per attempt: first meaningful event when streaming, whole answer otherwise. */
  readonly timeoutMs: number;
  readonly continue: "always" | "same-model" | "never";
  /** How often one stream is continued at most; undefined: the default. */
  readonly maxContinuations?: number;
  /** Finer than `timeoutMs`; what is absent is not bounded by it. */
  readonly timeouts?: AliasTimeouts;
  /** A second target is asked when the first is slow to begin. Undefined: never. */
  readonly hedge?: AliasHedge;
  readonly cache?: AliasCache;
  /** Are its calls' prompts, answers and tools recorded by hash? Undefined: as for all calls. */
  readonly lineage?: boolean;
  readonly canary?: Canary;
  readonly shadow?: Shadow;
  readonly warm?: Warm;
}

/** Some calls of an alias go to other targets first, to try them out. */
export interface Canary {
  /** At least one. */
  readonly targets: readonly Target[];
  /** 0 to 100. */
  readonly percent: number;
  /** What is drawn and then goes the same way every time. */
  readonly sticky: "session" | "call";
}

/** Answered calls are sent to another target once more, to compare what it says. */
export interface Shadow {
  readonly target: Target;
  /** 0 to 1. */
  readonly share: number;
  /** Copies that may run at once in a process. */
  readonly concurrency: number;
}

/** Some calls always go to a target that must be ready when it is needed. */
export interface Warm {
  readonly target: Target;
  /** 0 to 1. */
  readonly share: number;
  /** Without an answered call for this long it counts as cold. */
  readonly coldAfterMs: number;
}

/** All in milliseconds. */
export interface AliasTimeouts {
  /** Of an attempt at a stream: to its first meaningful event. */
  readonly firstOutputMs?: number;
  /** Of a stream: between two pieces. */
  readonly betweenMs?: number;
  /** Of the call: all attempts and the waits between them. */
  readonly totalMs?: number;
}

/** When a second target is asked beside the first, and for how many calls at most. */
export interface AliasHedge {
  /** After as long as this share (0 to 100) of the first target's own answers took to begin. */
  readonly afterPercentile: number;
  /** After so many milliseconds, whatever was measured. */
  readonly afterMs?: number;
  /** Of the alias's calls, 0 to 1. */
  readonly maxShare: number;
}

/** How an alias repeats answers to identical calls; an alias without it never does. */
export interface AliasCache {
  /** How long an answer is fresh. */
  readonly ttlMs: number;
  /** How long after that it may still be given while a new one is fetched in the background. */
  readonly staleMs: number;
  /** Who may get an answer that another call paid for. */
  readonly share: "key" | "team" | "project" | "all";
  /** Streams are repeated at once, or at the pace at which they came. */
  readonly replay: "burst" | "paced";
  /** What else must be equal, though it changes no answer. */
  readonly keyWith: readonly ("endUser" | "metadata")[];
}

/** Bounds of the answer cache. */
export interface CacheLimits {
  /** Bytes of one stored answer. */
  readonly entryBytes: number;
  /** Bytes of answers held in this process. */
  readonly memoryBytes: number;
  /** Bytes of answers held in the store. */
  readonly storeBytes: number;
  /** Bytes of one running answer that identical calls can join. */
  readonly flightBytes: number;
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
  /** Where providers run and keep data, by name, as far as the configuration says. */
  readonly places?: ReadonlyMap<string, Place>;
  readonly limits: Limits;
  /** Are calls recorded by hash where their alias says nothing? Undefined: no. */
  readonly lineage?: boolean;
  /** Whose prompts and answers are stored; of several that match the first. Undefined: nobody's. */
  readonly content?: readonly ContentPolicy[];
  /** Time zone of whose days reports are made; undefined: UTC. */
  readonly reportZone?: string;
  /** Undefined: the defaults of `cache:`. */
  readonly cache?: CacheLimits;
  /** What becomes of a call under a budget in dollars whose price is not known; undefined: refused. */
  readonly unknownPrices?: "refuse" | "allow";
  readonly access: { readonly anonymous: "loopback" | "never" | "any" };
  /** Limits of callers, models and providers. A key's own limits take the place of those that are for keys. */
  readonly callerLimits: readonly RateLimit[];
  readonly budgets?: readonly Budget[];
  /** Endpoints that are passed on unread, by provider. Undefined: none. */
  readonly passthrough?: ReadonlyMap<string, Passthrough>;
}

/** What of a provider is passed on unread. */
export interface Passthrough {
  /** Below its address; a trailing `*` matches any rest. */
  readonly paths: readonly string[];
  readonly methods: readonly ("GET" | "POST" | "PUT" | "PATCH" | "DELETE")[];
  /** Headers of the client that go along, besides `content-type` and `accept`. */
  readonly headers: readonly string[];
  /** Largest body and largest answer, in bytes; undefined: as everywhere. */
  readonly requestBytes?: number | undefined;
  readonly answerBytes?: number | undefined;
  /** What a request costs, in dollars; undefined: nobody knows. */
  readonly perCallUsd?: number | undefined;
}
