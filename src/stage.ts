import type { ModelBook } from "./canon/index.ts";
import { SIM, snapshotOf, type GimbalConfig } from "./config/index.ts";
import { closeProviders } from "./gateway/index.ts";
import type { HouseOptions } from "./house.ts";
import { joined } from "./rooms.ts";
import { bookOf, openProviders } from "./in-force.ts";
import type { Stage, StageParts } from "./rehearsal/index.ts";
import { Health } from "./routing/health/index.ts";
import type { HttpClient } from "./wire/types.ts";

/** The same gateway for a rehearsal: in memory, on the rehearsal's time, with a stand-in for every provider. Nothing leaves the machine. */
export async function openStage(
  config: GimbalConfig,
  env: HouseOptions["env"],
  log: HouseOptions["log"],
  parts: StageParts,
): Promise<Stage> {
  const { clock, randomness, stores, standIn, priceFactor, local, prices, onChange } = parts;
  const usual = bookOf(config, local, undefined, everywhere(prices, [SIM, ...config.providers.keys()]));
  const book: ModelBook = {
    ...usual,
    cost: (provider, model, usage, at, durationMs) => {
      const cost = usual.cost(provider, model, usage, at, durationMs);
      return cost && Math.round(cost * priceFactor(provider, model, at));
    },
  };
  const real = openProviders(config, { clock, env, randomness, book, connect: () => NOWHERE });
  const providers = new Map([...real].map(([name, provider]) => [name, standIn(provider)]));
  const snapshot = snapshotOf(config, 1, providers);
  const health = new Health({ clock, randomness, options: config.health, onChange });
  health.configure(snapshot);
  const gateway = joined({
    clock,
    randomness,
    snapshot: () => snapshot,
    stores,
    log,
    book: () => book,
    health,
    retry: config.retry,
    guards: [],
    node: "rehearsal",
  });
  return {
    open: gateway.open,
    book,
    close: async () => {
      gateway.switches.close();
      gateway.shadows.close();
      await gateway.allowances.walls.close();
      await closeProviders(providers);
    },
  };
}

/** A price for `*` is one for every provider's models. */
function everywhere(prices: StageParts["prices"], providers: readonly string[]): StageParts["prices"] {
  return new Map(
    [...prices].flatMap(([name, price]) =>
      name === "*" ? providers.map((provider) => [`${provider}/*`, price] as const) : [[name, price] as const],
    ),
  );
}

/** Where a rehearsal's providers would connect, if anything of them but their description were used. */
const NOWHERE: HttpClient = {
  open: () => {
    throw new Error("A rehearsal asks no provider.");
  },
  close: () => Promise.resolve(),
};
