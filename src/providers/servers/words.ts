import type { ServerLoad, ServerReport } from "../../canon/index.ts";

/** Models that are named. */
const NAMED = 5;
const PERCENT = 100;

/** What a server told of itself, in sentences for people. Empty: nothing that was not known. */
export function reportInWords({ up, detail, models = [], load }: ServerReport): string {
  if (!up) return `Its server is down: ${detail}.`;
  const named = models.slice(0, NAMED).map(({ name, contextTokens, loaded }) => {
    const facts = [...(contextTokens === undefined ? [] : [`${contextTokens} tokens`]), ...(loaded === false ? ["not loaded"] : [])];
    return facts.length === 0 ? name : `${name} (${facts.join(", ")})`;
  });
  const more = models.length > NAMED ? ` and ${models.length - NAMED} more` : "";
  return [...(named.length > 0 ? [`It serves ${named.join(", ")}${more}.`] : []), ...(load ? [`Now ${loadInWords(load)}.`] : [])].join(" ");
}

export function loadInWords({ running, waiting, slots, cacheShare }: ServerLoad): string {
  const of = slots === undefined ? "" : ` of ${slots}`;
  const share = cacheShare === undefined ? "" : `, its cache is ${Math.round(cacheShare * PERCENT)}% full`;
  return `${Math.round(running)}${of} running, ${Math.round(waiting)} waiting${share}`;
}
