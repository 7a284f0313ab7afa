import { describe, expect, it } from "vitest";
import type { LedgerRow } from "../../src/canon/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";
import {
  CHAT,
  delta,
  DONE,
  finish,
  HandProvider,
  MESSAGES,
  plain,
  recallBench,
  settled,
  STREAM,
  USAGE,
  type Asked,
} from "./recall-support.ts";

const ASK = { model: "a", max_tokens: 100, messages: [{ role: "user", content: "hello" }] };
const STREAMED = { ...ASK, stream: true };
const AS_MESSAGES = { dialect: MESSAGES, headers: { "anthropic-version": "2023-06-01" } };

const caches = (asked: readonly Asked[]): (string | undefined)[] => asked.map(({ client }) => client.cache);
const rowsOf = (asked: readonly Asked[]): Promise<LedgerRow[]> => Promise.all(asked.map((one) => one.row()));
const leave = ({ live, client }: Asked): void => live.detach(client);

describe("identical calls in flight", () => {
  it("are one upstream call, each answered in its own form while the answer comes in", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const leader = bench.start(STREAMED);
    const turn = await provider.turn(0);
    const stream = bench.start(STREAMED);
    const other = bench.start(STREAMED, AS_MESSAGES);
    const whole = bench.start(ASK);
    await settled();
    turn.head();
    turn.send(delta("hel"));
    await settled();
    expect(stream.client.body).toBe(leader.client.body);
    expect(stream.client.body).toContain("hel");
    expect(other.client.body).toContain("text_delta");
    expect(whole.client.body).toBe("");
    const late = bench.start(STREAMED);
    await settled();
    expect(late.client.body).toBe(leader.client.body);
    turn.send(delta("lo"), finish("stop"), USAGE, DONE);
    turn.end();
    const all = [leader, stream, other, whole, late];
    const rows = await rowsOf(all);
    expect(provider.turns).toHaveLength(1);
    expect(caches(all)).toEqual(["miss", "hit", "hit", "hit", "hit"]);
    expect(rows.map((row) => row.costNanodollars)).toEqual([2000, 0, 0, 0, 0]);
    expect(rows.map((row) => row.savedNanodollars)).toEqual([undefined, 2000, 2000, 2000, 2000]);
    expect(stream.client.body).toBe(leader.client.body);
    expect(whole.client.json).toMatchObject({ choices: [{ message: { content: "hello" } }], usage: { completion_tokens: 2 } });
    expect(all.map(({ client }) => client.ended)).toEqual([1, 1, 1, 1, 1]);
    expect(bench.deps.recall.flights.size).toBe(0);
    expect(bench.defects).toEqual([]);
  });

  it("are one upstream call when there are ten thousand", async () => {
    const provider = new HandProvider("p", [CHAT]);
    const bench = recallBench([provider]);
    const all = Array.from({ length: 10_000 }, (_, index) => bench.start(index % 2 === 0 ? STREAMED : ASK));
    const turn = await provider.turn(0);
    turn.head();
    turn.send(...STREAM);
    turn.end();
    const rows = await rowsOf(all);
    expect(provider.turns).toHaveLength(1);
    expect(rows.filter((row) => row.cache === "miss")).toHaveLength(1);
    expect(rows.every((row) => row.state === "done")).toBe(true);
    expect(all.every(({ client }) => client.ended === 1 && client.body.includes("lo"))).toBe(true);
    expect(new Set(all.filter((_, index) => index % 2 === 0).map(({ client }) => client.body)).size).toBe(1);
  });

  it("wait no longer for a leader whose client left, and keep it working", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const leader = bench.start(STREAMED);
    const turn = await provider.turn(0);
    const first = bench.start(STREAMED);
    const second = bench.start(STREAMED);
    await settled();
    turn.head();
    turn.send(delta("hel"));
    await settled();
    leave(leader);
    leave(first);
    expect(turn.cancelled).toBe(false);
    turn.send(delta("lo"), finish("stop"), USAGE, DONE);
    turn.end();
    const rows = await rowsOf([leader, first, second]);
    expect(rows.map((row) => row.state)).toEqual(["done", "cancelled", "done"]);
    expect(second.client.body).toContain("lo");
    expect(rows[1]).toMatchObject({ costNanodollars: 0, usage: { output: 0 } });
  });

  it("stop the upstream when all have left", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const leader = bench.start(STREAMED);
    const turn = await provider.turn(0);
    const follower = bench.start(STREAMED);
    await settled();
    turn.head();
    turn.send(delta("hel"));
    await settled();
    leave(leader);
    expect(turn.cancelled).toBe(false);
    leave(follower);
    await settled();
    expect(turn.cancelled).toBe(true);
    expect((await rowsOf([leader, follower])).map((row) => row.state)).toEqual(["cancelled", "cancelled"]);
    expect(bench.deps.recall.flights.size).toBe(0);
  });

  it("are led on by one of them when the leader is cancelled", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const leader = bench.start(STREAMED);
    await provider.turn(0);
    const followers = [bench.start(STREAMED), bench.start(ASK), bench.start(STREAMED)];
    await settled();
    leader.live.stop({ kind: "cancelled", message: "The caller cancelled it." });
    const turn = await provider.turn(1);
    await settled();
    turn.head();
    turn.send(...STREAM);
    turn.end();
    const rows = await rowsOf(followers);
    expect(provider.turns).toHaveLength(2);
    expect(rows.map((row) => row.cache)).toEqual(["miss", "hit", "hit"]);
    expect(caches(followers)).toEqual(["miss", "hit", "hit"]);
    expect((await leader.row()).state).toBe("cancelled");
  });

  it("begin anew with the leader's next target while nothing was said", async () => {
    const broken = new HandProvider("p");
    const sound = new HandProvider("q");
    const bench = recallBench([broken, sound]);
    const leader = bench.start(STREAMED);
    const turn = await broken.turn(0);
    const follower = bench.start(STREAMED);
    const whole = bench.start(ASK);
    await settled();
    turn.head();
    turn.fail();
    const next = await sound.turn(0);
    next.head();
    next.send(...STREAM);
    next.end();
    const rows = await rowsOf([leader, follower, whole]);
    expect(rows.map((row) => [row.state, row.target, row.cache])).toEqual([
      ["done", "q/m", "miss"],
      ["done", "q/m", "hit"],
      ["done", "q/m", "hit"],
    ]);
    expect(whole.client.body).toContain("hello");
  });

  it("are told when the answer breaks after they were given some of it; the others are led on", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const leader = bench.start(STREAMED);
    const turn = await provider.turn(0);
    const begun = bench.start(STREAMED);
    const whole = bench.start(ASK);
    await settled();
    turn.head();
    turn.send(delta("hel"));
    await settled();
    provider.script = [plain()];
    turn.fail();
    const rows = await rowsOf([leader, begun, whole]);
    expect(rows.map((row) => row.state)).toEqual(["failed", "failed", "done"]);
    expect(begun.client.body).toContain("error");
    expect(begun.client.ended).toBe(1);
    expect(whole.client.json).toMatchObject({ choices: [{ message: { content: "hello" } }] });
    expect(provider.turns).toHaveLength(2);
    expect(bench.defects).toEqual([]);
  });

  it("get the leader's refusal at once, because an identical call would get it too", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const all = [bench.start(ASK), bench.start(ASK), bench.start(STREAMED)];
    const turn = await provider.turn(0);
    turn.head("application/json", 400);
    turn.send(JSON.stringify({ error: { message: "no such thing", type: "invalid_request_error" } }));
    turn.end();
    const rows = await rowsOf(all);
    expect(rows.map((row) => row.problem)).toEqual(["upstream_rejected", "upstream_rejected", "upstream_rejected"]);
    expect(rows.map((row) => row.cache)).toEqual(["miss", "miss", "miss"]);
    expect(provider.turns).toHaveLength(1);
  });

  it("do not storm an upstream that fails for everybody", async () => {
    const provider = new HandProvider("p", [CHAT], [delta("hel")]);
    const bench = recallBench([provider]);
    const all = Array.from({ length: 50 }, () => bench.start(ASK));
    const rows = await rowsOf(all);
    expect(rows.every((row) => row.state === "failed")).toBe(true);
    expect(provider.turns.length).toBeLessThanOrEqual(3);
    expect(bench.deps.recall.flights.size).toBe(0);
  });

  it("that are not to be answered from what others paid for go on their own", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    bench.start(ASK);
    await provider.turn(0);
    bench.start(ASK, { headers: { "x-gimbal-cache": "no-store" } });
    await provider.turn(1);
    const only = await bench.call(ASK, { headers: { "x-gimbal-cache": "only-if-cached" } });
    expect(only.client.status).toBe(504);
  });

  it("do not wait for a client that reads slowly", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const leader = bench.start(STREAMED);
    const turn = await provider.turn(0);
    const slow = bench.start(STREAMED);
    slow.client.full = true;
    await settled();
    turn.head();
    turn.send(delta("hel"));
    await settled();
    turn.send(delta("lo"), finish("stop"), USAGE, DONE);
    turn.end();
    expect((await leader.row()).state).toBe("done");
    slow.client.full = false;
    slow.live.drained(slow.client);
    expect((await slow.row()).state).toBe("done");
    expect(slow.client.body).toBe(leader.client.body);
  });

  it("part when the answer outgrows what may be held for them", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider], { limits: { entryBytes: 500, flightBytes: 1000 } });
    const leader = bench.start(STREAMED);
    const turn = await provider.turn(0);
    const begun = bench.start(STREAMED);
    const whole = bench.start(ASK);
    await settled();
    turn.head();
    turn.send(delta("x".repeat(400)));
    await settled();
    provider.script = [plain()];
    turn.send(delta("x".repeat(800)), finish("stop"), USAGE, DONE);
    turn.end();
    const rows = await rowsOf([leader, begun, whole]);
    expect(rows.map((row) => row.state)).toEqual(["done", "failed", "done"]);
    expect(provider.turns).toHaveLength(2);
  });
});

describe("a leader that finds the answer in the store", () => {
  it("shares it with those who came while it looked", async () => {
    const provider = new HandProvider("p", [CHAT], STREAM);
    const first = recallBench([provider]);
    await first.call(STREAMED);
    const again = recallBench([provider], { stores: (clock) => ({ ...memoryStores(clock), cache: first.stores.cache }) });
    const all = [again.start(STREAMED), again.start(ASK), again.start(STREAMED, AS_MESSAGES)];
    const rows = await rowsOf(all);
    expect(rows.map((row) => row.cache)).toEqual(["hit", "hit", "hit"]);
    expect(provider.turns).toHaveLength(1);
    expect(again.deps.recall.flights.size).toBe(0);
  });
});
