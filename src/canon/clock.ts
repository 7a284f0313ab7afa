/** Time, passed in so that no test sleeps. */
export interface Clock {
  /** Milliseconds since 1970, may step. */
  now(): number;
  /** Milliseconds that never step back, for durations; fractions allowed. */
  monotonic(): number;
  /** Calls back once after `ms`; the function returned cancels. Never keeps the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** Unique ids and random numbers, passed in so that runs repeat. */
export interface Randomness {
  /** A new unique id: prefix, then sortable time and randomness in lower-case base 32. */
  id(prefix: string): string;
  /** Uniform in [0, 1). */
  number(): number;
}
