import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/rehearsal/virtual-clock.ts";

const rest = (): Promise<void> => new Promise((go) => setImmediate(go));

describe("the clock of a rehearsal", () => {
  it("rings in the order of time, then of setting, and never what was taken back", async () => {
    const clock = new VirtualClock(1000);
    const rung: string[] = [];
    const times = [30, 10, 20, 10, 0, 50, 20];
    const stops = times.map((ms, place) => clock.after(ms, () => rung.push(`${place}@${clock.monotonic()}`)));
    stops[2]?.();
    await clock.run(40, () => false, rest);
    expect(rung).toEqual(["4@0", "1@10", "3@10", "6@20", "0@30"]);
    expect(clock.now()).toBe(1030);
  });

  it("gives what a timer sets off its turn before time goes on", async () => {
    const clock = new VirtualClock(0);
    const seen: number[] = [];
    clock.after(10, () => {
      void (async () => {
        for (let turn = 0; turn < 5; turn++) await Promise.resolve();
        seen.push(clock.monotonic());
        clock.after(5, () => seen.push(clock.monotonic()));
      })();
    });
    clock.after(1000, () => seen.push(clock.monotonic()));
    await clock.run(5000, () => seen.length === 3, rest);
    expect(seen).toEqual([10, 15, 1000]);
  });

  it("keeps thousands of timers in order", async () => {
    const clock = new VirtualClock(0);
    const rung: number[] = [];
    for (let place = 0; place < 5000; place++) clock.after((place * 7919) % 4999, () => rung.push(clock.monotonic()));
    await clock.run(10_000, () => rung.length === 5000, rest);
    expect(rung).toEqual(rung.toSorted((a, b) => a - b));
  });
});
