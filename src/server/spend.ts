import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type KeyStore, type ReportStore, type Snapshot } from "../canon/index.ts";
import { EXPORT_FORMATS, spendParquet } from "../ledger/export/index.ts";
import { chargeback, csvOf, forecast, LEAST_DAYS, ReportError, spendReport, timeOf, ZoneError } from "../ledger/reports/index.ts";
import { readBody, readQuery } from "./admin-body.ts";

const TEXT_CHARACTERS = 512;
const MOST_DAYS = 366;
const DEFAULT_BASED_ON = 28;
const DEFAULT_DAYS = 30;

const text = z.string().min(1).max(TEXT_CHARACTERS);
const time = { from: text.optional(), to: text.optional(), timeZone: text.optional() };
const days = (byDefault: number, least: number): z.ZodType<number> => z.coerce.number().int().min(least).max(MOST_DAYS).default(byDefault);

/** Whatever else is named narrows: `team=search`, `metadata.feature=chat`. */
export const spendQuery = z
  .object({
    ...time,
    by: text.default("team,day"),
    format: z.enum(EXPORT_FORMATS).default("json"),
    latency: z
      .enum(["0", "1", "false", "true"])
      .default("0")
      .transform((word) => word === "1" || word === "true"),
  })
  .catchall(z.string().max(TEXT_CHARACTERS));
export const chargebackQuery = z.strictObject({ ...time, by: z.enum(["team", "project"]).default("team") });
export const forecastQuery = z.strictObject({
  timeZone: text.optional(),
  basedOn: days(DEFAULT_BASED_ON, LEAST_DAYS),
  days: days(DEFAULT_DAYS, 1),
  team: text.optional(),
  project: text.optional(),
});
export const rollupBody = z.strictObject({ rebuild: z.boolean().default(false) });

export interface SpendDeps {
  readonly reports: ReportStore;
  readonly keys: Pick<KeyStore, "list">;
  readonly snapshot: () => Pick<Snapshot, "reportZone">;
  readonly now: () => number;
}

/**
 * `GET /spend?by=team,day&from=&to=`: what calls cost, used and took, as JSON, CSV or Parquet; `GET /spend/chargeback`; `GET /spend/forecast`;
 * `POST /ledger/rollup`: adds up some of the rows that wait for their sums, from the first one when it says `rebuild`.
 */
export function mountSpend(app: Pick<Hono, "get" | "post">, { reports, keys, snapshot, now }: SpendDeps): void {
  const zoneOf = (asked: string | undefined): string => asked ?? snapshot().reportZone ?? "UTC";
  app.get("/spend", async (context) => {
    const { by, from, to, timeZone, format, latency, ...where } = readQuery(context, spendQuery);
    const report = await madeOf(() =>
      spendReport(reports, { by: by.split(","), ...timeOf({ from, to, timeZone: zoneOf(timeZone) }, now()), latency, where }),
    );
    if (format === "csv")
      return context.body(csvOf(report), 200, {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": 'attachment; filename="spend.csv"',
      });
    if (format === "parquet")
      return context.body(new Uint8Array(spendParquet(report)), 200, {
        "content-type": "application/vnd.apache.parquet",
        "content-disposition": 'attachment; filename="spend.parquet"',
      });
    if (!report.by.includes("key")) return context.json(report);
    return context.json({ ...report, keyNames: Object.fromEntries((await keys.list()).map(({ id, name }) => [id, name])) });
  });
  app.get("/spend/chargeback", async (context) => {
    const { by, from, to, timeZone } = readQuery(context, chargebackQuery);
    return context.json(await madeOf(() => chargeback(reports, by, timeOf({ from, to, timeZone: zoneOf(timeZone) }, now()))));
  });
  app.get("/spend/forecast", async (context) => {
    const { timeZone, basedOn, days: coming, team, project } = readQuery(context, forecastQuery);
    const where = { ...(team !== undefined && { team }), ...(project !== undefined && { project }) };
    return context.json(
      await madeOf(() =>
        forecast(reports, { now: now(), timeZone: timeOf({ timeZone: zoneOf(timeZone) }, now()).timeZone, basedOn, days: coming, where }),
      ),
    );
  });
  app.post("/ledger/rollup", async (context) => {
    const { rebuild } = await readBody(context, rollupBody);
    return context.json(await reports.rollUp(rebuild));
  });
}

/** What cannot be asked for is the asker's mistake. */
async function madeOf<T>(report: () => Promise<T>): Promise<T> {
  try {
    return await report();
  } catch (error) {
    if (error instanceof ReportError || error instanceof ZoneError)
      throw new ProblemError({ kind: "invalid_request", message: error.message }, { cause: error });
    throw error;
  }
}
