import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Budget, Caller, Stores } from "../../src/canon/index.ts";
import { systemClock } from "../../src/kit/index.ts";
import { Coverage, Hold, reserve, Walls } from "../../src/ledger/budgets/index.ts";
import { openPostgres } from "../../src/stores/index.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { temporaryFolder } from "./folders.ts";
import { ledgerRow } from "./rows.ts";

const CALLS = 1000;
const CENT = 10_000_000;
const caller: Caller = { id: "k", scope: "k", name: "k", scopes: {}, limits: [], anonymous: false };
const subject = { caller, model: "m", session: undefined, agent: undefined, turn: undefined };
const budgets: readonly Budget[] = [
  { id: "dollar", match: {}, nanodollars: 100 * CENT, per: "lifetime", timeZone: "UTC", hard: true },
  { id: "wide", match: { key: "*" }, nanodollars: 10_000 * CENT, per: "month", timeZone: "UTC", hard: true },
];

interface Node {
  readonly name: string;
  readonly stores: Stores;
  readonly walls: Walls;
  readonly coverage: Coverage;
}

describe.skipIf(!hasPostgres)("budgets over gateways on PostgreSQL", () => {
  let server: TestPostgres;
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server?.stop());

  it("let exactly as many calls pass as they have room for, of a thousand at once over three gateways", async () => {
    const url = server.url();
    const env = { GIMBAL_DATA_KEY: Buffer.alloc(32, 7).toString("base64") };
    const nodes: Node[] = [];
    for (const name of ["a", "b", "c"]) {
      const stores = await openPostgres({ url, folder: temporaryFolder(), node: name, clock: systemClock, env });
      const walls = new Walls({ store: stores.budgets, signals: stores.signals, clock: systemClock, node: name });
      nodes.push({ name, stores, walls, coverage: new Coverage(walls) });
    }
    const call = async (number: number): Promise<boolean> => {
      const node = nodes[number % nodes.length];
      if (!node) return false;
      const amounts = { nanodollars: CENT, tokens: 0 };
      const hold = await reserve(node.coverage.of(budgets, subject), amounts, systemClock.now(), systemClock.monotonic());
      if (!(hold instanceof Hold)) return false;
      await node.stores.ledger.settle(ledgerRow(`call_${number}`), hold.settle(amounts), node.name);
      return true;
    };
    try {
      const passed = await Promise.all(Array.from({ length: CALLS }, (_, number) => call(number)));
      expect(passed.filter(Boolean)).toHaveLength(100);
      await Promise.all(nodes.map(({ walls }) => walls.close()));
      const counters = (await nodes[0]?.stores.budgets.list(0, 10)) ?? [];
      expect(counters.map(({ spent, leased }) => [spent, leased])).toEqual([
        [100 * CENT, 0],
        [100 * CENT, 0],
      ]);
    } finally {
      await Promise.all(nodes.map(({ stores }) => stores.close()));
    }
  }, 60_000);
});
