import type { Caller, CallState, Clock, Json, Limits, Problem } from "../canon/index.ts";
import { Bag, type Bagged } from "../kit/index.ts";

/** Somebody who reads a call's answer: the client that made it, or one that came back. */
export interface Reader {
  /** A whole answer at once. Called instead of the other three. */
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void;
  head(status: number, headers: Readonly<Record<string, string>>): void;
  /** One or more complete frames, the first of them numbered `first`. False: full; it calls `LiveCall.drained` when it can take more. */
  frames(frames: readonly Buffer[], first: number): boolean;
  end(): void;
}

interface Seat {
  readonly reader: Reader;
  /** Number of the next frame it gets. */
  next: number;
  full: boolean;
}

/** Whoever makes the answer. */
export interface Maker {
  /** A slow reader has caught up. */
  wantMore(): void;
  /** The last reader left before the end. */
  abandoned(): void;
  /** The call is to stop. */
  stop(problem: Problem): void;
}

const NOBODY: Maker = { wantMore() {}, abandoned() {}, stop() {} };

export interface LiveOptions {
  readonly id: string;
  readonly clock: Clock;
  /** Bytes of frames remembered for readers that come late or are slow. */
  readonly journalBytes: number;
}

/**
 * A call that lives in the gateway, not in a socket. Its frames are numbered from 1 and remembered, within a limit; every client is
 * only a reader of them. It ends exactly once.
 */
export class LiveCall implements Bagged {
  readonly id: string;
  /** Among the running calls. */
  place = -1;
  readonly startedAt: number;
  readonly startedMonotonic: number;
  /** Whose call it is, once admitted. */
  caller: Caller | undefined;
  state: CallState = "open";
  /** Milliseconds from the start to the first output towards a client. */
  firstOutputMs: number | undefined;
  /** Is the answer a stream of frames? */
  streamed = false;
  /** The id by which the client knows the answer, where its language has such. */
  answerId: string | undefined;
  /** What a client reads back while the answer is not there yet. */
  pendingAnswer: (() => Json) | undefined;
  readonly #clock: Clock;
  readonly #journalBytes: number;
  #seats: Seat[] = [];
  #head: { status: number; headers: Readonly<Record<string, string>> } | undefined;
  #whole: Buffer | string | undefined;
  #frames: Buffer[] = [];
  /** Number of the first frame still remembered. */
  #first = 1;
  #bytes = 0;
  #pending: Buffer[] = [];
  #ended = false;
  #settled = false;
  readonly #waiting: (() => void)[] = [];
  #maker = NOBODY;

  constructor(options: LiveOptions) {
    this.id = options.id;
    this.#clock = options.clock;
    this.#journalBytes = options.journalBytes;
    this.startedAt = options.clock.now();
    this.startedMonotonic = options.clock.monotonic();
  }

  get ended(): boolean {
    return this.#ended;
  }
  /** Has anything been said to a client that cannot be taken back? */
  get committed(): boolean {
    return this.#head !== undefined;
  }
  /** Number of the newest frame. */
  get last(): number {
    return this.#first + this.#frames.length - 1;
  }
  get bytes(): number {
    return this.#bytes;
  }
  elapsedMs(): number {
    return this.#clock.monotonic() - this.startedMonotonic;
  }

  wire(maker: Maker): void {
    this.#maker = maker;
  }

