import type { Clock, Guard, ModelBook, Provider, Randomness, Secret, Snapshot, Stores } from "./canon/index.ts";
import { Batches, BatchQueue, Files } from "./batches/index.ts";
import {
  controlOf,
  defaultConfig,
  diffVersions,
  inForceAtStart,
  pricesOf,
  readSource,
  SIM,
  snapshotOf,
  type ConfigSource,
  type Discovered,
  type GimbalConfig,
} from "./config/index.ts";
import { languages as dialects } from "./dialects/registry.generated.ts";
import { closeProviders, createGateway, drain, Retired, type GatewayDeps, type GatewayOptions } from "./gateway/index.ts";
import { systemClock, SystemRandomness } from "./kit/index.ts";
import { Alerts } from "./ledger/alerts.ts";
import { Aside } from "./ledger/aside/index.ts";
import { Audit, auditing, openAuditKey } from "./ledger/audit/index.ts";
import { Logs, Telemetry } from "./ledger/telemetry/index.ts";
import { createModelBook, type LocalPrices } from "./models/index.ts";
import { createProvider, discover, overlayOf, telemetryNameOf } from "./providers/index.ts";
import { createSimulator, simOverlay } from "./providers/sim/index.ts";
import type { StageParts } from "./rehearsal/index.ts";
import { Health, type HealthDeps } from "./routing/health/index.ts";
import { adminTokenOf } from "./server/admin-token.ts";
import { httpHandler, Identity, peopleAt, upgradeHandler } from "./server/index.ts";
import type { MetricsPeers } from "./server/metrics-exchange.ts";
import { otlpSender } from "./server/otlp.ts";
import { Tools } from "./tools/index.ts";
import { openDataSeal, openRecord, settleLeft, sweeper } from "./stores/index.ts";
import { connect } from "./wire/client.ts";
import { listen } from "./wire/front.ts";
import type { ClientOptions, Front, FrontOptions, HttpClient } from "./wire/types.ts";

/** Connections accepted at once, as far as file descriptors allow. */
const MAX_CONNECTIONS = 50_000;
const MAX_HEADER_BYTES = 64 * 1024;

export interface HouseOptions {
  /** Data folder. */
  readonly folder: string;
  /** The configuration's text; `file` where it is to be followed for changes. Undefined: whatever the machine offers. */
  readonly config?: ConfigSource | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly adminToken?: Secret | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** One line for the operator, without a line end. */
  readonly log: (line: string) => void;
  readonly guards?: readonly Guard[];
  readonly clock?: Clock;
  readonly randomness?: Randomness;
  /** The record, where another process owns it. */
  readonly stores?: Stores;
  /** Name of this running gateway. */
  readonly node?: string;
  /** The metrics of the other processes behind this address. */
  readonly peers?: MetricsPeers;
}

/** A running gateway. */
export interface House {
  readonly url: string;
  readonly adminToken: Secret;
  /** Where people sign in; undefined: the configuration in force has no `identity.oidc`. */
  readonly peopleAt: () => string | undefined;
  readonly stores: Stores;
  readonly gateway: GatewayDeps;
  readonly book: ModelBook;
  readonly snapshot: () => Snapshot;
  /** Stops accepting, lets running calls finish, settles everything. */
  close(): Promise<void>;
}

/** Joins the rooms: who is wired to whom is all here. @throws ConfigError, and whatever keeps it from listening or recording */
export async function openHouse(options: HouseOptions): Promise<House> {
  const { folder, clock = systemClock, randomness = new SystemRandomness(), node = randomness.id("node_") } = options;
  const config = options.config ? readSource(options.config, options) : defaultConfig(await discovered(options.env, clock));
  const logs = new Logs(options.log, clock, config.logs);
  const log = logs.line;
  const record = options.stores ?? (await openRecord({ folder, node, clock, env: options.env, log, options: config.storage }));
  const { stores, audit } = auditedRecord(record, { folder, clock, randomness, log, options: config.audit });
  try {
    return await furnish({ ...options, log, logs, clock, randomness, node, audit }, config, stores);
  } catch (error) {
    await audit.close();
    // Whoever cannot serve must not hold the record, nor the process.
    if (!options.stores) await stores.close();
    throw error;
  }
}

