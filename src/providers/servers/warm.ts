import type { Alias, Provider, Snapshot, Target } from "../../canon/index.ts";

type Aliases = Pick<Snapshot, "aliases" | "providers">;

/**
 * Models that are to be loaded when a configuration takes over, as `provider/model`: ways out that are kept warm, and what gets calls from
 * now on and got none before, so that the first of them does not wait for it.
 * @param before undefined at the start of the gateway: then nothing is new
 */
export function toWarm({ aliases, providers }: Aliases, before?: Aliases): readonly string[] {
  const knew = new Set([...(before?.aliases.values() ?? [])].flatMap((alias) => [...alias.targets, ...leading(alias)].map(nameOf)));
  const wanted = new Set<string>();
  for (const alias of aliases.values()) {
    if (alias.warm && loads(providers, alias.warm.target)) wanted.add(nameOf(alias.warm.target));
    if (!before) continue;
    for (const target of leading(alias)) if (!knew.has(nameOf(target)) && loads(providers, target)) wanted.add(nameOf(target));
  }
  return [...wanted];
}

/** What an alias asks first. A model under its own name was asked for by nobody yet. */
function leading({ name, targets, canary }: Alias): readonly Target[] {
  const [first] = targets;
  return [...(first && nameOf(first) !== name ? [first] : []), ...(canary?.targets ?? [])];
}

function loads(providers: ReadonlyMap<string, Provider>, { provider }: Target): boolean {
  return providers.get(provider)?.server?.warmUp !== undefined;
}

function nameOf({ provider, model }: Target): string {
  return `${provider}/${model}`;
}
