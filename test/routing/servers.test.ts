import { describe, expect, it } from "vitest";
import type { Randomness, ServerLoad } from "../../src/canon/index.ts";
import { latency } from "../../src/routing/order/latency.ts";
import { turnsOf, withServers, type ServersView } from "../../src/routing/servers.ts";
import type { TargetLatency, TargetView } from "../../src/routing/view.ts";
import { facts, target } from "./planning.ts";

/** 0.99 explores nothing. */
const drawing = (number: number): Randomness => ({ id: (prefix) => prefix, number: () => number });
const idle: ServerLoad = { running: 2, waiting: 0 };

function stage() {
  const loads = new Map<string, { load: ServerLoad; at: number }>();
  const speeds = new Map<string, TargetLatency>();
  const running = new Map<string, number>();
  const down = new Set<string>();
  const servers: ServersView = {
    blocked: (provider) => (down.has(provider) ? "is on a server that is down" : undefined),
    load: (provider) => loads.get(provider),
  };
  const health: TargetView & { runningAt(provider: string): number } = {
    blocked: (provider) => (provider === "shut" ? "shut by an administrator" : undefined),
    latency: (provider) => speeds.get(provider),
    runningAt: (provider) => running.get(provider) ?? 0,
  };
  const view = withServers(health, servers);
  const memory = { turns: new Map<string, number>(), leaders: new Map<string, string>() };
  const targets = [target("m", { provider: "a" }), target("m", { provider: "b" })];
  const plan = (draw = 0.99) => latency(targets, { name: "x", facts: facts(), view, book: undefined, randomness: drawing(draw), memory });
  const measured = (provider: string, ttftMs: number, samples = 10) => speeds.set(provider, { ttftMs, tokensPerSecond: 100, samples });
  let at = 0;
  const tell = (provider: string, load: ServerLoad) => loads.set(provider, { load, at: ++at });
  return { view, plan, measured, tell, running, down, first: () => plan()[0]?.target.provider };
}

describe("the turns before a request's own", () => {
  it.each<[string, ServerLoad, number, number]>([
    ["none where a place is free", { running: 3, waiting: 0, slots: 4 }, 0, 0],
    ["none where nobody waits and no places are told", { running: 200, waiting: 0 }, 50, 0],
    ["one end of those that run, where all places are taken", { running: 4, waiting: 0, slots: 4 }, 0, 1 / 4],
    ["everybody who waits goes first", { running: 6, waiting: 14 }, 0, 15 / 6],
    ["our own that began since the question are among them", { running: 4, waiting: 2, slots: 4 }, 3, 6 / 4],
    ["the first of them take what places are free", { running: 2, waiting: 0, slots: 4 }, 3, 2 / 4],
    ["a full cache takes nobody in", { running: 8, waiting: 0, cacheShare: 0.96 }, 0, 1 / 8],
    ["a cache with room does", { running: 8, waiting: 0, cacheShare: 0.94 }, 0, 0],
    ["a server that runs nothing and lets wait is not divided by nought", { running: 0, waiting: 3 }, 0, 4],
  ])("%s", (_name, load, since, turns) => expect(turnsOf(load, since)).toBeCloseTo(turns, 9));
});

describe("latency by servers' own figures", () => {
  it("leaves a target as soon as a queue is told, before any call of our own was slow in it, and says so", () => {
    const { measured, tell, first, plan } = stage();
    measured("a", 100);
    measured("b", 120);
    tell("a", idle);
    tell("b", idle);
    expect(first()).toBe("a");
    tell("a", { running: 4, waiting: 20, requestMs: 2000 });
    expect(first()).toBe("b");
    expect(plan()[1]?.reason).toBe("100 ms to the first token, 100 tokens a second (10 measured), behind 4 running and 20 waiting");
    tell("a", idle);
    tell("b", { running: 4, waiting: 8 });
    expect(first()).toBe("a");
  });

  it("reckons with the server's own duration of a request, else with the length of an answer at its pace", () => {
    const { measured, tell, first } = stage();
    measured("a", 100);
    measured("b", 1500);
    tell("b", idle);
    // Three turns of 200 ms are shorter than 1.4 s; three of an answer of 400 tokens at 100 a second are not.
    tell("a", { running: 1, waiting: 2, requestMs: 200 });
    expect(first()).toBe("a");
    tell("a", { running: 1, waiting: 2 });
    expect(first()).toBe("b");
  });

  it("counts no queue twice: what was measured in it holds it already", () => {
    const { view, measured, tell } = stage();
    tell("a", { running: 1, waiting: 4 });
    measured("a", 5000, 1);
    expect(view.queue?.("a", "m")).toMatchObject({ turns: 5, measuredTurns: 0 });
    for (let samples = 2; samples < 60; samples++) {
      measured("a", 5000, samples);
      view.queue?.("a", "m");
    }
    expect(view.queue?.("a", "m")?.measuredTurns).toBeCloseTo(5, 3);
    // The queue is gone, the measured times are not: they are known to be too long.
    tell("a", idle);
    expect(view.queue?.("a", "m")).toMatchObject({ turns: 0 });
  });

  it("comes back to a target whose queue is gone, though its measured times are still long", () => {
    const { view, measured, tell, first } = stage();
    tell("b", idle);
    measured("b", 800);
    tell("a", { running: 1, waiting: 4, requestMs: 1000 });
    for (let samples = 1; samples < 60; samples++) {
      measured("a", 5000, samples);
      view.queue?.("a", "m");
    }
    expect(first()).toBe("b");
    tell("a", { ...idle, requestMs: 1000 });
    // 5000 - 5 x 1000, but no less than a fifth of what was measured: 1000. Not clearly faster than the leader, so the leader stays.
    expect(first()).toBe("b");
    measured("b", 2000);
    expect(first()).toBe("a");
  });

  it("knows of our own calls since the question, so that not all of them run to the same place", () => {
    const { measured, tell, first, running } = stage();
    measured("a", 100);
    measured("b", 150);
    tell("a", { running: 3, waiting: 0, slots: 4, requestMs: 8000 });
    tell("b", { running: 0, waiting: 0, slots: 4, requestMs: 8000 });
    const taken: string[] = [];
    for (let call = 0; call < 4; call++) {
      const provider = first() ?? "";
      taken.push(provider);
      running.set(provider, (running.get(provider) ?? 0) + 1);
    }
    expect(taken).toEqual(["a", "b", "b", "b"]);
  });

  it("tries first what has no queue among those that were never measured", () => {
    const { plan, tell } = stage();
    tell("a", { running: 1, waiting: 9 });
    for (const draw of [0, 0.3, 0.6, 0.99]) expect(plan(draw)[0]?.target.provider).toBe("b");
    expect(plan()[1]?.reason).toBe("not measured yet, behind 1 running and 9 waiting");
  });

  it("asks no target whose server is down, and leaves what health says as it is", () => {
    const { view, down } = stage();
    expect(view.blocked("a", "m")).toBeUndefined();
    down.add("a").add("shut");
    expect(view.blocked("a", "m")).toBe("is on a server that is down");
    expect(view.blocked("shut", "m")).toBe("shut by an administrator");
    expect(view.queue?.("a", "m")).toBeUndefined();
  });
});
