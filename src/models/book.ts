import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { CallExtent, ModelBook, Nanodollars, Usage } from "../canon/index.ts";
import { FACTS, HOUR_WRITE_ROWS, MEDIA_UNITS, PRICED_AS, STANDARD_TIERS, TIER_ROWS } from "./catalog.ts";
import { entriesOf, kindOf, knownModels, type Entry } from "./entry.ts";
import { ONE, partOf, type Fraction } from "./fraction.ts";
import { inForce } from "./local.ts";
import type { ModelOverlay } from "./overlay.ts";
import { bareModel, compilePattern } from "./pattern.ts";
import { pricesOfSheet } from "./shown-prices.ts";
import { costBySheet, largestCost, type Sheet } from "./sheet.ts";
import { countTokensOf, tokenEstimator } from "./tokens.ts";

/** Models remembered; callers choose names, so the memory is bounded and then begun anew. */
const ENTRIES = 10_000;
const STANDARD_PER_THOUSAND = 1000;

/** The model book over the price package, this room's own tables, and what the configuration and the price file add or correct. */
export function createModelBook(overlay: ModelOverlay = {}): ModelBook {
  let entries = new Map<string, Map<string, Entry>>();
  let count = 0;
  let learned = overlay.learned?.version;
  const lookUp = entriesOf(overlay);

  function entryOf(provider: string, model: string): Entry {
    if (learned !== overlay.learned?.version) {
      learned = overlay.learned?.version;
      entries = new Map();
      count = 0;
    }
    const known = entries.get(provider)?.get(model);
    if (known) return known;
    if (++count > ENTRIES) {
      entries = new Map();
      count = 1;
    }
    const entry = lookUp(provider, model);
    const ofProvider = entries.get(provider) ?? new Map<string, Entry>();
    entries.set(provider, ofProvider.set(model, entry));
    return entry;
  }

  const ownCost: ModelBook["cost"] = (provider, model, usage, at, durationMs) => {
    const price = priceOf(entryOf(provider, model), model, usage.serviceTier, at);
    return price && costBySheet(price.sheet, usage, price.part, durationMs);
  };
  return {
    version: `genai-prices ${packageVersion()} + ${hashOf(overlay)}`,
    facts: (provider, model) => entryOf(provider, model).facts,
    cost(provider, model, usage, at, durationMs) {
      const reported = reportedCost(usage);
      if (reported !== undefined && overlay.prefer === "provider") return reported;
      return ownCost(provider, model, usage, at, durationMs) ?? reported;
    },
    ownCost,
    isFree: (provider, model, at) => priceOf(entryOf(provider, model), model, undefined, at)?.sheet.free === true,
    prices(provider, model, at) {
      const price = priceOf(entryOf(provider, model), model, undefined, at);
      return price && pricesOfSheet(price.sheet, price.part);
    },
    known: (provider) => knownModels(kindOf(overlay, provider)),
    upperBound(provider, model, inputTokens, maxOutputTokens, at, call = {}) {
      const entry = entryOf(provider, model);
      const extent = extentOf(inputTokens, maxOutputTokens, call);
      const standard = priceOf(entry, model, undefined, at);
      const largest = standard && largestCost(standard.sheet, extent, standard.part);
      if (call.serviceTier === undefined || largest === undefined) return largest;
      // A cheaper tier that is asked for may be answered by the standard one, and one that is unknown here is left out on the way.
      const asked = priceOf(entry, model, call.serviceTier, at);
      const ofTier = asked && largestCost(asked.sheet, extent, asked.part);
      return call.onlyTier && ofTier !== undefined ? ofTier : Math.max(largest, ofTier ?? 0);
    },
    countTokens(text, model) {
      return Math.ceil((countTokensOf(text) * entryOf("", model).tokensPerThousand) / STANDARD_PER_THOUSAND);
    },
    estimator(model) {
      const countSome = tokenEstimator();
      const { tokensPerThousand } = entryOf("", model);
      return (text) => (countSome(text) * tokensPerThousand) / STANDARD_PER_THOUSAND;
    },
  };
}

/** A provider's figure that is a count of nanodollars. */
function reportedCost({ providerCost }: Usage): Nanodollars | undefined {
  return providerCost !== undefined && Number.isSafeInteger(providerCost) && providerCost >= 0 ? providerCost : undefined;
}

function extentOf(inputTokens: number, outputTokens: number, call: CallExtent): Parameters<typeof largestCost>[1] {
  const { cacheWrite = true, media = false, durationMs } = call;
  return { inputTokens: Math.ceil(inputTokens), outputTokens: Math.ceil(outputTokens), cacheWrite, media, durationMs };
}

interface Price {
  readonly sheet: Sheet;
  /** Of the sheet's prices, what is paid. */
  readonly part: Fraction;
}

/** The prices of a model at a time in a service tier; undefined when they are unknown. */
function priceOf(entry: Entry, model: string, serviceTier: string | undefined, at: number): Price | undefined {
  const local = entry.local.length === 0 ? undefined : inForce(entry.local, at);
  const sheet = local?.sheet ?? entry.schedule.find((rule) => rule.holds(at))?.sheet;
  if (!sheet) return undefined;
  const discounted = local?.part ?? ONE;
  if (serviceTier === undefined) return { sheet, part: discounted };
  const written = sheet.serviceTiers?.get(serviceTier);
  if (written) return "ranges" in written ? { sheet: written, part: discounted } : { sheet, part: partOf(written, discounted) };
  const part = STANDARD_TIERS.has(serviceTier) ? ONE : usualPart(entry.pricedAs, model, serviceTier);
  return part && { sheet, part: partOf(part, discounted) };
}

/** What a provider takes for a tier, of its standard price. Undefined where it has such prices, but none that we know for this tier. */
function usualPart(pricedAs: string | undefined, model: string, serviceTier: string): Fraction | undefined {
  const rows = TIER_ROWS.filter((row) => row.provider === pricedAs);
  if (rows.length === 0) return ONE;
  const row = rows.find(({ tier, models }) => tier === serviceTier && compilePattern(models)(bareModel(model)));
  return row && { numerator: BigInt(row.numerator), denominator: BigInt(row.denominator) };
}

/** The package exports no version; its own package file stands above what it resolves to. */
function packageVersion(): string {
  const entry = createRequire(import.meta.url).resolve("@pydantic/genai-prices");
  const { version } = JSON.parse(readFileSync(join(dirname(entry), "..", "package.json"), "utf8")) as { version: string };
  return version;
}

const HASH_LETTERS = 12;

/** Over everything that bears on a price besides the package. */
function hashOf(overlay: ModelOverlay): string {
  const content = JSON.stringify([
    overlay.kinds ?? {},
    overlay.models ?? {},
    overlay.local ?? null,
    overlay.prefer ?? "book",
    PRICED_AS,
    TIER_ROWS,
    [...STANDARD_TIERS],
    MEDIA_UNITS,
    HOUR_WRITE_ROWS,
    FACTS,
  ]);
  return createHash("sha256").update(content).digest("hex").slice(0, HASH_LETTERS);
}
