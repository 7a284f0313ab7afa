import type { Problem, UpstreamHandle, UpstreamSink } from "../../canon/index.ts";

type Step =
  | { readonly does: "write"; readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly bytes: Buffer }
  | { readonly does: "end" }
  | { readonly does: "problem"; readonly problem: Problem };

/**
 * Brings what a model says to a sink, no faster than the sink takes it. What waits is no more than one answer, which the model's context
 * bounds. Nothing comes before `open` has returned.
 */
export class Flow implements UpstreamHandle {
  readonly #sink: UpstreamSink;
  #steps: Step[] = [];
  #job: { cancel(): void } | undefined;
  #begun = false;
  #paused = true;
  #playing = false;
  #over = false;

  constructor(sink: UpstreamSink) {
    this.#sink = sink;
    queueMicrotask(() => this.resume());
  }

  /** What is to be stopped when the caller leaves. */
  runs(job: { cancel(): void }): void {
    this.#job = job;
  }

  write(status: number, headers: Readonly<Record<string, string>>, bytes: Buffer): void {
    this.#add({ does: "write", status, headers, bytes });
  }

  end(): void {
    this.#add({ does: "end" });
  }

  problem(problem: Problem): void {
    this.#add({ does: "problem", problem });
  }

  cancel(): void {
    this.#over = true;
    this.#steps = [];
    this.#job?.cancel();
  }

  resume(): void {
    this.#paused = false;
    this.#play();
  }

  #add(step: Step): void {
    if (this.#over) return;
    this.#steps.push(step);
    this.#play();
  }

  #play(): void {
    // The sink may call `resume` from within `onData`: the loop that called it goes on by itself.
    if (this.#playing) return;
    this.#playing = true;
    while (!this.#over && !this.#paused) {
      const step = this.#steps.shift();
      if (!step) break;
      this.#do(step);
    }
    this.#playing = false;
  }

  #do(step: Step): void {
    if (step.does === "write") {
      if (!this.#begun) this.#sink.onHead(step.status, step.headers);
      this.#begun = true;
      // The sink may have been cancelled by what the head said.
      if (this.#over) return;
      // Set before the call, which may undo it by `resume`.
      this.#paused = true;
      if (this.#sink.onData(step.bytes)) this.#paused = false;
      return;
    }
    this.#over = true;
    if (step.does === "end") this.#sink.onEnd();
    else this.#sink.onProblem(step.problem);
  }
}
