import type { CachedAnswer, CacheLimits, CacheSelection, CacheStore, Clock } from "../canon/index.ts";
import { packTake, unpackTake, type Take } from "./recording.ts";

/** How often other processes' invalidations are looked for: what they forgot is repeated here no longer than this. */
const GENERATION_POLL_MS = 500;
/** What an answer takes in memory besides its body: keys, lists, objects. */
const ENTRY_OVERHEAD_BYTES = 600;

/** A kept answer, unpacked. */
export interface KeptAnswer extends Omit<CachedAnswer, "content"> {
  readonly take: Take;
}

export interface AnswersDeps {
  readonly store: CacheStore;
  readonly clock: Clock;
  readonly limits: () => CacheLimits;
  /** The store failed; the call goes on without it. */
  readonly report: (error: unknown) => void;
}

/** Answers by scope and key: those used last in memory, all in the store. A store that fails costs hits, never calls. */
export class Answers {
  readonly #deps: AnswersDeps;
  /** Oldest first. What was used since it was last looked at gets a second chance, which costs a hit less than moving it each time. */
  readonly #memory = new Map<string, Remembered>();
  #memoryBytes = 0;
  #generation: number | undefined;
  #asked = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(deps: AnswersDeps) {
    this.#deps = deps;
  }

  /** From memory alone. */
  peek(id: string): KeptAnswer | undefined {
    this.#watch();
    const found = this.#memory.get(id);
    if (!found) return undefined;
    if (found.answer.expiresAt <= this.#deps.clock.now()) {
      this.#drop(id, found);
      return undefined;
    }
    found.used = true;
    return found.answer;
  }

  /** From the store. Never rejects. */
  async find(scope: string, key: string): Promise<KeptAnswer | undefined> {
    const { store, clock, report } = this.#deps;
    try {
      const generation = this.#generation;
      const stored = await store.read(scope, key, clock.now());
      const take = stored && unpackTake(stored.content);
      if (!take) return undefined;
      const { content: _content, ...facts } = stored;
      const found: KeptAnswer = { ...facts, take };
      // What was forgotten while it was read is not remembered again.
      if (generation !== undefined && generation === this.#generation) this.#remember(found);
      return found;
    } catch (error) {
      report(error);
      return undefined;
    }
  }

  /** Invalidations up to now count for an answer that begins now; see `keep`. */
  async begin(): Promise<number> {
    if (this.#generation === undefined) await (this.#asking ?? this.#ask());
    return this.#generation ?? NEVER;
  }

  /** Keeps an answer that began under `generation`; in memory at once. Resolves when the store has it or has refused. */
  async keep(answer: KeptAnswer, generation: number): Promise<void> {
    const { store, limits, report } = this.#deps;
    const { entryBytes, storeBytes } = limits();
    if (generation !== this.#generation || answer.take.body.length > entryBytes) return;
    const content = packTake(answer.take);
    if (content === undefined) return;
    this.#remember(answer);
    const { take: _take, ...facts } = answer;
    try {
      const kept = await store.keep({ ...facts, content }, generation, storeBytes);
      if (!kept) await this.#ask();
    } catch (error) {
      report(error);
    }
  }

  /** @throws ProblemError storage_unavailable */
  async forget(selection: CacheSelection): Promise<number> {
    this.#clear();
    // What is under way began before: it must not be kept under what the generation will be.
    this.#generation = undefined;
    try {
      return await this.#deps.store.forget(selection);
    } finally {
      await this.#ask();
    }
  }

  #remember(answer: KeptAnswer): void {
    const { memoryBytes } = this.#deps.limits();
    const id = idOf(answer.scope, answer.key);
    const before = this.#memory.get(id);
    if (before) this.#drop(id, before);
    const bytes = sizeOf(answer);
    if (bytes > memoryBytes) return;
    this.#memory.set(id, { answer, bytes, used: false });
    this.#memoryBytes += bytes;
    for (const [oldest, old] of this.#memory) {
      if (this.#memoryBytes <= memoryBytes) return;
      this.#drop(oldest, old);
      if (!old.used) continue;
      old.used = false;
      this.#memory.set(oldest, old);
      this.#memoryBytes += old.bytes;
    }
  }

  #drop(id: string, { bytes }: Remembered): void {
    this.#memory.delete(id);
    this.#memoryBytes -= bytes;
  }

  #clear(): void {
    this.#memory.clear();
    this.#memoryBytes = 0;
  }

  /** Asks for the generation now and then, as long as somebody uses the cache. */
  #watch(): void {
    if (this.#asking || this.#deps.clock.monotonic() - this.#asked < GENERATION_POLL_MS) return;
    void this.#ask();
  }

  #ask(): Promise<void> {
    this.#asked = this.#deps.clock.monotonic();
    const asking = this.#learn().finally(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    this.#asking = asking;
    return asking;
  }

  async #learn(): Promise<void> {
    try {
      const generation = await this.#deps.store.generation();
      if (this.#generation !== undefined && this.#generation !== generation) this.#clear();
      this.#generation = generation;
    } catch (error) {
      this.#deps.report(error);
    }
  }
}

interface Remembered {
  readonly answer: KeptAnswer;
  readonly bytes: number;
  used: boolean;
}

/** No generation: what begins under it is not kept. */
const NEVER = -1;

/** One text for scope and key. */
export function idOf(scope: string, key: string): string {
  return `${scope}\u0000${key}`;
}

function sizeOf({ take }: KeptAnswer): number {
  return take.body.length + 16 * take.ends.length + ENTRY_OVERHEAD_BYTES;
}
