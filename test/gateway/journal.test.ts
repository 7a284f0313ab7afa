import { describe, expect, it } from "vitest";
import type { Caller, JournalPart, JournalStore, Snapshot, Stores } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { Journal } from "../../src/gateway/journal.ts";
import { LiveCalls } from "../../src/gateway/live-calls.ts";
import { LiveCall } from "../../src/gateway/live.ts";
import type { Reader, Reading } from "../../src/gateway/reader.ts";
import { resume } from "../../src/gateway/resume.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { ledgerRow, openRecord } from "../stores/rows.ts";

const CALLER: Caller = { id: "key_1", scope: "key_1", name: "one", scopes: {}, limits: [], anonymous: false };
const OTHER: Caller = { ...CALLER, id: "key_2", scope: "key_2" };
const SPILL_MS = 80;
const JOURNAL_MS = 60_000;
const HEADERS = { "content-type": "text/event-stream" };

const turnOfLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Recorder implements Reader {
  text = "";
  heads = 0;
  ended = 0;
  numbers: number[] = [];
  /** Pieces it takes before it is full. */
  capacity = Number.POSITIVE_INFINITY;
  status = 0;
  whole(status: number, _headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.status = status;
    this.text += body.toString();
    this.ended++;
  }
  head(status: number): void {
    this.status = status;
    this.heads++;
  }
  frames(frames: readonly Buffer[], first: number): boolean {
    for (const [place, frame] of frames.entries()) {
      this.numbers.push(first + place);
      this.text += frame.toString();
    }
    return --this.capacity > 0;
  }
  end(): void {
    this.ended++;
  }
}

interface Stage {
  readonly clock: ManualClock;
  readonly stores: Stores;
  readonly live: LiveCalls;
  readonly journal: Journal;
  readonly logs: string[];
  call(id: string, journalBytes?: number): LiveCall;
  resume(id: string, after: number, reader: Reader, caller?: Caller): Promise<Reading>;
  /** Time passes, and everything that hangs on it happens. */
  pass(ms?: number): Promise<void>;
}

function stage(options: { store?: (stores: Stores) => JournalStore; node?: string; stores?: Stores; clock?: ManualClock } = {}): Stage {
  const clock = options.clock ?? new ManualClock();
  const stores = options.stores ?? memoryStores(clock);
  const store = options.store?.(stores) ?? stores.journal;
  const logs: string[] = [];
  const limits = { journalBytes: 100, journalTotalBytes: 10_000, journalMs: JOURNAL_MS };
  const journal = new Journal({
    store,
    clock,
    node: options.node ?? "node-a",
    limits: () => limits,
    log: (line) => logs.push(line),
    onKept: (call) => live.release(call),
  });
  const live = new LiveCalls(clock, () => limits, journal);
  const deps = { clock, dialects, journal: store, ledger: stores.ledger, live, snapshot: () => ({ limits }) as unknown as Snapshot };
  return {
    clock,
    stores,
    live,
    journal,
    logs,
    call(id, journalBytes = 100) {
      const call = new LiveCall({ id, clock, journalBytes });
      call.caller = CALLER;
      call.dialect = "openai-chat";
      live.add(call);
      return call;
    },
    resume: (callId, after, reader, caller = CALLER) => resume(deps, { callId, caller, after, reader }),
    async pass(ms = SPILL_MS) {
      clock.advance(ms);
      await turnOfLoop();
    },
  };
}

function speak(call: LiveCall, ...frames: string[]): void {
  for (const frame of frames) call.frame(Buffer.from(frame));
  call.flush();
}
function finish({ live }: Stage, call: LiveCall): void {
  call.end();
  call.letGo();
  live.finish(call);
}
const kindOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: { problem?: { kind: string; status?: number } }) => `${error.problem?.kind} ${error.problem?.status ?? ""}`.trim(),
  );

