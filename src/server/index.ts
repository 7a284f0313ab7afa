import type { Problem } from "../canon/index.ts";
import type { FrontHandler } from "../wire/types.ts";
import { adminApi, notBuilt, type AdminDeps } from "./admin.ts";
import { mountCalls } from "./calls.ts";
import { mountDoors } from "./doors.ts";
import { welcomePage } from "./welcome.ts";
import { mountMetrics, type MetricsDeps } from "./metrics.ts";
import { mountModels } from "./models.ts";
import { NOT_BUILT } from "./not-built.ts";
import { sendOutside } from "./outside.ts";
import { sendJson } from "./respond.ts";
import { Router } from "./router.ts";

export { upgradeHandler } from "./socket.ts";
export type { AdminDeps } from "./admin.ts";

export interface ServerDeps extends AdminDeps, MetricsDeps {
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
  const admin = adminApi(deps);
  mountDoors(router, deps.gateway);
  mountModels(router, deps.gateway);
  mountCalls(router, deps.gateway);
  mountOperations(router, deps);
  mountMetrics(router, deps);
  for (const { method, path, what } of NOT_BUILT)
    router.add(method, path, (request, out) => sendOutside(deps.gateway, request, out, notBuilt(what).problem));
  return (request, out) => {
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
  router.add("GET", "/", (request, out) =>
    out.whole(
      200,
      { "content-type": "text/html; charset=utf-8", "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'" },
      welcomePage(deps.gateway, request.headers["host"] ?? DEFAULT_ADDRESS),
    ),
  );
}