export interface AuditedOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly log: HouseOptions["log"];
  /** Undefined: nothing is signed unasked. */
  readonly options: GimbalConfig["audit"] | undefined;
  /** Who acts where nobody else is named. */
  readonly actor?: string;
}

/** The record whose every change of keys, configuration, switches and the like leaves a note, and the audit that keeps it. */
export function auditedRecord<T extends Stores>(
  record: T,
  { folder, options, ...rest }: AuditedOptions,
): { readonly stores: T; readonly audit: Audit } {
  const place = { folder, name: options?.keyName, file: options?.keyFile };
  const audit = new Audit({ ...rest, options, store: record.audit, key: () => openAuditKey(place, rest.randomness) });
  return { audit, stores: { ...record, ...auditing(record, { audit, diff: diffVersions }) } };
}

async function furnish(
  options: HouseOptions & Required<Pick<HouseOptions, "clock" | "randomness" | "node">> & { readonly audit: Audit; readonly logs: Logs },
  fileConfig: GimbalConfig,
  stores: Stores,
): Promise<House> {
  const { folder, env, log, logs, clock, randomness, node, audit } = options;
  const { config, version } = await inForceAtStart(options.config, fileConfig, stores.config, options);
  logs.configure(config.logs);
  let current = config;
  const prices = await pricesOf(options.config, config, options, (local) => {
    book = bookOf(current, local);
  });
  let book = bookOf(config, prices?.prices);
  const unwatch = options.stores
    ? () => {}
    : await settleLeft(
        stores,
        () => book.version,
        () => clock.now() + config.limits.journalMs,
      );
  let snapshot = snapshotOf(config, version?.version ?? 0, openProviders(config, { clock, env, randomness, book, dataFolder: folder }));
  const health = openHealth(config, snapshot, { clock, randomness, signals: stores.signals, log: logs.warn });
  const seal = await openDataSeal({ env, folder, clock });
  // A rotation raises what this watches: tokens under the new key open from then on.
  const unwatchKeys = stores.config.watch(() => void seal.reload());
  const telemetry = new Telemetry({
    clock,
    logs,
    node,
    options: config.telemetry,
    isListed: (model) => snapshot.aliases.has(model),
    providerName: (name) => telemetryNameOf(name, current.providers.get(name)?.kind),
    sender: (otlp) => otlpSender(otlp, { connect, clock }),
  });

  const identity = new Identity({ clock, fetch, log: logs.warn }, config.identity);
  const aside = new Aside({ clock, ...stores, log: logs.warn, report: (error, callId) => gateway.report(error, callId) });
  const gateway = joined({
    clock,
    randomness,
    snapshot: () => snapshot,
    stores,
    log,
    logs,
    telemetry,
    aside,
    issuers: identity.tokens,
    book: () => book,
    health,
    retry: config.retry,
    seal,
    guards: options.guards ?? [],
    note: (event) => audit.note(event),
    node,
  });
  const tools = new Tools(
    { gateway, pins: stores.toolPins, env, log: logs.warn, report: (error) => gateway.report(error, "mcp") },
    config.mcp,
  );
  const inFiles = { store: stores.files, clock, randomness, options: () => current.files };
  const inBatches = { gateway, files: stores.files, store: stores.batches, options: () => current.batches };
  // Several processes at one record: in one of its own, or because another one owns it.
  const shared = options.stores !== undefined || stores.nodes !== undefined;
  const queue = new BatchQueue({ ...inBatches, shared, report: (error) => gateway.report(error, "batches") });
  // Before the first call: what was switched off before a restart stays so.
  await gateway.switches.refresh();
  const retired = new Retired(clock, gateway.live);
  /** A record that cannot be written now is told again with the next configuration, or start. */
  const followReports = ({ reports }: GimbalConfig): void =>
    void stores.reports.follow(reports.metadata, reports.values).catch((error: unknown) => log(`reports: ${String(error)}`));
  followReports(config);
  const entrance: { front?: Front } = {};
  const control = controlOf(options.config, version, stores.config, options, async (next, number) => {
    // First, because it can still say no.
    entrance.front?.configure(networkOf(next));
    const local = await prices?.configure(next);
    const before = snapshot;
    current = next;
    book = bookOf(next, local);
    snapshot = snapshotOf(next, number, openProviders(next, { clock, env, randomness, book, dataFolder: folder }));
    health.configure(snapshot, next.health);
    logs.configure(next.logs);
    telemetry.configure(next.telemetry);
    gateway.retries.configure(next.retry);
    identity.configure(next.identity);
    tools.configure(next.mcp);
    followReports(next);
    retired.add(before);
  });
  const adminToken = options.adminToken ?? (await adminTokenOf(folder));
  let ready = true;
  const served = await listen({
    host: options.host ?? config.serve.host,
    port: options.port ?? config.serve.port,
    maxConnections: MAX_CONNECTIONS,
    maxHeaderBytes: MAX_HEADER_BYTES,
    maxMessageBytes: config.limits.bodyBytes,
    clock,
    report: logs.warn,
    ...networkOf(config),
    handler: httpHandler({
      gateway,
      files: new Files(inFiles),
      batches: new Batches({ ...inBatches, queue }),
      keys: stores.keys,
      config: stores.config,
      control,
      adminToken,
      health,
      switches: stores.switches,
      audit,
      reports: stores.reports,
      dataKeys: stores.dataKeys,
      content: stores.content,
      tools,
      identity,
      bookWith: (local) => bookOf(current, local),
      isReady: () => ready,
      telemetry,
      peers: options.peers,
      // Several processes answer at one address: each says which it is.
      process: options.stores && node.split(".").at(-1),
    }),
    upgrade: upgradeHandler(gateway),
  });
  entrance.front = served;
  void queue.start().catch((error: unknown) => gateway.report(error, "batches"));
  const sweep = sweeper(stores, clock, config.lineage.days * MS_PER_DAY);
  await audit.noteRead({ action: "gateway.start", subject: `node:${node}`, details: { config: snapshot.version } });
  return {
    url: urlOf(served, config),
    adminToken,
    peopleAt: () => peopleAt(identity.options, urlOf(served, config)),
    stores,
    gateway,
    book,
    snapshot: () => snapshot,
    close: async () => {
      ready = false;
      control?.close();
      prices?.close();
      unwatch();
      unwatchKeys();
      gateway.switches.close();
      gateway.shadows.close();
      sweep();
      // Begins nothing more; what runs is drained with all other calls.
      const kept = queue.close();
      const { drainMs } = snapshot.limits;
      await Promise.all([drain(gateway, (ms) => served.close(ms), drainMs), tools.close(drainMs)]);
      await kept;
      await Promise.all([gateway.spilling.flush(), telemetry.close()]);
      await Promise.all([gateway.allowances.walls.close(), aside.close()]);
      // A record that cannot be written now gets its last chance when the stores close.
      await stores.ledger.flush().catch(() => {});
      await Promise.all([closeProviders(snapshot.providers), retired.close()]);
      await audit.noteRead({ action: "gateway.stop", subject: `node:${node}` });
      await audit.close();
      if (!options.stores) await stores.close();
    },
  };
}

