import { describe, expect, it } from "vitest";
import { NO_USAGE, type Problem } from "../../src/canon/index.ts";
import { Flow, REALTIME_LIMITS } from "../../src/gateway/realtime-flow.ts";
import { SessionUsage } from "../../src/gateway/realtime-usage.ts";
import { ManualClock } from "../../src/kit/index.ts";

function begun(): { readonly clock: ManualClock; readonly flow: Flow; readonly ends: Problem[] } {
  const clock = new ManualClock();
  const ends: Problem[] = [];
  return { clock, ends, flow: new Flow(clock, (problem) => ends.push(problem)) };
}

describe("what passes in a session", () => {
  it("ends when nothing is said for long, by either side", () => {
    const { clock, flow, ends } = begun();
    clock.advance(REALTIME_LIMITS.idleMs - 1);
    expect(flow.arrived(10, 0)).toBeUndefined();
    clock.advance(REALTIME_LIMITS.idleMs - 1);
    flow.answered();
    clock.advance(REALTIME_LIMITS.idleMs - 1);
    expect(ends).toEqual([]);
    clock.advance(1);
    expect(ends).toMatchObject([{ code: "session_idle" }]);
  });

  it("ends after its time, however much is said", () => {
    const { clock, flow, ends } = begun();
    for (let ms = 0; ms < REALTIME_LIMITS.totalMs; ms += 60_000) {
      expect(ends).toEqual([]);
      flow.answered();
      clock.advance(60_000);
    }
    expect(ends).toMatchObject([{ code: "session_expired" }]);
  });

  it("takes a second of sound at once, not ten, and goes on after a pause", () => {
    const { clock, flow } = begun();
    for (let at = 0; at < REALTIME_LIMITS.messageBurst; at++) expect(flow.arrived(1000, 0)).toBeUndefined();
    expect(flow.arrived(1000, 0)).toMatchObject({ kind: "rate_limited", code: "too_many_messages" });
    clock.advance(1000);
    for (let at = 0; at < REALTIME_LIMITS.messagesPerSecond; at++) expect(flow.arrived(1000, 0)).toBeUndefined();
    expect(flow.arrived(1000, 0)).toMatchObject({ kind: "rate_limited" });
  });

  it("bounds a message, and what a slow provider has not taken", () => {
    const { flow } = begun();
    expect(flow.arrived(REALTIME_LIMITS.messageBytes + 1, 0)).toMatchObject({ kind: "too_large" });
    expect(flow.arrived(1000, REALTIME_LIMITS.uploadBytes - 1000)).toBeUndefined();
    expect(flow.arrived(1001, REALTIME_LIMITS.uploadBytes - 1000)).toMatchObject({ code: "upload_too_fast" });
  });

  it("pauses the provider of a slow client, and leaves one that takes nothing", () => {
    const { clock, flow, ends } = begun();
    const said: string[] = [];
    const provider = { pause: () => void said.push("pause"), resume: () => void said.push("resume") };
    const client = { buffered: REALTIME_LIMITS.bufferBytes + 1000 };
    flow.relieve(client, provider);
    flow.relieve(client, provider);
    expect(said).toEqual(["pause"]);
    clock.advance(20_000);
    client.buffered -= 500;
    clock.advance(20_000);
    expect([said, ends]).toEqual([["pause"], []]);
    client.buffered -= 500;
    clock.advance(20);
    expect(said).toEqual(["pause", "resume"]);
    client.buffered = REALTIME_LIMITS.bufferBytes + 1;
    flow.relieve(client, provider);
    clock.advance(REALTIME_LIMITS.stalledMs + 100);
    expect(ends).toMatchObject([{ code: "client_stalled" }]);
  });

  it("keeps no timer when it is over", () => {
    const { clock, flow, ends } = begun();
    flow.relieve({ buffered: REALTIME_LIMITS.bufferBytes + 1 }, { pause: () => {}, resume: () => {} });
    flow.stop();
    clock.advance(REALTIME_LIMITS.totalMs * 2);
    expect(ends).toEqual([]);
  });
});

describe("what a session has used", () => {
  it("is what was told, and of an answer cut short an estimate", () => {
    const usage = new SessionUsage();
    usage.said(400, true);
    expect(usage.open).toBe(1);
    usage.hear({ answer: "begins" });
    usage.hear({ outputTokens: 7.5 });
    expect(usage.total(true)).toMatchObject({ inputUncached: 100, output: 8, estimated: true });
    expect(usage.total(false)).toBe(NO_USAGE);
    usage.hear({ answer: "ends", usage: { ...NO_USAGE, inputUncached: 90, output: 9 } });
    expect(usage.open).toBe(0);
    expect(usage.total(true)).toMatchObject({ inputUncached: 90, output: 9 });
    expect(usage.total(true).estimated).toBeUndefined();
  });

  it("counts answers that are asked for at once, and not those refused", () => {
    const usage = new SessionUsage();
    usage.said(4, true);
    usage.said(4, true);
    usage.said(4, true);
    usage.hear({ answer: "begins" });
    usage.hear({ answer: "refused" });
    expect(usage.open).toBe(2);
    usage.hear({ answer: "ends" });
    expect(usage.open).toBe(1);
  });
});
