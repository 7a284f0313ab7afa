import { cardAsJson, formatDollars, type Alias, type ModelBook, type ModelCard, type Provider, type Snapshot } from "../canon/index.ts";
import { snapshotOf } from "../config/index.ts";
import { cardOf, placeOfTarget } from "../models/index.ts";
import { AskedOnce } from "../providers/servers/once.ts";
import { DONE, table, UsageError, wholeNumber, wordList, type Command, type Input } from "./command.ts";
import { pricesOf } from "./ledger-reprice.ts";
import { CONFIG_FLAG, loadConfig, settingsOf } from "./settings.ts";

/** A model that a caller may name, with what is known of it. */
interface Row {
  readonly id: string;
  readonly alias?: Pick<Alias, "strategy" | "targets">;
  /** Of its first target; undefined: nobody runs there. */
  readonly card: ModelCard | undefined;
}

const ABILITIES = ["tools", "structuredOutput", "reasoning", "vision", "files", "audio"] as const;
type Ability = (typeof ABILITIES)[number];
const ASK_MS = 2000;
const MOST_TOKENS = 1_000_000_000;
const MOST_DOLLARS = 1_000_000;
const NANODOLLARS = 1_000_000_000;

export const modelsCommand: Command = {
  name: "models",
  summary: "List the models that callers may name, where their calls go, and what is known of them.",
  operands: [],
  flags: {
    ...CONFIG_FLAG,
    known: { meaning: "Also every model that the price book lists of the configured providers." },
    provider: { value: "NAME", meaning: "Only models of this provider." },
    operation: {
      value: "NAME",
      meaning: "Only models that can be asked for it: generate, embed, rerank, moderate, image, speech, transcribe.",
    },
    needs: { value: "A,B", meaning: `Only models that are known to take all of: ${ABILITIES.join(", ")}.` },
    "min-context": { value: "N", meaning: "Only models known to hold at least so many tokens." },
    unasked: { meaning: "Ask no server of models what it serves; otherwise each that tells of itself is asked, for two seconds at most." },
    "max-input-usd": { value: "N", meaning: "Only models known to cost at most so many dollars a million input tokens." },
  },
  async run(input, deps) {
    const keep = filterOf(input);
    const { configFile } = settingsOf(input, deps);
    const { config, warnings } = await loadConfig(configFile, deps);
    for (const warning of warnings) deps.err(`${warning}\n`);
    const learned = new AskedOnce();
    const providers = await deps.openProviders(config, undefined, learned);
    try {
      if (!input.has("unasked")) await learned.ask(providers, deps.clock, ASK_MS);
      const book = deps.book(config, await pricesOf(configFile, config), learned);
      const snapshot = snapshotOf(config, 0, providers);
      const rows = rowsOf({ snapshot, book, known: input.has("known"), at: deps.clock.now() }).filter(keep);
      deps.out(input.json ? `${JSON.stringify({ models: rows.map(rowAsJson) })}\n` : shown(rows));
      return DONE;
    } finally {
      await Promise.all([...providers.values()].map((provider) => provider.close()));
    }
  },
};

/** Aliases first; then what nobody named, but callers may. */
function rowsOf(parts: { readonly snapshot: Snapshot; readonly book: ModelBook; readonly known: boolean; readonly at: number }): Row[] {
  const { snapshot, book, known, at } = parts;
  const { aliases, providers, places } = snapshot;
  const rows: Row[] = [...aliases.values()].map((alias) => {
    const [first] = alias.targets;
    const provider = first && providers.get(first.provider);
    return {
      id: alias.name,
      alias,
      card: provider && cardOf({ book, provider, model: first.model, place: placeOfTarget(first, places), at }),
    };
  });
  if (!known) return rows;
  const listed = (provider: Provider): Row[] =>
    (book.known?.(provider.id) ?? [])
      .filter((model) => !aliases.has(`${provider.id}/${model}`))
      .map((model) => ({
        id: `${provider.id}/${model}`,
        card: cardOf({ book, provider, model, place: places?.get(provider.id), at }),
      }));
  return [...rows, ...[...providers.values()].flatMap(listed)];
}