interface Joined extends Pick<
  GatewayOptions,
  "clock" | "randomness" | "snapshot" | "stores" | "guards" | "note" | "node" | "seal" | "retry" | "telemetry" | "aside" | "issuers"
> {
  readonly log: (line: string) => void;
  /** Where lines have levels. */
  readonly logs?: Logs;
  /** Facts and prices in force. */
  readonly book: () => ModelBook;
  readonly health: Health;
}

/** The gateway itself, without doors. */
export function joined({ book, health, log, logs, ...rest }: Joined): GatewayDeps {
  return createGateway({
    ...rest,
    dialects,
    log,
    book: {
      get version() {
        return book().version;
      },
      facts: (...asked) => book().facts(...asked),
      cost: (...asked) => book().cost(...asked),
      ownCost: (...asked) => book().ownCost?.(...asked),
      isFree: (...asked) => book().isFree?.(...asked) ?? false,
      prices: (...asked) => book().prices?.(...asked),
      known: (...asked) => book().known?.(...asked) ?? [],
      upperBound: (...asked) => book().upperBound?.(...asked),
      countTokens: (...asked) => book().countTokens(...asked),
      estimator: (model) => book().estimator?.(model) ?? ((text) => book().countTokens(text, model)),
    },
    alerts: new Alerts({ clock: rest.clock, log: logs?.warn ?? log }),
    health,
    onSwitches: (switches) => health.applySwitches(switches),
    report: (error, callId) =>
      (logs?.error ?? log)(`defect in ${callId}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
  });
}

function openHealth(
  config: GimbalConfig,
  snapshot: Snapshot,
  { log, ...deps }: Pick<HealthDeps, "clock" | "randomness" | "signals"> & { readonly log: (line: string) => void },
): Health {
  const health = new Health({
    ...deps,
    options: config.health,
    onChange: ({ subject, what, reason }) => log(`${subject}: ${what} (${reason})`),
  });
  health.configure(snapshot);
  return health;
}

const MS_PER_DAY = 86_400_000;
/** What the machine offers without a configuration. */
export function discovered(env: HouseOptions["env"], clock: Clock): Promise<Discovered> {
  return discover({ connect, clock, env, facts: factsOf(createModelBook()) });
}

interface Wiring {
  readonly clock: Clock;
  readonly env: HouseOptions["env"];
  readonly randomness: Randomness;
  readonly book: ModelBook;
  /** Where optional packages and downloaded models are kept. */
  readonly dataFolder?: string | undefined;
  /** Default: to where the configuration says. */
  readonly connect?: (options: ClientOptions) => HttpClient;
}

function factsOf(book: ModelBook): ModelBook["facts"] {
  return (provider, model) => book.facts(provider, model);
}

/** Facts and prices as a configuration corrects them, and a price file them. `prices`: a rehearsal's own. */
export function bookOf(config: GimbalConfig, local?: LocalPrices, prices: StageParts["prices"] = new Map()): ModelBook {
  const models = overlayOf(config.providers);
  const simulated = simOverlay(SIM, config.sim);
  const overridden = { ...models.models, ...simulated.models };
  const priced = [...prices].map(([name, price]) => [name, { ...overridden[name], price }] as const);
  // Patterns are tried in the order in which they are first named.
  return createModelBook({
    kinds: { ...models.kinds, ...simulated.kinds },
    models: { ...Object.fromEntries(priced), ...overridden, ...Object.fromEntries(priced) },
    local,
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

/** Who is believed, and what is shown, at the front. */
function networkOf({ serve: { tls, trustedProxies } }: GimbalConfig): Pick<FrontOptions, "trustedProxies" | "tls"> {
  if (!tls) return trustedProxies ? { trustedProxies } : {};
  const { ca, passphrase, ...always } = tls;
  const shown = { ...always, ...(ca !== undefined && { ca }), ...(passphrase && { passphrase }) };
  return { tls: shown, ...(trustedProxies && { trustedProxies }) };
}

function urlOf(front: Front, { serve }: GimbalConfig): string {
  return `${serve.tls ? "https" : "http"}://${front.host.includes(":") ? `[${front.host}]` : front.host}:${front.port}`;
}
