import type { Hono, MiddlewareHandler } from "hono";
import { z } from "zod";
import { problemFrom, ProblemError, type AuditStore, type Clock, type LedgerStore, type Randomness } from "../canon/index.ts";
import { hashOf, parseEntry, type Audit, type Entry } from "../ledger/audit/index.ts";
import { readQuery } from "./admin-body.ts";
import { ADMIN, askerIn } from "./roles.ts";

const PAGE = 1000;
const LISTED = 50;
/** Entries looked through, newest first, for a question about some of them. */
const LOOKED_BACK = 20_000;
/** The same reading again within this time, as a page that is open does it, is one entry. */
const SAME_READ_MS = 60_000;
const REMEMBERED_READS = 1000;
/** Refused sign-ins within this time after one are another entry with their number: nobody must be able to fill the record from outside. */
const REFUSALS_MS = 60_000;

/** By it an answer names its request in the audit. */
const REQUEST_ID_HEADER = "x-gimbal-request-id";
/** Everything under these paths is somebody's data. */
const DATA = /^\/admin\/api\/(ledger|lineage|config\/versions\/.|audit($|\/entries))/;
const READING: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

export const pageQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(PAGE).default(PAGE),
});
const name = z.string().min(1).max(400);
export const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE).default(LISTED),
  actor: name.optional(),
  /** The action itself, or its beginning up to a dot: `key` finds `key.create`. */
  action: name.optional(),
  subject: name.optional(),
  requestId: name.optional(),
});

export interface TrailDeps {
  readonly audit: Audit;
  readonly ledger: LedgerStore;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

/**
 * Around every admin route, once it is known who asks: what the route changes is noted as theirs; a change that left no note of its own
 * gets one before it is acknowledged; and nothing is changed while the record cannot take notes.
 */
export function auditTrail({ audit, ledger, clock, randomness }: TrailDeps): MiddlewareHandler {
  const reads = new Map<string, number>();
  const isNew = (read: string): boolean => {
    const before = reads.get(read);
    if (before !== undefined && clock.monotonic() - before < SAME_READ_MS) return false;
    if (reads.size >= REMEMBERED_READS) reads.clear();
    reads.set(read, clock.monotonic());
    return true;
  };
  return async (context, next) => {
    const { method, path } = context.req;
    const { actor, roles } = askerIn(context);
    // Whoever has the admin token has all rights in any case.
    const who = { actor, requestId: randomness.id("req_"), ...(actor !== ADMIN && { role: roles.join(" ") }) };
    context.header(REQUEST_ID_HEADER, who.requestId);
    const subject = `${method} ${path.slice("/admin/api".length)}`;
    if (READING.has(method)) {
      await next();
      const query = context.req.url.split("?")[1] ?? "";
      if (context.error || !DATA.test(path) || !isNew(`${who.actor} ${subject} ${query}`)) return;
      await audit.as(who, () => audit.noteRead({ action: "data.read", subject, ...(query !== "" && { details: { query } }) }));
      return;
    }
    const failure = ledger.failure();
    if (failure !== undefined)
      throw new ProblemError({
        kind: "storage_unavailable",
        message: `Nothing is changed while the audit cannot be written: ${failure}`,
      });
    const body = hashOf(await context.req.text());
    await audit.as(who, async () => {
      const { notes } = await audit.as(who, next);
      if (context.error) {
        const { kind } = problemFrom(context.error);
        await audit.noteRead({ action: "admin.refused", subject, outcome: "refused", details: { body, problem: kind } });
      } else if (notes === 0) await audit.note({ action: "admin.change", subject, details: { body } });
    });
  };
}

/** Notes sign-ins to the admin API that were refused. */
export function signInRefusals({ audit, clock }: Pick<TrailDeps, "audit" | "clock">): () => void {
  let counting = false;
  let refused = 0;
  const tell = (attempts: number): void => {
    counting = true;
    clock.after(REFUSALS_MS, over);
    void audit.noteRead({ action: "admin.sign-in", subject: "admin API", outcome: "refused", actor: "unknown", details: { attempts } });
  };
  const over = (): void => {
    const attempts = refused;
    refused = 0;
    counting = false;
    if (attempts > 0) tell(attempts);
  };
  return () => {
    if (counting) refused++;
    else tell(1);
  };
}

/** `/audit`: the newest entries; `/audit/entries` and `/audit/checkpoints`: the whole, in order, to be verified elsewhere. */
export function mountAudit(app: Pick<Hono, "get" | "post">, audit: Audit): void {
  const { store } = audit;
  app.get("/audit", async (context) => {
    const { limit, ...wanted } = readQuery(context, listQuery);
    return context.json({ entries: await newest(store, limit, (entry) => fits(entry, wanted)) });
  });
  app.get("/audit/entries", async (context) => {
    const { after, limit } = readQuery(context, pageQuery);
    return context.json({ entries: await store.read(after, limit) });
  });
  app.get("/audit/checkpoints", async (context) => {
    const { after, limit } = readQuery(context, pageQuery);
    const checkpoints = await store.checkpoints(after, limit);
    return context.json({ checkpoints: checkpoints.map(({ size, at, note }) => ({ size, at, note })) });
  });
  app.get("/audit/key", (context) => {
    const { name: keyName, id, text } = audit.key.verifier;
    return context.json({ name: keyName, id, key: text });
  });
  app.post("/audit/checkpoint", async (context) => {
    const { size, at, note } = await audit.checkpoint();
    return context.json({ size, at, note });
  });
}

type Wanted = Omit<z.output<typeof listQuery>, "limit">;

function fits(entry: Entry, { actor, action, subject, requestId }: Wanted): boolean {
  return (
    (actor === undefined || entry.actor === actor) &&
    (action === undefined || entry.action === action || entry.action.startsWith(`${action}.`)) &&
    (subject === undefined || entry.subject === subject) &&
    (requestId === undefined || entry.requestId === requestId)
  );
}

async function newest(store: AuditStore, limit: number, wanted: (entry: Entry) => boolean): Promise<readonly Entry[]> {
  const head = (await store.head())?.sequence ?? 0;
  const found: Entry[] = [];
  for (let end = head; end > Math.max(0, head - LOOKED_BACK) && found.length < limit; end -= PAGE) {
    const page = await store.read(Math.max(0, end - PAGE), Math.min(end, PAGE));
    for (const { text } of page.toReversed()) {
      const entry = parseEntry(text);
      if (entry && found.length < limit && wanted(entry)) found.push(entry);
    }
  }
  return found;
}
