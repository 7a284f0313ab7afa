import type { Hono } from "hono";
import { z } from "zod";
import type { LedgerRow, LedgerStore, Snapshot } from "../canon/index.ts";
import { SHADOW_CALLER, type Shadows } from "../gateway/shadow.ts";
import { shadowFigures } from "../ledger/compare.ts";
import { readQuery } from "./admin-body.ts";
import { aliasOf } from "./canary.ts";

/** Rows of copies that a comparison reads, newest first. */
const COMPARED_ROWS = 5000;
const SHOWN_CALLS = 20;
const MOST_SHOWN = 1000;
const MOST_MINUTES = 90 * 24 * 60;
const MS_PER_MINUTE = 60_000;

export const shadowQuery = z.strictObject({
  alias: z.string().min(1).max(512),
  minutes: z.coerce.number().positive().max(MOST_MINUTES).optional(),
  /** How many single comparisons are shown. */
  limit: z.coerce.number().int().min(0).max(MOST_SHOWN).default(SHOWN_CALLS),
});

export interface ShadowDeps {
  readonly ledger: LedgerStore;
  readonly shadows: Shadows;
  readonly snapshot: () => Snapshot;
  readonly now: () => number;
}

/** `GET /shadow?alias=NAME`: how the answers of copied calls compare with those that callers got; figures, no content. */
export function mountShadow(app: Pick<Hono, "get">, { ledger, shadows, snapshot, now }: ShadowDeps): void {
  app.get("/shadow", async (context) => {
    const { alias: name, minutes, limit } = readQuery(context, shadowQuery);
    const { shadow } = aliasOf(snapshot(), name);
    const since = minutes === undefined ? 0 : now() - minutes * MS_PER_MINUTE;
    const all = await ledger.list({ limit: COMPARED_ROWS, callerId: SHADOW_CALLER, since });
    const rows = all.filter((row) => row.shadow?.model === name);
    return context.json({
      model: name,
      ...(shadow && { shadow: { ...shadow, target: `${shadow.target.provider}/${shadow.target.model}` } }),
      ...shadows.count(name),
      complete: all.length < COMPARED_ROWS,
      targets: shadowFigures(rows),
      calls: rows.slice(0, limit).map(comparison),
    });
  });
}

function comparison({ callId, startedAt, model, state, problem, stop, usage, costNanodollars, timings, shadow }: LedgerRow): object {
  return {
    callId,
    startedAt,
    target: model,
    state,
    ...(problem !== undefined && { problem }),
    ...(stop !== undefined && { stop }),
    ...(costNanodollars !== undefined && { costNanodollars }),
    totalMs: timings.totalMs,
    ...(timings.firstOutputMs !== undefined && { firstOutputMs: timings.firstOutputMs }),
    outputTokens: usage.output,
    ...shadow,
  };
}
