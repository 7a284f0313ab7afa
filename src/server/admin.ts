import { timingSafeEqual, createHash } from "node:crypto";
import { Hono } from "hono";
import { z } from "zod";
import {
  ProblemError,
  problemFrom,
  problemStatus,
  type CacheSelection,
  type ConfigStore,
  type Json,
  type KeyRecord,
  type KeyStore,
  type ModelBook,
  type Secret,
  type SwitchStore,
} from "../canon/index.ts";
import { tenantOf } from "../cache/index.ts";
import type { LocalPrices } from "../models/index.ts";
import type { ConfigControl } from "../config/index.ts";
import { newKey } from "../gateway/keys.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { keyBudgetsFrom, keyBudgetsOptions, keyLimitsOptions } from "../ledger/options.ts";
import { requirementOptions } from "../routing/options.ts";
import type { Health } from "../routing/health/index.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import type { Audit } from "../ledger/audit/index.ts";
import { auditTrail, mountAudit, signInRefusals } from "./audit.ts";
import { mountBudgets } from "./budgets.ts";
import { mountCanary } from "./canary.ts";
import { mountCosts } from "./costs.ts";
import { mountHealth } from "./health.ts";
import { mountKill } from "./kill.ts";
import { mountLineage } from "./lineage.ts";
import { mountRelease } from "./release.ts";
import { mountShadow } from "./shadow.ts";
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
  readonly switches: SwitchStore;
  readonly audit: Audit;
  /** The configuration in force with other prices of the house. */
  readonly bookWith?: (prices: LocalPrices) => ModelBook;
}

const keyBody = z.strictObject({
  name: z.string().min(1).max(100),
  team: z.string().min(1).max(100).optional(),
  project: z.string().min(1).max(100).optional(),
  tags: z.array(z.string().min(1).max(100)).max(50).optional(),
  models: z.array(z.string().min(1)).optional(),
  surfaces: z.array(z.string().min(1)).optional(),
  tier: z.number().int().min(0).max(4).optional(),
  requires: requirementOptions.transform((requires) => withoutUndefined(requires)).optional(),
  priority: z.number().int().min(0).max(9).optional(),
  limits: keyLimitsOptions.optional(),
  budgets: keyBudgetsOptions.optional(),
  /** Milliseconds since 1970, or an ISO date. */
  expiresAt: z.union([z.number().int().positive(), z.iso.datetime().transform((text) => Date.parse(text))]).optional(),
});

/** The newest rows: of one key where `key` holds its id, of one model or target, begun at `since` (milliseconds since 1970) or later. */
const ledgerQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MOST_LEDGER_ROWS).default(LEDGER_ROWS),
  key: z.string().min(1).max(200).optional(),
  model: z.string().min(1).max(512).optional(),
  target: z.string().min(1).max(512).optional(),
  since: z.coerce.number().int().nonnegative().optional(),
});

/** Which kept answers to forget; all of them when nothing is named. */
const cacheQuery = z
  .strictObject({
    tag: z.string().min(1).max(200).optional(),
    model: z.string().min(1).max(512).optional(),
    target: z.string().min(1).max(512).optional(),
    key: z.string().min(1).max(200).optional(),
    team: z.string().min(1).max(200).optional(),
  })
  .refine((query) => Object.keys(query).length < 2, "name one of tag, model, target, key and team");

/** Paths of the contract whose capability is not built yet: 501, never something half right. */
const NOT_BUILT = ["/spend"];

