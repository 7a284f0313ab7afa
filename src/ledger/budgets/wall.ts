import type { LeaseAnswer, LeaseAsk } from "../../canon/index.ts";

/** What of an ask the wall says; who sends it adds the rest. */
export type WallAsk = Omit<LeaseAsk, "turn">;

/** Where walls send what they ask. */
export interface Lessor {
  /** Rejects when the store cannot be reached. */
  ask(ask: WallAsk): Promise<LeaseAnswer>;
  /** The other nodes are to give back what they do not use of this counter. */
  recall(key: string): void;
  /** Milliseconds that never step back. */
  monotonic(): number;
  after(ms: number, callback: () => void): () => void;
}

export interface WallOptions {
  readonly key: string;
  readonly begins: number;
  readonly ends: number;
  readonly refillMs: number;
  readonly lessor: Lessor;
}

interface Waiter {
  readonly amount: number;
  readonly settle: (outcome: Taken) => void;
}

/** Was there room? `unavailable`: nobody knows, because the store cannot be reached. */
export type Taken = "taken" | "refused" | "unavailable";

/** How long the other nodes are waited for that were asked to give back, and how often it is looked. */
const RECALL_LOOKS_MS = [10, 20, 40, 80, 160, 320] as const;
/** After a refusal nobody asks the store again for so long, unless something came back here; longer where other nodes would be asked too. */
const DRY_MS = 50;
const DRY_AMONG_OTHERS_MS = 200;
/** A node that was asked to give back keeps nothing for itself for so long. */
const CONTENDED_MS = 5000;
/** When less than this part of the last lease is left, more is asked for before it is needed. */
const LOW_PART = 4;

/**
 * One counter in one window, as far as this node holds a lease of it. Taking from the lease asks nobody. When the lease does not hold
 * what a call needs, the store is asked, once at a time, on behalf of all that wait.
 */
export class Wall {
  readonly key: string;
  readonly begins: number;
  readonly ends: number;
  readonly refillMs: number;
  limit = 0;
  /** Was it told that little is left? */
  told = false;
  /** Leased and not taken by a call; below zero what calls used beyond what they had taken. */
  free = 0;
  /** Taken by running calls. */
  held = 0;
  /** Used by all nodes, as far as it is known here. */
  spent = 0;
  /** Leased to all nodes, when the store last said. */
  leased = 0;
  /** Monotonic milliseconds of the last call that took from it. */
  usedAt = 0;
  /** Monotonic milliseconds of the store's last answer; undefined before the first. */
  answeredAt: number | undefined;
  #lastGrant = 0;
  #used = 0;
  #waiters: Waiter[] = [];
  #asking = false;
  #serving = false;
  /** Was it asked to give back, and has it not done so? */
  #owes = false;
  #dryUntil = 0;
  #dryFrom = Number.POSITIVE_INFINITY;
  #contendedUntil = 0;
  readonly #lessor: Lessor;

  constructor({ key, begins, ends, refillMs, lessor }: WallOptions) {
    this.key = key;
    this.begins = begins;
    this.ends = ends;
    this.refillMs = refillMs;
    this.#lessor = lessor;
  }

  /** A budget was raised or cut: what was leased under the old limit goes back. */
  changeLimit(limit: number): void {
    const before = this.limit;
    this.limit = limit;
    this.#dryUntil = 0;
    if (before > limit) void this.giveBack();
  }

