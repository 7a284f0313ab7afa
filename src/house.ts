import type { Clock, ConfigVersion, Guard, ModelBook, Provider, Randomness, Secret, Snapshot, Stores } from "./canon/index.ts";
import {
  ConfigControl,
  defaultConfig,
  diffVersions,
  loadPrices,
  PriceFileError,
  PriceFollower,
  readConfig,
  SIM,
  snapshotOf,
  formatProblems,
  versionAtStart,
  type Discovered,
  type GimbalConfig,
} from "./config/index.ts";
import { dialects } from "./dialects/registry.generated.ts";
import { createGateway, type GatewayDeps, type GatewayOptions } from "./gateway/index.ts";
import { systemClock, SystemRandomness } from "./kit/index.ts";
import { Alerts } from "./ledger/alerts.ts";
import { Audit, auditing, openAuditKey } from "./ledger/audit/index.ts";
import { createModelBook, type LocalPrices } from "./models/index.ts";
import { createProvider, discover, overlayOf } from "./providers/index.ts";
import { createSimulator, simOverlay } from "./providers/sim/index.ts";
import type { Stage, StageParts } from "./rehearsal/index.ts";
import { Health } from "./routing/health/index.ts";
import { adminTokenOf } from "./server/admin-token.ts";
import { httpHandler, upgradeHandler } from "./server/index.ts";
import { folderSeal, type HostedStores, openPostgres, openSqlite, sharedSeal, type SqliteOptions } from "./stores/index.ts";
import { connect } from "./wire/client.ts";
import { listen } from "./wire/front.ts";
import type { ClientOptions, Front, HttpClient } from "./wire/types.ts";

/** Connections accepted at once, as far as file descriptors allow. */
const MAX_CONNECTIONS = 50_000;
const MAX_HEADER_BYTES = 64 * 1024;

export interface HouseOptions {
  /** Data folder. */
  readonly folder: string;
  /** The configuration's text; `file` where it is to be followed for changes. Undefined: whatever the machine offers. */
  readonly config?: { readonly text: string; readonly fileName: string; readonly follow?: boolean } | undefined;
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
}

/** A running gateway. */
export interface House {
  readonly url: string;
  readonly adminToken: Secret;
  readonly stores: Stores;
  readonly gateway: GatewayDeps;
  readonly book: ModelBook;
  readonly snapshot: () => Snapshot;
  /** Stops accepting, lets running calls finish, settles everything. */
  close(): Promise<void>;
}

/** Joins the rooms: who is wired to whom is all here. @throws ConfigError, and whatever keeps it from listening or recording */
export async function openHouse(options: HouseOptions): Promise<House> {
  const { folder, log, clock = systemClock, randomness = new SystemRandomness(), node = randomness.id("node_") } = options;
  const config = await configOf(options);
  const record = options.stores ?? (await openRecord({ folder, node, clock, env: options.env, log, options: config.storage }));
  const { stores, audit } = auditedRecord(record, { folder, clock, randomness, log, options: config.audit });
  try {
    return await furnish({ ...options, clock, randomness, node, audit }, config, stores);
  } catch (error) {
    await audit.close();
    // Whoever cannot serve must not hold the record, nor the process.
    if (!options.stores) await stores.close();
    throw error;
  }
}

/** By this variable the record is in PostgreSQL, for all gateways that have it. */
const DATABASE_VARIABLE = "GIMBAL_DATABASE_URL";

export interface RecordOptions extends Pick<SqliteOptions, "folder" | "node" | "clock" | "options"> {
  readonly env: HouseOptions["env"];
  readonly log: HouseOptions["log"];
  /** A command that runs for a moment, perhaps beside a gateway. */
  readonly brief?: boolean;
}

/** The record where the environment says it is: in a PostgreSQL database, else in the data folder. @throws ProblemError */
export function openRecord({ env, log, brief = false, ...rest }: RecordOptions): Promise<HostedStores> {
  const url = databaseUrl(env);
  const onFailure = tellFailure(log);
  return url === undefined ? openSqlite({ ...rest, onFailure }) : openPostgres({ ...rest, url, env, log, brief, onFailure });
}

