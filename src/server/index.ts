import type { Problem } from "../canon/index.ts";
import type { FrontHandler } from "../wire/types.ts";
import { PEOPLE } from "../gateway/identity-options.ts";
import { adminApi, notBuilt, type AdminDeps } from "./admin.ts";
import { signInRefusals } from "./audit.ts";
import { mountCalls } from "./calls.ts";
import { mountBatches, type BatchDoorDeps } from "./batches.ts";
import { mountDoors } from "./doors.ts";
import { mountFiles, type FileDoorDeps } from "./files.ts";
import { welcomePage } from "./welcome.ts";
import { mountMcp } from "./mcp.ts";
import { mountMetrics, type MetricsDeps } from "./metrics.ts";
import { mountModels } from "./models.ts";
import { NOT_BUILT } from "./not-built.ts";
import { sendOutside } from "./outside.ts";
import { openApiDocument } from "./openapi/index.ts";
import { PASSTHROUGH, passThrough } from "./passthrough.ts";
import { sendJson } from "./respond.ts";
import { Router } from "./router.ts";
import { mountSignIn, Sessions, type Identity, type SessionDeps } from "./sign-in/index.ts";

export { upgradeHandler } from "./socket.ts";
export { Identity, peopleAt } from "./sign-in/index.ts";
export type { AdminDeps } from "./admin.ts";

export interface ServerDeps extends Omit<AdminDeps, "sessions">, MetricsDeps, FileDoorDeps, BatchDoorDeps {
  /** Who vouches for people and services. */
  readonly identity: Identity;
  /** False while starting or draining: load balancers look elsewhere. */
  readonly isReady: () => boolean;
}

/** Where a gateway is unless it was told otherwise. */
const DEFAULT_ADDRESS = "127.0.0.1:4100";

/** Letters of a path that an error repeats. */
const SHOWN_PATH = 200;

/** Everything the gateway serves over HTTP. */
export function httpHandler(deps: ServerDeps): FrontHandler {
  const router = new Router();
  const sessions = signInWith(router, deps);
  const admin = adminApi({ ...deps, sessions });
  mountDoors(router, deps.gateway);
  mountFiles(router, deps);
  mountBatches(router, deps);
  mountModels(router, deps.gateway);
  mountCalls(router, deps.gateway, deps);
  mountMcp(router, { ...deps, identity: () => deps.identity.options });
  mountOperations(router, deps);
  mountMetrics(router, deps);
  for (const { method, path, what } of NOT_BUILT)
    router.add(method, path, (request, out) => sendOutside(deps.gateway, request, out, notBuilt(what).problem));
  return (request, out) => {
    if (request.path.startsWith(PASSTHROUGH)) return passThrough(deps.gateway, request, out);
    if (request.path.startsWith("/admin/api/")) return admin(request, out);
    const match = router.match(request.method, request.path);
    if (match.kind === "found") return match.handler(request, out, match.params);
    const path = request.path.slice(0, SHOWN_PATH);
    if (match.kind === "wrong-method") {
      const problem: Problem = { kind: "invalid_request", status: 405, message: `${path} takes ${match.allow}, not ${request.method}.` };
      return sendOutside(deps.gateway, request, out, problem, { allow: match.allow });
    }
    sendOutside(deps.gateway, request, out, { kind: "not_found", message: `Nothing is served at ${path}.` });
  };
}

/** Mounts people's sign-in; what it gives are the sessions that the admin API takes. */
function signInWith(router: Router, { identity, gateway, keys, audit }: ServerDeps): Sessions | undefined {
  const { seal, clock, randomness, admission } = gateway;
  // Without a key of its own a gateway has nothing to give a browser.
  if (!seal) return undefined;
  const isDenied: SessionDeps["isDenied"] = (vouched) => admission.isDenied(vouched);
  const sessions = new Sessions({ clock, seal, isDenied, identity: () => identity.options });
  mountSignIn(router, {
    identity: () => identity.options,
    people: identity.people,
    tokens: identity.tokens,
    sessions,
    seal,
    clock,
    randomness,
    isDenied,
    revoke: async ({ id, subject, expiresAt }) => {
      const author = `${PEOPLE}:${subject}`;
      const entry = {
        id: randomness.id("deny_"),
        kind: "session",
        issuer: PEOPLE,
        value: id,
        author,
        createdAt: clock.now(),
        expiresAt,
      } as const;
      await audit.as({ actor: author }, () => keys.deny(entry));
      admission.forgetKeys();
    },
    note: (event) => audit.note(event),
    refused: signInRefusals({ audit, clock }),
    report: (error) => gateway.report(error, "sign-in"),
  });
  return sessions;
}

function mountOperations(router: Router, deps: ServerDeps): void {
  router.add("GET", "/healthz", (_request, out) => sendJson(out, 200, { status: "ok" }));
  router.add("GET", "/readyz", (_request, out) => {
    const failure = deps.gateway.ledger.failure();
    const ready = deps.isReady() && failure === undefined;
    sendJson(out, ready ? 200 : 503, { status: ready ? "ready" : "not ready", ...(failure !== undefined && { reason: failure }) });
  });
  // Some clients ask whether a gateway is there before they send a call.
  router.add("HEAD", "/api/hello", (_request, out) => out.whole(200, {}, ""));
  router.add("GET", "/api/hello", (_request, out) => sendJson(out, 200, { status: "ok" }));
  // Some fifty milliseconds' work, once: it stays the same until the process ends.
  let description: string | undefined;
  router.add("GET", "/openapi.json", (_request, out) => {
    description ??= JSON.stringify(openApiDocument(deps.gateway.dialects.values()));
    out.whole(200, { "content-type": "application/json" }, description);
  });
  router.add("GET", "/", (request, out) =>
    out.whole(
      200,
      { "content-type": "text/html; charset=utf-8", "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'" },
      welcomePage(deps.gateway, request.headers["host"] ?? DEFAULT_ADDRESS),
    ),
  );
}