  /** Takes from the lease; false when it does not hold as much. Nothing can always be taken. */
  take(amount: number): boolean {
    if (amount === 0) {
      // So that there is a counter to book on, if it should cost something after all.
      if (this.answeredAt === undefined) void this.look();
      return true;
    }
    if (this.free < amount || this.#waiters.length > 0) return false;
    this.free -= amount;
    this.held += amount;
    if (this.free * LOW_PART < this.#lastGrant && !this.#busy && !this.contended) this.#askAhead(amount);
    return true;
  }

  /** Takes, from the store when the lease does not hold it. */
  obtain(amount: number): Taken | Promise<Taken> {
    if (this.take(amount)) return "taken";
    if (amount >= this.#dryFrom && this.#lessor.monotonic() < this.#dryUntil) return "refused";
    const waiting = new Promise<Taken>((settle) => this.#waiters.push({ amount, settle }));
    if (!this.#busy) void this.#serve();
    return waiting;
  }

  /** What a call had taken goes back into the lease unused. */
  putBack(amount: number): void {
    this.held -= amount;
    this.free += amount;
    this.#wet();
  }

  /** A call used so much of what it had taken: booked with the next ask. For what no row books. */
  use(taken: number, used: number): void {
    this.held -= taken;
    this.free += taken - used;
    this.spent += used;
    this.leased -= used;
    this.#used += used;
    this.#wet();
  }

  /**
   * A call is over, and its row books `used` of what it had taken. Returns how much of the lease goes with it: what was used, and under
   * contention all it had.
   */
  settle(taken: number, used: number): number {
    const released = this.contended ? taken : Math.min(taken, used);
    this.held -= taken;
    this.free += taken - released;
    this.spent += used;
    this.leased -= released;
    this.#wet();
    return released;
  }

  get #busy(): boolean {
    return this.#asking || this.#serving;
  }
  get contended(): boolean {
    return this.#contendedUntil > 0 && this.#lessor.monotonic() < this.#contendedUntil;
  }
  /** Is nobody's call here any more, and nothing left to tell? */
  get idle(): boolean {
    return this.held === 0 && this.#used === 0 && this.free <= 0 && this.#waiters.length === 0 && !this.#busy;
  }
  /** Of the whole counter, for people: what calls can still take. */
  get left(): number {
    const elapsed = this.refillMs === 0 ? 0 : this.#lessor.monotonic() - (this.answeredAt ?? 0);
    const forgotten = this.refillMs === 0 ? 0 : (elapsed * this.limit) / this.refillMs;
    return Math.max(0, this.limit - Math.max(0, this.spent - forgotten) - Math.max(0, this.leased - this.free));
  }

  /** The other nodes need it: from now on nothing is kept that is not used. */
  contend(): void {
    this.#contendedUntil = this.#lessor.monotonic() + CONTENDED_MS;
    this.#owes = true;
    void this.giveBack();
  }

  /** Everything unused goes back to the store, and what was used is told. */
  async giveBack(): Promise<void> {
    if (this.#busy || (this.free <= 0 && this.#used === 0 && !this.#owes)) return;
    await this.#ask({ least: 0, waiting: 0, yields: true, recall: false }).catch(() => {});
  }

  /** What was used is told, if anything was. */
  async tell(): Promise<void> {
    if (this.#used > 0) await this.look();
  }

  /** Asks the store how it stands, for counters of which nothing is leased. */
  async look(): Promise<void> {
    if (!this.#busy) await this.#ask({ least: 0, waiting: 0, yields: false, recall: false }).catch(() => {});
  }

  /** Something came back here: who was refused may ask again, and what others wait for goes to them. */
  #wet(): void {
    this.#dryUntil = 0;
    if (this.free > 0 && this.contended) void this.giveBack();
  }

  #askAhead(typical: number): void {
    if (this.#lastGrant <= typical) return;
    void this.#ask({ least: Math.max(1, typical), waiting: 0, yields: false, recall: false }).catch(() => {});
  }

  async #ask(wanted: Pick<WallAsk, "least" | "waiting" | "yields" | "recall">): Promise<LeaseAnswer> {
    const { key, begins, ends, refillMs, limit } = this;
    const used = this.#used;
    const returned = wanted.yields ? Math.max(0, this.free) : 0;
    this.#used = 0;
    if (wanted.yields) this.#owes = false;
    const debt = Math.min(0, this.free);
    this.free = wanted.yields ? 0 : Math.max(0, this.free);
    this.#asking = true;
    try {
      const answer = await this.#lessor.ask({ key, begins, ends, refillMs, limit, used, returned, ...wanted });
      this.#heard(answer, wanted.least > 0);
      return answer;
    } catch (error) {
      this.#used += used;
      this.free += returned + debt;
      throw error;
    } finally {
      this.#asking = false;
      if (!this.#serving) this.#goOn();
    }
  }

  /** What came up while the store was asked. */
  #goOn(): void {
    if (this.#waiters.length > 0) void this.#serve();
    else if (this.#owes) void this.giveBack();
  }

  #heard({ granted, spent, leased, recalled }: LeaseAnswer, wasWanted: boolean): void {
    this.free += granted;
    this.spent = spent + this.#used;
    this.leased = leased - this.#used;
    this.answeredAt = this.#lessor.monotonic();
    if (wasWanted) this.#lastGrant = granted;
    if (!recalled) return;
    this.#owes = true;
    this.#contendedUntil = this.#lessor.monotonic() + CONTENDED_MS;
  }

  /** Asks until nobody waits. */
  async #serve(): Promise<void> {
    this.#serving = true;
    try {
      for (;;) {
        this.#deal();
        const least = this.#waiters[0]?.amount;
        if (least === undefined) break;
        const others = await this.#fetch(least);
        if (others === undefined) continue;
        this.#dryUntil = this.#lessor.monotonic() + (others ? DRY_AMONG_OTHERS_MS : DRY_MS);
        this.#dryFrom = least;
        this.#end(({ amount }) => amount >= least && amount > this.free, "refused");
      }
    } catch {
      this.#end(() => true, "unavailable");
    }
    this.#serving = false;
    if (this.#waiters.length > 0 || this.#owes) this.#goOn();
    else if (this.free > 0 && this.contended) void this.giveBack();
  }

  /**
   * Gets at least so much into the lease; other nodes are asked to give back before it is refused. Undefined: it is there. Otherwise: have
   * other nodes a part in it?
   */
  async #fetch(least: number): Promise<boolean | undefined> {
    const first = await this.#ask({ least, waiting: this.#wanted(), yields: true, recall: false });
    if (this.free >= least) return undefined;
    if (first.leased <= this.free + this.held) return false;
    let answer = await this.#ask({ least, waiting: this.#wanted(), yields: true, recall: true });
    if (this.free >= least) return undefined;
    if (answer.pending > 0) this.#lessor.recall(this.key);
    for (const ms of RECALL_LOOKS_MS) {
      if (answer.pending === 0) break;
      await new Promise<void>((resolve) => void this.#lessor.after(ms, resolve));
      answer = await this.#ask({ least, waiting: this.#wanted(), yields: true, recall: false });
      if (this.free >= least) return undefined;
    }
    return true;
  }

  #wanted(): number {
    let wanted = 0;
    for (const { amount } of this.#waiters) wanted += amount;
    return Math.min(wanted, Number.MAX_SAFE_INTEGER);
  }

  /** In the order of their coming, as far as the lease goes. */
  #deal(): void {
    let served = 0;
    for (const { amount, settle } of this.#waiters) {
      if (amount > this.free) break;
      this.free -= amount;
      this.held += amount;
      served++;
      settle("taken");
    }
    this.#waiters.splice(0, served);
  }

  #end(which: (waiter: Waiter) => boolean, outcome: Taken): void {
    const ended = this.#waiters.filter(which);
    this.#waiters = this.#waiters.filter((waiter) => !ended.includes(waiter));
    for (const { settle } of ended) settle(outcome);
  }
}
