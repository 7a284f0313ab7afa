import type { Clock, HealthNews, Randomness, Signals } from "../../canon/index.ts";
import type { Blame } from "./blame.ts";
import type { KeyState } from "./keys.ts";
import type { ProviderState, TargetState } from "./target.ts";
import type { HealthChange } from "./types.ts";

/** Whoever opened a breaker probes first; the others give it this long, and a part more that differs, so that one probe is enough. */
const GRACE_MS = 100;
const GRACE_SPREAD_MS = 200;
/** Characters of news in one signal: one channel between gateways takes 8000 bytes. */
const SIGNAL_CHARACTERS = 5000;
/** A rest that grew by less is not told again: every attempt that meets a limit of 30 s says 30 s anew. */
const GREW_MS = 250;

/** What this needs of health itself. */
export interface NewsDesk {
  /** Of the configuration in force, by name. */
  readonly providers: ReadonlyMap<string, ProviderState>;
  /** Found, or remembered from now on. */
  target(provider: ProviderState, model: string, now: number): TargetState;
  changed(change: HealthChange): void;
  /** Somebody may be let in now, or must be refused. */
  pump(provider: ProviderState): void;
}

export interface SharedHealthOptions {
  readonly signals: Signals | undefined;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly desk: NewsDesk;
}

/**
 * Edges of health (a breaker opened or closed, a probe began, a provider asked to be left alone, a key was refused), told to all processes
 * of the record as they happen, and put in force as they are heard. Nothing is counted together: each process finds out for itself, and
 * the first to find out tells.
 *
 * Where words cross: of a breaker and of a refused key the newest holds, by a time that is raised beyond every earlier word on the same
 * subject (a hybrid logical clock: Kulkarni et al., 2014), so that clocks that differ decide nothing for long; of two of one time
 * `opened` holds. Of rests the longest holds. A probe of our own goes on whatever is heard, and its end is the newest word.
 */
export class SharedHealth {
  readonly #signals: Signals | undefined;
  readonly #clock: Clock;
  readonly #randomness: Randomness;
  readonly #desk: NewsDesk;

  constructor({ signals, clock, randomness, desk }: SharedHealthOptions) {
    this.#signals = signals;
    this.#clock = clock;
    this.#randomness = randomness;
    this.#desk = desk;
    signals?.hear((signal) => {
      if (signal.type === "health") for (const news of signal.news) this.#hear(news);
      if (signal.type === "newcomer") this.#tellAll();
    });
  }

  /** Asks the others for what they know. Call it once the providers are known. */
  ask(): void {
    this.#signals?.tell({ type: "newcomer" });
  }

  opened(target: TargetState, reason: string): void {
    this.#ofBreaker(target, "opened", { reason });
  }
  probing(target: TargetState): void {
    this.#ofBreaker(target, "probing");
  }
  closed(target: TargetState): void {
    this.#ofBreaker(target, "closed");
  }
  unproven(target: TargetState): void {
    this.#ofBreaker(target, "unproven");
  }

  /** `beforeMs`: its rest before what happened just now. */
  limited(target: TargetState, beforeMs: number): void {
    const ms = target.cooldown.restMs(this.#clock.monotonic());
    if (ms > beforeMs + GREW_MS)
      this.#tell([{ provider: target.provider.name, model: target.model, what: "limited", at: this.#now(), ms }]);
  }

  ofKey(provider: string, key: KeyState, what: "probing" | "accepted" | "unproven"): void {
    key.toldAt = this.#after(key.toldAt);
    this.#tell([{ provider, key: key.credential.id, what, at: key.toldAt }]);
  }

  /** Call it before the end of an attempt is judged, and what it returns behind that. `probed`: the attempt tried out a refused key. */
  beforeKey(provider: string, key: KeyState): (probed: boolean, blame: Blame) => void {
    const now = this.#clock.monotonic();
    const before = { refused: key.refused.restMs(now), limited: key.limited.restMs(now) };
    return (probed, blame) => {
      if (probed && blame !== "credentials") this.ofKey(provider, key, blame === "well" ? "accepted" : "unproven");
      this.#keyRests(provider, key, "refused", before.refused);
      this.#keyRests(provider, key, "limited", before.limited);
    };
  }

  #keyRests(provider: string, key: KeyState, what: "refused" | "limited", beforeMs: number): void {
    const ms = key[what].restMs(this.#clock.monotonic());
    if (ms <= beforeMs + GREW_MS) return;
    if (what === "refused") key.toldAt = this.#after(key.toldAt);
    this.#tell([{ provider, key: key.credential.id, what, at: what === "refused" ? key.toldAt : this.#now(), ms }]);
  }

  #ofBreaker(target: TargetState, what: HealthNews["what"], more: { readonly reason?: string } = {}): void {
    target.toldAt = this.#after(target.toldAt);
    this.#tell([{ ...this.#breakerNews(target, what), ...more }]);
  }

