import { PROBLEM_KINDS, type Problem, type ProblemKind } from "../canon/index.ts";
import type { Track } from "./recording.ts";

/** Leaders that may fail at the upstream before those who wait are told: each has tried as often as its alias allows. */
const SUCCESSIONS = 3;
/** Passengers served in one turn of the event loop, so that ten thousand do not hold up everybody else. */
const SERVED_PER_TURN = 128;

/** A call that waits for the answer of an identical one. It is told at most one of `lead` and `fail`, and nothing after that. */
export interface Passenger {
  /** Was anything said to its client? */
  readonly committed: boolean;
  /** Follow this track from its beginning, whatever was followed before. Only while not committed. */
  board(track: Track): void;
  /** The track has grown, or is whole. */
  more(): void;
  /** Its turn to ask the upstream itself; identical calls now wait for it. */
  lead(): void;
  fail(problem: Problem): void;
}

/** Failures that say nothing of the answer an identical call would get: they belong to the call that met them. */
const OWN: ReadonlySet<ProblemKind> = new Set<ProblemKind>([
  "cancelled",
  "killed",
  "rate_limited",
  "budget_exhausted",
  "forbidden",
  "policy_denied",
  "approval_needed",
  "gateway_restarted",
  "internal",
]);

/**
 * Identical calls in flight: one of them, the leader, asks the upstream; the others follow what it gets. The flight is over when the
 * answer is whole, or when nobody is left to lead.
 */
export class Flight {
  readonly #close: (flight: Flight) => void;
  readonly #passengers = new Set<Passenger>();
  /** Those to be served in the turns to come. */
  #queue: Passenger[] = [];
  #track: Track | undefined;
  #failures = 0;
  #over = false;
  /** The leader's client has left: the leader works for the passengers alone, and this stops it. */
  #stopLeader: (() => void) | undefined;

  constructor(close: (flight: Flight) => void) {
    this.#close = close;
  }

  get over(): boolean {
    return this.#over;
  }
  get passengers(): number {
    return this.#passengers.size;
  }
  get track(): Track | undefined {
    return this.#track;
  }

  join(passenger: Passenger): void {
    this.#passengers.add(passenger);
    if (!this.#track) return;
    passenger.board(this.#track);
    passenger.more();
  }

  leave(passenger: Passenger): void {
    this.#passengers.delete(passenger);
    if (this.#passengers.size > 0) return;
    const stop = this.#stopLeader;
    this.#stopLeader = undefined;
    if (!this.#over) stop?.();
  }

  /** The leader's client left. False: nobody else needs the answer. Otherwise `stop` is called when that becomes so. */
  desert(stop: () => void): boolean {
    if (this.#over || this.#passengers.size === 0) return false;
    this.#stopLeader = stop;
    return true;
  }

  /** The leader has an answer of its own, or another one than before: those who have said nothing yet begin anew. */
  board(track: Track): void {
    this.#track = track;
    for (const passenger of this.#passengers) {
      if (passenger.committed) this.#drop(passenger, BROKEN);
      else passenger.board(track);
    }
    this.wake();
  }

  /** The track has grown. */
  wake(): void {
    if (this.#passengers.size === 0) return;
    const idle = this.#queue.length === 0;
    this.#queue = [...this.#passengers];
    if (idle) setImmediate(() => this.#serve());
  }

  #serve(): void {
    for (const passenger of this.#queue.splice(0, SERVED_PER_TURN)) if (this.#passengers.has(passenger)) passenger.more();
    if (this.#queue.length > 0) setImmediate(() => this.#serve());
  }

  /** The track is whole: nobody else can join, and those who follow finish on their own. */
  land(): void {
    if (this.#over) return;
    this.#end();
    this.wake();
  }

  /** The leader goes on where nobody can follow: its stream broke and is being continued, or outgrew the bound. */
  divert(): void {
    this.#succeed(BROKEN);
  }

  /** The leader failed. */
  fail(problem: Problem): void {
    if (this.#over) return;
    if (!OWN.has(problem.kind) && (!PROBLEM_KINDS[problem.kind].retryable || ++this.#failures >= SUCCESSIONS)) {
      this.#end();
      for (const passenger of this.#passengers) this.#drop(passenger, problem);
      return;
    }
    this.#succeed(problem);
  }

  /** One of those who have said nothing leads on; those who have are told. */
  #succeed(problem: Problem): void {
    if (this.#over) return;
    this.#track = undefined;
    this.#stopLeader = undefined;
    for (const passenger of this.#passengers)
      if (passenger.committed) this.#drop(passenger, problem.kind === "cancelled" ? BROKEN : problem);
    const [next] = this.#passengers;
    if (!next) return this.#end();
    this.#passengers.delete(next);
    next.lead();
  }

  #drop(passenger: Passenger, problem: Problem): void {
    this.#passengers.delete(passenger);
    passenger.fail(problem);
  }

  #end(): void {
    this.#over = true;
    this.#close(this);
  }
}

const BROKEN: Problem = {
  kind: "upstream_broken",
  message: "The identical call whose answer this one shared broke off; send the call again.",
};

/** The flights of one gateway, by scope and key. */
export class Flights {
  readonly #flights = new Map<string, Flight>();

  get size(): number {
    return this.#flights.size;
  }
  get(id: string): Flight | undefined {
    return this.#flights.get(id);
  }
  /** A flight whose leader is the caller. There must be none of this id. */
  open(id: string): Flight {
    const flight = new Flight((over) => {
      if (this.#flights.get(id) === over) this.#flights.delete(id);
    });
    this.#flights.set(id, flight);
    return flight;
  }
}
