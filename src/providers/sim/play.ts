import { problemFrom, type Clock, type UpstreamHandle, type UpstreamSink } from "../../canon/index.ts";
import type { Step, Steps } from "./step.ts";

/** Plays steps into a sink, on the clock's time, as fast as the sink takes them. Nothing is played before `open` has returned. */
export class Player implements UpstreamHandle {
  readonly #steps: Steps;
  readonly #sink: UpstreamSink;
  readonly #clock: Clock;
  #stopTimer: (() => void) | undefined;
  #paused = false;
  #waiting = false;
  #playing = false;
  #over = false;

  constructor(steps: Steps, sink: UpstreamSink, clock: Clock) {
    this.#steps = steps;
    this.#sink = sink;
    this.#clock = clock;
    queueMicrotask(() => this.#play());
  }

  cancel(): void {
    this.#over = true;
    this.#stopTimer?.();
    this.#steps.return?.();
  }

  resume(): void {
    this.#paused = false;
    this.#play();
  }

  #play(): void {
    // The sink may call `resume` from within `onData`: the loop that called it goes on by itself.
    if (this.#playing) return;
    this.#playing = true;
    while (!this.#over && !this.#paused && !this.#waiting) this.#next();
    this.#playing = false;
  }

  #next(): void {
    const step = this.#take();
    if (!step) {
      this.#over = true;
      return this.#sink.onEnd();
    }
    switch (step.does) {
      case "head":
        return this.#sink.onHead(step.status, step.headers);
      case "write":
        // Set before the call, which may undo it by `resume`.
        this.#paused = true;
        if (this.#sink.onData(step.bytes)) this.#paused = false;
        return;
      case "wait":
        return this.#wait(step.ms);
      case "break":
        this.#over = true;
        this.#steps.return?.();
        return this.#sink.onProblem(step.problem);
    }
  }

  /** A dialect that fails to write an answer fails this call, not the process. */
  #take(): Step | undefined {
    try {
      const { done, value } = this.#steps.next();
      return done ? undefined : value;
    } catch (error) {
      return { does: "break", problem: problemFrom(error) };
    }
  }

  #wait(ms: number): void {
    if (ms <= 0) return;
    this.#waiting = true;
    if (ms === Infinity) return;
    this.#stopTimer = this.#clock.after(ms, () => {
      this.#waiting = false;
      this.#play();
    });
  }
}
