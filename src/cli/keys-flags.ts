import { ProblemError, type MetadataScope, type Requirements } from "../canon/index.ts";
import type { z } from "zod";
import { scopeShape } from "../gateway/scope-options.ts";
import { parseJson } from "../kit/index.ts";
import { keyBudgetsOptions } from "../ledger/options.ts";
import { CommandError, UsageError, wordList, type Input } from "./command.ts";

/** What the commands for keys, accounts and groups have in common. */
export const HIGHEST_TIER = 4;
export const HIGHEST_PRIORITY = 9;
export const REQUESTS = 1_000_000_000;
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

export function requirementsOf(input: Input): Requirements | undefined {
  const [region, residency] = [wordList(input, "region"), wordList(input, "residency")];
  return region || residency ? { ...(region && { region }), ...(residency && { residency }) } : undefined;
}

export function budgetsOf(input: Input): z.output<typeof keyBudgetsOptions> {
  const text = input.text("budget");
  if (text === undefined) return [];
  const [usd, per] = text.split("/");
  const parsed = keyBudgetsOptions.safeParse([{ usd: Number(usd), per }]);
  if (parsed.success) return parsed.data;
  throw new UsageError(`--budget is dollars and a window, as in 100/month or 20/lifetime, not "${text}".`);
}

/** @throws UsageError */
export function metadataOf(input: Input): MetadataScope | undefined {
  const text = input.text("metadata");
  if (text === undefined) return undefined;
  const parsed = scopeShape.metadata.safeParse(parseJson(text));
  if (parsed.success && parsed.data) return parsed.data;
  throw new UsageError(
    `--metadata is JSON such as {"allow": {"feature": ["search"]}, "force": {"unit": "7"}}, not "${text.slice(0, 100)}".`,
  );
}

/** Milliseconds since 1970. @throws UsageError */
export function momentOf(text: string, now: number): number {
  const span = /^(\d{1,6})([hdw])$/.exec(text);
  const moment = span
    ? now + Number(span[1]) * (UNITS_MS[span[2] ?? ""] ?? 0)
    : /^\d{4}-\d{2}-\d{2}/.test(text)
      ? Date.parse(text)
      : Number.NaN;
  if (!Number.isFinite(moment))
    throw new UsageError(`--expires is a date (2027-01-31), a time (ISO 8601) or a span (12h, 30d, 8w), not "${text}".`);
  if (moment <= now) throw new UsageError(`--expires ${text} is in the past.`);
  return moment;
}

/** What went wrong in the record, as a command says it. @throws CommandError */
export async function orSay<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ProblemError ? new CommandError(error.problem.message) : error;
  }
}
