import { calcPrice, findProvider } from "@pydantic/genai-prices";
import type { Capabilities, ModelFacts, ServedModel } from "../canon/index.ts";
import { HOUR_WRITE_ROWS, PRICED_AS } from "./catalog.ts";
import { factsFromRows, withMaximum } from "./facts.ts";
import { localRules, type LocalRules } from "./local.ts";
import { operationsFromRows } from "./operations.ts";
import type { ModelOverlay, ModelOverride } from "./overlay.ts";
import { bareModel, compilePattern } from "./pattern.ts";
import { platformOf } from "./platforms.ts";
import { sheetFromPackage, type Sheet } from "./sheet.ts";
import { sheetFromOptions } from "./written.ts";

/** What is known of one model of one provider, looked up once. */
export interface Entry {
  readonly facts: ModelFacts | undefined;
  /** Newest rule first; the first whose time has come holds. Empty: the price is unknown. */
  readonly schedule: readonly { readonly holds: (at: number) => boolean; readonly sheet: Sheet }[];
  /** What the price file says; it wins while it holds. */
  readonly local: LocalRules;
  /** The provider's name in the price package, for service tiers. */
  readonly pricedAs: string | undefined;
  readonly tokensPerThousand: number;
}

/** `sameAs` may lead on to another `sameAs`; a circle ends here. */
const SAME_AS_HOPS = 4;
const ALWAYS = (): boolean => true;
const STANDARD_PER_THOUSAND = 1000;
const NO_RULES: LocalRules = [];

/** Looks models up in everything there is. */
export function entriesOf(overlay: ModelOverlay): (provider: string, model: string) => Entry {
  const override = overrides(overlay);
  const local = localRules(overlay.local);
  return (provider, model) => {
    const entry = lookUp(overlay, override, provider, model, SAME_AS_HOPS);
    const rules = local(provider, model);
    return rules.length === 0 ? entry : { ...entry, local: rules };
  };
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
  const served = overlay.learned?.facts(provider, model);
  const slash = own?.sameAs?.indexOf("/") ?? -1;
  const base =
    own?.sameAs && slash > 0 && hops > 0
      ? lookUp(overlay, override, own.sameAs.slice(0, slash), own.sameAs.slice(slash + 1), hops - 1)
      : fromTables(kindOf(overlay, provider), model);
  const facts = served ? servedFacts(base.facts, served) : base.facts;
  if (!own) return facts === base.facts ? base : { ...base, facts };
  return {
    ...base,
    facts: correctedFacts(facts, own),
    ...(own.price && { schedule: [{ holds: ALWAYS, sheet: sheetFromOptions(own.price) }] }),
  };
}

/** A server knows how it runs a model; a table knows the model alone. */
function servedFacts(facts: ModelFacts | undefined, served: ServedModel): ModelFacts | undefined {
  const { contextTokens, maxOutputTokens, operations, capabilities } = served;
  if ([contextTokens, maxOutputTokens, operations, capabilities].every((value) => value === undefined)) return facts;
  return {
    ...facts,
    ...(contextTokens !== undefined && { contextTokens }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(operations && { operations }),
    capabilities: withMaximum({ ...facts?.capabilities, ...capabilities }, maxOutputTokens),
  };
}

function correctedFacts(facts: ModelFacts | undefined, own: ModelOverride): ModelFacts | undefined {
  const { contextTokens, displayName, maxOutputTokens, capabilities, operations, retentionDays } = own;
  const said = [contextTokens, displayName, maxOutputTokens, capabilities, operations, retentionDays];
  if (!facts && said.every((value) => value === undefined)) return undefined;
  return {
    ...facts,
    ...(contextTokens !== undefined && { contextTokens }),
    ...(displayName !== undefined && { displayName }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(operations !== undefined && { operations }),
    ...(retentionDays !== undefined && { retentionDays }),
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
  const asked = operationsFromRows(model);
  const { retentionDays } = platformOf(kind);
  const facts: ModelFacts | undefined =
    rows || found || asked || retentionDays !== undefined
      ? {
          ...(contextTokens !== undefined && { contextTokens }),
          ...(rows?.maxOutputTokens !== undefined && { maxOutputTokens: rows.maxOutputTokens }),
          ...(found?.name !== undefined && { displayName: found.name }),
          ...asked,
          ...(retentionDays !== undefined && { retentionDays }),
          capabilities: rows?.capabilities ?? {},
        }
      : undefined;
  return {
    facts,
    schedule: found ? scheduleOf(found.prices, hourWriteOf(model)) : [],
    local: NO_RULES,
    pricedAs,
    tokensPerThousand: rows?.tokensPerThousand ?? STANDARD_PER_THOUSAND,
  };
}

function packageName(kind: string): string {
  return (Object.hasOwn(PRICED_AS, kind) ? PRICED_AS[kind] : undefined) ?? kind;
}

/** What a provider is: callers choose names, so only the overlay's own count. */
export function kindOf(overlay: ModelOverlay, provider: string): string {
  const { kinds } = overlay;
  return (kinds && Object.hasOwn(kinds, provider) ? kinds[provider] : undefined) ?? provider;
}

/** Names of the models that the price package lists of a kind of provider, as they stand there. */
export function knownModels(kind: string): readonly string[] {
  // A row with a suffix stands for several lists, of which none is the kind's own.
  const name = packageName(kind);
  const provider = findProvider({ providerId: name });
  if (provider?.id !== name) return [];
  const { only, not = [] } = platformOf(kind);
  const [wanted, unwanted] = [only?.map(compilePattern), not.map(compilePattern)];
  return provider.models
    .map(({ id }) => id)
    .filter((id) => (wanted?.some((matches) => matches(id)) ?? true) && !unwanted.some((matches) => matches(id)));
}

/** Only an exact name counts: the package also guesses providers from likeness, which would price a stranger's models. */
function pricedAsOf(kind: string, model: string): readonly [provider: string | undefined, model: string] {
  const row = packageName(kind);
  const colon = row.includes("{suffix}") ? model.lastIndexOf(":") : -1;
  const provider = colon < 0 ? row : row.replace("{suffix}", () => model.slice(colon + 1));
  const known = provider !== "" && findProvider({ providerId: provider })?.id === provider;
  return [known ? provider : undefined, colon < 0 ? model : model.slice(0, colon)];
}

function hourWriteOf(model: string): number | undefined {
  return HOUR_WRITE_ROWS.find(({ models }) => compilePattern(models)(bareModel(model)))?.timesInput;
}

type PackageModel = NonNullable<ReturnType<typeof calcPrice>>["model"];

/** The package reads its list from the end and takes the first rule that holds; an unconditional one always does. */
function scheduleOf(prices: PackageModel["prices"], hourWrite: number | undefined): Entry["schedule"] {
  if (!Array.isArray(prices)) return [{ holds: ALWAYS, sheet: sheetFromPackage(prices, hourWrite) }];
  const rules = prices
    .map(({ constraint, prices: own }) => ({ holds: holds(constraint), sheet: sheetFromPackage(own, hourWrite) }))
    .toReversed();
  const first = prices[0];
  return first ? [...rules, { holds: ALWAYS, sheet: sheetFromPackage(first.prices, hourWrite) }] : rules;
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
