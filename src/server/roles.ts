import type { Context, Hono, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import { ProblemError, type Caller, type Role, type Secret } from "../canon/index.ts";
import { KEY_PREFIX } from "../gateway/admission.ts";
import { PEOPLE } from "../gateway/identity-options.ts";
import type { Issued } from "../gateway/issuers.ts";
import { isAdmin } from "./admin-token.ts";
import { SIGN_IN_PATH, type Sessions } from "./sign-in/index.ts";

/** Actor and author of what whoever holds the admin token does. */
export const ADMIN = "admin";
/** Under this name the request's context holds who asks. */
const ASKER = "gimbal.asker";
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
  "GET /content": WHO_BUILDS,
  "DELETE /content": ADMIN_ALONE,
  "GET /content/:id": WHO_BUILDS,
  "POST /config/rollback": WHO_RELEASES,
  "GET /config/versions": EVERYBODY,
  "GET /config/versions/:version": WHO_RELEASES,
  "POST /data-key/rotate": ADMIN_ALONE,
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
  "GET /mcp": EVERYBODY,
  "GET /mcp/:server/tools/:tool": EVERYBODY,
  "POST /mcp/pins": WHO_APPROVES,
  "DELETE /mcp/pins": WHO_APPROVES,
  "POST /mcp/:server/login": ADMIN_ALONE,
  "POST /mcp/:server/test": WHO_BUILDS,
  "PATCH /models/:name{.+}": WHO_BUILDS,
  "GET /models/:name{.+}/canary": EVERYBODY,
  "POST /models/:name{.+}/canary/abort": WHO_RELEASES,
  "POST /models/:name{.+}/canary/promote": WHO_RELEASES,
  "GET /projects": EVERYBODY,
  "PATCH /projects/:name{.+}": ADMIN_ALONE,
  "GET /session": EVERYBODY,
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
  /** Of an issuer's token; undefined for what no issuer known here calls its own. Rejects with `unauthenticated`. */
  readonly byToken: (token: string) => Issued | Promise<Issued> | undefined;
  /** Of browsers; undefined where nobody can sign in. */
  readonly sessions?: Pick<Sessions, "read" | "mayAct"> | undefined;
  /** Told of every one who was not let in. */
  readonly refused: () => void;
}

/** Who asks at the admin API, and what they may do there. */
export interface Asker {
  /** As the audit and the configuration's versions name them. */
  readonly actor: string;
  readonly roles: readonly Role[];
  readonly by: "admin token" | "key" | "token" | "session";
  /** As people call them, where their issuer says. */
  readonly name?: string;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
}

/**
 * Who asks? The admin token is the role `admin`; a key is the role that it was made with; an issuer's token and a signed-in person have the
 * roles that the configuration makes of their claims. What is sent in `authorization` counts alone.
 * @throws ProblemError unauthenticated, forbidden
 */
export function signIn(deps: SignInDeps): MiddlewareHandler {
  return async (context, next) => {
    try {
      context.set(ASKER, await askerOf(deps, context));
    } catch (error) {
      deps.refused();
      throw error;
    }
    await next();
  };
}

async function askerOf({ adminToken, byKey, byToken, sessions }: SignInDeps, { req }: Context): Promise<Asker> {
  const authorization = req.header("authorization");
  if (isAdmin(authorization, adminToken)) return { actor: ADMIN, roles: ["admin"], by: "admin token" };
  if (authorization === undefined && sessions) {
    const session = await sessions.read(req.header());
    if (session) {
      if (sessions.mayAct(req.method, req.header()))
        return {
          actor: `${PEOPLE}:${session.subject}`,
          roles: session.roles,
          by: "session",
          name: session.name,
          expiresAt: session.expiresAt,
        };
      throw new ProblemError({
        kind: "forbidden",
        message: "Only a page of this gateway can do this in the name of whoever is signed in.",
        code: "foreign_origin",
      });
    }
  }
  const credential = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1] ?? "";
  if (credential.startsWith(KEY_PREFIX)) {
    const { id, name, scopes } = await byKey(credential);
    if (scopes.role === undefined || !scopes.surfaces?.includes(ADMIN)) throw noAdmin(`The key "${name}"`);
    return { actor: `key:${id}`, roles: [scopes.role], by: "key" };
  }
  const issued = await byToken(credential);
  if (issued) {
    if (issued.roles.length === 0) throw noAdmin(`"${issued.actor}"`);
    return { actor: issued.actor, roles: issued.roles, by: "token", expiresAt: issued.expiresAt };
  }
  throw new ProblemError({
    kind: "unauthenticated",
    message: `The admin API needs the admin token, a key with a role${sessions ? " or a token of your issuer" : ""} as a Bearer token${sessions ? `, or a browser that has signed in at ${SIGN_IN_PATH}` : ""}; the admin token is in the data folder, file admin-token.`,
  });
}

function noAdmin(who: string): ProblemError {
  return new ProblemError({ kind: "forbidden", message: `${who} may not use the admin API.` });
}

/** May one of these roles use this route? A route that the table forgot is the admin's. @throws ProblemError forbidden */
export function checkRole(): MiddlewareHandler {
  return async (context, next) => {
    const { roles } = askerIn(context);
    if (!roles.includes("admin")) {
      const route = matchedRoutes(context).find(({ path }) => !path.endsWith("*"));
      if (route && !(ROUTE_ROLES[routeName(route)] ?? ADMIN_ALONE).some((allowed) => roles.includes(allowed)))
        throw new ProblemError({
          kind: "forbidden",
          message: `The role ${roles.join(" and ")} may not ${route.method} ${context.req.path}.`,
        });
    }
    await next();
  };
}

/** Who sent a request that was let in. */
export function askerIn(context: Context): Asker {
  const asker: unknown = context.get(ASKER);
  return typeof asker === "object" && asker !== null ? (asker as Asker) : { actor: ADMIN, roles: [], by: "admin token" };
}

/** As the audit and the configuration's versions name them. */
export function actorOf(context: Context): string {
  return askerIn(context).actor;
}

/** `/session`: who asks, as whom the admin API sees them. */
export function mountSession(app: Pick<Hono, "get">): void {
  app.get("/session", (context) => context.json(askerIn(context)));
}
