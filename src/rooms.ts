import { BatchQueue } from "./batches/index.ts";
import type { Clock, Guard, ModelBook, Randomness, Snapshot, Stores } from "./canon/index.ts";
import type { GimbalConfig } from "./config/index.ts";
import { languages as dialects } from "./dialects/registry.generated.ts";
import { closeProviders, createGateway, drain, Retired, type GatewayDeps, type GatewayOptions } from "./gateway/index.ts";
import type { InForce } from "./in-force.ts";
import { Alerts } from "./ledger/alerts.ts";
import { Aside } from "./ledger/aside/index.ts";
import type { Audit } from "./ledger/audit/index.ts";
import { Telemetry, type Logs } from "./ledger/telemetry/index.ts";
import { telemetryNameOf } from "./providers/index.ts";
import { toWarm } from "./providers/servers/warm.ts";
import type { ServerWatch } from "./providers/servers/watch.ts";
import { Health, type HealthDeps } from "./routing/health/index.ts";
import { Identity } from "./server/index.ts";
import { otlpSender } from "./server/otlp.ts";
import { FileGrants, Tools, type SessionPeers } from "./tools/index.ts";
import { connect } from "./wire/client.ts";
import type { Front } from "./wire/types.ts";

/** What the rooms need of whoever runs them. */
interface RoomsOptions {
  /** Data folder. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly randomness: Randomness;
  /** Name of this running gateway. */
  readonly node: string;
  /** One line for the operator, without a line end. */
  readonly log: (line: string) => void;
  /** The same, where lines have levels. */
  readonly logs: Logs;
  readonly audit: Audit;
  readonly guards?: readonly Guard[];
  /** The record, where another process owns it. */
  readonly stores?: Stores;
  /** Sessions of the other processes behind this address. */
  readonly sessions?: SessionPeers;
}

/** What is there before them. */
interface Foundations {
  readonly now: InForce;
  readonly servers: ServerWatch;
  readonly stores: Stores;
  readonly seal: Joined["seal"];
}

/** What serves behind the front. */
export type Rooms = ReturnType<typeof openRooms>;

/** Opens them, each with what it uses of the others. Nothing is asked of anybody yet. */
export function openRooms(
  { clock, randomness, log, logs, node, env, audit, ...options }: RoomsOptions,
  { now, servers, stores, seal }: Foundations,
) {
  const { config } = now;
  const report = (error: unknown, place: string): void => gateway.report(error, place);
  const health = openHealth(now, { clock, randomness, signals: stores.signals, log: logs.warn });
  const telemetry = openTelemetry(now, { clock, logs, node });
  const identity = new Identity({ clock, fetch, log: logs.warn }, config.identity);
  const aside = new Aside({ clock, ...stores, log: logs.warn, report });
  const gateway = joined({
    clock,
    randomness,
    stores,
    log,
    logs,
    telemetry,
    aside,
    health,
    servers,
    seal,
    node,
    snapshot: () => now.snapshot,
    issuers: identity.tokens,
    book: () => now.book,
    retry: config.retry,
    guards: options.guards ?? [],
    note: (event) => audit.note(event),
  });
  const tools = new Tools(
    {
      gateway,
      env,
      pins: stores.toolPins,
      grants: seal && new FileGrants(options.folder, seal, () => randomness.id("grant_")),
      log: logs.warn,
      report: (error) => report(error, "mcp"),
      peers: options.sessions,
    },
    config.mcp,
  );
  const queue = new BatchQueue({
    gateway,
    files: stores.files,
    store: stores.batches,
    options: () => now.config.batches,
    // Several processes at one record: in one of its own, or because another one owns it.
    shared: options.stores !== undefined || stores.nodes !== undefined,
    report: (error) => report(error, "batches"),
  });
  servers.configure(now.snapshot.providers, config.servers, toWarm(now.snapshot));
  return {
    now,
    stores,
    health,
    servers,
    logs,
    telemetry,
    identity,
    aside,
    gateway,
    tools,
    queue,
    retired: new Retired(clock, gateway.live),
  };
}

/** Puts the configuration that is in force now into them. */
export function configureRooms(next: GimbalConfig, rooms: Rooms, before: Snapshot): void {
  const { snapshot } = rooms.now;
  rooms.health.configure(snapshot, next.health);
  rooms.servers.configure(snapshot.providers, next.servers, toWarm(snapshot, before));
  rooms.logs.configure(next.logs);
  rooms.telemetry.configure(next.telemetry);
  rooms.gateway.retries.configure(next.retry);
  rooms.identity.configure(next.identity);
  rooms.tools.configure(next.mcp);
  followReports(next, rooms);
}

/** A record that cannot be written now is told again with the next configuration, or start. */
export function followReports({ reports }: GimbalConfig, { stores, logs }: Rooms): void {
  void stores.reports.follow(reports.metadata, reports.values).catch((error: unknown) => logs.line(`reports: ${String(error)}`));
}

/** Lets what runs come to its end, each part after those that hand it something. */
export async function leave(
  { now, servers, gateway, queue, tools, telemetry, aside, retired, stores }: Rooms,
  front: Front,
): Promise<void> {
  servers.close();
  gateway.switches.close();
  gateway.shadows.close();
  // Begins nothing more; what runs is drained with all other calls.
  const kept = queue.close();
  const { drainMs } = now.snapshot.limits;
  await Promise.all([drain(gateway, (ms) => front.close(ms), drainMs), tools.close(drainMs)]);
  await kept;
  await Promise.all([gateway.spilling.flush(), telemetry.close()]);
  await Promise.all([gateway.allowances.walls.close(), aside.close()]);
  // A record that cannot be written now gets its last chance when the stores close.
  await stores.ledger.flush().catch(() => {});
  await Promise.all([closeProviders(now.snapshot.providers), retired.close()]);
}

interface Joined extends Pick<
  GatewayOptions,
  | "clock"
  | "randomness"
  | "snapshot"
  | "stores"
  | "guards"
  | "note"
  | "node"
  | "seal"
  | "retry"
  | "telemetry"
  | "aside"
  | "issuers"
  | "servers"
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
  now: InForce,
  { log, ...deps }: Pick<HealthDeps, "clock" | "randomness" | "signals"> & { readonly log: (line: string) => void },
): Health {
  const health = new Health({
    ...deps,
    options: now.config.health,
    onChange: ({ subject, what, reason }) => log(`${subject}: ${what} (${reason})`),
  });
  health.configure(now.snapshot);
  return health;
}

function openTelemetry(now: InForce, { clock, logs, node }: Pick<RoomsOptions, "clock" | "logs" | "node">): Telemetry {
  return new Telemetry({
    clock,
    logs,
    node,
    options: now.config.telemetry,
    isListed: (model) => now.snapshot.aliases.has(model),
    providerName: (name) => telemetryNameOf(name, now.config.providers.get(name)?.kind),
    sender: (otlp) => otlpSender(otlp, { connect, clock }),
  });
}
