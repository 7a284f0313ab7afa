import { describe, expect, it } from "vitest";
import type { Envelope, Item, LedgerRow, Stores, Switch } from "../../src/canon/index.ts";
import { NO_USAGE, ProblemError } from "../../src/canon/index.ts";
import { keptTurn, keyRecord, ledgerRow, openRecord, START } from "../stores/rows.ts";

const FULL_ROW: LedgerRow = ledgerRow("call_full", {
  state: "failed",
  team: "search",
  project: "shop",
  target: "lab/small",
  upstreamModel: "small-2026",
  stream: true,
  usage: {
    inputUncached: 1,
    cacheRead: 2,
    cacheWrite5m: 3,
    cacheWrite1h: 4,
    output: 5,
    reasoning: 6,
    media: { web_search_requests: 2 },
    serviceTier: "priority",
    providerCost: 77,
    estimated: true,
  },
  costNanodollars: 9_007_199_254_740_991,
  timings: { readyMs: 0.125, firstOutputMs: 33.5, totalMs: 1000.75 },
  attempts: [
    { target: "lab/small", startedMs: 1, endedMs: 2, status: 500, problem: "upstream_unavailable" },
    { target: "lab/big", startedMs: 2, endedMs: 9, usage: NO_USAGE },
  ],
  problem: "upstream_broken",
  problemMessage: 'It said "no" – twice\u0000.',
  stop: "length",
  metadata: { ticket: 12, nested: { a: [null, true] } },
  session: "s-1",
  diagnostics: [{ field: "sampling.seed", action: "dropped", reason: "the language has no such field" }],
  traceId: "0af7651916cd43dd8448eb211c80319c",
});

async function kindOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error instanceof ProblemError ? error.problem.kind : String(error);
  }
}

/** What every implementation of the store seams promises. `open` gives empty stores, which the suite closes. */
export function storeContract(name: string, open: () => Promise<Stores>): void {
  const withStores = (use: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores);
    } finally {
      await stores.close();
    }
  };
  describe(`${name}: ledger`, () => {
    ledgerContract(withStores);
  });
  describe(`${name}: kept turns and native items`, () => {
    callContract(withStores);
  });
  describe(`${name}: keys`, () => {
    keyContract(withStores);
  });
  describe(`${name}: configuration`, () => {
    configContract(withStores);
  });
  describe(`${name}: switches`, () => {
    switchContract(withStores);
  });
}

type WithStores = (use: (stores: Stores) => Promise<void>) => () => Promise<void>;

