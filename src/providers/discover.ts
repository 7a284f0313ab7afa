import type { Clock, Provider } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import type { ClientOptions, HttpClient } from "../wire/types.ts";
import type { Environment } from "./address.ts";
import { CATALOG, type CatalogRow } from "./catalog.ts";
import { createProvider, keyFromEnvironment } from "./create.ts";
import { fetchSmall, modelNames } from "./listing.ts";
import { providerOptions, type ProviderOptions } from "./options.ts";
import { nameAt } from "./servers/read.ts";
import type { LookUpFacts } from "./capabilities.ts";

export interface DiscoverDeps {
  readonly connect: (options: ClientOptions) => HttpClient;
  readonly clock: Clock;
  readonly env: Environment;
  readonly facts: LookUpFacts;
  readonly signal?: AbortSignal;
}

/** What the environment offers without any configuration. */
export interface Discovery {
  readonly providers: Readonly<Record<string, ProviderOptions>>;
  readonly models: Readonly<Record<string, readonly string[]>>;
}

/** A server on this machine answers within this time, or is not there. */
const LOCAL_MS = 300;
/** A start must not wait for a provider far away: after this its best-known models are listed instead. */
const REMOTE_MS = 1500;
/** Ports on which servers of models usually listen. Two share one: each is known by what it answers. */
const PROBED = ["ollama", "vllm", "llamacpp", "lmstudio", "sglang", "tei", "infinity"];
/** What is asked of those that have no list of models, and under which name they tell of their one model. */
const ONE_MODEL: Readonly<Record<string, { readonly path: string; readonly name: string }>> = { tei: { path: "/info", name: "model_id" } };

interface Found {
  readonly name: string;
  readonly options: ProviderOptions;
  readonly models: readonly string[];
}

/** Providers whose key is in the environment, and local servers that answer. All are asked at once; nothing takes longer than 1.5 s. */
export async function discover(deps: DiscoverDeps): Promise<Discovery> {
  const signal = deps.signal ?? new AbortController().signal;
  const asked = Object.entries(CATALOG).map(([name, row]) =>
    PROBED.includes(name) ? probe(name, row, deps, signal) : listed(name, row, deps, signal),
  );
  const found = (await Promise.all(asked)).filter((one) => one !== undefined);
  return {
    providers: Object.fromEntries(found.map(({ name, options }) => [name, options])),
    models: Object.fromEntries(found.map(({ name, models }) => [name, models])),
  };
}

/** A provider whose key is set. One that lacks something else (an account, an endpoint) is not offered. */
async function listed(name: string, row: CatalogRow, deps: DiscoverDeps, signal: AbortSignal): Promise<Found | undefined> {
  if (!keyFromEnvironment(row, deps.env)) return undefined;
  const options = providerOptions.parse({});
  let provider: Provider;
  try {
    provider = createProvider(name, options, deps);
  } catch {
    return undefined;
  }
  const models = await bounded(provider, signal, deps.clock);
  await provider.close();
  return { name, options, models: models.length > 0 ? models : row.hints };
}

async function bounded(provider: Provider, signal: AbortSignal, clock: Clock): Promise<readonly string[]> {
  const stop = new AbortController();
  const cancelTimer = clock.after(REMOTE_MS, () => stop.abort());
  const models = await provider.models(AbortSignal.any([signal, stop.signal]));
  cancelTimer();
  return models;
}

/**
 * A server on its usual port, or at the address its variable names. Ports like 8080 serve all sorts of things: only an answer that is
 * a list of models counts, and where the list says whose it is, that must be the one looked for.
 */
async function probe(name: string, row: CatalogRow, deps: DiscoverDeps, signal: AbortSignal): Promise<Found | undefined> {
  const named = row.baseUrlEnvironment?.some((variable) => deps.env[variable]);
  const options = providerOptions.parse({});
  if (named) {
    try {
      const provider = createProvider(name, options, deps);
      const models = await bounded(provider, signal, deps.clock);
      await provider.close();
      return { name, options, models };
    } catch {
      return undefined;
    }
  }
  const client = deps.connect({
    baseUrl: `http://127.0.0.1:${row.localPort}${row.versionPath ?? ""}`,
    allowPrivateNetwork: true,
    connectTimeoutMs: LOCAL_MS,
    headTimeoutMs: LOCAL_MS,
    dataTimeoutMs: LOCAL_MS,
    maxConnections: 1,
    maxHeaderBytes: options.maxHeaderBytes,
  });
  const key = keyFromEnvironment(row, deps.env);
  const headers: Record<string, string> = { accept: "application/json", ...(key && { authorization: `Bearer ${key.reveal()}` }) };
  const one = ONE_MODEL[name];
  const fetched = await fetchSmall(client, one?.path ?? row.modelsPath ?? "/models", headers, signal, deps.clock, LOCAL_MS);
  await client.close();
  if (!fetched.ok || fetched.status !== 200) return undefined;
  if (one) {
    const model = nameAt(parseJson(fetched.text), one.name);
    return model === undefined ? undefined : { name, options, models: [model] };
  }
  const models = modelNames(fetched.text);
  const stranger = models.some(({ ownedBy }) => ownedBy !== undefined && isAnother(ownedBy, row));
  if (models.length === 0 || stranger) return undefined;
  return { name, options, models: models.map((model) => model.name) };
}

/** Does a list's `owned_by` name another server of this catalogue? */
function isAnother(ownedBy: string, row: CatalogRow): boolean {
  return ownedBy !== row.ownedBy && Object.values(CATALOG).some((other) => other.ownedBy === ownedBy);
}
