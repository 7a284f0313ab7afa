import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { calcPrice, findProvider } from "@pydantic/genai-prices";
import type { Capabilities, ModelBook, ModelFacts, Nanodollars, Usage } from "../canon/index.ts";
import { FACTS, MEDIA_UNITS, PRICED_AS, STANDARD_TIERS, TIER_ROWS } from "./catalog.ts";
import { factsFromRows, withMaximum } from "./facts.ts";
import type { ModelOverlay, ModelOverride } from "./overlay.ts";
import { bareModel, compilePattern } from "./pattern.ts";
import { costBySheet, sheetFromOptions, sheetFromPackage, type Sheet } from "./sheet.ts";
import { countTokensOf } from "./tokens.ts";

/** What is known of one model of one provider, looked up once. */
interface Entry {
  readonly facts: ModelFacts | undefined;
  /** Newest rule first; the first whose time has come holds. Empty: the price is unknown. */
  readonly schedule: readonly { readonly holds: (at: number) => boolean; readonly sheet: Sheet }[];
  /** The provider's name in the price package, for service tiers. */
  readonly pricedAs: string | undefined;
  readonly tokensPerThousand: number;
}

/** Models remembered; callers choose names, so the memory is bounded and then begun anew. */
const ENTRIES = 10_000;
/** `sameAs` may lead on to another `sameAs`; a circle ends here. */
const SAME_AS_HOPS = 4;

const ALWAYS = (): boolean => true;
const STANDARD_PER_THOUSAND = 1000;

/** The model book over the price package, this room's own tables, and what the configuration adds or corrects. */
export function createModelBook(overlay: ModelOverlay = {}): ModelBook {
  let entries = new Map<string, Map<string, Entry>>();
  let count = 0;
  const override = overrides(overlay);

  function entryOf(provider: string, model: string): Entry {
    const known = entries.get(provider)?.get(model);
    if (known) return known;
    if (++count > ENTRIES) {
      entries = new Map();
      count = 1;
    }
    const entry = lookUp(overlay, override, provider, model, SAME_AS_HOPS);
    const ofProvider = entries.get(provider) ?? new Map<string, Entry>();
    entries.set(provider, ofProvider.set(model, entry));
    return entry;
  }

  return {
    version: `genai-prices ${packageVersion()} + ${hashOf(overlay)}`,
    facts: (provider, model) => entryOf(provider, model).facts,
    cost(provider, model, usage, at) {
      if (usage.providerCost !== undefined && Number.isSafeInteger(usage.providerCost) && usage.providerCost >= 0)
        return usage.providerCost;
      return costOfEntry(entryOf(provider, model), model, usage, at);
    },
    countTokens(text, model) {
      return Math.ceil((countTokensOf(text) * entryOf("", model).tokensPerThousand) / STANDARD_PER_THOUSAND);
    },
  };
}

function costOfEntry(entry: Entry, model: string, usage: Usage, at: number): Nanodollars | undefined {
  const sheet = entry.schedule.find((rule) => rule.holds(at))?.sheet;
  if (!sheet) return undefined;
  if (usage.serviceTier === undefined || STANDARD_TIERS.has(usage.serviceTier)) return costBySheet(sheet, usage, 1, 1);
  const rows = TIER_ROWS.filter((row) => row.provider === entry.pricedAs);
  if (rows.length === 0) return costBySheet(sheet, usage, 1, 1);
  const row = rows.find((candidate) => candidate.tier === usage.serviceTier && compilePattern(candidate.models)(bareModel(model)));
  return row && costBySheet(sheet, usage, row.numerator, row.denominator);
}

type Overrides = (provider: string, model: string) => ModelOverride | undefined;

function overrides(overlay: ModelOverlay): Overrides {
  const exact = new Map(Object.entries(overlay.models ?? {}));
  const patterns = [...exact].filter(([name]) => name.includes("*")).map(([name, value]) => ({ matches: compilePattern(name), value }));
  return (provider, model) => {
    const name = `${provider}/${model}`;
    return exact.get(name) ?? patterns.find(({ matches }) => matches(name))?.value;
  };
}

function lookUp(overlay: ModelOverlay, override: Overrides, provider: string, model: string, hops: number): Entry {
  const own = override(provider, model);
  const slash = own?.sameAs?.indexOf("/") ?? -1;
  const base =
    own?.sameAs && slash > 0 && hops > 0
      ? lookUp(overlay, override, own.sameAs.slice(0, slash), own.sameAs.slice(slash + 1), hops - 1)
      : fromTables(overlay.kinds?.[provider] ?? provider, model);
  if (!own) return base;
  return {
    ...base,
    facts: correctedFacts(base.facts, own),
    ...(own.price && { schedule: [{ holds: ALWAYS, sheet: sheetFromOptions(own.price) }], pricedAs: undefined }),
  };
}