function ledgerContract(withStores: WithStores): void {
  it(
    "gives a row back as it was",
    withStores(async ({ ledger }) => {
      const plain = ledgerRow("call_plain");
      await Promise.all([ledger.settle(plain), ledger.settle(FULL_ROW)]);
      expect(await ledger.read("call_plain")).toEqual(plain);
      expect(await ledger.read("call_full")).toEqual(FULL_ROW);
      expect(await ledger.read("call_none")).toBeUndefined();
    }),
  );

  it(
    "keeps an unknown cost apart from a cost of nothing",
    withStores(async ({ ledger }) => {
      await ledger.settle(ledgerRow("call_unknown"));
      await ledger.settle(ledgerRow("call_free", { costNanodollars: 0 }));
      expect(await ledger.read("call_unknown")).not.toHaveProperty("costNanodollars");
      expect(await ledger.read("call_free")).toHaveProperty("costNanodollars", 0);
    }),
  );

  it(
    "keeps the first row of a call and ignores a second",
    withStores(async ({ ledger }) => {
      await Promise.all([ledger.settle(ledgerRow("call_1", { state: "done" })), ledger.settle(ledgerRow("call_1", { state: "failed" }))]);
      await ledger.settle(ledgerRow("call_1", { state: "cancelled" }));
      expect((await ledger.read("call_1"))?.state).toBe("done");
      expect(await ledger.count()).toBe(1);
    }),
  );

  it(
    "lists the newest first, of all or of one caller, up to a limit",
    withStores(async ({ ledger }) => {
      for (const number of [1, 2, 3, 4]) await ledger.settle(ledgerRow(`call_${number}`, { callerId: number % 2 ? "odd" : "even" }));
      const ids = async (query: { limit: number; callerId?: string }): Promise<string[]> =>
        (await ledger.list(query)).map((row) => row.callId);
      expect(await ids({ limit: 3 })).toEqual(["call_4", "call_3", "call_2"]);
      expect(await ids({ limit: 10, callerId: "odd" })).toEqual(["call_3", "call_1"]);
      expect(await ids({ limit: 10, callerId: "nobody" })).toEqual([]);
    }),
  );

  it(
    "lists the rows of one model, of one target and since a moment",
    withStores(async ({ ledger }) => {
      for (const number of [1, 2, 3, 4])
        await ledger.settle(
          ledgerRow(`call_${number}`, {
            model: number % 2 ? "odd" : "even",
            target: `p/${number}`,
            startedAt: START + number,
            arm: "canary",
          }),
        );
      const ids = async (query: Parameters<typeof ledger.list>[0]): Promise<string[]> =>
        (await ledger.list(query)).map((row) => row.callId);
      expect(await ids({ limit: 10, model: "odd" })).toEqual(["call_3", "call_1"]);
      expect(await ids({ limit: 1, model: "odd" })).toEqual(["call_3"]);
      expect(await ids({ limit: 10, target: "p/2" })).toEqual(["call_2"]);
      expect(await ids({ limit: 10, model: "odd", since: START + 2 })).toEqual(["call_3"]);
      expect(await ids({ limit: 10, model: "odd", callerId: "nobody" })).toEqual([]);
      expect((await ledger.read("call_1"))?.arm).toBe("canary");
    }),
  );

  it(
    "takes a thousand rows at once and loses none",
    withStores(async ({ ledger }) => {
      await Promise.all(Array.from({ length: 1000 }, (_, number) => ledger.settle(ledgerRow(`call_${number}`))));
      expect(await ledger.count()).toBe(1000);
    }),
  );

  it(
    "turns what was left open into interrupted rows, with what is known of the caller",
    withStores(async ({ ledger, keys }) => {
      await keys.create(keyRecord("key_1", { name: "shopper", team: "search", project: "shop" }));
      ledger.open(openRecord("call_left"));
      ledger.open(openRecord("call_stranger", { callerId: "anonymous", startedAt: START + 1 }));
      ledger.open(openRecord("call_ended"));
      await ledger.flush();
      await ledger.settle(ledgerRow("call_ended"));
      expect(await ledger.interruptOpen(undefined, "prices-9")).toBe(2);
      expect(await ledger.interruptOpen(undefined, "prices-9")).toBe(0);
      const left = await ledger.read("call_left");
      expect(left).toMatchObject({
        state: "interrupted",
        callerName: "shopper",
        team: "search",
        project: "shop",
        priceVersion: "prices-9",
        problem: "gateway_restarted",
        startedAt: START,
      });
      expect(left?.usage).toMatchObject({ inputUncached: 42, output: 0, estimated: true });
      expect(await ledger.read("call_stranger")).toMatchObject({ callerName: "anonymous", state: "interrupted" });
      expect((await ledger.read("call_ended"))?.state).toBe("done");
    }),
  );

  it(
    "keeps how far a call that lasts has come, until it is settled, and of no other",
    withStores(async ({ ledger }) => {
      ledger.open(openRecord("call_long"));
      ledger.open(openRecord("call_over"));
      // The record of a beginning is held for a moment, by each process on its way.
      while (!(await ledger.readOpen("call_long"))) await ledger.flush();
      await ledger.progress({ callId: "call_long", inputEstimate: 7000.4, holds: [["wall", START, 900]] });
      await ledger.settle(ledgerRow("call_over"));
      await ledger.progress({ callId: "call_over", inputEstimate: 7000 });
      await ledger.progress({ callId: "call_nowhere", inputEstimate: 7000 });
      expect(await ledger.readOpen("call_long")).toMatchObject({ inputEstimate: 7000, holds: [["wall", START, 900]] });
      expect(await ledger.readOpen("call_over")).toBeUndefined();
      expect(await ledger.interruptOpen(undefined, "p")).toBe(1);
      expect((await ledger.read("call_long"))?.usage).toMatchObject({ inputUncached: 7000, estimated: true });
      expect(await ledger.read("call_nowhere")).toBeUndefined();
    }),
  );

  it(
    "interrupts only the calls of the node named, also those begun a moment ago",
    withStores(async ({ ledger }) => {
      ledger.open(openRecord("call_a", { node: "node-a" }));
      ledger.open(openRecord("call_b", { node: "node-b" }));
      expect(await ledger.interruptOpen("node-a", "p")).toBe(1);
      expect(await ledger.read("call_b")).toBeUndefined();
      expect(await ledger.interruptOpen(undefined, "p")).toBe(1);
    }),
  );

  it(
    "a call that ended in the moment it began leaves nothing open, in either order",
    withStores(async ({ ledger }) => {
      ledger.open(openRecord("call_short"));
      await ledger.settle(ledgerRow("call_short"));
      await ledger.settle(ledgerRow("call_odd"));
      ledger.open(openRecord("call_odd"));
      await ledger.flush();
      expect(await ledger.interruptOpen(undefined, "p")).toBe(0);
      expect(await ledger.count()).toBe(2);
    }),
  );

  it(
    "an interrupted call that settles late keeps its interrupted row",
    withStores(async ({ ledger }) => {
      ledger.open(openRecord("call_late"));
      await ledger.interruptOpen(undefined, "p");
      await ledger.settle(ledgerRow("call_late"));
      expect((await ledger.read("call_late"))?.state).toBe("interrupted");
    }),
  );

  it(
    "finds a call that has just ended, before its row is durable",
    withStores(async ({ ledger }) => {
      const settled = ledger.settle(ledgerRow("call_1"));
      expect(await ledger.read("call_1")).toEqual(ledgerRow("call_1"));
      await settled;
      expect(await ledger.read("call_1")).toEqual(ledgerRow("call_1"));
    }),
  );

  it(
    "is healthy, and has flushed everything when it says so",
    withStores(async ({ ledger }) => {
      const settled = ledger.settle(ledgerRow("call_1"));
      await ledger.flush();
      expect(await ledger.count()).toBe(1);
      await settled;
      expect(ledger.failure()).toBeUndefined();
    }),
  );
}

