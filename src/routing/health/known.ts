import type { PeerGroup } from "./ejection.ts";
import type { HealthOptions } from "./options.ts";
import { isIdle, ProviderState, TargetState } from "./target.ts";

/** Of all targets remembered, the share that is forgotten at once when there are too many. */
const FORGET_SHARE = 0.1;

/** Providers and targets that something is remembered of: no more targets than `options.targets`, as long as some of them are idle. */
export class KnownTargets {
  readonly providers = new Map<string, ProviderState>();
  options: HealthOptions;
  /** Groups by `provider/model`. */
  #groups: ReadonlyMap<string, PeerGroup[]> = new Map();
  #count = 0;

  constructor(options: HealthOptions) {
    this.options = options;
  }

  find(provider: string, model: string): TargetState | undefined {
    return this.providers.get(provider)?.targets.get(model);
  }

  /** The target's state, begun where there was none. @param now monotonic milliseconds */
  target(provider: string, model: string, now: number): TargetState {
    return this.find(provider, model) ?? this.#remember(provider, model, now);
  }

  provider(name: string): ProviderState {
    let state = this.providers.get(name);
    if (!state) {
      state = new ProviderState(name);
      this.providers.set(name, state);
    }
    return state;
  }

  /** Takes over who is compared with whom; `join` puts each target there. */
  regroup(groups: ReadonlyMap<string, PeerGroup[]>): void {
    this.#groups = groups;
  }

  /** Puts a target among its peers. */
  join(target: TargetState): void {
    for (const group of target.groups) group.members.delete(target);
    target.groups = this.#groups.get(target.name) ?? [];
    for (const group of target.groups) group.members.add(target);
  }

  forget(target: TargetState): void {
    for (const group of target.groups) group.members.delete(target);
    target.provider.targets.delete(target.model);
    this.#count--;
  }

  #remember(provider: string, model: string, now: number): TargetState {
    if (this.#count >= this.options.targets) this.#forgetOldest();
    const parent = this.provider(provider);
    const target = new TargetState(parent, model, this.options, now);
    parent.targets.set(model, target);
    this.#count++;
    this.join(target);
    return target;
  }

  #forgetOldest(): void {
    const idle = [...this.providers.values()].flatMap((provider) => [...provider.targets.values()].filter(isIdle));
    const enough = Math.ceil(this.options.targets * FORGET_SHARE);
    for (const target of idle.toSorted((a, b) => a.usedAt - b.usedAt).slice(0, enough)) this.forget(target);
  }
}
