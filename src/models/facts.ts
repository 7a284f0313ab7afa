import type { Capabilities, ModelFacts } from "../canon/index.ts";
import { FACTS, type FactsRow } from "./catalog.ts";
import { bareModel, compilePattern } from "./pattern.ts";

const COMPILED = FACTS.map((row) => ({ row, matches: row.models.map(compilePattern) }));

/** Everything that the rows say of a model; undefined when none matches. */
export function factsFromRows(model: string): (ModelFacts & Pick<FactsRow, "tokensPerThousand">) | undefined {
  const name = bareModel(model);
  let facts: FactsRow | undefined;
  for (const { row, matches } of COMPILED) {
    if (!matches.some((match) => match(name))) continue;
    facts = { ...facts, ...row, capabilities: { ...facts?.capabilities, ...row.capabilities } };
  }
  if (!facts) return undefined;
  const { models: _models, capabilities = {}, ...rest } = facts;
  return { ...rest, capabilities: withMaximum(capabilities, facts.maxOutputTokens) };
}

/** Dialects that must name a cap ask the capabilities for it. */
export function withMaximum(capabilities: Capabilities, maxOutputTokens: number | undefined): Capabilities {
  return maxOutputTokens === undefined ? capabilities : { ...capabilities, maxOutputTokens };
}
