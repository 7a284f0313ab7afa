import { Hono } from "hono";
import { z } from "zod";
import {
  accountOf,
  ProblemError,
  problemFrom,
  problemStatus,
  type CacheSelection,
  type ConfigStore,
  type DataKeyStore,
  type ContentStore,
  type KeyStore,
  type ModelBook,
  type ReportStore,
  type Secret,
  type SwitchStore,
} from "../canon/index.ts";
import { tenantOf } from "../cache/index.ts";
import type { LocalPrices } from "../models/index.ts";
import type { ConfigControl } from "../config/index.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { Health } from "../routing/health/index.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import type { Audit } from "../ledger/audit/index.ts";
import type { Tools } from "../tools/index.ts";
import { mountAccountChanges } from "./account-changes.ts";
import { mountAccounts } from "./accounts.ts";
import { auditTrail, mountAudit, signInRefusals } from "./audit.ts";
import { mountBudgets } from "./budgets.ts";
import { mountCanary } from "./canary.ts";
import { mountContent } from "./content.ts";
import { mountCosts } from "./costs.ts";
import { mountExport, relayStream } from "./export.ts";
import { mountDenials } from "./denials.ts";
import { mountDataKey } from "./data-key.ts";
import { mountHealth, type ServersHealth } from "./health.ts";
import { mountKeys } from "./keys.ts";
import { mountKill } from "./kill.ts";
import { mountLineage } from "./lineage.ts";
import { mountMcpAdmin } from "./mcp-admin.ts";
import { mountRelease } from "./release.ts";
import { checkRole, mountSession, signIn } from "./roles.ts";
import { mountShadow } from "./shadow.ts";
import { mountSpend } from "./spend.ts";
import type { Identity, Sessions } from "./sign-in/index.ts";
import { answerWith, problemBody, sendProblem } from "./respond.ts";

const ADMIN_BODY_BYTES = 1024 * 1024;
const ADMIN_BODY_MS = 10_000;
const FORBIDDEN_METHODS: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);
const LEDGER_ROWS = 20;
/** After the start; by then the first calls are answered. */
const WARM_UP_MS = 500;
const MOST_LEDGER_ROWS = 10_000;

export interface AdminDeps {
  readonly gateway: GatewayDeps;
  readonly keys: KeyStore;
  readonly config: ConfigStore;
  /** Undefined while the gateway runs without a configuration file. */
  readonly control: ConfigControl | undefined;
  readonly adminToken: Secret;
  readonly health: Health;
  readonly servers: ServersHealth;
  readonly switches: SwitchStore;
  readonly audit: Audit;
  readonly reports: ReportStore;
  readonly dataKeys: DataKeyStore;
  readonly content: ContentStore;
  readonly tools: Tools;
  /** Who vouches for people and services. */
  readonly identity?: Identity;
  /** Of browsers that signed in; undefined where nobody can. */
  readonly sessions?: Sessions | undefined;
  /** The configuration in force with other prices of the house. */
  readonly bookWith?: (prices: LocalPrices) => ModelBook;
}

/** The newest rows: of one key where `key` holds its id, of one model or target, begun at `since` (milliseconds since 1970) or later. */
export const ledgerQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MOST_LEDGER_ROWS).default(LEDGER_ROWS),
  key: z.string().min(1).max(200).optional(),
  model: z.string().min(1).max(512).optional(),
  target: z.string().min(1).max(512).optional(),
  since: z.coerce.number().int().nonnegative().optional(),
});

/** Which kept answers to forget; all of them when nothing is named. */
export const cacheQuery = z
  .strictObject({
    tag: z.string().min(1).max(200).optional(),
    model: z.string().min(1).max(512).optional(),
    target: z.string().min(1).max(512).optional(),
    key: z.string().min(1).max(200).optional(),
    team: z.string().min(1).max(200).optional(),
  })
  .refine((query) => Object.keys(query).length < 2, "name one of tag, model, target, key and team");