function correctedFacts(facts: ModelFacts | undefined, own: ModelOverride): ModelFacts | undefined {
  const { contextTokens, displayName, maxOutputTokens, capabilities } = own;
  if (!facts && contextTokens === undefined && displayName === undefined && maxOutputTokens === undefined && !capabilities)
    return undefined;
  return {
    ...facts,
    ...(contextTokens !== undefined && { contextTokens }),
    ...(displayName !== undefined && { displayName }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    capabilities: withMaximum({ ...facts?.capabilities, ...defined(capabilities) }, maxOutputTokens),
  };
}

/** Zod leaves `undefined` members where nothing was said; they must not hide what is known. */
export function defined(capabilities: Readonly<Record<string, unknown>> | undefined): Capabilities {
  return Object.fromEntries(Object.entries(capabilities ?? {}).filter(([, value]) => value !== undefined));
}

function fromTables(kind: string, model: string): Entry {
  const rows = factsFromRows(model);
  const [pricedAs, name] = pricedAsOf(kind, model);
  const found = pricedAs === undefined ? undefined : calcPrice({}, name, { providerId: pricedAs, timestamp: new Date(0) })?.model;
  const contextTokens = rows?.contextTokens ?? found?.context_window;
  const facts: ModelFacts | undefined =
    rows || found
      ? {
          ...(contextTokens !== undefined && { contextTokens }),
          ...(rows?.maxOutputTokens !== undefined && { maxOutputTokens: rows.maxOutputTokens }),
          ...(found?.name !== undefined && { displayName: found.name }),
          capabilities: rows?.capabilities ?? {},
        }
      : undefined;
  return {
    facts,
    schedule: found ? scheduleOf(found.prices) : [],
    pricedAs,
    tokensPerThousand: rows?.tokensPerThousand ?? STANDARD_PER_THOUSAND,
  };
}

/** Only an exact name counts: the package also guesses providers from likeness, which would price a stranger's models. */
function pricedAsOf(kind: string, model: string): readonly [provider: string | undefined, model: string] {
  const row = PRICED_AS[kind] ?? kind;
  const colon = row.includes("{suffix}") ? model.lastIndexOf(":") : -1;
  const provider = colon < 0 ? row : row.replace("{suffix}", () => model.slice(colon + 1));
  const known = provider !== "" && findProvider({ providerId: provider })?.id === provider;
  return [known ? provider : undefined, colon < 0 ? model : model.slice(0, colon)];
}

type PackageModel = NonNullable<ReturnType<typeof calcPrice>>["model"];

/** The package reads its list from the end and takes the first rule that holds; an unconditional one always does. */
function scheduleOf(prices: PackageModel["prices"]): Entry["schedule"] {
  if (!Array.isArray(prices)) return [{ holds: ALWAYS, sheet: sheetFromPackage(prices) }];
  const rules = prices.map(({ constraint, prices: own }) => ({ holds: holds(constraint), sheet: sheetFromPackage(own) })).toReversed();
  const first = prices[0];
  return first ? [...rules, { holds: ALWAYS, sheet: sheetFromPackage(first.prices) }] : rules;
}

const DAY_MS = 86_400_000;

function holds(
  constraint: { type: string; start_date?: string; start_time?: string; end_time?: string } | undefined,
): (at: number) => boolean {
  if (!constraint) return ALWAYS;
  if (constraint.type === "start_date") {
    const start = Date.parse(constraint.start_date ?? "");
    return (at) => at >= start;
  }
  const from = timeOfDay(constraint.start_time ?? "");
  const until = timeOfDay(constraint.end_time ?? "");
  return (at) => {
    const time = ((at % DAY_MS) + DAY_MS) % DAY_MS;
    return until < from ? time >= from || time < until : time >= from && time < until;
  };
}

/** `00:30:00Z` as milliseconds of the UTC day. */
function timeOfDay(text: string): number {
  return ((Date.parse(`1970-01-02T${text}`) % DAY_MS) + DAY_MS) % DAY_MS;
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
    PRICED_AS,
    TIER_ROWS,
    [...STANDARD_TIERS],
    MEDIA_UNITS,
    FACTS,
  ]);
  return createHash("sha256").update(content).digest("hex").slice(0, HASH_LETTERS);
}
