import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Writes } from "../../src/stores/backend.ts";
import { OpenHold } from "../../src/stores/open-hold.ts";

const HOLD_MS = 5;

const record = (callId: string): Writes["open"]["args"] => [callId, 0, "key_1", "fast", "openai-chat", 1, "node-a"];

describe("records of calls just begun", () => {
  const due: string[] = [];
  let hold: OpenHold;
  beforeEach(() => {
    vi.useFakeTimers();
    due.length = 0;
    hold = new OpenHold(HOLD_MS, ([callId]) => due.push(callId));
  });
  afterEach(() => void vi.useRealTimers());

  it("leave once where their call still runs, however many there are and whatever their ids look like", () => {
    // Many times more than there are places, all ending alike, and of any length.
    const ids = ["", "a", "ab", ...Array.from({ length: 9000 }, (_, at) => `call_${at}${at % 3 ? "xyz" : ""}`)];
    for (const id of ids) hold.add(record(id));
    expect(hold.size).toBe(ids.length);
    const ended = ids.filter((_, at) => at % 2 === 0);
    for (const id of ended) expect(hold.drop(id)).toBe(true);
    for (const id of ended) expect(hold.drop(id)).toBe(false);
    expect(hold.size).toBe(ids.length - ended.length);
    hold.release();
    expect(due.toSorted()).toEqual(ids.filter((_, at) => at % 2 === 1).toSorted());
    expect(hold.size).toBe(0);
    hold.release();
    expect(due).toHaveLength(ids.length - ended.length);
  });

  it("wait one to two periods, and are forgotten by a call that ends meanwhile", () => {
    hold.add(record("call_1"));
    vi.advanceTimersByTime(HOLD_MS - 1);
    hold.add(record("call_2"));
    vi.advanceTimersByTime(HOLD_MS);
    // The first may leave from one period on; the second has been here for a moment.
    expect(hold.drop("call_2")).toBe(true);
    vi.advanceTimersByTime(HOLD_MS);
    expect(due).toEqual(["call_1"]);
    expect(hold.drop("call_1")).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("leave the older ones first", () => {
    hold.add(record("call_older"));
    vi.advanceTimersByTime(HOLD_MS);
    hold.add(record("call_newer"));
    hold.release();
    expect(due).toEqual(["call_older", "call_newer"]);
  });
});
