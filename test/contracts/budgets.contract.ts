import { describe, expect, it } from "vitest";
import type { LeaseAnswer, LeaseAsk, Stores } from "../../src/canon/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import { ledgerRow, openRecord, START } from "../stores/rows.ts";

const DAY_MS = 86_400_000;
let turn = 0;

function ask(spec: Partial<LeaseAsk> = {}): LeaseAsk {
  return {
    key: "b",
    begins: START,
    ends: START + DAY_MS,
    limit: 100,
    refillMs: 0,
    turn: ++turn,
    least: 0,
    waiting: 0,
    used: 0,
    returned: 0,
    yields: false,
    recall: false,
    ...spec,
  };
}

/** What every `BudgetStore` promises. */
export function budgetContract(name: string, open: () => Promise<Stores>): void {
  const withStores = (use: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores);
    } finally {
      await stores.close();
    }
  };
  describe(`${name}: counters`, () => {
    leasing(withStores);
    booking(withStores);
  });
}

type WithStores = (use: (stores: Stores) => Promise<void>) => () => Promise<void>;

async function one(stores: Stores, node: string, spec: Partial<LeaseAsk>, now = START): Promise<LeaseAnswer> {
  const [answer] = await stores.budgets.lease(node, [ask(spec)], now);
  if (!answer) throw new Error("nothing was answered");
  return answer;
}

function leasing(withStores: WithStores): void {
  it(
    "gives what calls wait for, something more while plenty is left, and never more than the limit",
    withStores(async (stores) => {
      expect(await one(stores, "a", { least: 1, waiting: 1 })).toEqual({ granted: 6, spent: 0, leased: 6, pending: 0, recalled: false });
      expect(await one(stores, "b", { least: 10, waiting: 60 })).toMatchObject({ granted: 60, leased: 66 });
      expect(await one(stores, "c", { least: 10, waiting: 60 })).toMatchObject({ granted: 34, leased: 100 });
      expect(await one(stores, "c", { least: 1, waiting: 1 })).toMatchObject({ granted: 0, leased: 100 });
    }),
  );

  it(
    "does the same ask once",
    withStores(async (stores) => {
      const asked = ask({ least: 10, waiting: 10 });
      const first = await stores.budgets.lease("a", [asked], START);
      expect(await stores.budgets.lease("a", [asked], START)).toEqual(first);
      const used = ask({ used: 4, returned: 6 });
      await stores.budgets.lease("a", [used], START);
      expect(await stores.budgets.lease("a", [used], START)).toMatchObject([{ spent: 4, leased: 0 }]);
    }),
  );

  it(
    "has the others asked to give back, and knows who has not answered",
    withStores(async (stores) => {
      await one(stores, "a", { least: 50, waiting: 50 });
      await one(stores, "b", { least: 40, waiting: 40 });
      expect(await one(stores, "c", { least: 20, waiting: 20, recall: true })).toMatchObject({ granted: 0, pending: 2 });
      expect(await one(stores, "a", { returned: 30, yields: true })).toMatchObject({ recalled: false });
      expect(await one(stores, "c", { least: 20, waiting: 20 })).toMatchObject({ granted: 20, pending: 1 });
      expect(await one(stores, "b", { least: 1, waiting: 1 })).toMatchObject({ granted: 1, recalled: true });
    }),
  );

  it(
    "gives nothing to spare for a while after that",
    withStores(async (stores) => {
      await one(stores, "a", { limit: 1000, recall: true, least: 1000, waiting: 1000, returned: 0 });
      await one(stores, "a", { limit: 1000, returned: 1000, yields: true });
      expect(await one(stores, "b", { limit: 1000, least: 1, waiting: 1 }, START + 4999)).toMatchObject({ granted: 1 });
      expect(await one(stores, "b", { limit: 1000, least: 1, waiting: 1 }, START + 5001)).toMatchObject({ granted: 62 });
    }),
  );

  it(
    "forgets evenly what was used of counters that refill, and nothing when the clock steps back",
    withStores(async (stores) => {
      const bucket = { key: "r", begins: 0, limit: 60, refillMs: 60_000 };
      await one(stores, "a", { ...bucket, least: 60, waiting: 60 });
      await one(stores, "a", { ...bucket, used: 60 });
      expect(await one(stores, "a", { ...bucket, least: 1, waiting: 1 }, START - 100_000)).toMatchObject({ granted: 0, spent: 60 });
      expect(await one(stores, "a", { ...bucket, least: 1, waiting: 1 }, START + 999)).toMatchObject({ granted: 0, spent: 60 });
      expect(await one(stores, "a", { ...bucket, least: 1, waiting: 1 }, START + 1000)).toMatchObject({ granted: 1, spent: 59 });
      expect(await one(stores, "a", { ...bucket, least: 1, waiting: 1 }, START + 10_000_000)).toMatchObject({ spent: 0 });
    }),
  );

  it(
    "holds under random interleavings of nodes that ask, use, give back and die",
    withStores(async (stores) => {
      const randomness = new SeededRandomness(11);
      const nodes = ["a", "b", "c"].map((name) => ({ name, leased: 0 }));
      let used = 0;
      for (let step = 0; step < 300; step++) {
        const node = nodes[Math.floor(randomness.number() * nodes.length)];
        if (!node) continue;
        const some = (most: number): number => Math.floor(randomness.number() * (most + 1));
        if (randomness.number() < 0.05) {
          await stores.ledger.interruptOpen(node.name, "p");
          node.leased = 0;
          continue;
        }
        const uses = some(Math.min(node.leased, 5));
        const returned = some(node.leased - uses);
        const least = some(4);
        const answer = await one(stores, node.name, { limit: 500, used: uses, returned, least, waiting: least + some(9) });
        used += uses;
        node.leased += answer.granted - uses - returned;
        expect(answer.spent).toBe(used);
        expect(answer.leased).toBe(nodes.reduce((sum, { leased }) => sum + leased, 0));
        expect(answer.spent + answer.leased).toBeLessThanOrEqual(500);
      }
    }),
  );
}

