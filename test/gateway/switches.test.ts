import { describe, expect, it } from "vitest";
import type { Caller, Signal, Switch, SwitchStore } from "../../src/canon/index.ts";
import { Switches } from "../../src/gateway/switches.ts";
import { memoryStores } from "../../src/stores/memory.ts";
import { ManualClock, systemClock } from "../../src/kit/index.ts";

const ALONE = { clock: new ManualClock(), signals: { tell: () => {}, hear: () => () => {} } };
const caller: Caller = { id: "key_1", scope: "key_1", name: "ci", tags: ["batch"], scopes: {}, limits: [], anonymous: false };

function kill(scope: Switch["scope"], value: string, more: Partial<Switch> = {}): Switch {
  return { id: `sw_${scope}_${value}`, kind: "kill", scope, value, author: "admin", createdAt: 1, ...more };
}

async function inForce(...entries: readonly Switch[]): Promise<Switches> {
  const { switches: store } = memoryStores(systemClock);
  for (const entry of entries) await store.put(entry);
  const switches = new Switches({ ...ALONE, store, onChange: () => {}, report: () => {} });
  await switches.refresh();
  return switches;
}

describe("kill switches", () => {
  it.each([
    ["all", "*"],
    ["key", "key_1"],
    ["key", "ci"],
    ["tag", "batch"],
    ["model", "fast"],
  ] as const)("of scope %s, value %s refuse the call", async (scope, value) => {
    const problem = (await inForce(kill(scope, value))).refusal(caller, "fast");
    expect(problem?.kind).toBe("killed");
  });

  it("leave everybody else alone", async () => {
    const switches = await inForce(kill("key", "key_2"), kill("tag", "web"), kill("model", "slow"), kill("provider", "lab"));
    expect(switches.refusal(caller, "fast")).toBeUndefined();
    expect(switches.stops(caller, "fast", { provider: "other", model: "m" })).toBeUndefined();
  });

  it("do not take an anonymous caller for a key of its name", async () => {
    const switches = await inForce(kill("key", "anonymous"));
    expect(switches.refusal({ ...caller, id: "x", name: "anonymous", anonymous: true }, "fast")).toBeUndefined();
  });

  it("block targets by provider and by full name, with a reason for people", async () => {
    const switches = await inForce(kill("provider", "lab"), kill("model", "other/m"));
    expect(switches.blocked("lab", "any")).toBe("switched off (provider lab)");
    expect(switches.blocked("other", "m")).toBe("switched off (model other/m)");
    expect(switches.blocked("other", "n")).toBeUndefined();
  });

  it("stop running calls by what they ask and where they are", async () => {
    const switches = await inForce(kill("provider", "lab", { reason: "it invents prices" }));
    expect(switches.stops(caller, "fast", { provider: "lab", model: "m" })?.message).toContain("it invents prices");
    expect(switches.stops(caller, "fast", undefined)).toBeUndefined();
  });

  it("forced targets kill nothing", async () => {
    const switches = await inForce(kill("target", "lab/m", { kind: "shut" }));
    expect(switches.blocked("lab", "m")).toBeUndefined();
    expect(switches.inForce).toHaveLength(1);
  });

  it("are in force in another process as soon as the store tells of them", async () => {
    const { switches: store } = memoryStores(systemClock);
    const changes: number[] = [];
    const switches = new Switches({ ...ALONE, store, onChange: (now) => changes.push(now.length), report: () => {} });
    await store.put(kill("all", "*"));
    await expect.poll(() => switches.refusal(caller, "fast")?.kind).toBe("killed");
    await store.remove("sw_all_*");
    await expect.poll(() => switches.refusal(caller, "fast")).toBeUndefined();
    expect(changes).toEqual([1, 0]);
    switches.close();
    await store.put(kill("all", "*"));
    expect(switches.inForce).toEqual([]);
  });

  it("stay in force while the store cannot be read", async () => {
    const { switches: store } = memoryStores(systemClock);
    await store.put(kill("all", "*"));
    const errors: unknown[] = [];
    let broken = false;
    const list = async (): Promise<readonly Switch[]> => {
      if (broken) throw new Error("no disk");
      return store.list();
    };
    const switches = new Switches({ ...ALONE, store: { ...store, list }, onChange: () => {}, report: (error) => errors.push(error) });
    await switches.refresh();
    broken = true;
    await switches.refresh();
    expect(errors).toHaveLength(1);
    expect(switches.refusal(caller, "fast")?.kind).toBe("killed");
  });

  it("see a change that came while they were being read", async () => {
    const { switches: store } = memoryStores(systemClock);
    const switches = new Switches({ ...ALONE, store, onChange: () => {}, report: () => {} });
    const reading = switches.refresh();
    void store.put(kill("all", "*"));
    await reading;
    expect(switches.inForce).toHaveLength(1);
  });
});

describe("a kill switch on its way to the store", () => {
  /** Two processes that hear each other, over a store whose writes wait. */
  function pair(put: SwitchStore["put"]): { one: Switches; two: Switches; store: SwitchStore; clock: ManualClock } {
    const memory = memoryStores(systemClock).switches;
    const store: SwitchStore = { ...memory, put: async (entry) => (await put(entry), memory.put(entry)) };
    const clock = new ManualClock();
    const ears = new Set<{ readonly of: string; readonly listener: (signal: Signal) => void }>();
    const open = (of: string): Switches => {
      const signals = {
        tell: (signal: Signal) => {
          for (const ear of ears) if (ear.of !== of) ear.listener(signal);
        },
        hear: (listener: (signal: Signal) => void) => {
          const ear = { of, listener };
          ears.add(ear);
          return () => ears.delete(ear);
        },
      };
      return new Switches({ store, clock, signals, onChange: () => {}, report: () => {} });
    };
    return { one: open("one"), two: open("two"), store, clock };
  }

  it("is in force in every process before the disk has it, and lifted in every one", async () => {
    let written = (): void => {};
    const { one, two, store } = pair(() => new Promise((resolve) => (written = resolve)));
    const made = one.kill(kill("model", "fast"));
    for (const process of [one, two]) expect(process.refusal(caller, "fast")?.kind).toBe("killed");
    expect(await store.list()).toEqual([]);
    written();
    await made;
    await two.refresh();
    for (const process of [one, two]) expect(process.inForce).toHaveLength(1);
    expect(await one.lift("sw_model_fast")).toBe(true);
    await two.refresh();
    for (const process of [one, two]) expect(process.refusal(caller, "fast")).toBeUndefined();
    expect(await one.lift("sw_model_fast")).toBe(false);
  });

  it("is in force nowhere when it cannot be kept", async () => {
    const { one, two } = pair(() => Promise.reject(new Error("the disk is full")));
    await expect(one.kill(kill("all", "*"))).rejects.toThrow("the disk is full");
    for (const process of [one, two]) expect(process.inForce).toEqual([]);
  });

  it("is forgotten where its process died before the store had it", async () => {
    const { one, two, clock } = pair(() => new Promise(() => {}));
    void one.kill(kill("all", "*"));
    await two.refresh();
    expect(two.refusal(caller, "fast")?.kind).toBe("killed");
    clock.advance(60_000);
    expect(two.inForce).toEqual([]);
  });
});
