import { UsageError, type Flag, type Input } from "./command.ts";

/** Which rows a command looks at. */
export const RANGE_FLAGS: Readonly<Record<string, Flag>> = {
  since: { value: "WHEN", meaning: "Only calls begun then or later: a day (2026-01-31, in UTC) or a time (ISO 8601)." },
  until: { value: "WHEN", meaning: "Only calls begun before then." },
  model: { value: "NAME", meaning: "Only calls of this model, as callers name it, or of this provider/model." },
};

export interface RowRange {
  readonly since?: number;
  readonly until?: number;
  readonly model?: string;
}

/** @throws UsageError */
export function rangeOf(input: Input): RowRange {
  const since = timeOf(input, "since");
  const until = timeOf(input, "until");
  const model = input.text("model");
  if (since !== undefined && until !== undefined && until <= since) throw new UsageError("--until is not after --since.");
  return { ...(since !== undefined && { since }), ...(until !== undefined && { until }), ...(model !== undefined && { model }) };
}

function timeOf(input: Input, flag: string): number | undefined {
  const text = input.text(flag);
  if (text === undefined) return undefined;
  const at = Date.parse(text);
  if (Number.isNaN(at) || at < 0) throw new UsageError(`--${flag} is a day or a time such as 2026-01-31T22:00Z, not "${text}".`);
  return at;
}
