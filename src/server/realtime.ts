import { problemFrom, ProblemError, type Caller, type Dialect, type Headers, type RealtimeLanguage } from "../canon/index.ts";
import { RealtimeSession } from "../gateway/realtime.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { openJson } from "../kit/index.ts";
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
      (dialect.realtime?.paths ?? []).flatMap((path) =>
        dialect.realtime ? [[path, { dialect, language: dialect.realtime }] as const] : [],
      ),
    ),
  );
}

/** The caller is known before the upgrade is accepted. @throws ProblemError unauthenticated, invalid_request */
export async function identifyForSession(deps: GatewayDeps, door: RealtimeDoor, request: FrontRequest): Promise<Caller> {
  const { dialect, language } = door;
  const caller = await deps.admission.identify(deps.snapshot(), dialect, sessionHeaders(door, request), request.peer);
  if (language.modelAsked(queryParams(request.query)) === "")
    throw new ProblemError({ kind: "invalid_request", message: "The address names no model: add `?model=NAME`.", param: "model" });
  return caller;
}

/** A key among the subprotocols stands in place of the header that a browser cannot set; one that was sent wins. */
function sessionHeaders({ dialect, language: { keyProtocol } }: RealtimeDoor, request: FrontRequest): Headers {
  const headers = headersIn(dialect, request);
  if (keyProtocol === undefined || headers["authorization"] !== undefined) return headers;
  const offered = headers["sec-websocket-protocol"]?.split(",").map((name) => name.trim());
  const key = offered?.find((name) => name.startsWith(keyProtocol))?.slice(keyProtocol.length);
  return key ? { ...headers, authorization: `Bearer ${key}` } : headers;
}

/** How long a client may take to name its model, where its first message does. */
const FIRST_MESSAGE_MS = 10_000;
/** Source: RFC 6455, section 7.4.1. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;

/** Joins one client's socket to a session. */
export function serveSession(deps: GatewayDeps, door: RealtimeDoor, request: FrontRequest, socket: FrontSocket): void {
  const { dialect, language } = door;
  const params = queryParams(request.query);
  const begin = (model: string): RealtimeSession =>
    new RealtimeSession(deps, { dialect, language, model, headers: sessionHeaders(door, request), params, peer: request.peer }, socket);
  const asked = language.modelAsked(params);
  let session = asked === undefined ? undefined : begin(asked);
  const giveUp = session
    ? undefined
    : deps.clock.after(FIRST_MESSAGE_MS, () => socket.close(POLICY_VIOLATION, "the first message, which names the model, did not come"));
  let over = false;
  socket.onMessage((text) => {
    if (over) return;
    try {
      session ??= begin(modelIn(language, text));
      giveUp?.();
      session.fromClient(text);
    } catch (error) {
      over = true;
      giveUp?.();
      socket.close(POLICY_VIOLATION, problemFrom(error).message);
    }
  });
  socket.onClose(() => {
    giveUp?.();
    session?.clientLeft();
  });
  // It goes on while the gateway drains, and is stopped with the calls that outlast the patience; before it began there is nothing to drain.
  socket.onGoodbye(() => {
    if (!session) socket.close(GOING_AWAY, "the gateway is shutting down");
  });
}

/** Deeper than any first message. */
const FIRST_MESSAGE_DEPTH = 64;

/** @throws ProblemError invalid_request */
function modelIn(language: RealtimeLanguage, text: string): string {
  const opened = openJson(Buffer.from(text), { depth: FIRST_MESSAGE_DEPTH });
  if (!opened.ok) throw new ProblemError({ kind: "invalid_request", message: "The first message is no JSON object." });
  return language.modelIn?.(opened.document.value) ?? "";
}
