import type { Problem } from "../canon/index.ts";

/** Somebody who reads a call's answer: the client that made it, or one that came back. */
export interface Reader {
  /** A whole answer at once. Called instead of the other three. */
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void;
  head(status: number, headers: Readonly<Record<string, string>>): void;
  /** One or more complete frames, the first of them numbered `first`. False: full; it calls `LiveCall.drained` when it can take more. */
  frames(frames: readonly Buffer[], first: number): boolean;
  end(): void;
  /** Instead of `end`: the stream broke in a language that has no word for that. */
  cut?(): void;
}

/** How somebody reads who is not the client that made the call. */
export interface SeatOptions {
  /** Looks on: takes everything at once, and nobody goes on working for its sake. */
  readonly witness?: true;
  /**
   * May be left behind: when frames it still needs leave the memory it is told the number of the last frame it got, and reads on from the
   * journal until it is seated again. Whoever makes the answer does not wait for it.
   */
  readonly leftBehind?: (after: number) => void;
}

/** A reader and how far it is. */
export interface Seat extends SeatOptions {
  readonly reader: Reader;
  /** Number of the next frame it gets. */
  next: number;
  full: boolean;
  /** It reads from the journal at the moment. */
  away: boolean;
}

/** Serves a reader in place of the call it sat down at. */
export interface Reading {
  drained(): void;
  leave(): void;
}

/** Whoever makes the answer. */
export interface Maker {
  /** A slow reader has caught up. */
  wantMore(): void;
  /** The last reader left before the end. */
  abandoned(): void;
  /** The call is to stop. */
  stop(problem: Problem): void;
  /** An administrator has switched something off: does the call go on? */
  review(): void;
}
