import type { Clock, ModelBook, Provider, Randomness, Snapshot } from "./canon/index.ts";
import { SIM, snapshotOf, type Discovered, type GimbalConfig } from "./config/index.ts";
import { languages as dialects } from "./dialects/registry.generated.ts";
import { createModelBook, type LearnedFacts, type LocalPrices } from "./models/index.ts";
import { createProvider, discover, overlayOf } from "./providers/index.ts";
import { createSimulator, simOverlay } from "./providers/sim/index.ts";
import type { StageParts } from "./rehearsal/index.ts";
import { connect } from "./wire/client.ts";
import type { ClientOptions, HttpClient } from "./wire/types.ts";

type Env = Readonly<Record<string, string | undefined>>;

interface Wiring {
  readonly clock: Clock;
  readonly env: Env;
  readonly randomness: Randomness;
  readonly book: ModelBook;
  /** Where optional packages and downloaded models are kept. */
  readonly dataFolder?: string | undefined;
  /** What servers tell of their models. */
  readonly learned?: LearnedFacts | undefined;
  /** Default: to where the configuration says. */
  readonly connect?: (options: ClientOptions) => HttpClient;
}

/** The configuration that new calls are served by, and the facts, prices and providers that were made of it. Replaced as a whole. */
export class InForce {
  readonly #wiring: Omit<Wiring, "book">;
  #config: GimbalConfig;
  #book: ModelBook;
  #snapshot: Snapshot;

  constructor(config: GimbalConfig, version: number, wiring: Omit<Wiring, "book">, local?: LocalPrices) {
    this.#wiring = wiring;
    this.#config = config;
    this.#book = bookOf(config, local, wiring.learned);
    this.#snapshot = this.#snapshotOf(config, version);
  }

  get config(): GimbalConfig {
    return this.#config;
  }

  get book(): ModelBook {
    return this.#book;
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** The price file changed alone. */
  reprice(local: LocalPrices | undefined): void {
    this.#book = bookOf(this.#config, local, this.#wiring.learned);
  }

  /** @returns what was in force before: calls that began with it still run */
  replace(config: GimbalConfig, version: number, local?: LocalPrices): Snapshot {
    const before = this.#snapshot;
    this.#config = config;
    this.#book = bookOf(config, local, this.#wiring.learned);
    this.#snapshot = this.#snapshotOf(config, version);
    return before;
  }

  #snapshotOf(config: GimbalConfig, version: number): Snapshot {
    return snapshotOf(config, version, openProviders(config, { ...this.#wiring, book: this.#book }));
  }
}

/** What the machine offers without a configuration. */
export function discovered(env: Env, clock: Clock): Promise<Discovered> {
  return discover({ connect, clock, env, facts: factsOf(createModelBook()) });
}

function factsOf(book: ModelBook): ModelBook["facts"] {
  return (provider, model) => book.facts(provider, model);
}

/** Facts and prices as a configuration corrects them, and a price file them. `prices`: a rehearsal's own. */
export function bookOf(
  config: GimbalConfig,
  local?: LocalPrices,
  learned?: LearnedFacts,
  prices: StageParts["prices"] = new Map(),
): ModelBook {
  const models = overlayOf(config.providers);
  const simulated = simOverlay(SIM, config.sim);
  const overridden = { ...models.models, ...simulated.models };
  const priced = [...prices].map(([name, price]) => [name, { ...overridden[name], price }] as const);
  // Patterns are tried in the order in which they are first named.
  return createModelBook({
    kinds: { ...models.kinds, ...simulated.kinds },
    models: { ...Object.fromEntries(priced), ...overridden, ...Object.fromEntries(priced) },
    local,
    learned,
    prefer: config.pricing.prefer,
  });
}

/** The running providers of a configuration, by name; the simulator is always among them. */
export function openProviders(
  config: GimbalConfig,
  { clock, env, randomness, book, dataFolder, connect: to = connect }: Wiring,
): ReadonlyMap<string, Provider> {
  const facts = factsOf(book);
  const providers = new Map<string, Provider>([[SIM, createSimulator(SIM, config.sim, { dialects, clock, randomness })]]);
  for (const [name, options] of config.providers)
    providers.set(name, createProvider(name, options, { connect: to, clock, env, facts, randomness, dataFolder }));
  return providers;
}
