import { ProblemError, type Clock, type Provider, type Randomness, type Secret, Secret as SecretValue } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import type { ClientOptions, HttpClient } from "../wire/types.ts";
import { addressOf, type Environment } from "./address.ts";
import { capabilitiesOf, type LookUpFacts } from "./capabilities.ts";
import { catalogRow, GENERIC_KIND, providerKinds, type CatalogRow } from "./catalog.ts";
import { HttpProvider } from "./http.ts";
import { tasksFrom } from "./task-options.ts";
import { keysOf } from "./keys.ts";
import { LOCAL_OPTIONS } from "./local/options.ts";
import { networkOf } from "./network.ts";
import type { ProviderOptions } from "./options.ts";
import { openServer } from "./servers/index.ts";
import { WARM_OPTIONS } from "./servers/options.ts";

export interface ProviderDeps {
  readonly connect: (options: ClientOptions) => HttpClient;
  readonly clock: Clock;
  readonly env: Environment;
  /** What is known of models: `book.facts`. */
  readonly facts: LookUpFacts;
  /** For ids of what is made here. Default: the system's. */
  readonly randomness?: Randomness;
  /** Where this gateway keeps what it needs. */
  readonly dataFolder?: string | undefined;
}

/**
 * A provider as the configuration describes it.
 *
 * @throws ProblemError invalid_request when the kind is unknown or the address cannot be used; the message says what to write
 */
export function createProvider(name: string, options: ProviderOptions, deps: ProviderDeps): Provider {
  const kind = options.kind ?? name;
  const row = catalogRow(kind);
  if (!row) {
    const like = nearest(kind, providerKinds);
    const hint = like ? `Did you mean "${like}"?` : `Name one with \`kind\`, such as ${GENERIC_KIND}.`;
    throw new ProblemError({
      kind: "invalid_request",
      message: `There is no kind of provider "${kind}". ${hint}`,
      param: `providers.${name}`,
    });
  }
  if (!row.inProcess) refuseModelOptions(name, options, LOCAL_OPTIONS, "providers of kind: local");
  if (row.loads === undefined) refuseModelOptions(name, options, WARM_OPTIONS, "servers that load models themselves");
  if (row.create) return row.create({ name, options, row, deps, plain: (given) => plainProvider(name, options, given, deps) });
  for (const option of CLOUD_OPTIONS) {
    if (options[option] === undefined) continue;
    const message = `The provider "${name}" takes no ${option}: that belongs to kinds whose models run in a cloud's project.`;
    throw new ProblemError({ kind: "invalid_request", message, param: `providers.${name}.${option}` });
  }
  return plainProvider(name, options, row, deps);
}

/** Options that only some kinds know. */
const CLOUD_OPTIONS = [
  "project",
  "location",
  "serviceAccount",
  "serviceAccountFile",
  "applicationDefault",
  "accessKeyId",
  "secretAccessKey",
  "sessionToken",
] as const;

/** @throws ProblemError invalid_request for options of models that only other kinds have */
function refuseModelOptions(
  name: string,
  { models = {} }: ProviderOptions,
  options: readonly (keyof NonNullable<ProviderOptions["models"]>[string])[],
  owner: string,
): void {
  for (const [model, own] of Object.entries(models)) {
    const option = options.find((one) => own[one] !== undefined);
    if (option === undefined) continue;
    const message = `The model "${model}" of the provider "${name}" takes no ${option}: that belongs to ${owner}.`;
    throw new ProblemError({ kind: "invalid_request", message, param: `providers.${name}.models.${model}.${option}` });
  }
}

function plainProvider(name: string, options: ProviderOptions, row: CatalogRow, deps: ProviderDeps): Provider {
  const address = addressOf(name, options, row, deps.env);
  const below = row.besidePath === undefined ? "" : (/\/v\d+\w*$/.exec(address.baseUrl)?.[0] ?? "");
  const reached = {
    allowPrivateNetwork: address.allowPrivateNetwork,
    maxHeaderBytes: options.maxHeaderBytes,
    ...networkOf(name, options, address.baseUrl, deps.env),
  };
  const client = deps.connect({
    baseUrl: address.baseUrl.slice(0, address.baseUrl.length - below.length),
    connectTimeoutMs: options.connectTimeoutMs,
    headTimeoutMs: options.headTimeoutMs,
    dataTimeoutMs: options.dataTimeoutMs,
    maxConnections: options.maxConnections,
    ...reached,
  });
  const { clock } = deps;
  return new HttpProvider({
    name,
    row,
    options,
    address,
    below,
    keys: keysOf(name, options, address.own ? keyFromEnvironment(row, deps.env) : undefined),
    client,
    clock,
    openServer: (headers) =>
      openServer({ name, options, baseUrl: address.baseUrl, connect: (limits) => deps.connect({ ...limits, ...reached }), headers, clock }),
    capabilities: capabilitiesOf(name, options, row, deps.facts),
    tasks: tasksFrom(options.kind ?? name, options.tasks),
  });
}

/** The key in a row's environment variable. Taken only for the row's own address: a key goes to its provider's host and to no other. */
export function keyFromEnvironment(row: CatalogRow, env: Environment): Secret | undefined {
  for (const variable of row.environment) {
    const value = env[variable]?.trim();
    if (value && /^[\x21-\x7e]+$/.test(value)) return new SecretValue(value);
  }
  return undefined;
}
