import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Caller, type LedgerRow, type LineageRecord } from "../canon/index.ts";
import { missingCall } from "../gateway/resume.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { influencedBy, influencedByHash, MOST_STEPS, sourcesOf, type Trace } from "../ledger/lineage/trace.ts";
import { readQuery } from "./admin-body.ts";

const STEPS = 4;
const MOST_OUTPUTS = 50;
const steps = z.coerce.number().int().min(0).max(MOST_STEPS).default(STEPS);
const hash = z.string().regex(/^sha256:[0-9a-f]{64}$/, "is `sha256:` and 64 hex digits");
export const stepsQuery = z.strictObject({ steps });
export const adminQuery = z
  .strictObject({ call: z.string().min(1).max(100).optional(), output: hash.optional(), document: hash.optional(), steps })
  .refine(({ call, output, document }) => [call, output, document].filter((one) => one !== undefined).length === 1, {
    error: "name one of call, output and document",
  });

type LineageDeps = Pick<GatewayDeps, "ledger" | "lineage" | "live" | "aside">;

/** Whose calls are shown: one caller's, or everybody's. */
type Viewer = Pick<Caller, "id"> | "admin";

/**
 * `GET /v1/calls/ID/lineage`, to the caller it belongs to.
 * @throws ProblemError not_found: there is no such call, or it is somebody else's
 */
export async function ownLineage(deps: LineageDeps, id: string, caller: Caller, query: Readonly<Record<string, string>>): Promise<object> {
  const parsed = stepsQuery.safeParse(query);
  if (!parsed.success)
    throw new ProblemError({ kind: "invalid_request", message: `\`steps\` is a whole number from 0 to ${MOST_STEPS}.`, param: "steps" });
  return describeCall(deps, id, caller, parsed.data.steps);
}

/** `/lineage`: of any call, of whatever had this output, and of what a document, a file or a tool's result went into. */
export function mountLineage(app: Pick<Hono, "get">, deps: LineageDeps): void {
  app.get("/lineage", async (context) => {
    const { call, output, document, steps: most } = readQuery(context, adminQuery);
    if (call !== undefined) return context.json(await describeCall(deps, call, "admin", most));
    await deps.aside?.flush();
    const query = { steps: most, mayShow: () => true };
    const name = output ?? document ?? "";
    const influenced = described(await influencedByHash(deps.lineage, name, query));
    if (output === undefined) return context.json({ document: name, influenced });
    const made = await deps.lineage.find("out", name, MOST_OUTPUTS);
    const producedBy = await Promise.all(made.map(({ callId }) => describeCall(deps, callId, "admin", most)));
    return context.json({ output, producedBy, influenced });
  });
}

async function describeCall(deps: LineageDeps, id: string, viewer: Viewer, most: number): Promise<object> {
  const live = deps.live.find(id);
  if (live?.state === "open") {
    if (viewer !== "admin" && live.caller?.id !== viewer.id) throw missingCall(id);
    return { id, state: "open", recorded: false };
  }
  const row = await deps.ledger.read(id);
  if (!row || (viewer !== "admin" && row.callerId !== viewer.id)) throw missingCall(id);
  // Its record may be under way yet.
  await deps.aside?.flush();
  const record = await deps.lineage.read(id);
  const facts = { ...(await aboutRow(deps, row, viewer)), recorded: record !== undefined };
  if (!record) return facts;
  const query = { steps: most, mayShow: (other: LineageRecord) => viewer === "admin" || other.callerId === viewer.id };
  const [sources, influenced] = await Promise.all([sourcesOf(deps.lineage, record, query), influencedBy(deps.lineage, record, query)]);
  return { ...facts, ...aboutRecord(record), sources: described(sources), influenced: described(influenced) };
}

/** What the ledger knows of every call. */
async function aboutRow(deps: LineageDeps, row: LedgerRow, viewer: Viewer): Promise<object> {
  const origin = row.cacheOrigin === undefined ? undefined : await shownOrigin(deps, row.cacheOrigin, viewer);
  return {
    id: row.callId,
    state: row.state,
    at: row.startedAt,
    model: { asked: row.model, target: row.target ?? null, version: row.upstreamModel ?? null },
    configVersion: row.configVersion,
    ...(viewer === "admin" && { caller: { id: row.callerId, name: row.callerName } }),
    ...(row.cache !== undefined && { cache: { status: row.cache, ...(origin !== undefined && { origin }) } }),
    attempts: row.attempts.map(({ target, status, problem, hedge, continues }) => ({ target, status, problem, hedge, continues })),
  };
}

/** Callers that share a cache learn nothing of each other's calls. */
async function shownOrigin({ ledger }: LineageDeps, origin: string, viewer: Viewer): Promise<string | undefined> {
  if (viewer === "admin") return origin;
  return (await ledger.read(origin))?.callerId === viewer.id ? origin : undefined;
}

function aboutRecord({ callId: _id, callerId: _caller, at: _at, cacheOrigin: _origin, approvals = [], ...record }: LineageRecord): object {
  return { ...record, approvals };
}

function described({ calls, complete }: Trace): object {
  return {
    calls: calls.map(({ call, via, from, steps: away, record }) => ({
      call,
      via,
      from,
      steps: away,
      at: record.at,
      output: record.output,
    })),
    complete,
  };
}