describe("a call that is read on from memory and journal", () => {
  it("loses and repeats nothing at 10,000 seeded places, for slow readers and quick ones", { timeout: 120_000 }, async () => {
    const random = new SeededRandomness(11);
    const below = (limit: number): number => Math.floor(random.number() * limit);
    const scene = stage();
    for (let round = 0; round < 10_000; round++) {
      const count = 1 + below(24);
      const frames = Array.from({ length: count }, (_, place) => `${round}.${place + 1};${"x".repeat(below(30))}`);
      const id = `call_${round}`;
      // From nothing to everything in memory.
      const call = scene.call(id, below(300));
      const [first, second] = [new Recorder(), new Recorder()];
      call.attach(first);
      call.head(200, HEADERS);
      const leaveAt = below(count + 1);
      const returnAt = leaveAt + below(count + 2 - leaveAt);
      second.capacity = random.number() < 0.3 ? 1 : Number.POSITIVE_INFINITY;
      let reading: Reading | undefined;
      for (const [place, frame] of frames.entries()) {
        if (place === leaveAt) call.detach(first);
        if (place === returnAt) reading = await scene.resume(id, leaveAt, second);
        speak(call, frame);
        if (random.number() < 0.2) await scene.pass();
      }
      finish(scene, call);
      if (random.number() < 0.5) await scene.pass();
      reading ??= await scene.resume(id, leaveAt, second);
      for (let step = 0; step < 60 && second.ended === 0; step++) {
        second.capacity = second.capacity > 0 ? second.capacity : 1;
        reading.drained();
        await scene.pass();
      }
      const told = frames.slice(0, leaveAt).join("") + second.text;
      if (told !== frames.join("") || second.ended !== 1 || second.heads !== 1)
        expect({ told, ended: second.ended, heads: second.heads }, `round ${round}: ${leaveAt}, ${returnAt} of ${count}`).toEqual({
          told: frames.join(""),
          ended: 1,
          heads: 1,
        });
    }
  });

  it("lets two readers go at their own pace: the slow one is left behind and catches up, and nobody waits for it", async () => {
    const scene = stage();
    const call = scene.call("call_1", 20);
    let paused = 0;
    const [client, slow, quick] = [new Recorder(), new Recorder(), new Recorder()];
    call.attach(client);
    call.head(200, HEADERS);
    slow.capacity = 1;
    const reading = await scene.resume("call_1", 0, slow);
    await scene.resume("call_1", 0, quick);
    for (let number = 1; number <= 50; number++) {
      call.frame(Buffer.from(`frame ${number};`));
      if (!call.flush()) paused++;
      if (number % 5 === 0) await scene.pass();
    }
    finish(scene, call);
    expect(paused).toBe(0);
    expect(slow.numbers.length).toBeLessThan(50);
    for (let step = 0; step < 60 && slow.ended === 0; step++) {
      slow.capacity = 1;
      reading.drained();
      await scene.pass();
    }
    expect([slow.text, quick.text]).toEqual([client.text, client.text]);
    expect([slow.ended, quick.ended, client.ended]).toEqual([1, 1, 1]);
  });

  it("waits for a number to come, tells the end from beyond, forgets in time, and knows its caller", async () => {
    const scene = stage();
    const call = scene.call("call_1");
    call.head(200, HEADERS);
    speak(call, "a;");
    const future = new Recorder();
    await scene.resume("call_1", 3, future);
    speak(call, "b;", "c;", "d;", "e;");
    expect(await kindOf(scene.resume("call_1", 0, new Recorder(), OTHER))).toBe("not_found");
    finish(scene, call);
    await scene.stores.ledger.settle(ledgerRow("call_1", { callerId: "key_1" }));
    await scene.pass();
    expect(scene.live.find("call_1")).toBeUndefined();
    expect([future.text, future.ended]).toEqual(["d;e;", 1]);
    expect(await kindOf(scene.resume("call_1", 0, new Recorder(), OTHER))).toBe("not_found");
    expect(await kindOf(scene.resume("call_1", 6, new Recorder()))).toBe("invalid_request 416");
    expect(await kindOf(scene.resume("call_1", 5, new Recorder()))).toBe("none");
    expect(await kindOf(scene.resume("call_0", 0, new Recorder()))).toBe("not_found");
    await scene.pass(JOURNAL_MS);
    expect(await kindOf(scene.resume("call_1", 0, new Recorder()))).toBe("not_found 410");
  });

  it("stops its maker only when the last reader has left, wherever that reads from", async () => {
    const scene = stage();
    const call = scene.call("call_1", 0);
    let abandoned = 0;
    call.wire({ wantMore: () => {}, abandoned: () => abandoned++, stop: () => {}, review: () => {} });
    const [client, late] = [new Recorder(), new Recorder()];
    call.attach(client);
    call.head(200, HEADERS);
    speak(call, "a;", "b;");
    await scene.pass();
    speak(call, "c;");
    late.capacity = 1;
    const reading = await scene.resume("call_1", 0, late);
    await turnOfLoop();
    call.detach(client);
    expect(abandoned).toBe(0);
    reading.leave();
    expect(abandoned).toBe(1);
  });
});