function databaseUrl(env: HouseOptions["env"]): string | undefined {
  const url = env[DATABASE_VARIABLE];
  return url === "" ? undefined : url;
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
  options: HouseOptions & Required<Pick<HouseOptions, "clock" | "randomness" | "node">> & { readonly audit: Audit },
  fileConfig: GimbalConfig,
  stores: Stores,
): Promise<House> {
  const { folder, env, log, clock, randomness, node, audit } = options;
  const { config, version } = await inForceAtStart(options, fileConfig, stores);
  let current = config;
  const prices = await pricesOf(options, config, (local) => {
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
  let snapshot = snapshotOf(config, version?.version ?? 0, openProviders(config, { clock, env, randomness, book }));
  const health = openHealth(config, snapshot, { clock, randomness, log });

  const gateway = joined({
    clock,
    randomness,
    snapshot: () => snapshot,
    stores,
    log,
    book: () => book,
    health,
    retry: config.retry,
    seal: databaseUrl(env) === undefined ? folderSeal(folder) : sharedSeal(env, folder),
    guards: options.guards ?? [],
    note: (event) => audit.note(event),
    node,
  });
  // Before the first call: what was switched off before a restart stays so.
  await gateway.switches.refresh();
  const retired = new Set<Snapshot>();
  /** Calls keep the snapshot they began with, and may try its providers again to their end. Until then it costs a few idle connections. */
  const retire = (old: Snapshot): void => {
    retired.add(old);
    const look = (): void => {
      if (!retired.has(old)) return;
      if (gateway.live.findRunning((call) => call.configVersion === old.version)) return void clock.after(RETIRE_LOOK_MS, look);
      retired.delete(old);
      void closeProviders(old.providers);
    };
    clock.after(RETIRE_LOOK_MS, look);
  };
  const control = controlOf(options, stores, version, async (next, number) => {
    const local = await prices?.configure(next);
    const before = snapshot;
    current = next;
    book = bookOf(next, local);
    snapshot = snapshotOf(next, number, openProviders(next, { clock, env, randomness, book }));
    health.configure(snapshot, next.health);
    gateway.retries.configure(next.retry);
    retire(before);
  });
  const adminToken = options.adminToken ?? (await adminTokenOf(folder));
  let ready = true;
  const front = await listen({
    host: options.host ?? config.serve.host,
    port: options.port ?? config.serve.port,
    maxConnections: MAX_CONNECTIONS,
    maxHeaderBytes: MAX_HEADER_BYTES,
    maxMessageBytes: config.limits.bodyBytes,
    clock,
    handler: httpHandler({
      gateway,
      keys: stores.keys,
      config: stores.config,
      control,
      adminToken,
      health,
      switches: stores.switches,
      audit,
      bookWith: (local) => bookOf(current, local),
      isReady: () => ready,
    }),
    upgrade: upgradeHandler(gateway),
  });
  const sweep = sweeper(stores, clock, config.lineage.days * MS_PER_DAY);
  await audit.noteRead({ action: "gateway.start", subject: `node:${node}`, details: { config: snapshot.version } });
  return {
    url: urlOf(front),
    adminToken,
    stores,
    gateway,
    book,
    snapshot: () => snapshot,
    close: async () => {
      ready = false;
      control?.close();
      prices?.close();
      unwatch();
      gateway.switches.close();
      gateway.shadows.close();
      sweep();
      await drain(gateway, front, snapshot.limits.drainMs);
      await gateway.spilling.flush();
      await gateway.allowances.walls.close();
      // A record that cannot be written now gets its last chance when the stores close.
      await stores.ledger.flush().catch(() => {});
      const left = [snapshot, ...retired];
      retired.clear();
      await Promise.all(left.map(({ providers }) => closeProviders(providers)));
      await audit.noteRead({ action: "gateway.stop", subject: `node:${node}` });
      await audit.close();
      if (!options.stores) await stores.close();
    },
  };
}

interface Joined extends Pick<
  GatewayOptions,
  "clock" | "randomness" | "snapshot" | "stores" | "guards" | "note" | "node" | "seal" | "retry"
> {
  readonly log: (line: string) => void;
  /** Facts and prices in force. */
  readonly book: () => ModelBook;
  readonly health: Health;
}

/** The gateway itself, without doors. */
function joined({ book, health, log, ...rest }: Joined): GatewayDeps {
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
      upperBound: (...asked) => book().upperBound?.(...asked),
      countTokens: (...asked) => book().countTokens(...asked),
      estimator: (model) => book().estimator?.(model) ?? ((text) => book().countTokens(text, model)),
    },
    alerts: new Alerts({ clock: rest.clock, log }),
    health,
    onSwitches: (switches) => health.applySwitches(switches),
    report: (error, callId) => log(`defect in ${callId}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
  });
}

/** The same gateway for a rehearsal: in memory, on the rehearsal's time, with a stand-in for every provider. Nothing leaves the machine. */
export async function openStage(
  config: GimbalConfig,
  env: HouseOptions["env"],
  log: HouseOptions["log"],
  parts: StageParts,
): Promise<Stage> {
  const { clock, randomness, stores, standIn, priceFactor, local, prices, onChange } = parts;
  const usual = bookOf(config, local, everywhere(prices, [SIM, ...config.providers.keys()]));
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

function openHealth(
  config: GimbalConfig,
  snapshot: Snapshot,
  { clock, randomness, log }: { readonly clock: Clock; readonly randomness: Randomness; readonly log: (line: string) => void },
): Health {
  const health = new Health({
    clock,
    randomness,
    options: config.health,
    onChange: ({ subject, what, reason }) => log(`${subject}: ${what} (${reason})`),
  });
  health.configure(snapshot);
  return health;
}

/** How often it is looked whether a call still needs the providers of a configuration that was replaced. */
const RETIRE_LOOK_MS = 10_000;
/** How long calls that outlast the drain have to tell their clients and to settle. */
const FAREWELL_MS = 2000;

/** No new calls; running ones finish. Those that outlast the patience are stopped, which their clients are told, and settled all the same. */
async function drain({ clock, live, ledger }: GatewayDeps, front: Front, patienceMs: number): Promise<void> {
  const closed = front.close(patienceMs + FAREWELL_MS);
  const rows = onlyRowsLeft(clock, live, ledger);
  await Promise.race([live.whenIdle(), rows.reached, after(clock, patienceMs)]);
  live.stopAll({ kind: "gateway_restarted", message: "The gateway was stopped before this call was complete." });
  await Promise.race([live.whenIdle(), rows.reached, after(clock, FAREWELL_MS)]);
  rows.stop();
  await closed;
}

/** How often a drain looks whether anything but rows is left. */
const LOOK_MS = 100;

/**
 * Reached when no call is running any more and the record cannot be written: what is left are rows that wait for the disk, and no
 * patience helps them. They get their last chance when the stores close.
 */
function onlyRowsLeft(
  clock: Clock,
  live: GatewayDeps["live"],
  ledger: GatewayDeps["ledger"],
): { readonly reached: Promise<void>; readonly stop: () => void } {
  let stop = (): void => {};
  const reached = new Promise<void>((resolve) => {
    const look = (): void => {
      if (ledger.failure() !== undefined && !live.findRunning((call) => call.state === "open")) resolve();
      else stop = clock.after(LOOK_MS, look);
    };
    look();
  });
  return { reached, stop: () => stop() };
}

/**
 * What a node that is gone left open (every node, when undefined): its calls become rows, and readers of their streams are told. A journal
 * that cannot be written is no reason not to serve.
 */
export async function interruptLeft(stores: Stores, node: string | undefined, priceVersion: string, until: number): Promise<void> {
  await Promise.all([stores.ledger.interruptOpen(node, priceVersion), stores.journal.abandon(node, until).catch(() => 0)]);
}

/**
 * Settles what others left: all of it where this process has the record to itself; where gateways share it, of each that dies, from now on
 * until the function returned is called.
 */
export async function settleLeft(stores: Stores, priceVersion: () => string, until: () => number): Promise<() => void> {
  if (stores.nodes) return stores.nodes.onDead((node) => interruptLeft(stores, node, priceVersion(), until()));
  await interruptLeft(stores, undefined, priceVersion(), until());
  return () => {};
}

/** Says when the record stops and starts being writable. */
export function tellFailure(log: (line: string) => void): (why: string | undefined) => void {
  return (why) => log(why === undefined ? "The record can be written again." : `The record cannot be written: ${why}`);
}

const MS_PER_DAY = 86_400_000;
/** How often what has expired is forgotten. */
const EXPIRE_EVERY_MS = 10 * 60_000;

async function configOf(options: HouseOptions): Promise<GimbalConfig> {
  if (!options.config) return defaultConfig(await discovered(options.env, options.clock ?? systemClock));
  const outcome = readConfig(options.config.text, options.env);
  if (!outcome.ok) throw new ConfigError(formatProblems(options.config.fileName, outcome.problems));
  for (const line of formatProblems(options.config.fileName, outcome.warnings)) options.log(line);
  return outcome.config;
}

/** What the machine offers without a configuration. */
export function discovered(env: HouseOptions["env"], clock: Clock): Promise<Discovered> {
  return discover({ connect, clock, env, facts: factsOf(createModelBook()) });
}

interface Wiring {
  readonly clock: Clock;
  readonly env: HouseOptions["env"];
  readonly randomness: Randomness;
  readonly book: ModelBook;
  /** Default: to where the configuration says. */
  readonly connect?: (options: ClientOptions) => HttpClient;
}

function factsOf(book: ModelBook): ModelBook["facts"] {
  return (provider, model) => book.facts(provider, model);
}

/** What the house pays, beside the configuration's file. @throws ConfigError */
async function pricesOf(
  { config: file, clock = systemClock, log }: HouseOptions,
  config: GimbalConfig,
  apply: (prices: LocalPrices | undefined) => void,
): Promise<PriceFollower | undefined> {
  if (!file) return undefined;
  try {
    const loaded = await loadPrices(file.fileName, config);
    loaded.warnings.forEach((line) => log(line));
    const report = (lines: readonly string[]): void => lines.forEach((line) => log(line));
    return new PriceFollower({ configFile: file.fileName, clock, apply, report }, config, loaded, file.follow ?? false);
  } catch (error) {
    throw error instanceof PriceFileError ? new ConfigError(error.lines) : error;
  }
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
  { clock, env, randomness, book, connect: to = connect }: Wiring,
): ReadonlyMap<string, Provider> {
  const facts = factsOf(book);
  const providers = new Map<string, Provider>([[SIM, createSimulator(SIM, config.sim, { dialects, clock, randomness })]]);
  for (const [name, options] of config.providers) providers.set(name, createProvider(name, options, { connect: to, clock, env, facts }));
  return providers;
}

export async function closeProviders(providers: ReadonlyMap<string, Provider>): Promise<void> {
  await Promise.all([...providers.values()].map((provider) => provider.close()));
}

/** The configuration cannot be used; the message holds every problem, one a line. */
export class ConfigError extends Error {
  constructor(lines: readonly string[]) {
    super(lines.join("\n"));
    this.name = "ConfigError";
  }
}

/** What an administrator put in force outlives a restart, as long as it is valid and the file has not changed since. */
async function inForceAtStart(
  { config: file, env, log, clock }: HouseOptions & Required<Pick<HouseOptions, "clock">>,
  config: GimbalConfig,
  stores: Stores,
): Promise<{ readonly config: GimbalConfig; readonly version: ConfigVersion | undefined }> {
  if (!file) return { config, version: undefined };
  const { version, kept } = await versionAtStart(stores.config, file.text, clock.now());
  if (!kept) return { config, version };
  const read = readConfig(version.text, env);
  if (read.ok) {
    log(`Configuration version ${version.version} (by ${version.author}) stays in force: ${file.fileName} has not changed since.`);
    return { config: read.config, version };
  }
  for (const line of formatProblems(`version ${version.version}`, read.problems)) log(line);
  log(`Configuration version ${version.version} is no longer valid: ${file.fileName} is in force.`);
  return { config, version: await stores.config.append({ createdAt: clock.now(), author: "file", text: file.text }) };
}

/** Undefined without a configuration file: then there is nothing to change. */
function controlOf(
  options: HouseOptions & Required<Pick<HouseOptions, "clock" | "node">>,
  stores: Stores,
  version: ConfigVersion | undefined,
  apply: (config: GimbalConfig, version: number) => Promise<void>,
): ConfigControl | undefined {
  const { config, env, log, clock, node } = options;
  if (!config || !version) return undefined;
  const { fileName: file, follow = false, text: fileText } = config;
  const report = (lines: readonly string[]): void => lines.forEach(log);
  return new ConfigControl({ file, follow, env, clock, store: stores.config, node, version, fileText, apply, report });
}

/** How long a budget's window is remembered when it is over: calls that began in it may run on, and clocks step back. */
const WINDOWS_KEPT_MS = 35 * 86_400_000;

function sweeper(stores: Stores, clock: Clock, lineageMs: number): () => void {
  let cancel = (): void => {};
  const next = (): void => {
    cancel = clock.after(
      EXPIRE_EVERY_MS,
      () =>
        void stores.calls
          .expire(clock.now())
          .catch(() => {})
          .then(() => stores.cache.expire(clock.now()))
          .catch(() => {})
          .then(() => stores.lineage.expire(clock.now() - lineageMs))
          .catch(() => {})
          .then(() => stores.budgets.expire(clock.now() - WINDOWS_KEPT_MS))
          .catch(() => {})
          // Of the journal what has expired goes with every append; a gateway without calls makes an empty one.
          .then(() => stores.journal.append([], clock.now()))
          .catch(() => {})
          .finally(next),
    );
  };
  next();
  return () => cancel();
}

function after(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve));
}

function urlOf(front: Front): string {
  return `http://${front.host.includes(":") ? `[${front.host}]` : front.host}:${front.port}`;
}
