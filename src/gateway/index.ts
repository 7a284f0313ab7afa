import type { Problem, Snapshot, Stores, Switch } from "../canon/index.ts";
import { Health } from "../routing/health/index.ts";
import { healthOptions } from "../routing/health/options.ts";
import { Hedges } from "../routing/hedge.ts";
import { Coverage, Walls } from "../ledger/budgets/index.ts";
import { Limits } from "../ledger/limits/index.ts";
import { Planner } from "../routing/plan.ts";
import { retryOptions, type RetryOptions } from "../routing/retry-options.ts";
import { Retries } from "../routing/retry.ts";
import { withServers, type ServersView } from "../routing/servers.ts";
import { Admission } from "./admission.ts";
import type { Issuers } from "./issuers.ts";
import { Journal } from "./journal.ts";
import { LiveCalls } from "./live-calls.ts";
import type { Reader } from "./reader.ts";
import { openCall } from "./pipeline.ts";
import { Recall } from "./recall.ts";
import type { GatewayDeps } from "./run.ts";
import { Shadows } from "./shadow.ts";
import { Switches, switchedView } from "./switches.ts";
import { Turns } from "./turns.ts";

export { drain } from "./drain.ts";
export { closeProviders, Retired } from "./retired.ts";
export { openCall } from "./pipeline.ts";
export type { GatewayDeps } from "./run.ts";

/** What the house brings; the rest of `GatewayDeps` is made from it. */
export interface GatewayOptions extends Pick<
  GatewayDeps,
  | "clock"
  | "randomness"
  | "snapshot"
  | "dialects"
  | "book"
  | "alerts"
  | "aside"
  | "telemetry"
  | "guards"
  | "note"
  | "node"
  | "report"
  | "seal"
> {
  readonly stores: Stores;
  /** Whose tokens are good here besides the gateway's own keys. */
  readonly issuers?: Issuers | undefined;
  /** One line for the operator. */
  readonly log?: (line: string) => void;
  /** Who may be asked; without it one that begins with knowing nothing. */
  readonly health?: Health;
  /** What servers of models tell of themselves. */
  readonly servers?: ServersView;
  /** How failed attempts are repeated. */
  readonly retry?: RetryOptions;
  /** What a person has forced, whenever it changes. */
  readonly onSwitches?: (switches: readonly Switch[]) => void;
}

/** Why a call ends that its caller cancelled. */
export const CANCELLED: Problem = { kind: "cancelled", message: "The call was cancelled by its caller." };

/** Everything the pipeline works with. */
export function createGateway(options: GatewayOptions): GatewayDeps {
  const { clock, randomness, snapshot, stores } = options;
  const limits = (): Snapshot["limits"] => snapshot().limits;
  const { journal, idempotency, signals } = stores;
  const log = options.log ?? (() => {});
  const spilling = new Journal({ store: journal, clock, node: options.node, limits, log, onKept: (call) => live.release(call) });
  const live = new LiveCalls(clock, limits, spilling);
  signals.hear((signal) => {
    if (signal.type !== "cancel") return;
    const { callId, scope } = signal;
    const call = live.find(callId);
    if (call?.caller?.scope === scope) call.stop(CANCELLED);
  });
  const switches = new Switches({
    store: stores.switches,
    clock,
    signals,
    onChange: (now) => {
      options.onSwitches?.(now);
      live.reviewAll();
      deps.shadows.review(switches);
    },
    report: (error) => options.report(error, "switches"),
  });
  const health = options.health ?? new Health({ clock, randomness, options: healthOptions.parse({}) });
  const walls = new Walls({ store: stores.budgets, signals, clock, node: options.node });
  const deps: GatewayDeps = {
    clock,
    randomness,
    snapshot,
    dialects: options.dialects,
    ledger: stores.ledger,
    lineage: stores.lineage,
    book: options.book,
    alerts: options.alerts,
    aside: options.aside,
    telemetry: options.telemetry,
    admission: new Admission({ keys: stores.keys, clock, issuers: options.issuers }),
    allowances: { store: stores.budgets, walls, coverage: new Coverage(walls), limits: new Limits(walls, clock) },
    planner: new Planner(randomness, switchedView(switches, options.servers ? withServers(health, options.servers) : health)),
    health,
    retries: new Retries(options.retry ?? retryOptions.parse({}), clock, randomness, signals),
    hedges: new Hedges(),
    turns: new Turns({ store: stores.calls, clock, limits }),
    live,
    switches,
    shadows: new Shadows((request) => openCall(deps, request, NOBODY)),
    spilling,
    journal,
    idempotency,
    signals,
    seal: options.seal,
    guards: options.guards,
    note: options.note,
    recall: new Recall({
      store: stores.cache,
      clock,
      limits: () => snapshot().cache,
      report: (error) => options.report(error, "cache"),
      refresh: (request) => void openCall(deps, request, NOBODY),
    }),
    open: (request, reader) => openCall(deps, request, reader),
    node: options.node,
    report: options.report,
  };
  return deps;
}

/** Reads the answer that replaces a stale one, for nobody. */
const NOBODY: Reader = { whole() {}, head() {}, frames: () => true, end() {} };
