import { describe, expect, it } from "vitest";
import type { Credential } from "../../../src/canon/index.ts";
import { answered, attempt, DOWN, permit, refusal, setting, TARGET, waiting, whenDecided, type Setting } from "./support.ts";

function keyed(credentials: readonly Partial<Credential>[], options: object = {}): Setting {
  const all = credentials.map((one, at) => ({ id: `lab#${at + 1}`, weight: 1, ...one }));
  return setting(options, { providers: new Map([["lab", { credentials: all }]]) });
}

const chosen = ({ health }: Setting): string | undefined => permit(health.enter(TARGET)).credential;

describe("several keys", () => {
  it("take turns by their weight", () => {
    const lab = keyed([{ weight: 3 }, { weight: 1 }]);
    const counts: Record<string, number> = {};
    for (let turn = 0; turn < 400; turn++) {
      const one = permit(lab.health.enter(TARGET));
      counts[one.credential ?? ""] = (counts[one.credential ?? ""] ?? 0) + 1;
      one.leave();
    }
    expect(counts).toEqual({ "lab#1": 300, "lab#2": 100 });
  });

  it("take the next attempt where the least runs", () => {
    const lab = keyed([{}, {}, {}]);
    const running = Array.from({ length: 6 }, () => permit(lab.health.enter(TARGET)));
    expect(running.map((one) => one.credential ?? "").toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      "lab#1",
      "lab#1",
      "lab#2",
      "lab#2",
      "lab#3",
      "lab#3",
    ]);
    for (const one of running) if (one.credential === "lab#2") one.leave();
    expect([chosen(lab), chosen(lab)]).toEqual(["lab#2", "lab#2"]);
  });

  it.each([401, 402, 429])("move on to the next at once after %i", (status) => {
    const lab = keyed([{}, {}]);
    const first = permit(lab.health.enter(TARGET));
    first.leave(answered(status));
    expect(lab.health.anotherKey("lab")).toBe(true);
    const second = permit(lab.health.enter(TARGET));
    expect(second.credential).not.toBe(first.credential);
    expect(lab.changes.map(({ what, subject }) => [what, subject])).toEqual([["key rests", first.credential]]);
    expect(lab.health.blocked("lab", "small")).toBeUndefined();
    second.leave(answered(status));
    expect(lab.health.anotherKey("lab")).toBe(false);
    expect(lab.health.blocked("lab", "small")).toBe("every key of its provider rests");
    expect(refusal(lab.health.enter(TARGET))).toMatchObject(
      status === 429 ? { kind: "rate_limited", code: "keys_limited" } : { kind: "upstream_unavailable", code: "keys_refused" },
    );
  });

  it("rest as long as they are asked to, and come back without making up for it", () => {
    const lab = keyed([{}, {}]);
    permit(lab.health.enter(TARGET)).leave(answered(429, { retryAfterMs: 5000 }));
    for (let turn = 0; turn < 50; turn++) attempt(lab.health);
    expect(lab.health.describe().providers[0]?.keys[0]).toMatchObject({ key: "lab#1", state: "limited", restMs: 5000 });
    lab.clock.advance(5000);
    const counts: Record<string, number> = {};
    for (let turn = 0; turn < 20; turn++) {
      const one = permit(lab.health.enter(TARGET));
      counts[one.credential ?? ""] = (counts[one.credential ?? ""] ?? 0) + 1;
      one.leave();
    }
    expect(counts["lab#1"]).toBeGreaterThanOrEqual(10);
    expect(counts["lab#1"]).toBeLessThanOrEqual(12);
  });

  it("are tried out by one attempt after a refusal, and rest longer when it fails", () => {
    const lab = keyed([{}], { cooldown: { credentialsMs: 1000 } });
    const burst = Array.from({ length: 30 }, () => permit(lab.health.enter(TARGET)));
    for (const one of burst) one.leave(answered(401));
    const rest = (): number => lab.health.describe().providers[0]?.keys[0]?.restMs ?? 0;
    expect(rest()).toBeLessThanOrEqual(1000);
    lab.clock.advance(rest());
    const probe = permit(lab.health.enter(TARGET));
    expect(refusal(lab.health.enter(TARGET)).code).toBe("keys_refused");
    probe.leave(answered(401));
    expect(rest()).toBeGreaterThanOrEqual(1000);
    lab.clock.advance(rest());
    const second = permit(lab.health.enter(TARGET));
    second.started();
    expect(permit(lab.health.enter(TARGET)).credential).toBe("lab#1");
  });

  it("let nobody wait for a probe that said nothing", () => {
    const lab = keyed([{}]);
    attempt(lab.health, answered(401));
    lab.clock.advance(20_000);
    permit(lab.health.enter(TARGET)).leave({ kind: "cancelled", message: "left" });
    attempt(lab.health);
    expect(lab.health.describe().providers[0]?.keys[0]?.state).toBe("ready");
  });

  it("are accepted where only the rate is refused, and held up by no silent probe", () => {
    const lab = keyed([{}]);
    attempt(lab.health, answered(401));
    lab.clock.advance(20_000);
    attempt(lab.health, answered(429));
    attempt(lab.health, answered(401));
    lab.clock.advance(40_000);
    const silent = permit(lab.health.enter(TARGET));
    expect(lab.health.blocked("lab", "small")).toBe("every key of its provider rests");
    lab.clock.advance(30_000);
    attempt(lab.health);
    silent.leave();
    expect(lab.health.describe().providers[0]?.keys[0]).toMatchObject({ state: "ready", inFlight: 0 });
  });

  it("are not condemned by a forbidden model or text", () => {
    const lab = keyed([{}]);
    for (let turn = 0; turn < 5; turn++) attempt(lab.health, answered(403));
    expect(lab.health.blocked("lab", "small")).toBeUndefined();
  });

  it("keep their own concurrency", async () => {
    const lab = keyed([{ concurrency: 1 }, { concurrency: 2 }]);
    const running = Array.from({ length: 3 }, () => permit(lab.health.enter(TARGET)));
    expect(running.filter((one) => one.credential === "lab#1")).toHaveLength(1);
    const next = waiting(lab.health.enter(TARGET));
    running.find((one) => one.credential === "lab#1")?.leave();
    const entered = await next.entered;
    expect(entered.state === "in" && entered.credential).toBe("lab#1");
  });

  it("keep their requests a minute, first come first served", async () => {
    const lab = keyed([{ requestsPerMinute: 60 }]);
    let granted = 0;
    const order: number[] = [];
    for (let turn = 0; turn < 40; turn++) {
      const entered = lab.health.enter(TARGET, 5);
      if (entered.state === "in") {
        granted++;
        entered.leave();
      } else if (entered.state === "waiting") {
        whenDecided(entered, (outcome) => {
          if (outcome.state !== "in") return;
          order.push(turn);
          outcome.leave();
        });
      }
    }
    expect(granted).toBe(6);
    for (let second = 0; second < 5; second++) {
      lab.clock.advance(1000);
      await Promise.resolve();
      await Promise.resolve();
    }
    expect(order).toEqual([6, 7, 8, 9, 10]);
  });

  it("begin anew with a new configuration, because their ids may stand for other secrets", () => {
    const lab = keyed([{}]);
    attempt(lab.health, answered(401));
    expect(lab.health.blocked("lab", "small")).toBeDefined();
    lab.health.configure({ providers: new Map([["lab", { credentials: [{ id: "lab#1", weight: 1 }] }]]), aliases: new Map() });
    expect(lab.health.blocked("lab", "small")).toBeUndefined();
  });

  it("are not blamed for a target that fails", () => {
    const lab = keyed([{}, {}]);
    for (let turn = 0; turn < 5; turn++) attempt(lab.health, DOWN);
    expect(refusal(lab.health.enter(TARGET)).code).toBe("breaker_open");
    expect(permit(lab.health.enter({ provider: "lab", model: "other" })).state).toBe("in");
  });
});
