import type { Batch, JsonObject } from "../canon/index.ts";

/** Where the lines of a batch are: a member that no language knows, for whoever wonders. Nothing where nothing was handed over. */
export function handedOver({ handed = [], total }: Batch): JsonObject {
  if (handed.length === 0) return {};
  const parts = handed.map(({ provider, model, service, state, lines }) => ({
    target: `${provider}/${model}`,
    batch: service ?? null,
    state,
    lines: lines.reduce((sum, [first, last]) => sum + last - first + 1, 0),
  }));
  const away = parts.reduce((sum, { state, lines }) => (state === "refused" ? sum : sum + lines), 0);
  return { gimbal: { handed_over: parts, here: total - away } };
}