function callContract(withStores: WithStores): void {
  it(
    "gives a turn back as it was",
    withStores(async ({ calls }) => {
      const turn = keptTurn("resp_1", { fingerprint: "f", answer: { id: "resp_1", deep: [1, null, { a: "ü" }] } });
      await calls.keepTurn(turn);
      expect(await calls.readTurn("key_1", "resp_1", START)).toEqual(turn);
    }),
  );

  it(
    "items that share an envelope still share it",
    withStores(async ({ calls }) => {
      const envelope: Envelope = { dialect: "one", role: "assistant", raw: { x: 1 } };
      const other: Envelope = { dialect: "one", role: "assistant", raw: { x: 1 } };
      const item = (text: string, of: Envelope): Item => ({
        type: "message",
        role: "assistant",
        parts: [{ type: "text", text }],
        envelope: of,
      });
      await calls.keepTurn(keptTurn("resp_1", { input: [item("a", envelope)], output: [item("b", envelope), item("c", other)] }));
      await calls.keepNative([
        { scope: "key_1", anchor: "call:1", items: [item("d", envelope), item("e", envelope)], expiresAt: START + 1 },
      ]);
      const turn = await calls.readTurn("key_1", "resp_1", START);
      expect(turn?.input[0]?.envelope).toEqual(envelope);
      expect(turn?.input[0]?.envelope).toBe(turn?.output[0]?.envelope);
      expect(turn?.output[1]?.envelope).not.toBe(turn?.output[0]?.envelope);
      const native = (await calls.findNative("key_1", ["call:1"], START)).get("call:1");
      expect(native?.[0]?.envelope).toBe(native?.[1]?.envelope);
    }),
  );

  it(
    "never gives one scope's turns to another, by id or along a chain",
    withStores(async ({ calls }) => {
      await calls.keepTurn(keptTurn("resp_1", { scope: "key_1" }));
      await calls.keepTurn(keptTurn("resp_2", { scope: "key_2", previousId: "resp_1" }));
      expect(await calls.readTurn("key_2", "resp_1", START)).toBeUndefined();
      expect(await calls.readChain("key_2", "resp_2", 10, START)).toBeUndefined();
      expect(await calls.readChain("key_1", "resp_2", 10, START)).toBeUndefined();
      expect(await calls.deleteTurn("key_2", "resp_1")).toBe(false);
      await calls.keepTurn(keptTurn("resp_1", { scope: "key_2", answer: "second" }));
      expect((await calls.readTurn("key_1", "resp_1", START))?.answer).toEqual({ id: "resp_1", text: "hello" });
      expect((await calls.readChain("key_2", "resp_2", 10, START))?.map((turn) => turn.scope)).toEqual(["key_2", "key_2"]);
    }),
  );

  it(
    "walks a chain oldest first, as far as the limit",
    withStores(async ({ calls }) => {
      await calls.keepTurn(keptTurn("resp_1"));
      await calls.keepTurn(keptTurn("resp_2", { previousId: "resp_1" }));
      await calls.keepTurn(keptTurn("resp_3", { previousId: "resp_2" }));
      expect((await calls.readChain("key_1", "resp_3", 3, START))?.map((turn) => turn.id)).toEqual(["resp_1", "resp_2", "resp_3"]);
      expect(await calls.readChain("key_1", "resp_3", 2, START)).toBeUndefined();
      expect(await calls.readChain("key_1", "resp_9", 3, START)).toBeUndefined();
    }),
  );

  it(
    "a chain that bites its tail ends at the limit",
    withStores(async ({ calls }) => {
      await calls.keepTurn(keptTurn("resp_1", { previousId: "resp_2" }));
      await calls.keepTurn(keptTurn("resp_2", { previousId: "resp_1" }));
      expect(await calls.readChain("key_1", "resp_1", 50, START)).toBeUndefined();
    }),
  );

  it(
    "a deleted turn is gone and breaks the chains through it",
    withStores(async ({ calls }) => {
      await calls.keepTurn(keptTurn("resp_1"));
      await calls.keepTurn(keptTurn("resp_2", { previousId: "resp_1" }));
      expect(await calls.deleteTurn("key_1", "resp_1")).toBe(true);
      expect(await calls.deleteTurn("key_1", "resp_1")).toBe(false);
      expect(await calls.readTurn("key_1", "resp_1", START)).toBeUndefined();
      expect(await calls.readChain("key_1", "resp_2", 10, START)).toBeUndefined();
    }),
  );

  it(
    "what has expired is not found, and forgotten when told",
    withStores(async ({ calls }) => {
      await calls.keepTurn(keptTurn("resp_1", { expiresAt: START + 10 }));
      await calls.keepTurn(keptTurn("resp_2", { expiresAt: START + 20, previousId: "resp_1" }));
      await calls.keepNative([{ scope: "key_1", anchor: "call:1", items: [], expiresAt: START + 10 }]);
      expect(await calls.readTurn("key_1", "resp_1", START + 9)).toBeDefined();
      expect(await calls.readTurn("key_1", "resp_1", START + 10)).toBeUndefined();
      expect(await calls.readChain("key_1", "resp_2", 10, START + 10)).toBeUndefined();
      expect((await calls.findNative("key_1", ["call:1"], START + 10)).size).toBe(0);
      expect(await calls.expire(START + 10)).toBe(2);
      expect(await calls.expire(START + 10)).toBe(0);
      expect(await calls.readTurn("key_1", "resp_2", START + 10)).toBeDefined();
    }),
  );

  it(
    "forgets more than one portion of expired turns",
    withStores(async ({ calls }) => {
      await Promise.all(Array.from({ length: 1100 }, (_, number) => calls.keepTurn(keptTurn(`resp_${number}`))));
      expect(await calls.expire(START + 1000)).toBe(1100);
    }),
  );

  it(
    "finds what is being kept, before it is durable",
    withStores(async ({ calls }) => {
      const kept = [
        calls.keepTurn(keptTurn("resp_1")),
        calls.keepTurn(keptTurn("resp_2", { previousId: "resp_1" })),
        calls.keepNative([{ scope: "key_1", anchor: "call:1", items: [], expiresAt: START + 1 }]),
      ];
      expect((await calls.readChain("key_1", "resp_2", 5, START))?.length).toBe(2);
      expect((await calls.findNative("key_1", ["call:1"], START)).size).toBe(1);
      await Promise.all(kept);
    }),
  );

  it(
    "a turn kept again replaces the first",
    withStores(async ({ calls }) => {
      await calls.keepTurn(keptTurn("resp_1"));
      await calls.keepTurn(keptTurn("resp_1", { answer: "later" }));
      expect((await calls.readTurn("key_1", "resp_1", START))?.answer).toBe("later");
    }),
  );

  it(
    "finds native items by anchor within the scope",
    withStores(async ({ calls }) => {
      const items = (text: string): Item[] => [{ type: "reasoning", parts: [{ kind: "summary", text }], signature: "s" }];
      await calls.keepNative([
        { scope: "key_1", anchor: "call:1", items: items("one"), expiresAt: START + 10 },
        { scope: "key_1", anchor: "text:ab", items: items("two"), expiresAt: START + 10 },
        { scope: "key_2", anchor: "call:3", items: items("three"), expiresAt: START + 10 },
      ]);
      const found = await calls.findNative("key_1", ["text:ab", "call:1", "call:3", "call:4"], START);
      expect(found).toEqual(
        new Map([
          ["call:1", items("one")],
          ["text:ab", items("two")],
        ]),
      );
      expect(await calls.findNative("key_1", [], START)).toEqual(new Map());
    }),
  );
}

