import { formatDollars, ProblemError, type Caller, type LedgerRow } from "../canon/index.ts";
import type { LiveCall } from "../gateway/live.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { HttpReader, answerWith, sendJson } from "./respond.ts";
import { queryParams, type Params, type Router } from "./router.ts";

/** A call's life: what became of it, its events again, its end. Everybody sees their own calls only. */
export function mountCalls(router: Router, deps: GatewayDeps): void {
  const handle =
    (work: (request: FrontRequest, out: FrontOut, params: Params, caller: Caller) => Promise<void>, who = identifyAndCount) =>
    (request: FrontRequest, out: FrontOut, params: Params) =>
      answerWith(
        out,
        async () => work(request, out, params, await who(deps, request)),
        (error) => deps.report(error, params["id"] ?? ""),
      );
  router.add(
    "GET",
    "/v1/calls/{id}",
    handle((_request, out, { id = "" }, caller) => describe(deps, out, id, caller)),
  );
  router.add(
    "GET",
    "/v1/calls/{id}/events",
    handle((request, out, { id = "" }, caller) => resume(deps, request, out, id, caller)),
  );
  router.add(
    "POST",
    "/v1/calls/{id}/cancel",
    // Whoever has used up a limit must still be able to stop what runs.
    handle((_request, out, { id = "" }, caller) => cancel(deps, out, id, caller), identify),
  );
}

/** The caller, whose request counts against its limits. @throws ProblemError unauthenticated, rate_limited */
export async function identifyAndCount(deps: GatewayDeps, request: FrontRequest): Promise<Caller> {
  const caller = await identify(deps, request);
  deps.admission.count(deps.snapshot(), caller);
  return caller;
}

/** The caller, by whichever language's credentials the request carries. */
async function identify(deps: GatewayDeps, request: FrontRequest): Promise<Caller> {
  const dialects = [...deps.dialects.values()];
  const dialect = dialects.find((candidate) => candidate.credentials(request.headers) !== undefined) ?? dialects[0];
  if (!dialect) throw new ProblemError({ kind: "internal", message: "No dialect is installed." });
  return deps.admission.identify(deps.snapshot(), dialect, request.headers, request.peer);
}

async function describe(deps: GatewayDeps, out: FrontOut, id: string, caller: Caller): Promise<void> {
  const live = deps.live.find(id);
  if (live && live.state === "open") {
    assertOwn(live.caller, caller, id);
    sendJson(out, 200, { id, state: "open", startedAt: live.startedAt, frames: live.last });
    return;
  }
  const row = await deps.ledger.read(id);
  if (!row || row.callerId !== caller.id) throw missing(id);
  sendJson(out, 200, describeRow(row));
}

/** A ledger row for people and programs; dollars as exact decimal text. */
export function describeRow(row: LedgerRow): object {
  const { callId, costNanodollars, ...rest } = row;
  return {
    id: callId,
    ...rest,
    cost: costNanodollars === undefined ? null : { nanodollars: costNanodollars, usd: formatDollars(costNanodollars) },
  };
}

async function resume(deps: GatewayDeps, request: FrontRequest, out: FrontOut, id: string, caller: Caller): Promise<void> {
  const live = deps.live.find(id);
  if (!live) {
    const row = await deps.ledger.read(id);
    if (!row || row.callerId !== caller.id) throw missing(id);
    throw new ProblemError({
      kind: "not_found",
      status: 410,
      message: `The events of call ${id} are no longer kept.`,
      code: "events_expired",
    });
  }
  assertOwn(live.caller, caller, id);
  const after = readAfter(request);
  if (live.ended && after > live.last) {
    throw new ProblemError({
      kind: "invalid_request",
      status: 416,
      message: `Call ${id} ended with event ${live.last}; there is nothing behind ${after}.`,
      param: "after",
    });
  }
  attach(live, out, after);
}

function attach(live: LiveCall, out: FrontOut, after: number): void {
  const reader = new HttpReader(out, { numbered: true });
  reader.whenDrained = () => live.drained(reader);
  out.onLeave(() => live.detach(reader));
  if (live.attach(reader, after)) return;
  throw new ProblemError({
    kind: "not_found",
    status: 410,
    message: `Events up to ${after + 1} of this call are no longer kept.`,
    code: "events_expired",
  });
}

function readAfter(request: FrontRequest): number {
  const text = queryParams(request.query)["after"] ?? request.headers["last-event-id"] ?? "0";
  if (!/^\d{1,15}$/.test(text))
    throw new ProblemError({ kind: "invalid_request", message: "`after` must be the number of an event.", param: "after" });
  return Number(text);
}

async function cancel(deps: GatewayDeps, out: FrontOut, id: string, caller: Caller): Promise<void> {
  const live = deps.live.find(id);
  if (live && live.state === "open") {
    assertOwn(live.caller, caller, id);
    live.stop({ kind: "cancelled", message: "The call was cancelled by its caller." });
    await live.whenSettled();
  }
  await describe(deps, out, id, caller);
}

/** A call of somebody else looks like no call at all. */
function assertOwn(owner: Caller | undefined, caller: Caller, id: string): void {
  if (owner?.scope !== caller.scope) throw missing(id);
}

function missing(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no call "${id.slice(0, 64)}".` });
}
