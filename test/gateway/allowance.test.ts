import { describe, expect, it } from "vitest";
import {
  NO_USAGE,
  type Budget,
  type Caller,
  type LedgerRow,
  type Provider,
  type RateLimit,
  type Snapshot,
  type Target,
  type Usage,
} from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { allow, allowAttempt, enter } from "../../src/gateway/allowance.ts";
import { createGateway, type GatewayDeps } from "../../src/gateway/index.ts";
import { LiveCall } from "../../src/gateway/live.ts";
import type { CallRequest } from "../../src/gateway/request.ts";
import { newRun, type Run } from "../../src/gateway/run.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

const target: Target = { provider: "p", model: "m", weight: 1 };
const caller: Caller = { id: "k", scope: "k", name: "k", team: "t", scopes: {}, limits: [], anonymous: false };
/** A tenth of a microdollar a token. */
const PRICE = 100;

interface Setting {
  readonly deps: GatewayDeps;
  readonly run: () => Run;
  readonly spent: () => Promise<readonly number[]>;
}

function setting(budgets: readonly Partial<Budget>[], limits: readonly RateLimit[] = []): Setting {
  const clock = new ManualClock();
  const stores = memoryStores(clock);
  const provider = { id: "p", capabilities: () => ({}) } as unknown as Provider;
  const snapshot = {
    version: 1,
    aliases: new Map(),
    providers: new Map([["p", provider]]),
    limits: { journalBytes: 1000 },
    access: { anonymous: "never" },
    callerLimits: limits,
    budgets: budgets.map((one, at) => ({ id: `b${at}`, match: {}, per: "lifetime", timeZone: "UTC", hard: true, ...one })),
  } as unknown as Snapshot;
  const deps = createGateway({
    clock,
    randomness: new SeededRandomness(1),
    snapshot: () => snapshot,
    dialects,
    stores,
    book: {
      version: "1",
      facts: () => ({ capabilities: {}, maxOutputTokens: 1000, contextTokens: 4000 }),
      cost: (_provider, _model, usage) => (usage.inputUncached + usage.output) * PRICE,
      countTokens: (text) => text.length,
    },
    guards: [],
    node: "n",
    report: () => {},
  });
  const dialect = dialects.get("openai-chat");
  const request = { dialect, door: dialect?.doors[0], headers: {}, params: {}, peer: "" } as unknown as CallRequest;
  const run = (): Run => {
    const live = new LiveCall({ id: "c", clock, journalBytes: 1000 });
    const made = newRun(live, request, snapshot);
    made.caller = caller;
    made.model = "p/m";
    made.maxOutputTokens = 100;
    return made;
  };
  const spent = async (): Promise<readonly number[]> => (await stores.budgets.list(0, 10)).map((counter) => counter.spent);
  return { deps, run, spent };
}

const rowOf = (usage: Usage): LedgerRow => ({ usage, costNanodollars: (usage.inputUncached + usage.output) * PRICE }) as LedgerRow;

async function book({ deps }: Setting, run: Run, usage: Usage): Promise<void> {
  const spends = run.allowance?.settle(rowOf(usage)) ?? [];
  const row = { callId: run.live.id + String(Math.random()), usage: NO_USAGE } as LedgerRow;
  await deps.ledger.settle(row, spends, "n");
}

describe("what a call reserves", () => {
  it("is what it may cost at most, and what it did not need goes back", async () => {
    const one = setting([{ nanodollars: 100_000, tokens: 100_000 }]);
    const run = one.run();
    await allow(one.deps, run, caller, 300);
    // 300 bytes of JSON are at most 100 tokens.
    expect(run.allowance?.held().map(([, , amount]) => amount)).toEqual([200 * PRICE, 200]);
    await book(one, run, { ...NO_USAGE, inputUncached: 10, output: 20 });
    expect(await one.spent()).toEqual([30 * PRICE, 30]);
  });

  it("takes the model's own maximum where the call names none, and no more input than fits into it", async () => {
    const one = setting([{ tokens: 1_000_000 }]);
    const run = one.run();
    run.maxOutputTokens = undefined;
    await allow(one.deps, run, caller, 30_000);
    expect(run.allowance?.held().map(([, , amount]) => amount)).toEqual([4000 + 1000]);
  });

  it("is raised before another attempt by what the first one cost, and not before", async () => {
    const one = setting([{ tokens: 500 }]);
    const run = one.run();
    await allow(one.deps, run, caller, 300);
    expect(await allowAttempt(one.deps, run, target, 0)).toBeUndefined();
    run.attempts.push({ target: "p/m", startedMs: 0, endedMs: 1 });
    expect(await allowAttempt(one.deps, run, target, 0)).toBeUndefined();
    expect(run.allowance?.held()[0]?.[2]).toBe(200);
    run.attempts.push({ target: "p/m", startedMs: 0, endedMs: 1, usage: { ...NO_USAGE, inputUncached: 90, output: 60 } });
    expect(await allowAttempt(one.deps, run, target, 0)).toBeUndefined();
    expect(run.allowance?.held()[0]?.[2]).toBe(350);
    run.attempts.push({ target: "p/m", startedMs: 0, endedMs: 1, usage: { ...NO_USAGE, inputUncached: 90, output: 80 } });
    expect(await allowAttempt(one.deps, run, target, 0)).toMatchObject({ kind: "budget_exhausted" });
    await book(one, run, { ...NO_USAGE, inputUncached: 180, output: 140 });
    expect(await one.spent()).toEqual([320]);
  });

  it("covers a rival that runs beside the first attempt, or there is none", async () => {
    const one = setting([{ tokens: 300 }]);
    const run = one.run();
    await allow(one.deps, run, caller, 300);
    expect(await allowAttempt(one.deps, run, target, 1)).toMatchObject({ kind: "budget_exhausted" });
    const wide = setting([{ tokens: 400 }]);
    const other = wide.run();
    await allow(wide.deps, other, caller, 300);
    expect(await allowAttempt(wide.deps, other, target, 1)).toBeUndefined();
    expect(other.allowance?.held()[0]?.[2]).toBe(400);
  });

  it("is nothing where no budget and no limit covers the call", async () => {
    const one = setting([{ tokens: 1, match: { team: "others" } }]);
    const run = one.run();
    await enter(one.deps, run, caller);
    await allow(one.deps, run, caller, 300);
    expect(run.allowance).toBeUndefined();
  });

  it("of limits is let go when the call is over, also when a budget refused it", async () => {
    const one = setting([{ tokens: 1 }], [{ id: "l", match: {}, concurrency: 1, per: "minute" }]);
    for (let call = 0; call < 3; call++) {
      const run = one.run();
      await enter(one.deps, run, caller);
      await expect(async () => allow(one.deps, run, caller, 300)).rejects.toMatchObject({ problem: { kind: "budget_exhausted" } });
      run.allowance?.settle(rowOf(NO_USAGE));
    }
  });
});