  /** Stops the call: its upstream is cancelled and it settles with this problem. */
  stop(problem: Problem): void {
    if (!this.#ended) this.#maker.stop(problem);
  }

  /** Answers in one piece. */
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    if (this.#ended) return;
    this.#markFirst();
    this.#head = { status, headers };
    this.#whole = body;
    this.#ended = true;
    for (const seat of this.#vacated()) seat.reader.whole(status, headers, body);
  }

  /** Answers the clients that wait now with a promise of the answer; the call goes on without them. */
  acknowledge(status: number, headers: Readonly<Record<string, string>>, body: string): void {
    for (const seat of this.#vacated()) seat.reader.whole(status, headers, body);
  }

  /** Begins a stream. */
  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.#markFirst();
    this.streamed = true;
    this.#head = { status, headers };
    for (const seat of this.#seats) seat.reader.head(status, headers);
  }

  /** Adds one complete frame; `flush` sends what was added. */
  frame(frame: Buffer): void {
    this.#frames.push(frame);
    this.#pending.push(frame);
    this.#bytes += frame.length;
  }

  /** Sends the frames added since the last flush. False: a reader is so far behind that the upstream should pause. */
  flush(): boolean {
    if (this.#pending.length > 0) {
      const pending = this.#pending;
      this.#pending = [];
      const first = this.last - pending.length + 1;
      for (const seat of this.#seats) this.#feed(seat, pending, first);
    }
    this.#forget();
    return !this.#lagging();
  }

  /** The stream is over; readers that are behind get the rest first. */
  end(): void {
    if (this.#ended) return;
    this.flush();
    this.#ended = true;
    for (const seat of this.#vacated()) {
      if (seat.full) this.#seats.push(seat);
      else seat.reader.end();
    }
  }

  /** Resolves when the call is settled: its row is queued and its turn is kept. */
  whenSettled(): Promise<void> {
    return this.#settled ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
  /** Nothing more will come: lets go of everything but the journal and the readers that are behind. */
  letGo(): void {
    this.wire(NOBODY);
    this.pendingAnswer = undefined;
    if (!this.streamed) this.#whole = undefined;
  }
  markSettled(): void {
    this.#settled = true;
    if (this.#waiting.length > 0) for (const callback of this.#waiting.splice(0)) callback();
  }

  /** Seats a reader behind frame `after`. False when frames it needs are forgotten. */
  attach(reader: Reader, after = 0): boolean {
    if (after + 1 < this.#first) return false;
    const seat: Seat = { reader, next: after + 1, full: false };
    this.#seats.push(seat);
    if (this.#whole !== undefined && this.#head) {
      this.#seats.pop();
      reader.whole(this.#head.status, this.#head.headers, this.#whole);
      return true;
    }
    if (!this.#head) return true;
    reader.head(this.#head.status, this.#head.headers);
    this.#catchUp(seat);
    return true;
  }

  /** The reader can take more. */
  drained(reader: Reader): void {
    const seat = this.#seats.find((other) => other.reader === reader);
    if (!seat) return;
    seat.full = false;
    this.#catchUp(seat);
    if (!this.#lagging()) this.#maker.wantMore();
  }

  /** The reader left. */
  detach(reader: Reader): void {
    const place = this.#seats.findIndex((other) => other.reader === reader);
    if (place < 0) return;
    this.#seats.splice(place, 1);
    if (this.#ended) return;
    if (this.#seats.length === 0) this.#maker.abandoned();
    else if (!this.#lagging()) this.#maker.wantMore();
  }

  /** Everybody who sat, none of whom sits any more. */
  #vacated(): readonly Seat[] {
    const seats = this.#seats;
    this.#seats = [];
    return seats;
  }

  #feed(seat: Seat, frames: readonly Buffer[], first: number): void {
    if (seat.full || seat.next >= first + frames.length) return;
    // It waited for a number that is among these, or got some of them when it was seated.
    if (seat.next !== first) return this.#catchUp(seat);
    seat.next = first + frames.length;
    seat.full = !seat.reader.frames(frames, first);
  }

  #catchUp(seat: Seat): void {
    while (!seat.full && seat.next <= this.last) {
      const frames = this.#frames.slice(seat.next - this.#first);
      const first = seat.next;
      seat.next += frames.length;
      seat.full = !seat.reader.frames(frames, first);
    }
    if (this.#ended && !seat.full) seat.reader.end();
    // Kept for this reader's sake alone, maybe.
    this.#forget();
  }

  /** A reader that owes more than the journal holds makes the upstream wait. */
  #lagging(): boolean {
    return this.#bytes > this.#journalBytes && this.#seats.some((seat) => seat.next <= this.#first);
  }

  /** Drops the oldest frames beyond the limit, never one that a seated reader still needs. */
  #forget(): void {
    if (this.#bytes <= this.#journalBytes) return;
    const needed = Math.min(this.last + 1, ...this.#seats.map((seat) => seat.next));
    let drop = 0;
    while (this.#bytes > this.#journalBytes && this.#first + drop < needed) this.#bytes -= this.#frames[drop++]?.length ?? 0;
    this.#frames.splice(0, drop);
    this.#first += drop;
  }

  #markFirst(): void {
    this.firstOutputMs ??= this.elapsedMs();
  }
}

type JournalLimits = Pick<Limits, "journalBytes" | "journalTotalBytes" | "journalMs">;

/** Running calls, and finished ones for as long as they may be read again. Bounded in bytes and time. */
export class LiveCalls {
  readonly #running = new Bag<LiveCall>();
  readonly #finished = new Map<string, { call: LiveCall; until: number; bytes: number }>();
  #finishedBytes = 0;
  readonly #limits: () => JournalLimits;
  readonly #clock: Clock;
  #idle: (() => void)[] = [];

  constructor(clock: Clock, limits: () => JournalLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get running(): number {
    return this.#running.size;
  }

  add(call: LiveCall): void {
    this.#running.add(call);
  }

  /** The call is settled. Streams stay readable for a while; a plain answer is not worth its memory. */
  finish(call: LiveCall): void {
    this.#running.remove(call);
    if (call.streamed) {
      const { journalMs, journalBytes } = this.#limits();
      // What a slow reader still owes goes when it has caught up: only the journal itself stays.
      const bytes = Math.min(call.bytes, journalBytes);
      this.#finished.set(call.id, { call, until: this.#clock.now() + journalMs, bytes });
      this.#finishedBytes += bytes;
      this.#evict();
    }
    if (this.#running.size === 0) for (const callback of this.#idle.splice(0)) callback();
  }

  find(id: string): LiveCall | undefined {
    const finished = this.#finished.get(id);
    if (finished && finished.until > this.#clock.now()) return finished.call;
    return this.findRunning((call) => call.id === id);
  }
  findRunning(test: (call: LiveCall) => boolean): LiveCall | undefined {
    return this.#running.find(test);
  }

  /** Stops every running call. */
  stopAll(problem: Problem): void {
    this.#running.find((call) => {
      call.stop(problem);
      return false;
    });
  }

  /** Resolves when no call is running. */
  whenIdle(): Promise<void> {
    return this.#running.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  #evict(): void {
    const { journalTotalBytes } = this.#limits();
    for (const [id, { until, bytes }] of this.#finished) {
      if (this.#finishedBytes <= journalTotalBytes && until > this.#clock.now()) return;
      this.#finished.delete(id);
      this.#finishedBytes -= bytes;
    }
  }
}
