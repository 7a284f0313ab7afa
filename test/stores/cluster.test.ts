import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { type Channel, type HostedStores, ipcChannel, openSqlite, primaryHost, workerStores } from "../../src/stores/index.ts";
import type { ToHost } from "../../src/stores/cluster/channel.ts";
import { type PackedBatch, unpackBatch } from "../../src/stores/pack.ts";
import { DEFAULT_STORAGE } from "../../src/stores/options.ts";
import { temporaryFolder } from "./folders.ts";
import { keyRecord, ledgerRow, openRecord, START } from "./rows.ts";

const clock = new ManualClock(START);

function forkWorker(stores: HostedStores, name: string): ChildProcess {
  const child = fork(join(import.meta.dirname, "cluster-child.ts"), [name], { serialization: "advanced", execArgv: [] });
  primaryHost(stores).attach(ipcChannel(child));
  return child;
}

/** The first message that is not the stores' own. */
function report(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => {
    child.on("message", (message) => {
      if (typeof message === "object" && message !== null && "turn" in message) resolve(message);
    });
  });
}
const ended = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.once("exit", resolve));

/** A channel whose other side the test plays. */
function scripted(): { channel: Channel; say: (message: object) => void; hangUp: () => void; heard: unknown[] } {
  const heard: unknown[] = [];
  let say = (_message: object): void => {};
  let hangUp = (): void => {};
  const channel: Channel = {
    send: (message) => void heard.push(message),
    onMessage: (listener) => (say = (message) => listener({ tag: "gimbal.stores", ...message })),
    onClose: (listener) => (hangUp = listener),
  };
  return { channel, say: (message) => say(message), hangUp: () => hangUp(), heard };
}
const rowsIn = (heard: readonly unknown[]): readonly PackedBatch[] => heard.flatMap((message) => (message as ToHost).rows?.[1] ?? []);
const HEALTHY = { state: { generation: 3, failure: null } };

