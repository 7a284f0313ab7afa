import type { Caller, CallState, Clock, Json, JournalPart, Problem } from "../canon/index.ts";
import type { Bagged } from "../kit/index.ts";
import type { Spiller } from "./journal.ts";
import type { Maker, Reader, Reading, Seat, SeatOptions } from "./reader.ts";
import type { Told } from "./told.ts";

const NOBODY: Maker = { wantMore() {}, abandoned() {}, stop() {}, review() {} };

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
  /** The client's language, by its id. */
  dialect = "";
  /** Its client may leave and come back: a whole answer is journaled as well, and the stream is found by its answer's id. */
  durable = false;
  /** Number of the configuration that it began with and keeps. */
  configVersion = 0;
  /** Nobody will ever ask for it again: it is neither journaled nor remembered. */
  unread = false;
  spiller: Spiller | undefined;
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
  #cut = false;
  #settled = false;
  readonly #waiting: (() => void)[] = [];
  #maker = NOBODY;
  /** Spilling: is the spiller told, which frames did it take, which of them are safe. */
  #touched = false;
  #headTaken = false;
  #taken = 0;
  #safe = 0;
  #endSafe = false;
  /** Whoever serves the readers that sat here, when the call itself has nothing to tell them. */
  #instead: Map<Reader, Reading> | undefined;

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

  /** Stops, if a kill switch in force covers it. */
  review(): void {
    if (!this.#ended) this.#maker.review();
  }

  /** Answers in one piece. */
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    if (this.#ended) return;
    this.#markFirst();
    this.#head = { status, headers };
    this.#whole = body;
    this.#ended = true;
    if (this.durable) this.#touch();
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

  /** The frames still remembered, and the number of the first of them; or the whole answer, until the call lets go of it. */
  told(): Told {
    return { type: this.#head?.headers["content-type"], first: this.#first, frames: this.#frames, whole: this.#whole };
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
      this.#touch();
    }
    this.#forget();
    return !this.#lagging();
  }

  /** The stream broke, and its language cannot say so: at its end readers are told as their connection can. */
  cut(): void {
    this.#cut = true;
  }

  /** The stream is over; readers that are behind get the rest first. */
  end(): void {
    if (this.#ended) return;
    this.flush();
    this.#ended = true;
    if (this.streamed) this.#touch();
    for (const seat of this.#vacated()) {
      if (seat.away) continue;
      if (seat.full) this.#seats.push(seat);
      else this.#finish(seat.reader);
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
    if (!this.streamed && !this.durable) this.#whole = undefined;
  }
  markSettled(): void {
    this.#settled = true;
    if (this.#waiting.length > 0) for (const callback of this.#waiting.splice(0)) callback();
  }

  /**
   * Seats a reader behind frame `after`. False when frames it needs are forgotten; one that may be left behind counts as a reader all the
   * same, and is to be seated again when it has caught up from the journal.
   */
  attach(reader: Reader, after = 0, options: SeatOptions = {}): boolean {
    if (options.leftBehind) this.#seats = this.#seats.filter((other) => other.reader !== reader);
    const seat: Seat = { reader, next: after + 1, full: false, away: false, ...options };
    if (after + 1 < this.#first) {
      seat.away = true;
      if (options.leftBehind && !this.#ended) this.#seats.push(seat);
      return false;
    }
    if (this.#whole !== undefined && this.#head) {
      reader.whole(this.#head.status, this.#head.headers, this.#whole);
      return true;
    }
    this.#seats.push(seat);
    if (!this.#head) return true;
    reader.head(this.#head.status, this.#head.headers);
    this.#catchUp(seat);
    return true;
  }

  /** The reader can take more. */
  drained(reader: Reader): void {
    if (this.#instead) return this.#instead.get(reader)?.drained();
    const seat = this.#seats.find((other) => other.reader === reader);
    if (!seat) return;
    seat.full = false;
    this.#catchUp(seat);
    if (!this.#lagging()) this.#maker.wantMore();
  }

  /** The reader left. */
  detach(reader: Reader): void {
    if (this.#instead) return this.#instead.get(reader)?.leave();
    const place = this.#seats.findIndex((other) => other.reader === reader);
    if (place < 0) return;
    this.#seats.splice(place, 1);
    if (this.#ended) return;
    if (this.#seats.every((seat) => seat.witness)) this.#maker.abandoned();
    else if (!this.#lagging()) this.#maker.wantMore();
  }

  /** Hands the readers that sit here to somebody else. For this call that is the end; it told them nothing itself. */
  yieldTo(open: (reader: Reader) => Reading): void {
    this.#ended = true;
    this.durable = false;
    const seats = this.#vacated();
    this.#instead = new Map();
    for (const { reader } of seats) this.#instead.set(reader, open(reader));
  }

  /** Is all of it, its end included, where it outlives the memory? */
  get isSafe(): boolean {
    return this.#endSafe;
  }

  /** What is new since the last `take`; `until`: how long it is to be readable once it has ended. Undefined when there is nothing. */
  take(node: string, until: number): JournalPart | undefined {
    this.#touched = false;
    const { caller } = this;
    if (!this.#head || !caller || (!this.streamed && !this.durable)) return undefined;
    const whole = this.#whole;
    const first = Math.max(this.#taken + 1, this.#first);
    const frames = whole === undefined ? this.#frames.slice(first - this.#first) : [Buffer.from(whole)];
    const part: JournalPart = {
      callId: this.id,
      scope: caller.scope,
      dialect: this.dialect,
      node,
      first,
      frames,
      ...(!this.#headTaken && { head: this.#journalHead() }),
      ...(this.#ended && { until }),
    };
    this.#headTaken = true;
    this.#taken = first + frames.length - 1;
    return part;
  }

  /** What `take` gave is where it outlives the memory. */
  kept({ first, frames, until }: JournalPart): void {
    this.#safe = first + frames.length - 1;
    if (until === undefined) return this.#forget();
    this.#endSafe = true;
    if (!this.streamed) this.#whole = undefined;
  }

  /** What `take` gave could not be kept: it is to be taken again. */
  notKept({ head }: JournalPart): void {
    this.#taken = this.#safe;
    if (head) this.#headTaken = false;
    this.#touch();
  }

  #journalHead(): NonNullable<JournalPart["head"]> {
    const { status = 200, headers = {} } = this.#head ?? {};
    return {
      status,
      headers,
      ...(this.#whole !== undefined && { whole: true }),
      ...(this.answerId !== undefined && { answerId: this.answerId }),
      ...(this.durable && { findable: true }),
    };
  }

  #touch(): void {
    if (this.#touched || !this.spiller) return;
    this.#touched = true;
    this.spiller.touch(this);
  }

  #finish(reader: Reader): void {
    if (this.#cut && reader.cut) reader.cut();
    else reader.end();
  }

  /** Everybody who sat, none of whom sits any more. */
  #vacated(): readonly Seat[] {
    const seats = this.#seats;
    this.#seats = [];
    return seats;
  }

  #feed(seat: Seat, frames: readonly Buffer[], first: number): void {
    if (seat.full || seat.away || seat.next >= first + frames.length) return;
    // It waited for a number that is among these, or got some of them when it was seated.
    if (seat.next !== first) return this.#catchUp(seat);
    seat.next = first + frames.length;
    seat.full = !seat.reader.frames(frames, first);
  }

  #catchUp(seat: Seat): void {
    if (seat.away) return;
    while (!seat.full && seat.next <= this.last) {
      const frames = this.#frames.slice(seat.next - this.#first);
      const first = seat.next;
      seat.next += frames.length;
      seat.full = !seat.reader.frames(frames, first);
    }
    if (this.#ended && !seat.full) {
      this.#seats = this.#seats.filter((other) => other !== seat);
      this.#finish(seat.reader);
    }
    // Kept for this reader's sake alone, maybe.
    this.#forget();
  }

  /** A reader that owes more than the journal holds makes the upstream wait. */
  #lagging(): boolean {
    return this.#bytes > this.#journalBytes && this.#seats.some((seat) => seat.next <= this.#first && this.#waitsFor(seat));
  }

  /** Is a frame kept in memory for this reader's sake? */
  #waitsFor(seat: Seat): boolean {
    return !seat.away && !seat.witness && (!seat.leftBehind || this.#keepsAll());
  }

  /** Nothing but the memory holds the frames. */
  #keepsAll(): boolean {
    return !this.spiller || this.spiller.failing;
  }

  /** Drops the oldest frames beyond the limit: none that a seated reader still needs, none that is yet to be spilled. */
  #forget(): void {
    if (this.#bytes <= this.#journalBytes) return;
    let needed = this.#keepsAll() ? this.last + 1 : this.#safe + 1;
    for (const seat of this.#seats) if (this.#waitsFor(seat)) needed = Math.min(needed, seat.next);
    let drop = 0;
    while (this.#bytes > this.#journalBytes && this.#first + drop < needed) this.#bytes -= this.#frames[drop++]?.length ?? 0;
    if (drop === 0) return;
    this.#frames.splice(0, drop);
    this.#first += drop;
    for (const seat of this.#seats) {
      if (seat.away || seat.next >= this.#first || !seat.leftBehind) continue;
      seat.away = true;
      seat.leftBehind(seat.next - 1);
    }
  }

  #markFirst(): void {
    this.firstOutputMs ??= this.elapsedMs();
  }
}