function booking(withStores: WithStores): void {
  it(
    "books what a call used with its row, once",
    withStores(async (stores) => {
      await one(stores, "a", { least: 30, waiting: 30 });
      stores.ledger.open(openRecord("call_1", { node: "a", holds: [["b", START, 30]] }));
      await stores.ledger.settle(ledgerRow("call_1"), [["b", START, 7, 30]], "a");
      await stores.ledger.settle(ledgerRow("call_1"), [["b", START, 7, 30]], "a");
      expect(await one(stores, "b", {})).toMatchObject({ spent: 7, leased: 0 });
      expect(await stores.budgets.list(START, 10)).toEqual([{ key: "b", begins: START, ends: START + DAY_MS, spent: 7, leased: 0 }]);
    }),
  );

  it(
    "books rows of several nodes, and gives out what they left, when all of it comes at once",
    withStores(async (stores) => {
      await one(stores, "a", { least: 40, waiting: 40 });
      await one(stores, "b", { least: 50, waiting: 50 });
      const settle = (callId: string, node: string, spent: number, released: number, key = "b"): Promise<void> =>
        stores.ledger.settle(ledgerRow(callId), [[key, START, spent, released]], node);
      const rows = Array.from({ length: 10 }, (_, at) => settle(`call_${at}`, "a", 1, 3));
      const others = [settle("call_b", "b", 20, 50), settle("call_twice", "b", 1, 0), settle("call_twice", "b", 1, 0)];
      // More is given back than there is: what another node has is not touched by it.
      const greedy = settle("call_greedy", "a", 0, 60);
      const asked = one(stores, "c", { least: 60, waiting: 60 });
      await Promise.all([...rows, ...others, greedy, asked]);
      expect(await asked).toMatchObject({ granted: 60 });
      await Promise.all([settle("call_late", "c", 4, 60), settle("call_later", "c", 0, 3)]);
      expect(await one(stores, "c", {})).toMatchObject({ spent: 35, leased: 0 });
    }),
  );

  it(
    "books the holds of a dead node's calls and takes back the rest of what it had",
    withStores(async (stores) => {
      await one(stores, "dead", { least: 50, waiting: 50 });
      await one(stores, "alive", { least: 10, waiting: 10 });
      stores.ledger.open(openRecord("call_2", { node: "dead", holds: [["b", START, 20]] }));
      await stores.ledger.flush();
      expect(await stores.ledger.interruptOpen("dead", "p")).toBe(1);
      expect(await stores.ledger.interruptOpen("dead", "p")).toBe(0);
      expect(await one(stores, "alive", {})).toMatchObject({ spent: 20, leased: 10 });
      await stores.ledger.interruptOpen(undefined, "p");
      expect(await one(stores, "alive", {})).toMatchObject({ spent: 20, leased: 0 });
    }),
  );

  it(
    "forgets windows that are long over",
    withStores(async (stores) => {
      await one(stores, "a", { key: "old", begins: START - DAY_MS, ends: START, least: 1, waiting: 1 });
      await one(stores, "a", { key: "new", least: 1, waiting: 1 });
      expect(await stores.budgets.expire(START + 1)).toBe(1);
      expect((await stores.budgets.list(0, 10)).map(({ key }) => key)).toEqual(["new"]);
    }),
  );

  it(
    "keeps the budgets of keys",
    withStores(async (stores) => {
      const budget = { id: "k", match: { key: "key_1" }, nanodollars: 5, per: "month", timeZone: "UTC", hard: true } as const;
      const record = { id: "key_1", name: "n", hash: "h", prefix: "gk_", scopes: {}, createdAt: START };
      await stores.keys.create({ ...record, limits: [{ inputTokens: 5, per: "hour" }], budgets: [budget] });
      expect(await stores.keys.byHash("h")).toMatchObject({ budgets: [budget], limits: [{ inputTokens: 5, per: "hour" }] });
    }),
  );
}
