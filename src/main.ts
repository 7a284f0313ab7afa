import cluster from "node:cluster";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setInterval } from "node:timers";
import { setFlagsFromString } from "node:v8";
import { ProblemError, type ConfigStore, type LedgerStore, type Stores } from "./canon/index.ts";
import { runCli, type ServeSettings } from "./cli/index.ts";
import { ConfigError, controlOf, defaultConfig, inForceAtStart, pricesOf, readSource, type GimbalConfig } from "./config/index.ts";
import { auditedRecord, openHouse, type House, type HouseOptions } from "./house.ts";
import { bookOf, discovered, openProviders } from "./in-force.ts";
import { systemClock, SystemRandomness } from "./kit/index.ts";
import { adminTokenOf, announce } from "./server/admin-token.ts";
import { peopleAt } from "./server/index.ts";
import { MetricsHost, metricsPeers } from "./server/metrics-exchange.ts";
import { SessionHost, sessionPeers } from "./server/session-exchange.ts";
import { NODE_VARIABLE, PORT_VARIABLE, startWorkers, type ReadyMessage } from "./server/workers.ts";
import { openStage } from "./stage.ts";
import {
  DATABASE_UNUSABLE,
  interruptLeft,
  ipcChannel,
  openRecord,
  primaryHost,
  settleLeft,
  workerStores,
  type HostedStores,
} from "./stores/index.ts";

const clock = systemClock;
const randomness = new SystemRandomness();
const root = join(import.meta.dirname, "..");

const log = (line: string): void => void process.stderr.write(`${line}\n`);

/** Serves until a signal; resolves with the exit code. */
async function serve(settings: ServeSettings): Promise<number> {
  // V8 takes what a call holds for long-lived, because the first calls survive a collection of the still small young space, and allocates
  // it in the old space from then on. Measured: 3 kB a call moved to the old space instead of 0.5, and three times the time in collections.
  setFlagsFromString("--no-allocation-site-pretenuring");
  // Whatever happens, the process must not end with calls unsettled: a defect is said, and the rest goes on.
  process.on("unhandledRejection", (reason) =>
    log(`defect: unhandled rejection: ${String(reason instanceof Error ? reason.stack : reason)}`),
  );
  try {
    return cluster.isWorker
      ? await serveAsWorker(settings)
      : settings.workers > 1
        ? await serveWithWorkers(settings)
        : await serveAlone(settings);
  } catch (error) {
    log(error instanceof ProblemError || error instanceof Error ? error.message : String(error));
    if (error instanceof ConfigError && error.needsNetwork) return 2;
    // What it was told to use cannot be used: that is for whoever started it to correct.
    return error instanceof ProblemError && error.problem.code === DATABASE_UNUSABLE ? 2 : 1;
  }
}

async function serveAlone(settings: ServeSettings): Promise<number> {
  const house = await openHouse(await houseOptions(settings));
  let retract: (() => Promise<void>) | undefined;
  try {
    retract = await announceReady(settings, house.url, house.adminToken, house.peopleAt());
    await ended();
  } finally {
    await Promise.all([house.close(), retract?.()]);
  }
  return exitCodeOf(house.stores.ledger);
}

/** Whoever stops a gateway must learn when calls were not recorded. */
function exitCodeOf(ledger: LedgerStore): number {
  const lost = ledger.lost();
  if (lost === 0) return 0;
  log(`${lost} rows of the ledger could not be written and are lost${ledger.failure() === undefined ? "" : `: ${ledger.failure()}`}.`);
  return 1;
}

async function serveAsWorker(settings: ServeSettings): Promise<number> {
  const options = await houseOptions(settings);
  const stores = await workerStores(ipcChannel(process), clock, storageOf(options.config));
  const node = process.env[NODE_VARIABLE];
  const port = process.env[PORT_VARIABLE];
  try {
    const peers = metricsPeers(ipcChannel(process), clock);
    const house = await openHouse({
      ...options,
      stores,
      peers,
      // As the primary knows this worker; no later one has the same.
      ...(cluster.worker && { sessions: sessionPeers(ipcChannel(process), String(cluster.worker.id)) }),
      ...(node !== undefined && { node }),
      ...(port !== undefined && { port: Number(port) }),
    });
    const message: ReadyMessage = { type: "gimbal.ready", url: house.url };
    process.send?.(message);
    await ended();
    await house.close();
    await stores.close();
    return exitCodeOf(stores.ledger);
  } finally {
    await stores.close();
    // The channel to the primary would keep the process alive.
    cluster.worker?.disconnect();
  }
}

/** The primary owns the record; its workers serve. */
async function serveWithWorkers(settings: ServeSettings): Promise<number> {
  const { dataFolder } = settings;
  const node = randomness.id("node_");
  const { config: source } = await houseOptions(settings);
  const stores = await openRecord({ folder: dataFolder, node, clock, env: process.env, log, options: storageOf(source) });
  let code: number;
  try {
    code = await serveOver(stores, settings, node, source);
  } finally {
    await stores.close();
  }
  return Math.max(code, exitCodeOf(stores.ledger));
}

/** The primary asks no provider, so it need not know of any. */
const NOTHING_FOUND: Awaited<ReturnType<typeof discovered>> = { providers: {}, models: {} };

