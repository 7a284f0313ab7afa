import type { Clock, Problem, Randomness, Switch } from "../../canon/index.ts";
import type { TargetLatency, TargetView } from "../view.ts";
import { blameOf, type Blame } from "./blame.ts";
import { describeAll, isSetAside, whyBlocked, type ProviderHealth, type TargetHealth } from "./describe.ts";
import { groupsOf, judgePeers, type PeerGroup } from "./ejection.ts";
import { forcedBy, type Forced } from "./forced.ts";
import { KeyRing, type AttemptEnd, type KeyState } from "./keys.ts";
import { KnownTargets } from "./known.ts";
import type { HealthOptions } from "./options.ts";
import { measure, Permit, Waiting, type Gatekeeper, type Refusal } from "./permit.ts";
import { DEFAULT_PRIORITY, rankOf } from "./queue.ts";
import * as refuse from "./refusals.ts";
import { SharedHealth } from "./shared.ts";
import { hasSeveralKeys, isIdle, mustQueue, type Force, type ProviderState, type TargetState } from "./target.ts";
import type { HealthChange, HealthDeps, HealthSubjects } from "./types.ts";
export type { Permit, Refusal, Waiting };
export type { HealthChange, HealthDeps, HealthSubjects };
export { priorityOf } from "./queue.ts";
export type { HealthOptions } from "./options.ts";
export { keepForced } from "./forced.ts";
export type { Force } from "./target.ts";
export type { KeyHealth, ProviderHealth, TargetHealth } from "./describe.ts";

/**
 * Who may be asked, and how many at once: breakers, rests, places and queues of every target and key. One object for a process; the
 * planner reads it, every attempt enters and leaves. Nothing here waits for anything but its own queues, and every step takes constant
 * time, whatever was remembered.
 */
export class Health implements TargetView, Gatekeeper {
  readonly #clock: Clock;
  readonly #randomness: Randomness;
  readonly #onChange: (change: HealthChange) => void;
  readonly #shared: SharedHealth;
  #isNew = true;
  readonly #known: KnownTargets;
  /** What people decided in any process, by `provider/model` or `provider`. */
  #forced: ReadonlyMap<string, Forced> = new Map();

  constructor({ clock, randomness, options, signals, onChange }: HealthDeps) {
    this.#clock = clock;
    this.#randomness = randomness;
    this.#onChange = onChange ?? (() => {});
    this.#known = new KnownTargets(options);
    const desk = {
      providers: this.#known.providers,
      target: (provider: ProviderState, model: string, now: number) => this.#known.target(provider.name, model, now),
      changed: this.#onChange,
      pump: (provider: ProviderState) => this.#pump(provider),
    };
    this.#shared = new SharedHealth({ signals, clock, randomness, desk });
  }