/** The admin API under `/admin/api`. Every route needs the admin token. */
export function adminApi(deps: AdminDeps): (request: FrontRequest, out: FrontOut) => void {
  const app = new Hono().basePath("/admin/api");
  const refused = signInRefusals({ audit: deps.audit, clock: deps.gateway.clock });
  app.use("*", async (context, next) => {
    if (!isAdmin(context.req.header("authorization"), deps.adminToken)) {
      refused();
      throw new ProblemError({
        kind: "unauthenticated",
        message: "The admin API needs the admin token as a Bearer token; it is in the data folder, file admin-token.",
      });
    }
    await next();
  });
  app.use(
    "*",
    auditTrail({ audit: deps.audit, ledger: deps.gateway.ledger, clock: deps.gateway.clock, randomness: deps.gateway.randomness }),
  );
  app.post("/keys", async (context) => {
    const parsed = keyBody.safeParse(await context.req.json().catch(() => undefined));
    if (!parsed.success) throw invalidBody(parsed.error);
    const { models, surfaces, tier, requires, priority, limits = [], budgets = [], ...spec } = withoutUndefined(parsed.data);
    const scopes = withoutUndefined({ models, surfaces, tier, requires, priority });
    const { key, record } = newKey({ ...spec, scopes, limits }, deps.gateway.clock, deps.gateway.randomness);
    await deps.keys.create(budgets.length === 0 ? record : { ...record, budgets: keyBudgetsFrom(record.id, budgets) });
    return context.json({ id: record.id, key, prefix: record.prefix }, 201);
  });
  app.get("/keys", async (context) => context.json({ keys: (await deps.keys.list()).map(describeKey) }));
  app.delete("/keys/:id", async (context) => {
    const id = context.req.param("id");
    if (!(await deps.keys.revoke(id, deps.gateway.clock.now())))
      throw new ProblemError({ kind: "not_found", message: `There is no key "${id.slice(0, 64)}" that could be revoked.` });
    deps.gateway.admission.forgetKeys();
    return context.json({ id, revoked: true });
  });
  app.delete("/cache", async (context) => {
    const parsed = cacheQuery.safeParse(context.req.query());
    if (!parsed.success) throw invalidQuery(parsed.error);
    return context.json({ forgotten: await deps.gateway.recall.forget(selectionOf(parsed.data)) });
  });
  app.get("/ledger", async (context) => {
    const parsed = ledgerQuery.safeParse(context.req.query());
    if (!parsed.success) throw invalidQuery(parsed.error);
    const { key: callerId, ...query } = parsed.data;
    return context.json({ rows: await deps.gateway.ledger.list(withoutUndefined({ ...query, callerId })) });
  });
  const { gateway, keys, switches: store } = deps;
  const { clock, randomness, snapshot, switches } = gateway;
  mountRelease(app, deps);
  mountCanary(app, { config: deps.config, control: deps.control, ledger: gateway.ledger, snapshot, now: () => clock.now() });
  mountShadow(app, { ledger: gateway.ledger, shadows: gateway.shadows, snapshot, now: () => clock.now() });
  mountKill(app, { store, switches, keys, snapshot, clock, randomness });
  mountHealth(app, { health: deps.health, switches: deps.switches, clock: deps.gateway.clock });
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
  for (const path of NOT_BUILT) app.all(path, () => Promise.reject(notBuilt(`/admin/api${path}`)));
  app.notFound(() => Promise.reject(new ProblemError({ kind: "not_found", message: "There is no such admin route." })));
  app.onError((error, context) => {
    const problem = problemFrom(error);
    if (problem.kind === "internal") deps.gateway.report(error, "admin");
    return context.json({ error: problemBody(problem) }, problemStatus(problem) as 400, problemHeaders(problem));
  });
  // The first request loads Fetch and builds the routes: a fraction of a second, seconds on a busy machine. A kill switch is not to wait for it.
  clock.after(WARM_UP_MS, () => void app.fetch(new Request("http://admin.internal/admin/api/kill")));
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
  out.whole(response.status, Object.fromEntries(response.headers), Buffer.from(await response.arrayBuffer()));
}

/** Compared by digest, so that the time it takes says nothing of the token. */
function isAdmin(authorization: string | undefined, token: Secret): boolean {
  const given = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
  if (given === undefined) return false;
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token.reveal()));
}

function selectionOf({ tag, model, target, key, team }: z.output<typeof cacheQuery>): CacheSelection {
  if (tag !== undefined) return { kind: "tag", value: tag };
  if (model !== undefined) return { kind: "model", value: model };
  if (target !== undefined) return { kind: "target", value: target };
  // A key's id is its caller's scope.
  if (key !== undefined) return { kind: "scope", value: tenantOf({ scope: key }, "key") };
  if (team !== undefined) return { kind: "scope", value: tenantOf({ scope: "", team }, "team") };
  return { kind: "all" };
}

function describeKey(key: KeyRecord): Json {
  const { hash: _hash, ...shown } = key;
  return shown as unknown as Json;
}

function invalidBody(error: z.ZodError): ProblemError {
  const [issue] = error.issues;
  const param = issue?.path.join(".");
  return new ProblemError({
    kind: "invalid_request",
    message: `The body is not valid: ${issue?.message ?? "it is not JSON"}.`,
    ...(param ? { param } : {}),
  });
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
