import type { BodyFlow, BodySink, Clock, Problem } from "../canon/index.ts";

/** Limits of a body that is handed over while it comes. */
export interface FlowLimits {
  readonly maxBytes: number;
  /** Longest silence of a sender whom nobody asked to wait. */
  readonly betweenMs: number;
}

/** What gives the pieces, and may be asked to wait. */
export interface Tap {
  pause(): void;
  resume(): void;
  /** Nobody wants the rest. */
  abandon(): void;
}

/** One body on its way from a client to whoever takes it: bounded in size and silence, and never faster than it is taken. */
export class Flow implements BodyFlow {
  readonly #limits: FlowLimits;
  readonly #sink: BodySink;
  readonly #tap: Tap;
  readonly #clock: Clock;
  #bytes = 0;
  #moved = false;
  #waits = false;
  #over = false;
  #stopTimer: () => void;

  constructor(limits: FlowLimits, sink: BodySink, tap: Tap, clock: Clock) {
    this.#limits = limits;
    this.#sink = sink;
    this.#tap = tap;
    this.#clock = clock;
    this.#stopTimer = this.#watch();
  }

  get over(): boolean {
    return this.#over;
  }

  piece(piece: Buffer): void {
    if (this.#over) return;
    this.#moved = true;
    this.#bytes += piece.length;
    const { maxBytes } = this.#limits;
    if (this.#bytes > maxBytes) return this.fail({ kind: "too_large", message: `The body is larger than the limit of ${maxBytes} bytes.` });
    if (this.#sink.onPiece(piece) || this.#over) return;
    this.#waits = true;
    this.#tap.pause();
  }

  end(): void {
    if (!this.#finish()) return;
    this.#sink.onEnd();
  }

  fail(problem: Problem): void {
    if (!this.#finish()) return;
    this.#tap.abandon();
    this.#sink.onProblem(problem);
  }

  resume(): void {
    if (this.#over || !this.#waits) return;
    this.#waits = false;
    this.#moved = true;
    this.#tap.resume();
  }

  stop(): void {
    if (this.#finish()) this.#tap.abandon();
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#stopTimer();
    return true;
  }

  /** One timer that looks whether anything moved, instead of one for each piece. */
  #watch(): () => void {
    const { betweenMs } = this.#limits;
    return this.#clock.after(betweenMs, () => {
      if (this.#over) return;
      if (!this.#moved && !this.#waits)
        return this.fail({
          kind: "invalid_request",
          status: 408,
          code: "body_timeout",
          message: `The body stopped for ${betweenMs / 1000} seconds.`,
        });
      this.#moved = false;
      this.#stopTimer = this.#watch();
    });
  }
}
