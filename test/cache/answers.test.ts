import { describe, expect, it } from "vitest";
import { Answers, idOf, type KeptAnswer } from "../../src/cache/answers.ts";
import { DEFAULT_CACHE_LIMITS } from "../../src/cache/options.ts";
import { packTake, Recording, takeOf, trackOf, unpackTake, type Take } from "../../src/cache/recording.ts";
import { NO_USAGE, type CacheStore } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";

const SOURCE = { dialect: "d", provider: "p", model: "m", contentType: "text/event-stream", wire: "w" };

function take(...pieces: readonly (readonly [atMs: number, text: string])[]): Take {
  const recording = new Recording(SOURCE);
  for (const [atMs, text] of pieces) recording.add(Buffer.from(text), atMs);
  return takeOf(recording, { ...NO_USAGE, output: 3 });
}

interface Bench {
  readonly answers: Answers;
  readonly clock: ManualClock;
  readonly store: CacheStore;
  /** Another process with the same store. */
  readonly other: () => Answers;
  readonly kept: (key: string, text?: string) => KeptAnswer;
  readonly failures: unknown[];
}

function bench(limits: Partial<typeof DEFAULT_CACHE_LIMITS> = {}): Bench {
  const clock = new ManualClock();
  const store = memoryStores(clock).cache;
  const failures: unknown[] = [];
  const open = (): Answers =>
    new Answers({ store, clock, limits: () => ({ ...DEFAULT_CACHE_LIMITS, ...limits }), report: (error) => failures.push(error) });
  return {
    answers: open(),
    clock,
    store,
    other: open,
    failures,
    kept: (key, text = "data: x\n\n") => ({
      scope: "s",
      key,
      model: "a",
      target: "p/m",
      tags: ["t"],
      createdAt: clock.now(),
      freshUntil: clock.now() + 1000,
      expiresAt: clock.now() + 2000,
      take: take([0, text]),
    }),
  };
}

const has = (answers: Answers, ...keys: readonly string[]): string[] => keys.filter((key) => answers.peek(idOf("s", key)) !== undefined);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("kept answers", () => {
  it("are in memory at once and in the store for others", async () => {
    const { answers, other, kept } = bench();
    const written = answers.keep(kept("k"), await answers.begin());
    expect(has(answers, "k")).toEqual(["k"]);
    await written;
    const elsewhere = other();
    expect(has(elsewhere, "k")).toEqual([]);
    expect(await elsewhere.find("s", "k")).toEqual(kept("k"));
    expect(await elsewhere.find("x", "k")).toBeUndefined();
  });

  it("stay in memory after they were found, once the process knows what was forgotten", async () => {
    const { answers, other, kept } = bench();
    await answers.keep(kept("k"), await answers.begin());
    const elsewhere = other();
    await elsewhere.begin();
    await elsewhere.find("s", "k");
    expect(has(elsewhere, "k")).toEqual(["k"]);
  });

  it("expire", async () => {
    const { answers, clock, kept } = bench();
    await answers.keep(kept("k"), await answers.begin());
    clock.advance(1999);
    expect(has(answers, "k")).toEqual(["k"]);
    clock.advance(1);
    expect(has(answers, "k")).toEqual([]);
    expect(await answers.find("s", "k")).toBeUndefined();
  });

  it("give way in memory when they were not used for longest, and are still in the store", async () => {
    const { answers, kept } = bench({ memoryBytes: 5000 });
    const generation = await answers.begin();
    for (const key of ["k1", "k2", "k3"]) await answers.keep(kept(key, "x".repeat(1000)), generation);
    expect(has(answers, "k1")).toEqual(["k1"]);
    await answers.keep(kept("k4", "x".repeat(1000)), generation);
    expect(has(answers, "k1", "k2", "k3", "k4")).toEqual(["k1", "k3", "k4"]);
    expect((await answers.find("s", "k2"))?.take.body.length).toBe(1000);
    const none = bench({ memoryBytes: 0 });
    await none.answers.keep(none.kept("k"), await none.answers.begin());
    expect(has(none.answers, "k")).toEqual([]);
    expect(await none.answers.find("s", "k")).toBeDefined();
  });

  it("are forgotten by every process within a poll", async () => {
    const { answers, other, clock, kept } = bench();
    const elsewhere = other();
    await elsewhere.keep(kept("k"), await elsewhere.begin());
    expect(await answers.forget({ kind: "tag", value: "t" })).toBe(1);
    expect(has(elsewhere, "k")).toEqual(["k"]);
    clock.advance(500);
    has(elsewhere, "k");
    await turn();
    expect(has(elsewhere, "k")).toEqual([]);
  });

  it("are not kept when something was forgotten since they began, here or elsewhere", async () => {
    const { answers, other, kept } = bench();
    const here = await answers.begin();
    await answers.forget({ kind: "all" });
    await answers.keep(kept("k"), here);
    expect(has(answers, "k")).toEqual([]);
    const elsewhere = other();
    const there = await elsewhere.begin();
    await answers.forget({ kind: "all" });
    await elsewhere.keep(kept("k"), there);
    expect(has(elsewhere, "k")).toEqual([]);
    expect(await answers.find("s", "k")).toBeUndefined();
  });

  it("larger than the bound, or no text, are not kept", async () => {
    const { answers, kept } = bench({ entryBytes: 100 });
    const generation = await answers.begin();
    await answers.keep(kept("large", "x".repeat(101)), generation);
    await answers.keep({ ...kept("bytes"), take: { ...take([0, "x"]), body: Buffer.from([0xff]) } }, generation);
    expect(has(answers, "large", "bytes")).toEqual([]);
  });
});

describe("a take", () => {
  const made = take([0.2, "data: é"], [0.4, "1\n\n"], [30, "data: 2\n\n"]);
  it("comes back from the store as it was", () => {
    expect(unpackTake(packTake(made) ?? "")).toEqual(made);
  });
  it("is played in one piece or in those in which it came, pieces of one millisecond together", () => {
    const read = (paced: boolean): [number, string][] => {
      const { pieces, times } = trackOf(made, paced);
      return pieces.map((piece, index) => [times[index] ?? -1, piece.toString()]);
    };
    expect(read(false)).toEqual([[0, "data: é1\n\ndata: 2\n\n"]]);
    expect(read(true)).toEqual([
      [0, "data: é1\n\n"],
      [30, "data: 2\n\n"],
    ]);
  });
  it("of another form is none", () => {
    expect(unpackTake('{"form":0,"body":"x"}')).toBeUndefined();
  });
});