/** The routes of the admin API under `/admin/api`; who may use which is said in `roles.ts`. */
export function adminApp(deps: AdminDeps): Hono {
  const app = new Hono().basePath("/admin/api");
  const refused = signInRefusals({ audit: deps.audit, clock: deps.gateway.clock });
  const { admission } = deps.gateway;
  app.use(
    "*",
    signIn({
      adminToken: deps.adminToken,
      byKey: (key) => admission.byKey(key),
      byToken: (token) => admission.byToken(token),
      sessions: deps.sessions,
      refused,
    }),
  );
  app.use(
    "*",
    auditTrail({ audit: deps.audit, ledger: deps.gateway.ledger, clock: deps.gateway.clock, randomness: deps.gateway.randomness }),
  );
  app.use("*", checkRole());
  app.delete("/cache", async (context) => {
    const parsed = cacheQuery.safeParse(context.req.query());
    if (!parsed.success) throw invalidQuery(parsed.error);
    const { key } = parsed.data;
    const named = key === undefined ? parsed.data : { key: await accountNamed(deps.keys, key) };
    return context.json({ forgotten: await deps.gateway.recall.forget(selectionOf(named)) });
  });
  app.get("/ledger", async (context) => {
    const parsed = ledgerQuery.safeParse(context.req.query());
    if (!parsed.success) throw invalidQuery(parsed.error);
    const { key, ...query } = parsed.data;
    const callerId = key === undefined ? undefined : await accountNamed(deps.keys, key);
    return context.json({ rows: await deps.gateway.ledger.list(withoutUndefined({ ...query, callerId })) });
  });
  const { gateway, keys, switches: store } = deps;
  const { clock, randomness, snapshot, switches } = gateway;
  const forgetKeys = (): void => admission.forgetKeys();
  const issuers = (people = false): readonly string[] => deps.identity?.names(people) ?? [];
  mountSession(app);
  mountMcpAdmin(app, deps.tools);
  mountDataKey(app, deps.dataKeys);
  mountKeys(app, { keys, clock, randomness, forgetKeys });
  mountAccountChanges(app, { keys, forgetKeys });
  mountDenials(app, { keys, clock, randomness, forgetKeys, issuers: () => issuers(true) });
  mountAccounts(app, { keys, snapshot, now: () => clock.now() });
  mountRelease(app, deps);
  mountCanary(app, { config: deps.config, control: deps.control, ledger: gateway.ledger, snapshot, now: () => clock.now() });
  mountShadow(app, { ledger: gateway.ledger, shadows: gateway.shadows, snapshot, now: () => clock.now() });
  mountKill(app, { store, switches, keys, issuers, snapshot, clock, randomness });
  mountHealth(app, { health: deps.health, servers: deps.servers, switches: deps.switches, clock: deps.gateway.clock });
  mountCosts(app, deps);
  mountBudgets(app, {
    store: gateway.allowances.store,
    keys,
    config: deps.config,
    control: deps.control,
    snapshot,
    now: () => clock.now(),
  });
  mountAudit(app, deps.audit);
  mountLineage(app, gateway);
  mountContent(app, deps);
  mountExport(app, { ledger: gateway.ledger, clock });
  mountSpend(app, { reports: deps.reports, keys, snapshot, now: () => clock.now() });
  app.notFound(() => Promise.reject(new ProblemError({ kind: "not_found", message: "There is no such admin route." })));
  app.onError((error, context) => {
    const problem = problemFrom(error);
    if (problem.kind === "internal") deps.gateway.report(error, "admin");
    return context.json({ error: problemBody(problem) }, problemStatus(problem) as 400, problemHeaders(problem));
  });
  return app;
}

/** Serves the admin API: to the admin token, and to keys with a role. */
export function adminApi(deps: AdminDeps): (request: FrontRequest, out: FrontOut) => void {
  const app = adminApp(deps);
  // The first request loads Fetch and builds the routes: a fraction of a second, seconds on a busy machine. A kill switch is not to wait for it.
  const authorization = (): string => `Bearer ${deps.adminToken.reveal()}`;
  deps.gateway.clock.after(
    WARM_UP_MS,
    () => void app.fetch(new Request("http://admin.internal/admin/api/kill", { headers: { authorization: authorization() } })),
  );
  return (request, out) => {
    request.readBody({ maxBytes: ADMIN_BODY_BYTES, timeoutMs: ADMIN_BODY_MS }, (outcome) => {
      if (!outcome.ok) return sendProblem(out, outcome.problem);
      answerWith(
        out,
        () => relay(app, request, outcome.bytes, out),
        (error) => deps.gateway.report(error, "admin"),
      );
    });
  };
}

async function relay(app: Hono, request: FrontRequest, body: Buffer, out: FrontOut): Promise<void> {
  // The Fetch standard forbids making such a request at all (its "forbidden method"), so it would never reach a route.
  if (FORBIDDEN_METHODS.has(request.method))
    throw new ProblemError({ kind: "invalid_request", status: 405, message: `The admin API does not take ${request.method}.` });
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) if (value !== undefined) headers.set(name, value);
  const hasBody = request.method !== "GET" && request.method !== "HEAD" && body.length > 0;
  const response = await app.fetch(
    new Request(`http://admin.internal${request.path}${request.query ? `?${request.query}` : ""}`, {
      method: request.method,
      headers,
      ...(hasBody && { body: new Uint8Array(body) }),
    }),
  );
  if (await relayStream(response, out)) return;
  out.whole(response.status, Object.fromEntries(response.headers), Buffer.from(await response.arrayBuffer()));
}

/** Of the key with this id, whose account may have another. */
async function accountNamed(keys: KeyStore, id: string): Promise<string> {
  const record = (await keys.list()).find((one) => one.id === id);
  return record ? accountOf(record) : id;
}

function selectionOf({ tag, model, target, key, team }: z.output<typeof cacheQuery>): CacheSelection {
  if (tag !== undefined) return { kind: "tag", value: tag };
  if (model !== undefined) return { kind: "model", value: model };
  if (target !== undefined) return { kind: "target", value: target };
  // An account's id is its caller's scope.
  if (key !== undefined) return { kind: "scope", value: tenantOf({ scope: key }, "key") };
  if (team !== undefined) return { kind: "scope", value: tenantOf({ scope: "", team }, "team") };
  return { kind: "all" };
}

function invalidQuery(error: z.ZodError): ProblemError {
  const [issue] = error.issues;
  const param = issue?.code === "unrecognized_keys" ? issue.keys[0] : issue?.path.join(".");
  return new ProblemError({
    kind: "invalid_request",
    message: `The query is not valid: ${issue?.message ?? "unknown"}.`,
    ...(param ? { param } : {}),
  });
}

export function notBuilt(what: string): ProblemError {
  return new ProblemError({ kind: "unsupported", message: `Gimbal does not offer ${what} yet.` });
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
