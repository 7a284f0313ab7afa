import { ProblemError, type Caller, type Dialect, type RealtimeLanguage } from "../canon/index.ts";
import { RealtimeSession } from "../gateway/realtime.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontRequest, FrontSocket } from "../wire/types.ts";
import { headersIn } from "./query-headers.ts";
import { queryParams } from "./router.ts";

/** A door for sessions. */
export interface RealtimeDoor {
  readonly dialect: Dialect;
  readonly language: RealtimeLanguage;
}

export function realtimeDoors(deps: GatewayDeps): ReadonlyMap<string, RealtimeDoor> {
  return new Map(
    [...deps.dialects.values()].flatMap((dialect) =>
      dialect.realtime ? [[dialect.realtime.path, { dialect, language: dialect.realtime }] as const] : [],
    ),
  );
}

/** The caller is known before the upgrade is accepted. @throws ProblemError unauthenticated, invalid_request */
export async function identifyForSession(deps: GatewayDeps, { dialect, language }: RealtimeDoor, request: FrontRequest): Promise<Caller> {
  const caller = await deps.admission.identify(deps.snapshot(), dialect, headersIn(dialect, request), request.peer);
  if (language.modelAsked(queryParams(request.query)) === "")
    throw new ProblemError({ kind: "invalid_request", message: "The address names no model: add `?model=NAME`.", param: "model" });
  return caller;
}

/** Joins one client's socket to a session. */
export function serveSession(deps: GatewayDeps, { dialect, language }: RealtimeDoor, request: FrontRequest, socket: FrontSocket): void {
  const params = queryParams(request.query);
  const session = new RealtimeSession(
    deps,
    { dialect, language, model: language.modelAsked(params), headers: headersIn(dialect, request), params, peer: request.peer },
    socket,
  );
  socket.onMessage((text) => session.fromClient(text));
  socket.onClose(() => session.clientLeft());
  // It goes on while the gateway drains, and is stopped with the calls that outlast the patience.
  socket.onGoodbye(() => {});
}
