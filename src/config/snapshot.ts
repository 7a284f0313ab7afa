import type { Alias, Place, Provider, Snapshot } from "../canon/index.ts";
import { contentPolicies } from "../ledger/content/options.ts";
import { simModels } from "../providers/sim/options.ts";
import { DEFAULT_RETRIES } from "../routing/attempt-options.ts";
import { placeOf, SIM } from "./aliases.ts";
import type { GimbalConfig } from "./read.ts";
import { configSchema } from "./schema.ts";

/** What was found on the machine when there is no configuration file. */
export interface Discovered {
  readonly providers: Readonly<Record<string, GimbalConfig["providers"] extends ReadonlyMap<string, infer Options> ? Options : never>>;
  /** Model names by provider. */
  readonly models: Readonly<Record<string, readonly string[]>>;
}

/** The configuration of somebody who wrote none: whatever was found, each model under `provider/model`, and the simulator. */
export function defaultConfig(discovered: Discovered): GimbalConfig {
  const values = configSchema.parse({ version: 1 });
  const aliases = new Map<string, Alias>();
  for (const [provider, models] of Object.entries(discovered.models)) {
    for (const model of models) addDirect(aliases, provider, model, values.serve.limits.defaultTimeoutMs);
  }
  return {
    providers: new Map(Object.entries(discovered.providers)),
    disabled: new Map(),
    aliases,
    sim: values.sim,
    limits: values.serve.limits,
    callerLimits: [],
    budgets: [],
    cache: values.cache,
    files: values.files,
    batches: values.batches,
    pricing: values.pricing,
    access: values.access,
    identity: values.identity,
    serve: { host: values.serve.host, port: values.serve.port },
    storage: values.storage,
    audit: values.audit,
    lineage: values.lineage,
    content: values.content,
    reports: values.reports,
    telemetry: values.telemetry,
    logs: values.logs,
    health: values.health,
    servers: values.servers,
    retry: values.retry,
    passthrough: values.passthrough,
    mcp: values.mcp,
  };
}

/**
 * The configuration in force. `providers` are the running ones by name, the simulator under `sim` among them. Besides the file's own names,
 * the simulator's models and those a provider's options name are listed as `provider/model`.
 */
export function snapshotOf(config: GimbalConfig, version: number, providers: ReadonlyMap<string, Provider>): Snapshot {
  const aliases = new Map(config.aliases);
  for (const [name, options] of config.providers) {
    for (const model of Object.keys(options.models ?? {})) addDirect(aliases, name, model, config.limits.defaultTimeoutMs);
  }
  for (const model of [...simModels, ...Object.keys(config.sim.models)]) addDirect(aliases, SIM, model, config.limits.defaultTimeoutMs);
  const places = new Map<string, Place>();
  for (const [name, options] of config.providers) {
    const place = placeOf(options);
    if (place) places.set(name, place);
  }
  return {
    version,
    aliases,
    providers,
    places,
    limits: config.limits,
    cache: config.cache,
    lineage: config.lineage.record,
    content: contentPolicies(config.content),
    reportZone: config.reports.timeZone,
    unknownPrices: config.pricing.unknown,
    access: config.access,
    callerLimits: config.callerLimits,
    budgets: config.budgets,
    passthrough: new Map(Object.entries(config.passthrough)),
  };
}

function addDirect(aliases: Map<string, Alias>, provider: string, model: string, timeoutMs: number): void {
  const name = `${provider}/${model}`;
  if (aliases.has(name)) return;
  aliases.set(name, {
    name,
    targets: [{ provider, model, weight: 1 }],
    strategy: "fallback",
    retries: DEFAULT_RETRIES,
    timeoutMs,
    continue: "never",
  });
}
