import type { Switch, SwitchStore } from "../../canon/index.ts";
import type { Force } from "./target.ts";

/** A person's word on a target, or on all targets of a provider. */
export interface Forced {
  readonly provider: string;
  /** Undefined: all of the provider. */
  readonly model: string | undefined;
  readonly force: Force;
}

/** What the switches in force say of targets, by name; of two on one name the newer holds. */
export function forcedBy(switches: readonly Switch[]): ReadonlyMap<string, Forced> {
  const forced = new Map<string, Forced>();
  for (const { kind, scope, value } of switches) {
    if (kind === "kill" || (scope !== "target" && scope !== "provider")) continue;
    const slash = scope === "provider" ? value.length : value.indexOf("/");
    if (slash < 1) continue;
    forced.set(value, { provider: value.slice(0, slash), model: scope === "provider" ? undefined : value.slice(slash + 1), force: kind });
  }
  return forced;
}

/** Keeps a person's word on a target (`provider/model`) or a provider; a later one on the same name replaces it, `auto` takes it back. */
export async function keepForced(
  store: SwitchStore,
  word: {
    readonly scope: "target" | "provider";
    readonly value: string;
    readonly force: Force;
    readonly author: string;
    readonly now: number;
  },
): Promise<void> {
  const { scope, value, force, author, now } = word;
  const id = `forced_${scope}_${value}`;
  if (force === "auto") await store.remove(id);
  else await store.put({ id, kind: force, scope, value, author, createdAt: now });
}