  /** Takes over a configuration. What is known of targets stays; keys begin anew, because their ids may stand for other secrets now. */
  configure(subjects: HealthSubjects, options: HealthOptions = this.#known.options): void {
    const now = this.#clock.monotonic();
    this.#known.options = options;
    this.#known.regroup(groupsOf(subjects.aliases, now + options.ejection.everyMs));
    for (const name of subjects.providers.keys()) this.#known.provider(name);
    for (const provider of this.#known.providers.values()) {
      const configured = subjects.providers.get(provider.name);
      const { credentials, capacity } = configured ?? {};
      provider.keys = credentials && credentials.length > 0 ? new KeyRing(credentials, now) : undefined;
      provider.concurrency = capacity?.concurrency ?? Number.POSITIVE_INFINITY;
      provider.limits = capacity?.models;
      provider.stopTimer?.();
      provider.stopTimer = undefined;
      for (const target of provider.targets.values()) {
        target.breaker.configure(options.breaker, now);
        target.concurrency = capacity?.models?.get(target.model) ?? Number.POSITIVE_INFINITY;
        this.#known.join(target);
        if (!configured && isIdle(target)) this.#known.forget(target);
      }
      if (!configured && provider.targets.size === 0) this.#known.providers.delete(provider.name);
      this.#pump(provider);
    }
    for (const { provider, model, force } of this.#forced.values()) this.force(provider, model, force);
    if (this.#isNew) this.#shared.ask();
    this.#isNew = false;
  }

  /** Takes over the switches that force targets, all of them: what is no longer among them is left to its health again. */
  applySwitches(switches: readonly Switch[]): void {
    const before = this.#forced;
    this.#forced = forcedBy(switches);
    for (const [name, { provider, model }] of before) if (!this.#forced.has(name)) this.force(provider, model, "auto");
    for (const { provider, model, force } of this.#forced.values()) this.force(provider, model, force);
  }

  /** Is there such a provider in the configuration in force? */
  knows(provider: string): boolean {
    return this.#known.providers.has(provider);
  }

  /**
   * An attempt wants to begin at a target. At once it gets a permit or a refusal; where a `concurrency` holds it back it waits. A target
   * that was set aside takes it all the same: it is the planner's to prefer others.
   *
   * @param priority 0 to 9, higher first
   * @param patienceMs longest wait, where that is shorter than the queue's own
   */
  enter(
    target: { readonly provider: string; readonly model: string },
    priority: number = DEFAULT_PRIORITY,
    patienceMs: number = Number.POSITIVE_INFINITY,
  ): Permit | Refusal | Waiting {
    const now = this.#clock.monotonic();
    const state = this.#known.target(target.provider, target.model, now);
    state.usedAt = now;
    if (!mustQueue(state)) return this.#admit(state, now) ?? this.#queue(state, priority, patienceMs, now);
    const waiting = this.#queue(state, priority, patienceMs, now);
    this.#pump(state.provider);
    return waiting;
  }

  /** Has the target's provider another key that would take an attempt now? */
  anotherKey(provider: string): boolean {
    const keys = this.#known.providers.get(provider)?.keys;
    return keys !== undefined && keys.keys.length > 1 && keys.hasReady(this.#clock.monotonic());
  }

  blocked(provider: string, model: string): string | undefined {
    const state = this.#known.find(provider, model);
    if (state) return whyBlocked(state, this.#clock.monotonic());
    return this.#known.providers.get(provider)?.force === "shut" ? "shut by an administrator" : undefined;
  }

  latency(provider: string, model: string): TargetLatency | undefined {
    const speed = this.#known.find(provider, model)?.speed;
    return speed && speed.samples > 0 ? speed : undefined;
  }

  /** Attempts of this process that run at a target. */
  runningAt = (provider: string, model: string): number => this.#known.find(provider, model)?.inFlight ?? 0;

  setAside(provider: string, model: string): boolean {
    const target = this.#known.find(provider, model);
    return target !== undefined && isSetAside(target, this.#clock.monotonic());
  }

  forcedShut(provider: string, model: string): boolean {
    const target = this.#known.find(provider, model);
    return (target ? target.forced : this.#known.providers.get(provider)?.force) === "shut";
  }

  /**
   * A person decides: `open` asks it whatever its health, `shut` never, `auto` as its health says. A target's own word goes before its
   * provider's. Attempts that wait for a shut target are refused at once; those that run go on.
   *
   * @param model undefined: all of the provider
   * @returns false when health knows no such provider
   */
  force(provider: string, model: string | undefined, force: Force): boolean {
    const state = this.#known.providers.get(provider);
    if (!state) return false;
    const now = this.#clock.monotonic();
    const subject = model === undefined ? state : this.#known.target(provider, model, now);
    if (subject.force === force) return true;
    subject.force = force;
    this.#onChange({ subject: subject.name, what: "forced", reason: force });
    this.#pump(state);
    return true;
  }

  /** Everything remembered, sorted by name. */
  describe(): { readonly targets: readonly TargetHealth[]; readonly providers: readonly ProviderHealth[] } {
    return describeAll(this.#known.providers.values(), this.#clock.monotonic());
  }

  started(permit: Permit): void {
    const now = this.#clock.monotonic();
    const { target } = permit;
    permit.startedAt = now;
    target.speed.firstEvent(now - permit.begunAt);
    if (permit.probesKey) {
      permit.key?.accepted();
      permit.probesKey = false;
      if (permit.key) this.#shared.ofKey(target.provider.name, permit.key, "accepted");
    }
    if (permit.probe === 0) return;
    if (target.breaker.started(permit.probe)) this.#tellClosed(target);
    permit.probe = 0;
  }

  left(permit: Permit, problem: Problem | undefined, outputTokens: number): void {
    const now = this.#clock.monotonic();
    const { target, key } = permit;
    target.inFlight--;
    target.provider.inFlight--;
    const blame = blameOf(problem);
    if (problem !== undefined && blame !== "nothing") target.lastProblem = problem.kind;
    if (problem === undefined) measure(permit, outputTokens, now);
    if (key) this.#judgeKey(key, permit, blame, problem, now);
    this.#judgeTarget(permit, blame, problem, now);
    for (const group of target.groups) if (now >= group.nextAt) this.#judgePeers(group, now);
    if (target.provider.waiting.size > 0) this.#pump(target.provider);
  }

  cancelled(waiting: Waiting): void {
    this.#leaveQueue(waiting, refuse.cancelledWait());
  }

  /** A permit or a refusal; undefined: there is no place for now. */
  #admit(target: TargetState, now: number): Permit | Refusal | undefined {
    const { provider, forced, breaker } = target;
    if (forced === "shut") return refuse.forcedShut(target);
    if (forced === "auto") {
      if (breaker.state !== "closed" && breaker.expireProbe(now, this.#randomness.number()))
        this.#tellOpened(target, "its probe was silent");
      if (!breaker.admits(now)) return refuse.breakerOpen(target, now);
      if (!target.cooldown.isOver(now)) return refuse.coolingDown(target, now);
      if (provider.keys && !provider.keys.isAlive(now)) return refuse.keysResting(provider, now);
    }
    if (target.room < 1 || provider.inFlight >= provider.concurrency) return undefined;
    const key = provider.keys?.choose(now, forced === "open");
    if (provider.keys && !key) return undefined;
    target.inFlight++;
    provider.inFlight++;
    const probesKey = key?.begin(now) ?? false;
    if (key && probesKey) this.#shared.ofKey(provider.name, key, "probing");
    const probe = breaker.begin(now);
    if (probe > 0) this.#shared.probing(target);
    return new Permit(this, target, key, now, probe, probesKey);
  }

  #queue(target: TargetState, priority: number, patienceMs: number, now: number): Refusal | Waiting {
    const { queue } = target;
    if (queue.size >= this.#known.options.queue.length) {
      const last = queue.lastBelow(priority);
      if (!last) return refuse.queueFull(target);
      this.#leaveQueue(last, refuse.queueFull(target));
    }
    const waiting = new Waiting(this, target, priority, now);
    queue.push(waiting);
    target.provider.waiting.add(target);
    waiting.stopTimer = this.#clock.after(Math.min(patienceMs, this.#known.options.queue.timeoutMs), () =>
      this.#leaveQueue(waiting, refuse.waitedTooLong(target)),
    );
    this.#awaitTokens(target.provider, now);
    return waiting;
  }

  #leaveQueue(waiting: Waiting, outcome: Permit | Refusal): void {
    const { target } = waiting;
    target.queue.remove(waiting);
    if (target.queue.size === 0) target.provider.waiting.delete(target);
    waiting.settle(outcome);
  }

  /** Lets in whoever has a place now, highest first over all targets of the provider, and refuses those whose target is no longer asked. */
  #pump(provider: ProviderState): void {
    const now = this.#clock.monotonic();
    const full = new Set<TargetState>();
    while (provider.waiting.size > full.size) {
      let next: Waiting | undefined;
      for (const target of provider.waiting) {
        const first = full.has(target) ? undefined : target.queue.first(now);
        if (first && (!next || rankOf(first, now) > rankOf(next, now))) next = first;
      }
      if (!next) break;
      const outcome = this.#admit(next.target, now);
      if (outcome) this.#leaveQueue(next, outcome);
      else full.add(next.target);
    }
    this.#awaitTokens(provider, now);
  }

  /** Where somebody waits for a key's next request, nobody's leaving will wake them. */
  #awaitTokens(provider: ProviderState, now: number): void {
    const wait = provider.waiting.size > 0 ? provider.keys?.tokenMs(now) : undefined;
    if (wait === undefined || provider.stopTimer) return;
    provider.stopTimer = this.#clock.after(wait, () => {
      provider.stopTimer = undefined;
      this.#pump(provider);
    });
  }

  #judgeKey(key: KeyState, permit: Permit, blame: Blame, problem: Problem | undefined, now: number): void {
    key.inFlight--;
    const { begunAt, probesKey } = permit;
    // One key among several answers for its own limits. A single one was accepted, and its target is limited.
    const ofKey = blame === "limited" && !hasSeveralKeys(permit.target) ? "well" : blame;
    const end: AttemptEnd = { blame: ofKey, askedMs: problem?.retryAfterMs, begunAt, probesKey };
    const told = this.#shared.beforeKey(permit.target.provider.name, key);
    const rests = key.judge(end, now, this.#randomness.number(), this.#known.options.cooldown);
    told(probesKey, ofKey);
    if (rests)
      this.#onChange({ subject: key.credential.id, what: "key rests", reason: `${problem?.kind ?? blame}, for ${key.restMs(now)} ms` });
  }

  #judgeTarget(permit: Permit, blame: Blame, problem: Problem | undefined, now: number): void {
    const { target, probe, begunAt } = permit;
    const { breaker, adaptive } = target;
    switch (blame) {
      case "well":
        target.cooldown.good();
        adaptive.good(now, target.inFlight + 1, this.#known.options.adaptive);
        if (breaker.good(now, probe)) this.#tellClosed(target);
        return;
      case "overloaded":
      case "failed":
        if (blame === "overloaded" || problem?.kind === "upstream_timeout")
          adaptive.overloaded(now, begunAt, target.inFlight + 1, this.#known.options.adaptive);
        if (breaker.bad(now, probe, this.#randomness.number())) this.#tellOpened(target, problem?.kind ?? blame);
        return;
      case "limited":
        this.#neutral(target, probe);
        if (!hasSeveralKeys(target)) this.#limit(target, begunAt, problem?.retryAfterMs, now);
        return;
      default:
        this.#neutral(target, probe);
    }
  }

  #neutral(target: TargetState, probe: number): void {
    if (target.breaker.neutral(probe)) this.#shared.unproven(target);
  }

  /** A rate limit on a target that has no other key: it is left alone as long as it asks, or longer each time it does not say. */
  #limit(target: TargetState, begunAt: number, askedMs: number | undefined, now: number): void {
    const { cooldown, adaptive } = target;
    const { rateLimitedMs, maxRateLimitedMs, longestAskedMs } = this.#known.options.cooldown;
    const before = cooldown.restMs(now);
    adaptive.overloaded(now, begunAt, target.inFlight + 1, this.#known.options.adaptive);
    if (askedMs !== undefined) {
      const rest = Math.min(askedMs, longestAskedMs);
      if (cooldown.isOldNews(begunAt)) cooldown.extend(now, rest);
      else cooldown.rest(now, rest);
    } else if (!cooldown.isOldNews(begunAt)) {
      // The first one only costs concurrency: a provider that turns away one call in a hundred must not lose the others.
      if (cooldown.strikes === 0) cooldown.warn();
      else cooldown.rest(now, cooldown.growing(rateLimitedMs, maxRateLimitedMs, this.#randomness.number()));
    }
    this.#shared.limited(target, before);
  }

  #judgePeers(group: PeerGroup, now: number): void {
    for (const target of judgePeers(group, now, this.#known.options.ejection))
      this.#onChange({ subject: target.name, what: "set aside", reason: target.ejectedFor });
  }

  #tellOpened(target: TargetState, reason: string): void {
    this.#shared.opened(target, reason);
    this.#onChange({
      subject: target.name,
      what: "breaker opened",
      reason: `${reason}; rests ${target.breaker.restMs(this.#clock.monotonic())} ms`,
    });
  }

  #tellClosed(target: TargetState): void {
    this.#shared.closed(target);
    this.#onChange({ subject: target.name, what: "breaker closed", reason: "its probe went well" });
  }
}
