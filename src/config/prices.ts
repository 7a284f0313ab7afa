import { localPricesOptions, type LocalPrices } from "../models/index.ts";
import { nearest } from "../kit/index.ts";
import { SIM } from "./aliases.ts";
import { ConfigDocument, type ConfigProblem } from "./document.ts";
import { describeIssues } from "./issues.ts";

export type PricesOutcome =
  | { readonly ok: true; readonly prices: LocalPrices; readonly warnings: readonly ConfigProblem[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Reads a whole price file. Never throws; `ok` is false with every problem found, each with line and column.
 * @param providers names of the configured ones: prices of any other are warned of, because they price nothing
 */
export function readPrices(text: string, providers: Iterable<string>): PricesOutcome {
  const document = new ConfigDocument(text);
  if (document.problems.length > 0) return { ok: false, problems: document.problems };
  if (typeof document.value !== "object" || document.value === null || Array.isArray(document.value))
    return { ok: false, problems: [{ line: 1, column: 1, message: "The price file is a mapping that begins with `version: 1`." }] };
  const parsed = localPricesOptions.safeParse(document.value);
  if (!parsed.success) return { ok: false, problems: describeIssues(parsed.error.issues, document, localPricesOptions) };
  const known = [...providers, SIM];
  const warnings = Object.keys(parsed.data.prices).flatMap((name) => {
    const provider = name.slice(0, name.indexOf("/"));
    if (provider.includes("*") || provider.includes("?") || known.includes(provider)) return [];
    const like = nearest(provider, known);
    const hint = like ? ` Did you mean "${like}"?` : "";
    return [document.problem(["prices", name], `prices.${name}: There is no provider "${provider}" in the configuration.${hint}`, true)];
  });
  return { ok: true, prices: parsed.data, warnings };
}
