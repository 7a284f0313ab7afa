import type { Context, Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Clock, type LedgerStore } from "../canon/index.ts";
import { COMPRESSIONS, EXPORT_FORMATS, exportRange, exportRows, SERVED_ROWS_IN_GROUP } from "../ledger/export/index.ts";
import { ReportError, ZoneError } from "../ledger/reports/index.ts";
import type { FrontOut } from "../wire/types.ts";
import { readQuery } from "./admin-body.ts";

const TEXT_CHARACTERS = 512;
const text = z.string().min(1).max(TEXT_CHARACTERS);
export const exportQuery = z
  .strictObject({
    from: text.optional(),
    to: text.optional(),
    timeZone: text.optional(),
    model: text.optional(),
    format: z.enum(EXPORT_FORMATS).default("csv"),
    compression: z.enum(COMPRESSIONS).optional(),
  })
  .refine(({ format, compression }) => format === "parquet" || compression === undefined, {
    error: "`compression` is for `format=parquet`",
    path: ["compression"],
  });

/** Says, between here and `relay`, that an answer is to be passed on as it comes: it may be larger than memory. */
const STREAMED = "x-gimbal-streamed";
/** Exports at once in one process: each holds a row group. */
const MOST_EXPORTS = 2;

export interface ExportDeps {
  readonly ledger: Pick<LedgerStore, "page">;
  readonly clock: Clock;
}

/** `GET /ledger/export?from=&to=&format=csv|json|parquet`: rows of the ledger as a file, streamed. */
export function mountExport(app: Pick<Hono, "get">, { ledger, clock }: ExportDeps): void {
  let running = 0;
  app.get("/ledger/export", (context) => {
    const { format, compression, model, ...asked } = readQuery(context, exportQuery);
    const range = rangeIn(asked, clock.now());
    const file = exportRows(ledger, { ...range, model }, { format, compression, groupRows: SERVED_ROWS_IN_GROUP });
    const headers = { "content-type": file.contentType, "content-disposition": `attachment; filename="ledger.${format}"` };
    // Of an answer without a body nobody would ever read the stream to its end.
    if (context.req.method === "HEAD") return context.body(null, 200, headers);
    if (running >= MOST_EXPORTS)
      throw new ProblemError({ kind: "overloaded", message: `${MOST_EXPORTS} exports are running, which is the limit. Try again later.` });
    running++;
    return streamed(context, file.pieces, () => running--, headers);
  });
}

function rangeIn(asked: Parameters<typeof exportRange>[0], now: number): ReturnType<typeof exportRange> {
  try {
    return exportRange(asked, now);
  } catch (error) {
    if (error instanceof ReportError || error instanceof ZoneError)
      throw new ProblemError({ kind: "invalid_request", message: error.message }, { cause: error });
    throw error;
  }
}

function streamed(
  context: Context,
  pieces: AsyncGenerator<Uint8Array, void, undefined>,
  ended: () => void,
  headers: Readonly<Record<string, string>>,
): Response {
  let isOver = false;
  const over = (): void => {
    if (!isOver) ended();
    isOver = true;
  };
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next();
        if (!done) return controller.enqueue(new Uint8Array(value));
        over();
        controller.close();
      } catch (error) {
        over();
        controller.error(error);
      }
    },
    async cancel() {
      over();
      await pieces.return();
    },
  });
  return context.body(body, 200, { ...headers, [STREAMED]: "1" });
}

/**
 * Passes a streamed answer on, no faster than its client takes it; false: it is none. One that breaks is cut off, so that nobody takes what
 * came for the whole.
 */
export async function relayStream(response: Response, out: FrontOut): Promise<boolean> {
  if (!response.headers.has(STREAMED) || !response.body) return false;
  const { [STREAMED]: _mark, ...headers } = Object.fromEntries(response.headers);
  const reader = response.body.getReader();
  let left = (): void => {};
  const gone = new Promise<void>((resolve) => (left = resolve));
  out.onLeave(left);
  out.head(response.status, headers);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || out.closed) break;
      if (!out.write(Buffer.from(value.buffer, value.byteOffset, value.byteLength)))
        await Promise.race([gone, new Promise<void>((resolve) => out.onDrain(resolve))]);
    }
  } catch (error) {
    out.cut();
    throw error;
  } finally {
    await reader.cancel().catch(() => {});
  }
  out.end();
  return true;
}
