import { PROBLEM_KINDS } from "../canon/index.ts";
import type { FrontHandler, FrontOut, FrontRequest } from "../wire/types.ts";
import { adminApi, notBuilt, type AdminDeps } from "./admin.ts";
import { mountCalls } from "./calls.ts";
import { mountDoors } from "./doors.ts";
import { welcomePage } from "./welcome.ts";
import { mountModels } from "./models.ts";
import { NOT_BUILT } from "./not-built.ts";
import { sendJson, sendProblem } from "./respond.ts";
import { Router } from "./router.ts";

export { upgradeHandler } from "./socket.ts";
export type { AdminDeps } from "./admin.ts";

export interface ServerDeps extends AdminDeps {
  /** False while starting or draining: load balancers look elsewhere. */
  readonly isReady: () => boolean;
}

/** Where a gateway is unless it was told otherwise. */
const DEFAULT_ADDRESS = "127.0.0.1:4100";

/** Everything the gateway serves over HTTP. */
export function httpHandler(deps: ServerDeps): FrontHandler {
  const router = new Router();
  const admin = adminApi(deps);
  mountDoors(router, deps.gateway);
  mountModels(router, deps.gateway);
  mountCalls(router, deps.gateway);
  mountOperations(router, deps);
  for (const { method, path, what } of NOT_BUILT) router.add(method, path, (_request, out) => sendProblem(out, notBuilt(what).problem));
  return (request, out) => {
    if (request.path.startsWith("/admin/api/")) return admin(request, out);
    const match = router.match(request.method, request.path);
    if (match.kind === "found") return match.handler(request, out, match.params);
    if (match.kind === "wrong-method") return sendWrongMethod(out, request, match.allow);
    sendProblem(out, { kind: "not_found", message: `Nothing is served at ${request.path.slice(0, 200)}. ${PROBLEM_KINDS.not_found.remedy}` });
  };
}

function sendWrongMethod(out: FrontOut, request: FrontRequest, allow: string): void {
  sendJson(out, 405, { error: { type: "invalid_request", message: `${request.path.slice(0, 200)} takes ${allow}, not ${request.method}.` } }, { allow, "x-gimbal-problem": "invalid_request" });
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
  router.add("GET", "/", (request, out) => out.whole(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'" }, welcomePage(deps.gateway, request.headers["host"] ?? DEFAULT_ADDRESS)));
}
