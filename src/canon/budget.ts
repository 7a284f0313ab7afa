/** Whom a budget or a limit is for. A member holds a name; a beginning and `*`: all whose names begin so, together; `*` alone: each by itself. */
export interface Match {
  /** A key's name or id. */
  readonly key?: string | undefined;
  readonly team?: string | undefined;
  readonly project?: string | undefined;
  /** One of the key's tags. */
  readonly tag?: string | undefined;
  /** As the header `x-gimbal-session` says. */
  readonly session?: string | undefined;
  /** `agent` and `turn` of the header `x-gimbal-metadata`. */
  readonly agent?: string | undefined;
  readonly turn?: string | undefined;
  /** As the caller named it. */
  readonly model?: string | undefined;
  /** Where an attempt goes; for limits only. */
  readonly provider?: string | undefined;
}

export type Period = "minute" | "hour" | "day" | "week" | "month" | "lifetime";

/** How much may be spent in a window of the calendar. */
export interface Budget {
  /** The same over changes of its amounts: what was spent stays spent. */
  readonly id: string;
  readonly match: Match;
  /** In nanodollars. */
  readonly nanodollars?: number | undefined;
  /** Input and output together. */
  readonly tokens?: number | undefined;
  readonly per: Period;
  /** IANA name. */
  readonly timeZone: string;
  /** Calls that might pass it are refused; otherwise it only counts. */
  readonly hard: boolean;
  /** From this share of it on (0 to 1) it is told, and calls are downgraded where there is something to downgrade to. */
  readonly soft?: number | undefined;
  /** Model that calls go to when the budget is used up to `soft`, or has no room for them. */
  readonly downgradeTo?: string | undefined;
  /** Calls are let in while the store cannot be reached. */
  readonly failOpen?: boolean | undefined;
}

/** How much at once and over time. At least one of the four. */
export interface RateLimit {
  readonly id: string;
  readonly match: Match;
  readonly requests?: number | undefined;
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  /** Calls running at once. */
  readonly concurrency?: number | undefined;
  readonly per: "minute" | "hour" | "day";
}

/**
 * What a node asks of one counter. Amounts are whole numbers of whatever it counts (nanodollars, tokens, requests, places). A node takes
 * more than it needs at the moment, so that most calls ask nobody.
 */
export interface LeaseAsk {
  readonly key: string;
  /** Beginning and end of the counter's window, milliseconds since 1970. */
  readonly begins: number;
  readonly ends: number;
  readonly limit: number;
  /** Over so many milliseconds what was used is forgotten evenly; 0: never. */
  readonly refillMs: number;
  /** Rises with every ask of a node, so that one that is repeated after a crash counts once. */
  readonly turn: number;
  /** Less than this is of no use. */
  readonly least: number;
  /** What calls wait for; given as far as it is there. More than that is given while plenty is left. */
  readonly waiting: number;
  /** Of what was leased: used for good, and given back. */
  readonly used: number;
  readonly returned: number;
  /** Everything that the node does not use at this moment is given back with this ask. */
  readonly yields: boolean;
  /** Where it is not enough, the other nodes are asked to give back what they do not use. */
  readonly recall: boolean;
}

export interface LeaseAnswer {
  readonly granted: number;
  /** Used for good, by all. */
  readonly spent: number;
  /** Leased to all nodes, with what was just granted. */
  readonly leased: number;
  /** Other nodes that were asked to give back and have not answered. */
  readonly pending: number;
  /** This node is asked to give back. */
  readonly recalled: boolean;
}

/** What one call used of one counter: `spent` for good, of which, with what it did not need, `released` is no longer leased. */
export type CounterSpend = readonly [key: string, begins: number, spent: number, released: number];
/** What a running call may use of a counter, booked when nobody lives to say what it did use. */
export type CounterHold = readonly [key: string, begins: number, amount: number];

export interface CounterState {
  readonly key: string;
  readonly begins: number;
  readonly ends: number;
  readonly spent: number;
  readonly leased: number;
}

/**
 * Counters that hold over all nodes: what is used and what is leased to nodes is never more than the limit. Rows of the ledger book what
 * calls used, in their own commit (`LedgerStore.settle`).
 */
export interface BudgetStore {
  lease(node: string, asks: readonly LeaseAsk[], now: number): Promise<readonly LeaseAnswer[]>;
  /** Windows that are not over, or were over after `since`; by key. */
  list(since: number, limit: number): Promise<readonly CounterState[]>;
  /** Forgets windows that ended before `before`; returns how many. */
  expire(before: number): Promise<number>;
}
