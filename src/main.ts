import cluster from "node:cluster";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setInterval } from "node:timers";
import { setFlagsFromString } from "node:v8";
import { ProblemError, type Stores } from "./canon/index.ts";
import { runCli, type ServeSettings } from "./cli/index.ts";
import { type GimbalConfig } from "./config/index.ts";
import { auditedRecord, bookOf, discovered, openHouse, openProviders, type House, type HouseOptions } from "./house.ts";
import { systemClock, SystemRandomness } from "./kit/index.ts";
import { createModelBook } from "./models/index.ts";
import { adminTokenOf, announce } from "./server/admin-token.ts";
import { NODE_VARIABLE, startWorkers, type ReadyMessage } from "./server/workers.ts";
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

/** How long streams cut off by a dead process can be read again; the primary reads no configuration of its own. */
const JOURNAL_MS = 600_000;
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
    // What it was told to use cannot be used: that is for whoever started it to correct.
    return error instanceof ProblemError && error.problem.code === DATABASE_UNUSABLE ? 2 : 1;
  }
}

async function serveAlone(settings: ServeSettings): Promise<number> {
  const house = await openHouse(await houseOptions(settings));
  let retract: (() => Promise<void>) | undefined;
  try {
    retract = await announceReady(settings, house.url, house);
    await ended();
  } finally {
    await Promise.all([house.close(), retract?.()]);
  }
  return 0;
}

async function serveAsWorker(settings: ServeSettings): Promise<number> {
  const stores = await workerStores(ipcChannel(process), clock);
  const node = process.env[NODE_VARIABLE];
  try {
    const house = await openHouse({ ...(await houseOptions(settings)), stores, ...(node !== undefined && { node }) });
    const message: ReadyMessage = { type: "gimbal.ready", url: house.url };
    process.send?.(message);
    await ended();
    await house.close();
    return 0;
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
  const stores = await openRecord({ folder: dataFolder, node, clock, env: process.env, log });
  try {
    return await serveOver(stores, settings, node);
  } finally {
    await stores.close();
  }
}

async function serveOver(stores: HostedStores, settings: ServeSettings, node: string): Promise<number> {
  const { dataFolder } = settings;
  const { version } = createModelBook();
  const until = (): number => clock.now() + JOURNAL_MS;
  const unwatch = await settleLeft(stores, () => version, until);
  const adminToken = settings.adminToken ?? (await adminTokenOf(dataFolder));
  const host = primaryHost(stores);
  const workers = startWorkers({
    count: settings.workers,
    clock,
    log,
    node,
    adopt: (worker) => host.attach(ipcChannel(worker)),
    bury: (dead) =>
      void interruptLeft(stores, dead, version, until()).catch((error: unknown) =>
        log(`Calls of a dead process could not be settled: ${String(error)}`),
      ),
  });
  try {
    const retract = await announceReady(settings, await workers.ready, { adminToken });
    await ended();
    await retract();
    return 0;
  } finally {
    unwatch();
    await workers.stop();
  }
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
  { adminToken }: Pick<House, "adminToken">,
): Promise<() => Promise<void>> {
  const retract = await announce(settings.dataFolder, url);
  log(`Admin sign-in: ${url}/#token=${adminToken.reveal()}`);
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
  openProviders: async (config: GimbalConfig) => openProviders(config, { clock, env: process.env, randomness, book: bookOf(config) }),
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
