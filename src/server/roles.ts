import type { Context, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import { ProblemError, type Caller, type Role, type Secret } from "../canon/index.ts";
import { KEY_PREFIX } from "../gateway/admission.ts";
import { isAdmin } from "./admin-token.ts";

/** Actor and author of what whoever holds the admin token does. */
export const ADMIN = "admin";
/** Under this name the request's context holds who signed in, where that is not the admin token. */
const ACTOR = "gimbal.actor";
const ROLE = "gimbal.role";
const BASE = "/admin/api";

export const ROLES = ["viewer", "developer", "approver", "admin"] as const satisfies readonly Role[];

const EVERYBODY: readonly Role[] = ["viewer", "developer", "approver"];
const WHO_BUILDS: readonly Role[] = ["developer"];
const WHO_APPROVES: readonly Role[] = ["approver"];
const WHO_RELEASES: readonly Role[] = ["developer", "approver"];
const ADMIN_ALONE: readonly Role[] = [];

/**
 * Who may use which route, besides the role `admin`, which may use them all. A viewer sees figures and settings, not single calls; a
 * developer changes models and sees their calls; an approver decides on releases and sees what was done; keys, budgets and prices that
 * count are the admin's.
 */
export const ROUTE_ROLES: Readonly<Record<string, readonly Role[]>> = {
  "GET /accounts": EVERYBODY,
  "PATCH /accounts/:id": ADMIN_ALONE,
  "POST /accounts/:id/keys": ADMIN_ALONE,
  "GET /alerts": EVERYBODY,
  "GET /audit": WHO_APPROVES,
  "POST /audit/checkpoint": WHO_APPROVES,
  "GET /audit/checkpoints": WHO_APPROVES,
  "GET /audit/entries": WHO_APPROVES,
  "GET /audit/key": EVERYBODY,
  "GET /budgets": EVERYBODY,
  "PUT /budgets": ADMIN_ALONE,
  "DELETE /cache": WHO_BUILDS,
  "POST /config/rollback": WHO_RELEASES,
  "GET /config/versions": EVERYBODY,
  "GET /config/versions/:version": WHO_RELEASES,
  "GET /denials": EVERYBODY,
  "POST /denials": ADMIN_ALONE,
  "DELETE /denials/:id": ADMIN_ALONE,
  "GET /health/targets": EVERYBODY,
  "POST /health/targets": WHO_BUILDS,
  "GET /keys": EVERYBODY,
  "POST /keys": ADMIN_ALONE,
  "DELETE /keys/:id": ADMIN_ALONE,
  "POST /keys/:id/rotate": ADMIN_ALONE,
  "GET /kill": EVERYBODY,
  "POST /kill": WHO_RELEASES,
  "DELETE /kill/:id": WHO_APPROVES,
  "GET /ledger": WHO_BUILDS,
  "GET /ledger/differences": WHO_BUILDS,
  "GET /ledger/export": WHO_BUILDS,
  "GET /ledger/:id/repricings": WHO_BUILDS,
  "POST /ledger/reprice": ADMIN_ALONE,
  "POST /ledger/rollup": ADMIN_ALONE,
  "GET /lineage": WHO_RELEASES,
  "PATCH /models/:name{.+}": WHO_BUILDS,
  "GET /models/:name{.+}/canary": EVERYBODY,
  "POST /models/:name{.+}/canary/abort": WHO_RELEASES,
  "POST /models/:name{.+}/canary/promote": WHO_RELEASES,
  "GET /projects": EVERYBODY,
  "PATCH /projects/:name{.+}": ADMIN_ALONE,
  "GET /shadow": EVERYBODY,
  "GET /spend": EVERYBODY,
  "GET /spend/chargeback": EVERYBODY,
  "GET /spend/forecast": EVERYBODY,
  "GET /teams": EVERYBODY,
  "PATCH /teams/:name{.+}": ADMIN_ALONE,
};

/** A route's name in the table. */
export function routeName({ method, path }: { readonly method: string; readonly path: string }): string {
  return `${method} ${path.slice(BASE.length)}`;
}

export interface SignInDeps {
  readonly adminToken: Secret;
  /** Of a key that is in force. Rejects with `unauthenticated`. */
  readonly byKey: (key: string) => Caller | Promise<Caller>;
  /** Told of every one who was not let in. */
  readonly refused: () => void;
}

/** Who asks? The admin token is the role `admin`; a key is the role that it was made with. @throws ProblemError unauthenticated, forbidden */
export function signIn({ adminToken, byKey, refused }: SignInDeps): MiddlewareHandler {
  return async (context, next) => {
    const authorization = context.req.header("authorization");
    if (isAdmin(authorization, adminToken)) context.set(ROLE, "admin");
    else {
      try {
        const caller = await callerOf(authorization, byKey);
        context.set(ROLE, caller.scopes.role);
        context.set(ACTOR, `key:${caller.id}`);
      } catch (error) {
        refused();
        throw error;
      }
    }
    await next();
  };
}

async function callerOf(authorization: string | undefined, byKey: SignInDeps["byKey"]): Promise<Caller> {
  const key = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
  if (!key?.startsWith(KEY_PREFIX))
    throw new ProblemError({
      kind: "unauthenticated",
      message:
        "The admin API needs the admin token or a key with a role as a Bearer token; the token is in the data folder, file admin-token.",
    });
  const caller = await byKey(key);
  if (caller.scopes.role === undefined || !caller.scopes.surfaces?.includes(ADMIN))
    throw new ProblemError({ kind: "forbidden", message: `The key "${caller.name}" may not use the admin API.` });
  return caller;
}

/** May this role use this route? A route that the table forgot is the admin's. @throws ProblemError forbidden */
export function checkRole(): MiddlewareHandler {
  return async (context, next) => {
    const role: unknown = context.get(ROLE);
    if (role !== "admin") {
      const route = matchedRoutes(context).find(({ path }) => !path.endsWith("*"));
      if (route && !(ROUTE_ROLES[routeName(route)] ?? ADMIN_ALONE).some((allowed) => allowed === role))
        throw new ProblemError({ kind: "forbidden", message: `The role ${String(role)} may not ${route.method} ${context.req.path}.` });
    }
    await next();
  };
}

/** As the audit and the configuration's versions name them. */
export function actorOf(context: Context): string {
  const actor: unknown = context.get(ACTOR);
  return typeof actor === "string" ? actor : ADMIN;
}