describe("stores by way of the process that has the record", () => {
  it("two worker processes write, read and see each other's keys; one killed leaves its open call to be interrupted", async () => {
    const stores = await openSqlite({ folder: temporaryFolder(), node: "primary", clock });
    const children = [forkWorker(stores, "one"), forkWorker(stores, "two")] as const;
    const reports = await Promise.all(children.map(report));
    for (const said of reports) expect(said).toMatchObject({ missing: true, generationRose: true });
    expect(reports.map((said) => (said as { turn: string }).turn)).toEqual(["resp-one", "resp-two"]);
    expect(await stores.ledger.count()).toBe(1000);
    expect((await stores.keys.list()).map((key) => key.id)).toEqual(["one", "two"]);
    const [first, second] = children;
    const killed = ended(first);
    first.kill("SIGKILL");
    await killed;
    expect(await stores.ledger.interruptOpen("one", "p")).toBe(1);
    const left = ended(second);
    second.send("leave");
    expect(await left).toBe(0);
    await stores.close();
  });

  it("rejects everything when that process goes away", async () => {
    const { channel, say, hangUp } = scripted();
    const opening = workerStores(channel, clock);
    say(HEALTHY);
    const stores = await opening;
    const settled = stores.ledger.settle(ledgerRow("call_1"));
    const counted = stores.ledger.count();
    const outcomes = Promise.allSettled([settled, counted]);
    hangUp();
    expect((await outcomes).map((outcome) => outcome.status)).toEqual(["rejected", "rejected"]);
    expect(stores.ledger.failure()).toContain("gone");
    await expect(stores.keys.create(keyRecord("key_1"))).rejects.toThrow("gone");
    await stores.close();
  });

  it("is refused when that process was never there", async () => {
    const { channel, hangUp } = scripted();
    const opening = workerStores(channel, clock);
    hangUp();
    await expect(opening).rejects.toThrow("gone");
  });

  it("passes on that process's failure and its end, and does not wait for it when closing", async () => {
    const { channel, say } = scripted();
    const opening = workerStores(channel, clock);
    say(HEALTHY);
    const stores = await opening;
    expect(await stores.keys.generation()).toBe(3);
    say({ state: { generation: 4, failure: "disk full" } });
    expect(stores.ledger.failure()).toBe("disk full");
    say({ state: { generation: 4, failure: null } });
    expect(stores.ledger.failure()).toBeUndefined();
    const settled = stores.ledger.settle(ledgerRow("call_1"));
    settled.catch(() => {});
    const closing = stores.close();
    say({ state: { generation: 4, failure: "disk full" } });
    await closing;
    await expect(settled).rejects.toThrow("closed");
  });

  it("has a bounded queue", async () => {
    const { channel, say, heard } = scripted();
    const opening = workerStores(channel, clock, { ...DEFAULT_STORAGE, queueRows: 100, flushRows: 1 });
    say(HEALTHY);
    const stores = await opening;
    const rows = Promise.allSettled(Array.from({ length: 101 }, (_, number) => stores.ledger.settle(ledgerRow(`call_${number}`))));
    expect(stores.ledger.failure()).toContain("100 writes wait");
    const sent = heard.flatMap((message) => (message as ToHost).rows ?? []);
    const packed = rowsIn(heard);
    expect(packed.reduce((sum, one) => sum + one.rows, 0)).toBe(100);
    say({ answers: sent.filter((part) => typeof part === "number").map((id) => [id, []]) });
    expect((await rows).filter((row) => row.status === "rejected")).toHaveLength(1);
    expect(stores.ledger.failure()).toBeUndefined();
  });

  it("tells the one row that was refused from its neighbours, finds all of them before, and a message's rows fail together", async () => {
    const { channel, say, heard } = scripted();
    const opening = workerStores(channel, clock, { ...DEFAULT_STORAGE, flushRows: 3 });
    say(HEALTHY);
    const stores = await opening;
    const settled = (...ids: readonly string[]): Promise<PromiseSettledResult<void>[]> =>
      Promise.allSettled(ids.map((id) => stores.ledger.settle(ledgerRow(id))));
    const statuses = (results: readonly PromiseSettledResult<void>[]): string[] => results.map(({ status }) => status);
    const three = settled("call_1", "call_2", "call_3");
    const fourth = settled("call_4");
    // One on its way, one that has not left.
    expect((await stores.ledger.read("call_2"))?.callId).toBe("call_2");
    expect((await stores.ledger.read("call_4"))?.callId).toBe("call_4");
    const [sent] = heard.flatMap((message) => (message as ToHost).rows?.[0] ?? []);
    say({ answers: [[sent, [[1, { kind: "storage_unavailable", message: "not this one" }]]]] });
    expect(statuses(await three)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    const more = settled("call_5", "call_6");
    const last = heard.flatMap((message) => (message as ToHost).rows?.[0] ?? []).at(-1);
    say({ answers: [[last, undefined, { kind: "storage_unavailable", message: "none of them" }]] });
    expect(statuses([...(await fourth), ...(await more)])).toEqual(["rejected", "rejected", "rejected"]);
  });

  it("has a row that the record refuses told from the others of its message, counted by the process that has the record", async () => {
    const stores = await openSqlite({ folder: temporaryFolder(), node: "primary", clock });
    const { channel, say, heard } = scripted();
    const opening = workerStores(channel, clock);
    say(HEALTHY);
    const remote = await opening;
    let ask = (_message: object): void => {};
    primaryHost(stores).attach({
      send: (message) => say(structuredClone(message) as object),
      onMessage: (listener) => (ask = (message) => listener(structuredClone(message))),
      onClose: () => {},
    });
    const odd = { timings: { readyMs: 1, totalMs: Number.NaN } };
    const settling = Promise.allSettled([
      remote.ledger.settle(ledgerRow("call_1")),
      remote.ledger.settle(ledgerRow("call_2", odd)),
      remote.ledger.settle(ledgerRow("call_3")),
    ]);
    const flushing = remote.ledger.flush();
    for (const message of heard) ask(message as object);
    await flushing;
    expect((await settling).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(stores.ledger.lost()).toBe(1);
    expect((await stores.ledger.list({ limit: 9 })).map(({ callId }) => callId).toSorted()).toEqual(["call_1", "call_3"]);
    await stores.close();
  });

  it("spares the record of a call that ends in the moment it began", async () => {
    const { channel, say, heard } = scripted();
    const opening = workerStores(channel, clock, { ...DEFAULT_STORAGE, flushRows: 1 });
    say(HEALTHY);
    const stores = await opening;
    stores.ledger.open(openRecord("call_1"));
    stores.ledger.settle(ledgerRow("call_1")).catch(() => {});
    const commands = rowsIn(heard).flatMap(unpackBatch);
    expect(commands.map(({ name, args }) => [name, args[0]])).toEqual([["settle", 0]]);
    expect(heard.some((message) => "opens" in (message as ToHost))).toBe(false);
  });
});