/** What is not known of a model is not held to be true of it. @throws UsageError */
function filterOf(input: Input): (row: Row) => boolean {
  const provider = input.text("provider");
  const operation = input.text("operation");
  const needs = wordList(input, "needs") ?? [];
  const unknown = needs.find((need) => !isAbility(need));
  if (unknown !== undefined) throw new UsageError(`--needs knows ${ABILITIES.join(", ")}, not "${unknown}".`);
  const context = wholeNumber(input, "min-context", 0, MOST_TOKENS);
  const dollars = dollarsOf(input);
  return ({ card }) => {
    if (provider !== undefined && card?.provider !== provider) return false;
    if (operation !== undefined && !card?.operations.some((one) => one === operation)) return false;
    if (needs.some((need) => !card || !isAbility(need) || !has(card, need))) return false;
    if (context !== undefined && (card?.contextTokens ?? -1) < context) return false;
    return dollars === undefined || inputPriceOf(card) <= dollars * NANODOLLARS;
  };
}

function isAbility(word: string): word is Ability {
  return ABILITIES.some((ability) => ability === word);
}

function has(card: ModelCard, ability: Ability): boolean {
  if (ability === "vision") return card.operations.includes("generate") && card.input.includes("image");
  if (ability === "files") return card.input.includes("file");
  if (ability === "audio") return card.input.includes("audio");
  return card[ability] === true;
}

/** @throws UsageError */
function dollarsOf(input: Input): number | undefined {
  const text = input.text("max-input-usd");
  if (text === undefined) return undefined;
  const dollars = Number(text);
  if (text.trim() === "" || !(dollars >= 0 && dollars <= MOST_DOLLARS))
    throw new UsageError(`--max-input-usd is an amount of dollars up to ${MOST_DOLLARS}, not "${text}".`);
  return dollars;
}

/** An unknown price is above every bound. */
function inputPriceOf(card: ModelCard | undefined): number {
  return card?.prices?.free ? 0 : (card?.prices?.input ?? Number.POSITIVE_INFINITY);
}

function rowAsJson({ id, alias, card }: Row): object {
  return {
    id,
    ...(alias && { strategy: alias.strategy, targets: alias.targets.map(({ provider, model }) => `${provider}/${model}`) }),
    ...(card && { card: cardAsJson(card) }),
  };
}

const HEADINGS = ["MODEL", "TARGETS", "OPERATIONS", "CONTEXT", "OUTPUT", "IN", "OUT", "ABILITIES", "USD IN/OUT/CACHED A MILLION", "REGION"];

function shown(rows: readonly Row[]): string {
  if (rows.length === 0) return "No model is known to fit.\n";
  const lines = rows.map(({ id, alias, card }) => [
    id,
    alias ? alias.targets.map(({ provider, model }) => `${provider}/${model}`).join(", ") : "-",
    ...(card ? wordsOf(card) : ["no provider"]),
  ]);
  return `${table(HEADINGS, lines)}\n`;
}

function wordsOf(card: ModelCard): string[] {
  const abilities = (["tools", "structuredOutput", "reasoning"] as const).flatMap((ability) => {
    const can = card[ability];
    return can === true ? [ability] : can === undefined && card.operations.includes("generate") ? [`${ability}?`] : [];
  });
  return [
    `${card.operations.join(",") || "-"}${card.assumed ? "?" : ""}`,
    card.contextTokens?.toString() ?? "?",
    card.maxOutputTokens?.toString() ?? "?",
    card.input.join(",") || "-",
    card.output.join(",") || "-",
    abilities.join(",") || "-",
    pricesInWords(card.prices),
    [card.region, card.residency].filter((place) => place !== undefined).join("/") || "-",
  ];
}

function pricesInWords(prices: ModelCard["prices"]): string {
  if (!prices) return "?";
  if (prices.free) return "free";
  return [prices.input, prices.output, prices.cacheRead].map((price) => (price === undefined ? "?" : plainDollars(price))).join("/");
}

/** Without the noughts at its end. */
function plainDollars(price: number): string {
  return formatDollars(price).replace(/\.?0+$/, "");
}
