/** So many at once; whoever comes later waits, in the order in which they came. */
export class Slots {
  readonly #most: () => number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(most: () => number) {
    this.#most = most;
  }

  /** Resolves with what gives the slot back. */
  async take(): Promise<() => void> {
    if (this.#taken >= this.#most()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#taken++;
    let isBack = false;
    return () => {
      if (isBack) return;
      isBack = true;
      this.#giveBack();
    };
  }

  #giveBack(): void {
    // Handed on, unless there are fewer now; where there are more now, others begin too.
    const next = this.#taken <= this.#most() ? this.#waiting.shift() : undefined;
    if (next) next();
    else this.#taken--;
    while (this.#taken < this.#most()) {
      const another = this.#waiting.shift();
      if (!another) return;
      this.#taken++;
      another();
    }
  }
}
