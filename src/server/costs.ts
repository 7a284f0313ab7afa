import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type ModelBook } from "../canon/index.ts";
import { readPrices } from "../config/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { differencesPage } from "../ledger/differences.ts";
import { repricePage } from "../ledger/reprice.ts";
import type { LocalPrices } from "../models/index.ts";
import { readBody, readQuery } from "./admin-body.ts";

/** In percent of our own figure. */
const THRESHOLD_PERCENT = 1;
const MOST_PERCENT = 1_000_000;
const PRICES_CHARACTERS = 900_000;

const range = {
  /** Milliseconds since 1970. */
  since: z.coerce.number().int().nonnegative().optional(),
  until: z.coerce.number().int().nonnegative().optional(),
  model: z.string().min(1).max(512).optional(),
  after: z.coerce.number().int().nonnegative().default(0),
};

export const differencesQuery = z.strictObject({
  ...range,
  threshold: z.coerce.number().nonnegative().max(MOST_PERCENT).default(THRESHOLD_PERCENT),
});

export const repriceBody = z.strictObject({
  ...range,
  dryRun: z.boolean().default(false),
  /** Text of a price file, instead of the one in force. */
  prices: z.string().max(PRICES_CHARACTERS).optional(),
  /** Of the first page, for those after it. */
  run: z.strictObject({ id: z.string().regex(/^rpr_\w{1,64}$/), at: z.number().int().nonnegative() }).optional(),
});

export interface CostDeps {
  readonly gateway: Pick<GatewayDeps, "alerts" | "book" | "clock" | "ledger" | "randomness" | "snapshot">;
  /** The configuration's book with other prices of the house. */
  readonly bookWith?: ((prices: LocalPrices) => ModelBook) | undefined;
}

/**
 * `GET /alerts`; `GET /ledger/{call}/repricings`: what one call cost by other prices; `GET /ledger/differences`: rows whose provider said another price; `POST /ledger/reprice`: costs derived anew. The last
 * two go page by page: the answer's `next` is the next one's `after`.
 */
export function mountCosts(app: Pick<Hono, "get" | "post">, { gateway, bookWith }: CostDeps): void {
  const { alerts, ledger, clock, randomness, snapshot } = gateway;
  app.get("/alerts", (context) => context.json({ alerts: alerts?.list() ?? [] }));
  app.get("/ledger/differences", async (context) => {
    const { threshold, ...query } = readQuery(context, differencesQuery);
    return context.json(await differencesPage(ledger, query, threshold));
  });
  app.get("/ledger/:id/repricings", async (context) => context.json({ repricings: await ledger.repricings(context.req.param("id")) }));
  app.post("/ledger/reprice", async (context) => {
    const { dryRun, prices, run: known, ...query } = await readBody(context, repriceBody);
    const book = prices === undefined ? gateway.book : bookFrom(prices, snapshot().providers.keys(), bookWith);
    const run = known ?? { id: randomness.id("rpr_"), at: clock.now() };
    const page = await repricePage(ledger, book, query, dryRun ? undefined : run);
    return context.json({ ...page, run, priceVersion: book.version });
  });
}

function bookFrom(text: string, providers: Iterable<string>, bookWith: CostDeps["bookWith"]): ModelBook {
  if (!bookWith)
    throw new ProblemError({ kind: "unsupported", message: "This gateway takes no other prices than its own.", param: "prices" });
  const outcome = readPrices(text, providers);
  if (outcome.ok) return bookWith(outcome.prices);
  const [problem] = outcome.problems;
  throw new ProblemError({
    kind: "invalid_request",
    message: `The prices are not valid: line ${problem?.line ?? 1}: ${problem?.message ?? "unknown"}`,
    param: "prices",
  });
}