describe("a call whose gateway died", () => {
  it("is told as far as it was spilled, then one problem behind whatever its reader has", async () => {
    const dead = stage();
    const call = dead.call("call_1");
    call.head(200, HEADERS);
    speak(call, "data: 1\n\n", "data: 2\n\n");
    await dead.pass();
    speak(call, "data: lost\n\n");
    // Its own clock: the dead one's stands still.
    const heir = stage({ stores: dead.stores, clock: new ManualClock(dead.clock.now()), node: "node-b" });
    const follower = new Recorder();
    await heir.resume("call_1", 0, follower);
    await heir.pass();
    expect(follower.ended).toBe(0);
    await dead.stores.journal.abandon("node-a", heir.clock.now() + JOURNAL_MS);
    await heir.pass();
    expect(follower.ended).toBe(1);
    expect(follower.text).toMatch(/^data: 1\n\ndata: 2\n\ndata: \{"error".*\n\n$/);
    const beyond = new Recorder();
    await heir.resume("call_1", 3, beyond);
    await heir.pass();
    expect(beyond.numbers).toEqual([4]);
  });

  it("before anything was spilled is told by its row alone", async () => {
    const scene = stage();
    scene.stores.ledger.open({ ...openRecord("call_1"), callerId: "key_1", dialect: "openai-chat", startedAt: scene.clock.now() });
    await scene.stores.ledger.interruptOpen(undefined, "p");
    const reader = new Recorder();
    await scene.resume("call_1", 7, reader);
    await scene.pass();
    expect(reader.numbers).toEqual([8]);
    expect(reader.text).toContain("gateway");
    await scene.pass(JOURNAL_MS);
    expect(await kindOf(scene.resume("call_1", 0, new Recorder()))).toBe("not_found 410");
  });
});

describe("a journal that cannot be written", () => {
  /** Refuses until it is told to work. */
  function stubborn(): { store: (stores: Stores) => JournalStore; works: (does: boolean) => void; appended: JournalPart[] } {
    let does = false;
    const appended: JournalPart[] = [];
    return {
      appended,
      works: (now) => (does = now),
      store: ({ journal }) => ({
        ...journal,
        append: async (parts, now) => {
          if (!does) throw new Error("disk full");
          appended.push(...parts);
          await journal.append(parts, now);
        },
      }),
    };
  }

  it("says so once, breaks no call, and what memory holds can be read on", async () => {
    const disk = stubborn();
    const scene = stage({ store: disk.store });
    const client = new Recorder();
    const call = scene.call("call_1", 60);
    call.attach(client);
    call.head(200, HEADERS);
    for (let number = 1; number <= 30; number++) {
      speak(call, `frame ${number};`);
      await scene.pass();
    }
    finish(scene, call);
    await scene.pass();
    expect(scene.logs).toHaveLength(1);
    expect(scene.logs[0]).toContain("disk full");
    expect(client.numbers).toHaveLength(30);
    expect(call.bytes).toBeLessThanOrEqual(60);
    const late = new Recorder();
    await scene.resume("call_1", 27, late);
    expect(late.text).toBe("frame 28;frame 29;frame 30;");
    expect(await kindOf(scene.resume("call_1", 2, new Recorder()))).toBe("not_found 410");
  });

  it("goes on when it can, tells the ends it owes, and a reader that misses frames gets no clean end", async () => {
    const disk = stubborn();
    disk.works(true);
    const scene = stage({ store: disk.store });
    const [over, on] = [scene.call("call_over", 10), scene.call("call_on", 10)];
    for (const call of [over, on]) {
      call.head(200, HEADERS);
      speak(call, "one;");
    }
    await scene.pass();
    disk.works(false);
    for (const call of [over, on]) speak(call, "two;", "three;", "four;", "five;");
    await scene.pass();
    finish(scene, over);
    // Memory holds little, and the disk nothing: these push out what was said before.
    speak(on, "and more;", "and more;");
    await scene.pass();
    disk.works(true);
    await scene.pass(60_000);
    speak(on, "six;");
    finish(scene, on);
    await scene.pass();
    await scene.pass();
    expect(scene.logs).toHaveLength(2);
    expect(scene.journal.failing).toBe(false);
    expect((await scene.stores.journal.find("call_over", scene.clock.now()))?.state).toBe("ended");
    const reader = new Recorder();
    await scene.resume("call_on", 0, reader);
    await scene.pass();
    expect(reader.text).toMatch(/^one;data: \{"error"/);
    expect(reader.ended).toBe(1);
  });
});