function keyContract(withStores: WithStores): void {
  it(
    "gives keys back as they were, by hash and in order of their making",
    withStores(async ({ keys }) => {
      const full = keyRecord("key_1", {
        team: "search",
        project: "shop",
        tags: ["a", "b"],
        scopes: { models: ["fast", "lab/*"], surfaces: ["admin"], tier: 2 },
        limits: [{ requests: 5, per: "minute" }],
        expiresAt: START + 5,
      });
      await keys.create({ ...keyRecord("key_2"), createdAt: START + 1 });
      await keys.create(full);
      expect(await keys.byHash("hash-key_1")).toEqual(full);
      expect(await keys.byHash("hash-none")).toBeUndefined();
      expect((await keys.list()).map((key) => key.id)).toEqual(["key_1", "key_2"]);
    }),
  );

  it(
    "refuses a second key of the same id or hash",
    withStores(async ({ keys }) => {
      await keys.create(keyRecord("key_1"));
      expect(await kindOf(keys.create(keyRecord("key_1", { hash: "other" })))).toBe("conflict");
      expect(await kindOf(keys.create(keyRecord("key_2", { hash: "hash-key_1" })))).toBe("conflict");
      expect(await keys.list()).toHaveLength(1);
    }),
  );

  it(
    "lets a key go on for a while after its successor is there, and knows whose calls both are",
    withStores(async ({ keys }) => {
      await keys.create(keyRecord("key_1", { team: "search" }));
      await keys.create(keyRecord("key_3", { expiresAt: START + 50 }));
      const next = keyRecord("key_2", { team: "search", account: "key_1", createdAt: START + 5 });
      const before = await keys.generation();
      expect(await keys.rotate("key_1", next, START + 5, START + 100)).toBe(true);
      expect(await keys.generation()).toBeGreaterThan(before);
      expect(await keys.byHash("hash-key_2")).toEqual(next);
      expect((await keys.byHash("hash-key_1"))?.expiresAt).toBe(START + 100);
      // Sent again after a crash it finds what it did.
      expect(await keys.rotate("key_1", next, START + 5, START + 100)).toBe(true);
      expect(await keys.list()).toHaveLength(3);
      const late = keyRecord("key_4", { account: "key_3" });
      expect(await keys.rotate("key_3", late, START + 50, START + 100)).toBe(false);
      expect(await keys.rotate("key_9", late, START, START + 100)).toBe(false);
      expect(await keys.byHash("hash-key_4")).toBeUndefined();
      // A key that ends sooner anyway does not live longer for it.
      expect(await keys.rotate("key_3", late, START, START + 100)).toBe(true);
      expect((await keys.byHash("hash-key_3"))?.expiresAt).toBe(START + 50);
      expect(await kindOf(keys.rotate("key_1", keyRecord("key_2", { hash: "other" }), START, START + 1))).toBe("conflict");
      expect(await kindOf(keys.rotate("key_1", keyRecord("key_6", { hash: "hash-key_2" }), START, START + 1))).toBe("conflict");
      await keys.revoke("key_2", START + 6);
      expect(await keys.rotate("key_2", keyRecord("key_5"), START + 7, START + 100)).toBe(false);
    }),
  );

  it(
    "revokes once, and counts every change",
    withStores(async ({ keys }) => {
      const before = await keys.generation();
      await keys.create(keyRecord("key_1"));
      const created = await keys.generation();
      expect(created).toBeGreaterThan(before);
      expect(await keys.revoke("key_1", START + 7)).toBe(true);
      expect(await keys.generation()).toBeGreaterThan(created);
      expect(await keys.revoke("key_1", START + 8)).toBe(false);
      expect(await keys.revoke("key_9", START + 8)).toBe(false);
      expect((await keys.byHash("hash-key_1"))?.revokedAt).toBe(START + 7);
    }),
  );
}

