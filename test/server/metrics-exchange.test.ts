import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import type { Family, ProcessPage } from "../../src/ledger/telemetry/index.ts";
import { MetricsHost, metricsPeers, type MetricsPeers } from "../../src/server/metrics-exchange.ts";
import type { Channel } from "../../src/stores/index.ts";

interface Wire {
  readonly near: Channel;
  readonly far: Channel;
  /** The worker is gone. */
  readonly end: () => void;
  /** The worker hears nothing any more. */
  deaf: boolean;
}

/** Both ends of a channel; messages are cloned, as between processes. */
function wire(): Wire {
  const heard: ((message: unknown) => void)[][] = [[], []];
  const ends: (() => void)[] = [];
  const end = (own: 0 | 1, other: 0 | 1): Channel => ({
    send: (message) => {
      const copy: unknown = structuredClone(message);
      if (other === 1 && made.deaf) return;
      queueMicrotask(() => heard[other]?.forEach((listener) => listener(copy)));
    },
    onMessage: (listener) => void heard[own]?.push(listener),
    onClose: (listener) => void ends.push(listener),
  });
  const made: Wire = { near: end(0, 1), far: end(1, 0), end: () => ends.forEach((listener) => listener()), deaf: false };
  return made;
}

const family = (name: string, kind: Family["kind"], value: number, of: Family["of"] = "process"): Family => ({
  name,
  kind,
  help: name,
  of,
  names: [`${name}{model="fast"}`, name],
  values: [value, 1],
});

interface Worker {
  readonly peers: MetricsPeers;
  readonly wire: Wire;
  calls: number;
}

function world(count: number): {
  readonly clock: ManualClock;
  readonly host: MetricsHost;
  readonly workers: Worker[];
  readonly start: () => Worker;
} {
  const clock = new ManualClock(0);
  const host = new MetricsHost(clock);
  const workers: Worker[] = [];
  const start = (): Worker => {
    const link = wire();
    host.attach(link.near);
    const worker: Worker = { peers: metricsPeers(link.far, clock), wire: link, calls: 0 };
    const process = String(workers.push(worker));
    worker.peers.share(() => pageOf(process, worker.calls));
    return worker;
  };
  for (let index = 0; index < count; index++) start();
  return { clock, host, workers, start };
}

function pageOf(process: string, calls: number): ProcessPage {
  return { process, families: [family("calls_total", "counter", calls), family("running", "gauge", calls)] };
}

const callsIn = ({ families }: Pick<ProcessPage, "families">): number | undefined =>
  families.find(({ name }) => name === "calls_total")?.values[0];
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

describe("metrics of several processes", () => {
  it("are asked of all the others at the moment of the scrape", async () => {
    const { workers } = world(3);
    for (const [place, worker] of workers.entries()) worker.calls = 10 ** place;
    const { others, gone } = (await workers[0]?.peers.others()) ?? { others: [], gone: [] };
    expect(others.map((page) => [page.process, callsIn(page)])).toEqual([
      ["2", 10],
      ["3", 100],
    ]);
    expect(gone).toEqual([]);
  });

  it("keep what a process had counted when it dies, once, and forget how it stood", async () => {
    const { clock, workers, start } = world(2);
    const [first, second] = workers;
    if (second) second.calls = 7;
    clock.advance(1000);
    await settled();
    second?.wire.end();
    const third = start();
    third.calls = 5;
    const { others, gone } = (await first?.peers.others()) ?? { others: [], gone: [] };
    expect(others.map((page) => [page.process, callsIn(page)])).toEqual([["3", 5]]);
    expect(gone.map(({ name, values }) => [name, values])).toEqual([["calls_total", [7, 1]]]);
    third.wire.end();
    // It died before it had said anything of itself but in answer to a scrape.
    const after = (await first?.peers.others()) ?? { others: [], gone: [] };
    expect([after.others, callsIn({ families: after.gone })]).toEqual([[], 12]);
  });

  it("come without waiting for one that is busy: its last report stands in, and no counter goes back", async () => {
    const { clock, workers } = world(3);
    const [first, second, third] = workers;
    for (const worker of workers) worker.calls = 3;
    clock.advance(1000);
    await settled();
    if (second) second.wire.deaf = true;
    if (third) third.calls = 4;
    const answer = first?.peers.others();
    await settled();
    clock.advance(500);
    expect((await answer)?.others.map((page) => [page.process, callsIn(page)])).toEqual([
      ["2", 3],
      ["3", 4],
    ]);
  });

  it("are a process's own where the primary says nothing", async () => {
    const { clock, workers } = world(2);
    if (workers[0]) workers[0].wire.deaf = true;
    const answer = workers[0]?.peers.others();
    await settled();
    clock.advance(1000);
    expect(await answer).toEqual({ others: [], gone: [] });
  });
});
