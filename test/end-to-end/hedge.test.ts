import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ask, expectSound } from "./heard.ts";
import { LANGUAGES } from "./languages.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    trusting: true,
    config: `
retry: { budget: { share: 10, perSecond: 1000 } }
sim:
  models:
    slow: { text: "Slow and steady.", ttftMs: 20000 }
    slower: { text: "Slower and steadier.", ttftMs: 4000 }
    late: { text: "Late, but here.", ttftMs: 120 }
    quick: { text: "Quick as lightning.", price: { inputUsd: 1, outputUsd: 10 } }
    dead: { text: "no", faults: [{ kind: refuse }] }
    cut: { text: "A quick answer that breaks in its middle, alas.", faults: [{ kind: cut, share: 1 }] }
    uncut: { text: "A quick answer that breaks in its middle, alas." }
    quickly: { text: "Quick as lightning.", ttftMs: 1 }
models:
  raced: { targets: [sim/slow, sim/quick], hedge: { afterMs: 20, maxShare: 1 } }
  patient: { targets: [sim/late, sim/slow], hedge: { afterMs: 20, maxShare: 1 } }
  seldom: { targets: [sim/late, sim/quick], hedge: { afterMs: 20, maxShare: 0.1 } }
  lame: { targets: [sim/late, sim/dead], hedge: { afterMs: 20, maxShare: 1 } }
  failed: { targets: [sim/dead, sim/quick], hedge: { afterMs: 1, maxShare: 1 }, retries: 0 }
  raced-cut: { targets: [sim/slow, sim/cut, sim/uncut], hedge: { afterMs: 20, maxShare: 1 }, continue: always }
  raced-both: { targets: [sim/slow, sim/slower], hedge: { afterMs: 5, maxShare: 1 } }
  learnt: { targets: [sim/quickly, sim/quick], hedge: { maxShare: 1 } }
`,
  });
});
afterAll(() => gateway.close());

describe.each(LANGUAGES)("a $id call whose first target is slow to begin", (language) => {
  it.each([true, false])("is answered by the second, and the first is stopped and booked (stream: %s)", async (stream) => {
    const response = await fetch(gateway.url + language.path, {
      method: "POST",
      headers: { ...language.headers, "content-type": "application/json" },
      body: JSON.stringify({ ...language.call("raced", "hi there"), stream }),
    });
    expect([response.status, response.headers.get("x-gimbal-target"), response.headers.get("x-gimbal-attempts")]).toEqual([
      200,
      "sim/quick",
      "2",
    ]);
    expect(await response.text()).toContain("Quick");
    const row = await gateway.lastRow();
    expect(row).toMatchObject({ state: "done", target: "sim/quick" });
    expect(row.timings.totalMs).toBeLessThan(15_000);
    const byTarget = new Map(row.attempts.map((attempt) => [attempt.target, attempt]));
    expect(byTarget.get("sim/slow")).toMatchObject({ problem: "cancelled", usage: { estimated: true } });
    expect(byTarget.get("sim/slow")?.hedge).toBeUndefined();
    expect(byTarget.get("sim/quick")).toMatchObject({ hedge: true });
    expect(byTarget.get("sim/quick")?.problem).toBeUndefined();
    expect(row.usage.output).toBe(byTarget.get("sim/quick")?.usage?.output);
    expect(row.usage.inputUncached).toBeGreaterThan(byTarget.get("sim/quick")?.usage?.inputUncached ?? 0);
    expect(row.costNanodollars).toBeGreaterThan(0);
  });

  it("keeps the first where that begins before the second", async () => {
    const heard = await ask(gateway, language, "patient");
    expect([heard.ends, heard.text]).toEqual([["done"], "Late, but here."]);
    expectSound(heard, language);
    const row = await gateway.lastRow();
    expect(row.target).toBe("sim/late");
    expect(row.attempts.map(({ target, problem, hedge }) => [target, problem, hedge]).toSorted(byName)).toEqual([
      ["sim/late", undefined, undefined],
      ["sim/slow", "cancelled", true],
    ]);
  });

  it("is not hurt by a second that fails", async () => {
    const heard = await ask(gateway, language, "lame");
    expect([heard.ends, heard.text]).toEqual([["done"], "Late, but here."]);
  });

  it("has no rival once its first target failed", async () => {
    const heard = await ask(gateway, language, "failed");
    expect(heard.ends).toEqual(["done"]);
    expect((await gateway.lastRow()).attempts.every(({ hedge }) => hedge === undefined)).toBe(true);
  });

  it("is gone on with when the rival that won breaks", async () => {
    const heard = await ask(gateway, language, "raced-cut");
    expect([heard.ends, heard.text]).toEqual([["done"], "A quick answer that breaks in its middle, alas."]);
    expectSound(heard, language);
  });
});

describe("rivals", () => {
  it("are called for no more than their share", async () => {
    const [language] = LANGUAGES;
    if (!language) throw new Error("no language");
    const CALLS = 30;
    for (let call = 0; call < CALLS; call++) await ask(gateway, language, "seldom");
    const rows = (await gateway.rows()).slice(-CALLS);
    const hedged = rows.filter(({ attempts }) => attempts.some(({ hedge }) => hedge));
    expect(hedged.length).toBeGreaterThanOrEqual(1);
    expect(hedged.length).toBeLessThanOrEqual(4);
  });

  it("wait for what was measured where no time is written", async () => {
    const [language] = LANGUAGES;
    if (!language) throw new Error("no language");
    for (let call = 0; call < 5; call++) await ask(gateway, language, "learnt");
    expect((await gateway.rows()).slice(-5).every(({ attempts }) => attempts.length === 1)).toBe(true);
  });

  it("both stop with the call", async () => {
    const controller = new AbortController();
    const call = fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "raced-both", messages: [{ role: "user", content: "hi" }], stream: true }),
      signal: controller.signal,
    });
    // Both are asked by then: the second is booked only if it was.
    await new Promise((resolve) => gateway.house.gateway.clock.after(60, () => resolve(undefined)));
    controller.abort();
    await call.catch(() => {});
    const row = await gateway.lastRow();
    expect(row).toMatchObject({ state: "cancelled" });
    expect(row.attempts.map(({ target, problem }) => [target, problem]).toSorted(byName)).toEqual([
      ["sim/slow", "cancelled"],
      ["sim/slower", "cancelled"],
    ]);
  });
});

function byName([a = ""]: readonly unknown[], [b = ""]: readonly unknown[]): number {
  return String(a) < String(b) ? -1 : 1;
}
