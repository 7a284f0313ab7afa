import { ProblemError, problemFrom, type Dialect, type Door, type Json, type JsonObject } from "../canon/index.ts";
import { countRequest } from "../gateway/allowance.ts";
import { openCall } from "../gateway/pipeline.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { CallRequest } from "../gateway/request.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { replayTurn, turnDoor } from "../gateway/turn-doors.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { mountModelDoor } from "./models.ts";
import { headersIn } from "./query-headers.ts";
import { HttpReader, sendJson, serveReading } from "./respond.ts";
import { queryParams, type Params, type Router } from "./router.ts";

export type CallDoor = CallRequest["door"];

export function isCallDoor(door: Door): door is CallDoor {
  return door.does.kind === "call";
}

/** Mounts the doors that the dialects offer. Which languages there are is not known here. */
export function mountDoors(router: Router, deps: GatewayDeps): void {
  for (const dialect of deps.dialects.values()) {
    for (const door of dialect.doors) {
      if (isCallDoor(door))
        router.add(door.method, door.path, (request, out, params) => openDoor(deps, dialect, door, request, out, params));
      else if (door.does.kind === "turn")
        router.add(door.method, door.path, (request, out, params) => void answerTurn(deps, dialect, door, request, out, params));
      else if (door.does.kind === "models") mountModelDoor(router, deps, dialect, door);
      else router.add(door.method, door.path, (_request, out) => sendJson(out, 200, { ...(dialect.greeting as JsonObject) }));
    }
  }
}

/** A model call over HTTP. */
function openDoor(deps: GatewayDeps, dialect: Dialect, door: CallDoor, request: FrontRequest, out: FrontOut, params: Params): void {
  const reader = new HttpReader(out);
  const live = openCall(deps, callRequest(dialect, door, request, params), reader);
  reader.whenDrained = () => live.drained(reader);
  out.onLeave(() => live.detach(reader));
}

function callRequest(dialect: Dialect, door: CallDoor, request: FrontRequest, segments: Params): CallRequest {
  const params = request.query === "" && !door.params ? segments : { ...queryParams(request.query), ...segments, ...door.params };
  return {
    dialect: dialect.framedFor?.(params) ?? dialect,
    door,
    headers: headersIn(dialect, request),
    params,
    peer: request.peer,
    readBody: (limits) =>
      new Promise((resolve, reject) => {
        request.readBody(limits, (outcome) => (outcome.ok ? resolve(outcome.bytes) : reject(new ProblemError(outcome.problem))));
      }),
  };
}

/** Reading, deleting, cancelling a kept turn: answered in the dialect's own shapes. */
async function answerTurn(
  deps: GatewayDeps,
  dialect: Dialect,
  door: Door,
  request: FrontRequest,
  out: FrontOut,
  params: Params,
): Promise<void> {
  try {
    const caller = await deps.admission.identify(deps.snapshot(), dialect, request.headers, request.peer);
    await countRequest(deps, caller);
    const asked = { ...queryParams(request.query), ...params };
    const have = door.does.kind === "turn" && door.does.action === "read" ? dialect.replayAfter?.(asked) : undefined;
    if (have !== undefined) {
      const id = params["id"] ?? "";
      return await serveReading(out, { numbered: false }, (reader) => replayTurn(deps, dialect, caller, id, have, reader));
    }
    const body: Json = await turnDoor(deps, dialect, door, caller, asked);
    out.whole(200, { "content-type": "application/json" }, JSON.stringify(body));
  } catch (error) {
    const problem = problemFrom(error);
    const requestId = deps.randomness.id("req_");
    if (problem.kind === "internal") deps.report(error, requestId);
    const { status, body } = dialect.encodeProblem(problem, requestId);
    out.whole(status, { "content-type": "application/json", ...problemHeaders(problem) }, JSON.stringify(body));
  }
}
