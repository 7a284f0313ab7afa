import { ManualClock } from "../../src/kit/index.ts";

/** A clock whose time of day can be set, as by a person or a time server; what lasts goes on evenly. */
export class SteppingClock extends ManualClock {
  #offsetMs = 0;

  override now(): number {
    return super.now() + this.#offsetMs;
  }
  override monotonic(): number {
    return super.monotonic();
  }
  step(ms: number): void {
    this.#offsetMs += ms;
  }
}