function configContract(withStores: WithStores): void {
  it(
    "refuses a version made from one that is no longer the newest, and takes the same text twice",
    withStores(async ({ config }) => {
      const first = await config.append({ createdAt: START, author: "file", text: "one" }, 0);
      const second = await config.append({ createdAt: START, author: "admin", text: "two" }, first.version);
      expect(await kindOf(config.append({ createdAt: START, author: "admin", text: "three" }, first.version))).toBe("conflict");
      expect(await config.append({ createdAt: START, author: "admin", text: "two" }, first.version)).toEqual(second);
    }),
  );

  it(
    "knows where and since when a version is in force",
    withStores(async ({ config }) => {
      const { version } = await config.append({ createdAt: START, author: "file", text: "one" });
      expect((await config.read(version))?.inForce).toBeUndefined();
      await config.markInForce(version, "node_a", START + 3);
      await config.markInForce(version, "node_b", START + 9);
      await config.markInForce(version, "node_a", START + 20);
      const inForce = { first: START + 3, last: START + 9, processes: 2 };
      expect((await config.read(version))?.inForce).toEqual(inForce);
      expect((await config.list(1))[0]?.inForce).toEqual(inForce);
    }),
  );

  it(
    "remembers what a version brought back, and tells of it",
    withStores(async ({ config }) => {
      let told = 0;
      await config.append({ createdAt: START, author: "file", text: "one" });
      await config.append({ createdAt: START, author: "file", text: "two" });
      const stop = config.watch(() => told++);
      const back = await config.append({ createdAt: START + 5, author: "admin", text: "one", rollbackOf: 1 });
      expect(back).toEqual({ version: 3, createdAt: START + 5, author: "admin", text: "one", rollbackOf: 1 });
      expect(await config.list(1)).toEqual([back]);
      await expect.poll(() => told).toBe(1);
      stop();
    }),
  );

  it(
    "numbers versions from 1 and lists the newest first",
    withStores(async ({ config }) => {
      const first = await config.append({ createdAt: START, author: "file", text: "version: 1\n" });
      const second = await config.append({ createdAt: START + 1, author: "admin", text: "version: 1 # two\n" });
      expect([first.version, second.version]).toEqual([1, 2]);
      expect(await config.read(1)).toEqual({ version: 1, createdAt: START, author: "file", text: "version: 1\n" });
      expect(await config.read(3)).toBeUndefined();
      expect((await config.list(1)).map((entry) => entry.version)).toEqual([2]);
      expect((await config.list(9)).map((entry) => entry.version)).toEqual([2, 1]);
    }),
  );

  it(
    "appends nothing when the newest has the same text, and does when only an older one has",
    withStores(async ({ config }) => {
      await config.append({ createdAt: START, author: "file", text: "a" });
      expect((await config.append({ createdAt: START + 1, author: "file", text: "a" })).version).toBe(1);
      await config.append({ createdAt: START + 2, author: "file", text: "b" });
      expect((await config.append({ createdAt: START + 3, author: "rollback", text: "a" })).version).toBe(3);
    }),
  );
}

function switchContract(withStores: WithStores): void {
  const kill: Switch = { id: "sw_1", kind: "kill", scope: "model", value: "fast", author: "admin", createdAt: START };

  it(
    "gives switches back as they were, oldest first, until they are removed",
    withStores(async ({ switches }) => {
      const shut: Switch = {
        ...kill,
        id: "sw_0",
        kind: "shut",
        scope: "target",
        value: "lab/small",
        reason: "drill",
        createdAt: START + 1,
      };
      await switches.put(shut);
      await switches.put(kill);
      expect(await switches.list()).toEqual([kill, shut]);
      expect(await switches.remove("sw_1")).toBe(true);
      expect(await switches.remove("sw_1")).toBe(false);
      expect(await switches.list()).toEqual([shut]);
    }),
  );

  it(
    "tells of every change, and no more once told to stop",
    withStores(async ({ switches }) => {
      let told = 0;
      const stop = switches.watch(() => told++);
      await switches.put(kill);
      await expect.poll(() => told).toBe(1);
      await switches.remove("sw_1");
      await expect.poll(() => told).toBe(2);
      stop();
      await switches.put(kill);
      await switches.list();
      expect(told).toBe(2);
    }),
  );
}
