import type { Clock, Guard, ModelBook, Randomness, Secret, Snapshot, Stores } from "./canon/index.ts";
import { Batches, Files } from "./batches/index.ts";
import {
  controlOf,
  defaultConfig,
  diffVersions,
  inForceAtStart,
  pricesOf,
  readSource,
  type ConfigSource,
  type GimbalConfig,
} from "./config/index.ts";
import type { GatewayDeps } from "./gateway/index.ts";
import { systemClock, SystemRandomness } from "./kit/index.ts";
import { Audit, auditing, openAuditKey } from "./ledger/audit/index.ts";
import { Logs } from "./ledger/telemetry/index.ts";
import { bookOf, discovered, InForce } from "./in-force.ts";
import { ServerWatch } from "./providers/servers/watch.ts";
import { configureRooms, followReports, leave, openRooms } from "./rooms.ts";
import { adminTokenOf } from "./server/admin-token.ts";
import { httpHandler, peopleAt, upgradeHandler } from "./server/index.ts";
import type { MetricsPeers } from "./server/metrics-exchange.ts";
import type { SessionPeers } from "./tools/index.ts";
import { openDataSeal, openRecord, settleLeft, sweeper } from "./stores/index.ts";
import { listen } from "./wire/front.ts";
import type { Front, FrontOptions } from "./wire/types.ts";

/** Connections accepted at once, as far as file descriptors allow. */
const MAX_CONNECTIONS = 50_000;
const MAX_HEADER_BYTES = 64 * 1024;
const MS_PER_DAY = 86_400_000;

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
  /** The sessions of MCP clients that they hold. */
  readonly sessions?: SessionPeers;
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

type Furnishing = HouseOptions &
  Required<Pick<HouseOptions, "clock" | "randomness" | "node">> & { readonly audit: Audit; readonly logs: Logs };

async function furnish(options: Furnishing, fileConfig: GimbalConfig, stores: Stores): Promise<House> {
  const { folder, env, logs, clock, randomness, node, audit } = options;
  const { config, version } = await inForceAtStart(options.config, fileConfig, stores.config, options);
  logs.configure(config.logs);
  const prices = await pricesOf(options.config, config, options, (local) => now.reprice(local));
  const servers = new ServerWatch({ clock, options: config.servers, log: logs.warn });
  const wiring = { clock, env, randomness, dataFolder: folder, learned: servers };
  const now = new InForce(config, version?.version ?? 0, wiring, prices?.prices);
  const keepUntil = (): number => clock.now() + config.limits.journalMs;
  const unwatch = options.stores ? () => {} : await settleLeft(stores, () => now.book.version, keepUntil);
  const seal = await openDataSeal({ env, folder, clock });
  // A rotation raises what this watches: tokens under the new key open from then on.
  const unwatchKeys = stores.config.watch(() => void seal.reload());
  const rooms = openRooms(options, { now, servers, stores, seal });
  const { gateway, identity, queue } = rooms;
  // Before the first call: what was switched off before a restart stays so.
  await gateway.switches.refresh();
  followReports(config, rooms);
  const entrance: { front?: Front } = {};
  const control = controlOf(options.config, version, stores.config, options, async (next, number) => {
    // First, because it can still say no.
    entrance.front?.configure(networkOf(next));
    const before = now.replace(next, number, await prices?.configure(next));
    configureRooms(next, rooms, before);
    rooms.retired.add(before);
  });
  const adminToken = options.adminToken ?? (await adminTokenOf(folder));
  let ready = true;
  const handler = httpHandler({
    ...rooms,
    ...stores,
    control,
    adminToken,
    audit,
    peers: options.peers,
    files: new Files({ store: stores.files, clock, randomness, options: () => now.config.files }),
    batches: new Batches({ gateway, queue, files: stores.files, store: stores.batches, options: () => now.config.batches }),
    bookWith: (local) => bookOf(now.config, local),
    isReady: () => ready,
    // Several processes answer at one address: each says which it is.
    process: options.stores && node.split(".").at(-1),
  });
  const front = await openFront(options, config, { handler, upgrade: upgradeHandler(gateway) });
  entrance.front = front;
  void queue.start().catch((error: unknown) => gateway.report(error, "batches"));
  const sweep = sweeper(stores, clock, config.lineage.days * MS_PER_DAY);
  await audit.noteRead({ action: "gateway.start", subject: `node:${node}`, details: { config: now.snapshot.version } });
  return {
    url: urlOf(front, config),
    adminToken,
    peopleAt: () => peopleAt(identity.options, urlOf(front, config)),
    stores,
    gateway,
    book: now.book,
    snapshot: () => now.snapshot,
    close: async () => {
      ready = false;
      control?.close();
      prices?.close();
      for (const stop of [unwatch, unwatchKeys, sweep]) stop();
      await leave(rooms, front);
      await audit.noteRead({ action: "gateway.stop", subject: `node:${node}` });
      await audit.close();
      if (!options.stores) await stores.close();
    },
  };
}

function openFront(
  { host, port, clock, logs }: Furnishing,
  config: GimbalConfig,
  doors: Pick<FrontOptions, "handler" | "upgrade">,
): Promise<Front> {
  return listen({
    host: host ?? config.serve.host,
    port: port ?? config.serve.port,
    maxConnections: MAX_CONNECTIONS,
    maxHeaderBytes: MAX_HEADER_BYTES,
    maxMessageBytes: config.limits.bodyBytes,
    clock,
    report: logs.warn,
    ...networkOf(config),
    ...doors,
  });
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
