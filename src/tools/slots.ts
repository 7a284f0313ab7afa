/** Places of which so many can be taken at once; whoever comes later waits in line. */
export class Slots {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Resolves with what gives the place back. Rejects with the signal's reason when that comes first. */
  take(signal: AbortSignal): Promise<() => void> {
    if (this.#taken < this.#most) {
      this.#taken++;
      return Promise.resolve(once(() => this.#next()));
    }
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener("abort", leave);
        resolve(once(() => this.#next()));
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal.reason instanceof Error ? signal.reason : new Error("cancelled"));
      };
      this.#waiting.push(enter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** The place goes on to whoever waits. */
  #next(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken--;
  }
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}