  #breakerNews({ provider, model, breaker, toldAt }: TargetState, what: HealthNews["what"]): HealthNews {
    const now = this.#clock.monotonic();
    const ms = what === "opened" ? breaker.restMs(now) : what === "probing" ? breaker.probeMs(now) : undefined;
    return { provider: provider.name, model, what, at: toldAt, times: breaker.openedTimes, ...(ms !== undefined && { ms }) };
  }

  #tell(news: readonly HealthNews[]): void {
    this.#signals?.tell({ type: "health", news });
  }

  #now(): number {
    return Math.floor(this.#clock.now());
  }
  /** Later than anything said of the subject, whatever the clocks say. */
  #after(toldAt: number): number {
    return Math.max(this.#now(), toldAt + 1);
  }

  /** Everything that speaks against somebody now, as it stands: times are those of the words that are known already. */
  #tellAll(): void {
    const now = this.#clock.monotonic();
    let some: HealthNews[] = [];
    let characters = 0;
    for (const news of this.#everything(now)) {
      const size = JSON.stringify(news).length;
      if (characters + size > SIGNAL_CHARACTERS && some.length > 0) {
        this.#tell(some);
        [some, characters] = [[], 0];
      }
      some.push(news);
      characters += size;
    }
    if (some.length > 0) this.#tell(some);
  }

  *#everything(now: number): Generator<HealthNews> {
    for (const provider of this.#desk.providers.values()) {
      for (const target of provider.targets.values()) {
        const { breaker, cooldown } = target;
        if (breaker.state === "open") yield this.#breakerNews(target, "opened");
        if (breaker.probeMs(now) > 0) yield this.#breakerNews(target, "probing");
        if (!cooldown.isOver(now))
          yield { provider: provider.name, model: target.model, what: "limited", at: this.#now(), ms: cooldown.restMs(now) };
      }
      for (const key of provider.keys?.keys ?? []) {
        const of = { provider: provider.name, key: key.credential.id };
        if (!key.refused.isOver(now)) yield { ...of, what: "refused", at: key.toldAt, ms: key.refused.restMs(now) };
        if (!key.limited.isOver(now)) yield { ...of, what: "limited", at: this.#now(), ms: key.limited.restMs(now) };
      }
    }
  }

  #hear(news: HealthNews): void {
    const provider = this.#desk.providers.get(news.provider);
    if (!provider) return;
    const now = this.#clock.monotonic();
    if (news.key !== undefined) {
      const key = provider.keys?.keys.find(({ credential }) => credential.id === news.key);
      if (key) this.#hearOfKey(key, news, now);
    } else if (news.model !== undefined) this.#hearOfTarget(this.#desk.target(provider, news.model, now), news, now);
    if (provider.waiting.size > 0) this.#desk.pump(provider);
  }

  #hearOfTarget(target: TargetState, news: HealthNews, now: number): void {
    const { what, at, ms = 0, times = 0, reason = "" } = news;
    const { breaker, cooldown } = target;
    if (what === "limited") return cooldown.hear(now, ms);
    if (at < target.toldAt || (at === target.toldAt && (what !== "opened" || breaker.state === "open"))) return;
    target.toldAt = at;
    switch (what) {
      case "opened": {
        const grace = GRACE_MS + GRACE_SPREAD_MS * this.#randomness.number();
        if (breaker.hearOpened(now, ms + grace, times)) this.#told(target, "breaker opened", reason || "it was open before");
        return;
      }
      case "probing":
        return breaker.hearProbing(now, ms);
      case "unproven":
        return breaker.hearUnproven();
      default:
        if (what === "closed" && breaker.hearClosed()) this.#told(target, "breaker closed", "its probe went well");
    }
  }

  #hearOfKey(key: KeyState, { what, at, ms = 0 }: HealthNews, now: number): void {
    if (what === "limited") return key.limited.hear(now, ms);
    if (at < key.toldAt || (at === key.toldAt && what !== "refused")) return;
    key.toldAt = at;
    if (what === "probing") return key.hearProbing(now);
    key.hearProbed();
    if (what === "refused") key.refused.hear(now, ms);
    if (what === "accepted") key.refused.clear();
  }

  #told(target: TargetState, what: HealthChange["what"], reason: string): void {
    this.#desk.changed({ subject: target.name, what, reason: `${reason}; another process says so` });
  }
}
