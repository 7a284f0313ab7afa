import type { Capabilities } from "./dialect.ts";
import type { ModelOperation } from "./model-card.ts";
import type { Problem } from "./problem.ts";

/** One model as its own server tells of it. Absent: it does not say. */
export interface ServedModel {
  /** The server's own name. */
  readonly name: string;
  /** Tokens that a call may read and write there, as the server runs the model; a table may know a larger figure of the model itself. */
  readonly contextTokens?: number;
  readonly maxOutputTokens?: number;
  readonly operations?: readonly ModelOperation[];
  readonly capabilities?: Pick<Capabilities, "vision" | "audio" | "tools" | "reasoning">;
  /** False: its first call waits until it is loaded. */
  readonly loaded?: boolean;
}

/** What a server has to do just now, over all of its models. */
export interface ServerLoad {
  readonly running: number;
  readonly waiting: number;
  /** Requests that it runs at once at most, where it says so. */
  readonly slots?: number;
  /** Share of the memory for running requests that is taken, 0 to 1. */
  readonly cacheShare?: number;
  /** Mean milliseconds from a request's turn to its end, of those that ended lately. */
  readonly requestMs?: number;
  /** Output tokens a second of one request. */
  readonly tokensPerSecond?: number;
}

/** What a server of models told when it was asked. */
export interface ServerReport {
  readonly up: boolean;
  /** Why it is not, or what it is, in a few words for people. */
  readonly detail: string;
  /** Undefined: it was not asked for them, or did not tell. */
  readonly models?: readonly ServedModel[];
  /** It runs its one model under whatever name. */
  readonly anyName?: true;
  /** It refuses every model that is not among `models`. */
  readonly complete?: true;
  /** Undefined: it does not tell. */
  readonly load?: ServerLoad;
}

/** How far a model is fetched. */
export interface PullProgress {
  /** What is done just now, in the server's words. */
  readonly status: string;
  /** Bytes of all parts known so far; undefined before the first is known. */
  readonly total?: number;
  readonly completed?: number;
}

/** The server behind a provider, beyond the calls it takes. Asked in the background; nothing of it is on the way of a call but `explain`. */
export interface ModelServer {
  /** Asks how it is; `models`: and what it serves. Never rejects: a server that is not there is a report too. */
  survey(what: "load" | "models", signal: AbortSignal): Promise<ServerReport>;
  /** No sense in asking more often, in milliseconds. Default: as often as its load is of use. */
  readonly everyMs?: number;
  /** What it is asked may take so long, in milliseconds, where that is longer than usual. */
  readonly answerMs?: number;
  /** One name for all the names by which the server knows a model. */
  readonly listedAs: (model: string) => string;
  /** Models that the configuration wants loaded before their first call. */
  readonly wantsWarm: readonly string[];
  /** A refusal of a call in better words, where there are some. */
  readonly explain?: (problem: Problem, model: string) => Problem;
  /** What to do about a model that a complete list lacks, in words that follow the target's name. */
  readonly missing?: (model: string) => string;
  /** Fetches a model into the server; what an earlier try left is gone on from. @throws ProblemError */
  readonly pull?: (model: string, signal: AbortSignal, onProgress: (progress: PullProgress) => void) => Promise<void>;
  /** Loads a model, so that its first call need not wait. @throws ProblemError */
  readonly warmUp?: (model: string, signal: AbortSignal) => Promise<void>;
}
