import { formatDollars, ProblemError, type Caller, type Dialect, type LedgerRow } from "../canon/index.ts";
import { countRequest } from "../gateway/allowance.ts";
import { explainCall } from "../gateway/explain.ts";
import { cancelElsewhere } from "../gateway/elsewhere.ts";
import { CANCELLED } from "../gateway/index.ts";
import { missingCall, resume } from "../gateway/resume.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { callContent, type ContentDeps } from "./content.ts";
import { ownLineage } from "./lineage.ts";
import { headersIn } from "./query-headers.ts";
import { answerWith, sendJson, serveReading } from "./respond.ts";
import { queryParams, type Params, type Router } from "./router.ts";

/** A call's life: what became of it, its events again, its end. Everybody sees their own calls only. */
export function mountCalls(router: Router, deps: GatewayDeps, stored: Pick<ContentDeps, "audit" | "content">): void {
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
    handle((request, out, { id = "" }, caller) => readEvents(deps, request, out, id, caller)),
  );
  router.add(
    "GET",
    "/v1/calls/{id}/explain",
    handle(async (_request, out, { id = "" }, caller) => sendJson(out, 200, await explainCall(deps, id, caller))),
  );
  router.add(
    "GET",
    "/v1/calls/{id}/lineage",
    handle(async (request, out, { id = "" }, caller) => sendJson(out, 200, await ownLineage(deps, id, caller, queryParams(request.query)))),
  );
  router.add(
    "GET",
    "/v1/calls/{id}/content",
    handle(async (_request, out, { id = "" }, caller) => sendJson(out, 200, await callContent({ gateway: deps, ...stored }, id, caller))),
  );
  router.add(
    "POST",
    "/v1/calls/{id}/cancel",
    // Whoever has used up a limit must still be able to stop what runs.
    handle((_request, out, { id = "" }, caller) => cancel(deps, out, id, caller), identify),
  );
}

/** What tells who asks. */
type Asking = Pick<FrontRequest, "headers" | "query" | "peer">;

/** The caller, whose request counts against its limits. @throws ProblemError unauthenticated, rate_limited */
export async function identifyAndCount(deps: GatewayDeps, request: Asking, language?: Dialect): Promise<Caller> {
  const caller = await identify(deps, request, language);
  await countRequest(deps, caller);
  return caller;
}

/** The caller, by whichever language's credentials the request carries. */
async function identify(deps: GatewayDeps, request: Asking, language?: Dialect): Promise<Caller> {
  const dialects = language ? [language, ...deps.dialects.values()] : [...deps.dialects.values()];
  const headers = language ? headersIn(language, request) : request.headers;
  const dialect = dialects.find((candidate) => candidate.credentials(headers) !== undefined) ?? dialects[0];
  if (!dialect) throw new ProblemError({ kind: "internal", message: "No dialect is installed." });
  return deps.admission.identify(deps.snapshot(), dialect, headers, request.peer);
}

async function describe(deps: GatewayDeps, out: FrontOut, id: string, caller: Caller): Promise<void> {
  const live = deps.live.find(id);
  if (live && live.state === "open") {
    assertOwn(live.caller, caller, id);
    sendJson(out, 200, { id, state: "open", startedAt: live.startedAt, frames: live.last });
    return;
  }
  const row = await deps.ledger.read(id);
  if (row) {
    if (row.callerId !== caller.id) throw missingCall(id);
    return sendJson(out, 200, describeRow(row));
  }
  // In another process of this gateway.
  const open = await deps.ledger.readOpen(id);
  if (open?.callerId !== caller.id) throw missingCall(id);
  sendJson(out, 200, { id, state: "open", startedAt: open.startedAt });
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

async function readEvents(deps: GatewayDeps, request: FrontRequest, out: FrontOut, callId: string, caller: Caller): Promise<void> {
  const after = readAfter(request);
  await serveReading(out, { numbered: true }, (reader) => resume(deps, { callId, caller, after, reader }));
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
    live.stop(CANCELLED);
    await live.whenSettled();
  } else if (!live) await cancelElsewhere(deps, id, caller);
  await describe(deps, out, id, caller);
}

/** A call of somebody else looks like no call at all. */
function assertOwn(owner: Caller | undefined, caller: Caller, id: string): void {
  if (owner?.scope !== caller.scope) throw missingCall(id);
}
