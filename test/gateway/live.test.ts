import { describe, expect, it } from "vitest";
import { LiveCalls } from "../../src/gateway/live-calls.ts";
import { LiveCall } from "../../src/gateway/live.ts";
import type { Reader } from "../../src/gateway/reader.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";

class Recorder implements Reader {
  readonly text: string[] = [];
  readonly numbers: number[] = [];
  ended = 0;
  capacity = Number.POSITIVE_INFINITY;
  whole(status: number, _headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.text.push(`${status} ${body.toString()}`);
    this.ended++;
  }
  head(status: number): void {
    this.text.push(`${status}`);
  }
  frames(frames: readonly Buffer[], first: number): boolean {
    for (const [place, frame] of frames.entries()) {
      this.numbers.push(first + place);
      this.text.push(frame.toString());
    }
    this.capacity -= frames.length;
    return this.capacity > 0;
  }
  end(): void {
    this.ended++;
  }
}

function newCall(journalBytes = 1000): LiveCall {
  return new LiveCall({ id: "call_1", clock: new ManualClock(), journalBytes });
}

function speak(call: LiveCall, ...frames: string[]): boolean {
  for (const frame of frames) call.frame(Buffer.from(frame));
  return call.flush();
}

describe("a live call", () => {
  it("gives every reader the same frames, from where it asks", () => {
    const call = newCall();
    const [first, second, late] = [new Recorder(), new Recorder(), new Recorder()];
    call.attach(first);
    call.head(200, {});
    speak(call, "a", "b");
    call.attach(second, 1);
    speak(call, "c");
    call.end();
    call.attach(late, 2);
    expect(first.text).toEqual(["200", "a", "b", "c"]);
    expect(second.text).toEqual(["200", "b", "c"]);
    expect(late.text).toEqual(["200", "c"]);
    expect([first.ended, second.ended, late.ended]).toEqual([1, 1, 1]);
    expect(late.numbers).toEqual([3]);
  });

  it("lets a reader wait for a number that is not there yet, also when frames come in groups", () => {
    const call = newCall();
    const reader = new Recorder();
    call.head(200, {});
    speak(call, "a");
    call.attach(reader, 2);
    speak(call, "b", "c");
    speak(call, "d", "e");
    call.end();
    expect(reader.numbers).toEqual([3, 4, 5]);
    expect(reader.ended).toBe(1);
  });

  it("ends once, and a whole answer reaches also whoever comes late", () => {
    const call = newCall();
    const [early, late] = [new Recorder(), new Recorder()];
    call.attach(early);
    call.whole(200, {}, "x");
    call.whole(500, {}, "y");
    call.end();
    call.attach(late);
    expect(early.text).toEqual(["200 x"]);
    expect(late.text).toEqual(["200 x"]);
    expect(early.ended).toBe(1);
  });

  it("makes the upstream wait for a slow reader, forgets nothing it needs, and goes on when it has caught up", () => {
    const call = newCall(10);
    let more = 0;
    call.wire({ wantMore: () => more++, abandoned: () => {}, stop: () => {}, review: () => {} });
    const slow = new Recorder();
    slow.capacity = 1;
    call.attach(slow);
    call.head(200, {});
    expect(speak(call, "12345678")).toBe(true);
    expect(speak(call, "90123456")).toBe(true);
    expect(speak(call, "78901234")).toBe(false);
    slow.capacity = 100;
    call.drained(slow);
    expect(more).toBe(1);
    expect(speak(call, "end")).toBe(true);
    call.end();
    expect(slow.text.join("")).toBe("200123456789012345678901234end");
    expect(slow.ended).toBe(1);
  });

  it("ends a slow reader only after it has everything", () => {
    const call = newCall();
    const slow = new Recorder();
    slow.capacity = 1;
    call.attach(slow);
    call.head(200, {});
    speak(call, "a");
    speak(call, "b");
    call.end();
    expect(slow.ended).toBe(0);
    slow.capacity = 10;
    call.drained(slow);
    expect(slow.text).toEqual(["200", "a", "b"]);
    expect(slow.ended).toBe(1);
  });

  it("refuses a reader whose frames are forgotten", () => {
    const call = newCall(4);
    call.head(200, {});
    speak(call, "aaaa", "bbbb");
    expect(call.attach(new Recorder(), 0)).toBe(false);
    expect(call.attach(new Recorder(), 1)).toBe(true);
  });

  it("says when its last reader left before the end, and not after", () => {
    const call = newCall();
    let abandoned = 0;
    call.wire({ wantMore: () => {}, abandoned: () => abandoned++, stop: () => {}, review: () => {} });
    const [a, b] = [new Recorder(), new Recorder()];
    call.attach(a);
    call.attach(b);
    call.detach(a);
    expect(abandoned).toBe(0);
    call.detach(b);
    call.detach(b);
    expect(abandoned).toBe(1);
    call.end();
    call.detach(b);
    expect(abandoned).toBe(1);
  });

  it("loses and repeats nothing at 10,000 seeded places where a reader leaves and comes back", () => {
    const random = new SeededRandomness(3);
    const frames = Array.from({ length: 20 }, (_, place) => `frame ${place + 1};`);
    for (let round = 0; round < 10_000; round++) {
      const call = newCall();
      call.head(200, {});
      const leaveAt = Math.floor(random.number() * 21);
      const returnAt = leaveAt + Math.floor(random.number() * (21 - leaveAt));
      const [first, second] = [new Recorder(), new Recorder()];
      call.attach(first);
      for (const [place, frame] of frames.entries()) {
        if (place === leaveAt) call.detach(first);
        if (place === returnAt) call.attach(second, leaveAt);
        speak(call, frame);
      }
      call.end();
      if (returnAt === 20) call.attach(second, leaveAt);
      const read = [...first.text.slice(1, leaveAt + 1), ...second.text.slice(1)];
      if (read.join("") !== frames.join("")) expect(read, `left at ${leaveAt}, came back at ${returnAt}`).toEqual(frames);
    }
  });
});

describe("the register of calls", () => {
  it("bounds finished streams in bytes and time and tells when nothing runs", async () => {
    const clock = new ManualClock();
    const calls = new LiveCalls(clock, () => ({ journalBytes: 100, journalTotalBytes: 10, journalMs: 1000 }));
    const finished = (id: string, text: string): void => {
      const call = new LiveCall({ id, clock, journalBytes: 100 });
      calls.add(call);
      call.head(200, {});
      speak(call, text);
      call.end();
      calls.finish(call);
    };
    finished("a", "123456");
    expect(calls.find("a")).toBeDefined();
    finished("b", "123456");
    expect(calls.find("a")).toBeUndefined();
    expect(calls.find("b")).toBeDefined();
    clock.advance(1001);
    finished("c", "1");
    expect(calls.find("b")).toBeUndefined();
    await calls.whenIdle();
    expect(calls.running).toBe(0);
  });
});