/** How much may wait for the record, and for how long. What else the file says, and what is wrong with it, is told by whoever serves. */
function storageOf(source: HouseOptions["config"]): GimbalConfig["storage"] {
  return (source ? readSource(source, { env: process.env, log: () => {} }) : defaultConfig(NOTHING_FOUND)).storage;
}

async function serveOver(stores: HostedStores, settings: ServeSettings, node: string, source: HouseOptions["config"]): Promise<number> {
  const { dataFolder } = settings;
  const followed = await followConfig(stores, source, node);
  const until = (): number => clock.now() + followed.config().limits.journalMs;
  const unwatch = await settleLeft(stores, followed.priceVersion, until);
  const adminToken = settings.adminToken ?? (await adminTokenOf(dataFolder));
  const host = primaryHost(stores);
  const metrics = new MetricsHost(clock);
  const sessions = new SessionHost();
  const workers = startWorkers({
    count: settings.workers,
    clock,
    log,
    node,
    adopt: (worker) => {
      host.attach(ipcChannel(worker));
      metrics.attach(ipcChannel(worker));
      sessions.attach(String(worker.id), ipcChannel(worker));
    },
    bury: (dead) =>
      void interruptLeft(stores, dead, followed.priceVersion(), until()).catch((error: unknown) =>
        log(`Calls of a dead process could not be settled: ${String(error)}`),
      ),
  });
  let endedWell = false;
  try {
    const url = await workers.ready;
    const retract = await announceReady(settings, url, adminToken, peopleAt(followed.config().identity, url));
    await ended();
    await retract();
  } finally {
    unwatch();
    followed.close();
    endedWell = await workers.stop();
  }
  return endedWell ? 0 : 1;
}

interface Followed {
  readonly config: () => GimbalConfig;
  /** Of the prices in force, for calls that a dead process left. */
  readonly priceVersion: () => string;
  readonly close: () => void;
}

/**
 * The configuration in force, for the process that has the record: the same that its workers serve by, in all its later versions. They
 * follow the file and say what is wrong with it; this follows them, without a word, and counts for no process that serves.
 */
async function followConfig(stores: HostedStores, source: HouseOptions["config"], node: string): Promise<Followed> {
  const options = { env: process.env, clock, node, log: () => {} };
  const fromFile = source ? readSource(source, options) : defaultConfig(NOTHING_FOUND);
  // The file's text becomes a version by whoever serves by it, and with it a note in the audit.
  const store: ConfigStore = {
    ...stores.config,
    append: (entry) => Promise.resolve({ ...entry, version: 0 }),
    markInForce: () => Promise.resolve(),
  };
  const { config, version } = await inForceAtStart(source, fromFile, store, options);
  let current = config;
  const prices = await pricesOf(source, config, options, (local) => (book = bookOf(current, local)));
  let book = bookOf(config, prices?.prices);
  const control = controlOf(source && { ...source, follow: false }, version, store, options, async (next) => {
    const local = await prices?.configure(next);
    current = next;
    book = bookOf(next, local);
  });
  return {
    config: () => current,
    priceVersion: () => book.version,
    close: () => {
      control?.close();
      prices?.close();
    },
  };
}

async function houseOptions(settings: ServeSettings): Promise<HouseOptions> {
  const { configFile, host, port, adminToken, dataFolder } = settings;
  return {
    folder: dataFolder,
    host,
    port,
    adminToken,
    env: process.env,
    log,
    clock,
    randomness,
    config: configFile === undefined ? undefined : { text: await readFile(configFile, "utf8"), fileName: configFile, follow: true },
  };
}

async function announceReady(
  settings: ServeSettings,
  url: string,
  adminToken: House["adminToken"],
  people: string | undefined,
): Promise<() => Promise<void>> {
  const retract = await announce(settings.dataFolder, url);
  log(`Admin sign-in: ${url}/#token=${adminToken.reveal()}`);
  if (people !== undefined) log(`Sign-in of people: ${people}`);
  process.stdout.write(`gimbal ready on ${url}\n`);
  return retract;
}

/** The record for one command. What it changes is noted as the command line's; checkpoints are left to the gateway and its configuration. */
async function openAlone(folder: string): Promise<Stores> {
  const record = await openRecord({ folder, node: "cli", clock, env: process.env, log: () => {}, brief: true });
  const { stores, audit } = auditedRecord(record, { folder, clock, randomness, log, options: undefined, actor: "cli" });
  return {
    ...stores,
    close: async () => {
      await audit.close();
      await stores.close();
    },
  };
}

/** Resolves at the first SIGTERM or SIGINT. */
function ended(): Promise<void> {
  return new Promise((resolve) => {
    // Nothing else keeps the process alive once the gateway's own timers are all unreferenced.
    const alive = setInterval(() => {}, 2 ** 30);
    const end = (): void => {
      clearInterval(alive);
      resolve();
    };
    process.once("SIGTERM", end);
    process.once("SIGINT", end);
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  root,
  version: (JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string }).version,
  nodeVersion: process.versions.node,
  clock,
  randomness,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  serve,
  openStores: openAlone,
  discover: () => discovered(process.env, clock),
  book: bookOf,
  openProviders: async (config, dataFolder, learned) =>
    openProviders(config, { clock, env: process.env, randomness, book: bookOf(config, undefined, learned), dataFolder }),
  openStage: (config, parts) => openStage(config, process.env, log, parts),
  isRunning,
  fetch,
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
