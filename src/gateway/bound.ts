import {
  isTask,
  ProblemError,
  totalInput,
  type Alias,
  type CallExtent,
  type LedgerRow,
  type Snapshot,
  type Target,
} from "../canon/index.ts";
import type { Amounts } from "../ledger/budgets/index.ts";
import { factsOf } from "./facts.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";
import { taskBoundAt } from "./task-bound.ts";

/** Output of a call that names no maximum, to a model whose own is not known. */
const UNKNOWN_OUTPUT_TOKENS = 16_384;
/** What a session's model reads for one answer, where its context is not known. */
const SESSION_TOKENS = 32_768;
/** Bytes of JSON that hold at least one token, in nearly every text there is. */
const BYTES_PER_TOKEN = 3;
/** A longer body may hold images and files, whose bytes are no tokens. */
const PLAIN_BYTES = 64 * 1024;
/** What an estimate by characters may be too small by. */
const MARGIN = 4 / 3;

/** What a call may use at most, by what is known before it is sent. */
export interface Bound extends Amounts {
  /** A target whose price nobody knows; its part is missing in `nanodollars`. */
  readonly unpriced: string | undefined;
}

/**
 * The most that one attempt of the call may use, whichever target of the model it goes to. Undefined: there is no such model.
 * @param bytes of the request's body
 * @param text are they all to be taken for text?
 */
export function boundOf(deps: GatewayDeps, run: Run, model: string, bytes: number, text = false): Bound | undefined {
  const targets = targetsOf(run.snapshot, model);
  if (!targets) return undefined;
  const input = text ? Math.ceil(bytes / BYTES_PER_TOKEN) : inputBound(deps, run, bytes);
  let nanodollars = 0;
  let tokens = 0;
  let unpriced: string | undefined;
  for (const target of targets) {
    const one = boundAt(deps, run, target, input);
    tokens = Math.max(tokens, one.tokens);
    if (one.nanodollars === undefined) unpriced ??= `${target.provider}/${target.model}`;
    else nanodollars = Math.max(nanodollars, one.nanodollars);
  }
  return { nanodollars, tokens, unpriced };
}

function boundAt(
  { book }: GatewayDeps,
  run: Run,
  { provider, model }: Target,
  input: number,
): { readonly nanodollars: number | undefined; readonly tokens: number } {
  if (isTask(operationOf(run))) return taskBoundAt(book, run, { provider, model }, input, extentOf(run).durationMs);
  const facts = book.facts(provider, model);
  const most = facts?.maxOutputTokens ?? UNKNOWN_OUTPUT_TOKENS;
  const isSession = operationOf(run) === "realtime";
  const generates = isSession || operationOf(run) === "generate";
  const each = generates ? Math.min(run.maxOutputTokens ?? most, facts?.maxOutputTokens ?? Number.MAX_SAFE_INTEGER) : 0;
  const output = Math.ceil(each * run.choices);
  // One answer of a session reads whatever was said before, and its end is not known yet.
  const sent = isSession ? (facts?.contextTokens ?? SESSION_TOKENS) : Math.min(input, facts?.contextTokens ?? Number.MAX_SAFE_INTEGER);
  const at = run.live.startedAt;
  const nanodollars = book.upperBound
    ? book.upperBound(provider, model, sent, output, at, extentOf(run))
    : book.cost(provider, model, { inputUncached: sent, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output, reasoning: 0 }, at);
  return { nanodollars, tokens: generates ? sent + output : 0 };
}

/** What a model paid by time may cost is bounded by the model's own limits of time; a stream without one of its whole may pass it. */
function extentOf(run: Run): CallExtent {
  const { limits, aliases } = run.snapshot;
  const alias = aliases.get(run.model);
  const durationMs = alias?.timeouts?.totalMs ?? alias?.timeoutMs ?? limits.defaultTimeoutMs;
  return {
    durationMs,
    ...(operationOf(run) === "realtime" && { media: true }),
    ...(run.serviceTier !== undefined && { serviceTier: run.serviceTier }),
    ...(run.request.handed && { onlyTier: true }),
  };
}

function inputBound(deps: GatewayDeps, run: Run, bytes: number): number {
  const plain = Math.ceil(bytes / BYTES_PER_TOKEN);
  if (bytes <= PLAIN_BYTES || !run.caller) return plain;
  run.facts ??= factsOf(deps, run, run.caller);
  return Math.min(plain, Math.ceil(run.facts.inputTokens * MARGIN));
}

const targetsByAlias = new WeakMap<Alias, readonly Target[]>();

/** Everywhere that calls of this name may go. */
function targetsOf({ aliases, providers }: Snapshot, model: string): readonly Target[] | undefined {
  const alias = aliases.get(model);
  if (!alias) {
    const slash = model.indexOf("/");
    const provider = model.slice(0, Math.max(0, slash));
    return providers.has(provider) ? [{ provider, model: model.slice(slash + 1), weight: 1 }] : undefined;
  }
  let targets = targetsByAlias.get(alias);
  if (!targets) {
    const others = [
      ...(alias.rules ?? []).flatMap((rule) => rule.targets),
      ...(alias.canary?.targets ?? []),
      ...(alias.warm ? [alias.warm.target] : []),
    ];
    targetsByAlias.set(alias, (targets = [...alias.targets, ...others]));
  }
  return targets;
}

/** What the call did use, by its row. */
export function amountsOf(row: LedgerRow): { readonly nanodollars: number | undefined; readonly tokens: number } {
  return { nanodollars: row.costNanodollars, tokens: totalInput(row.usage) + row.usage.output };
}

export function unpricedProblem(target: string): ProblemError {
  return new ProblemError({
    kind: "budget_exhausted",
    code: "price_unknown",
    message: `The price of "${target}" is not known, and a budget in dollars covers this call. Give it a price (\`models.<name>.price\` of its provider, or prices.local.yaml), or set \`pricing.unknown: allow\`.`,
  });
}
