import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ArmFigures } from "../../src/ledger/compare.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: `models:
  fast: # for everybody
    targets: [sim/old, sim/spare]
  drawn: { targets: [sim/old, sim/spare], strategy: weighted }
  ready: { targets: [sim/old], warm: { target: sim/new, share: 0.5 } }
sim:
  models:
    old: { text: "old words", price: { perCallUsd: 0.02 } }
    spare: { text: "spare words" }
    new: { text: "new words", price: { perCallUsd: 0.01 } }
    broken: { text: "no", faults: [{ kind: server-error, share: 1 }] }
`,
  });
});
afterAll(() => gateway.close());

async function admin(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** One call in one of the three languages; resolves with the target that answered. */
async function target(model: string, session: string, language = 0, stream = false): Promise<string | null> {
  const messages = [{ role: "user", content: "hello" }];
  const [path, body] = [
    ["/v1/chat/completions", { model, stream, messages }] as const,
    ["/v1/responses", { model, stream, input: "hello", store: false }] as const,
    ["/v1/messages", { model, stream, messages, max_tokens: 100 }] as const,
  ][language % 3] ?? ["", {}];
  const response = await fetch(`${gateway.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-gimbal-session": session, "anthropic-version": "2023-06-01" },
    body: JSON.stringify(body),
  });
  await response.text();
  return response.headers.get("x-gimbal-target");
}

describe("a canary in a running gateway", () => {
  it("takes sessions by percentage, the same in every language, plain and streamed", async () => {
    const set = await admin("PATCH", "/models/fast", { canary: { target: "sim/new", percent: 40 } });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    const seen = new Map<string, string | null>();
    for (let number = 0; number < 60; number++) {
      const session = `s${number % 20}`;
      const answered = await target("fast", session, number, number % 2 === 0);
      expect(["sim/new", "sim/old"]).toContain(answered);
      expect(seen.get(session) ?? answered).toBe(answered);
      seen.set(session, answered);
    }
    const canaries = [...seen.values()].filter((one) => one === "sim/new").length;
    expect(canaries).toBeGreaterThan(2);
    expect(canaries).toBeLessThan(15);
    const row = await gateway.lastRow();
    expect(row.arm).toBe(row.target === "sim/new" ? "canary" : "main");
    expect(row.plan).toMatchObject({ arm: { name: row.arm } });
  });

  it("is compared with the rest: calls, failures, times and cost", async () => {
    const { status, body } = await admin("GET", "/models/fast/canary");
    expect(status).toBe(200);
    expect(body).toMatchObject({ model: "fast", canary: { targets: ["sim/new"], percent: 40, sticky: "session" }, complete: true });
    const arms = body["arms"] as Record<"canary" | "main" | "warm", ArmFigures>;
    expect(arms.canary.calls + arms.main.calls).toBe(60);
    expect(arms.canary).toMatchObject({ failed: 0, targets: { "sim/new": arms.canary.calls }, costPerCallNanodollars: 10_000_000 });
    expect(arms.main).toMatchObject({ failed: 0, targets: { "sim/old": arms.main.calls }, costPerCallNanodollars: 20_000_000 });
    expect(arms.canary.totalMs?.p50).toBeGreaterThan(0);
    expect(arms.warm.calls).toBe(0);
  });

  it("that fails is answered by the model's own targets, and its failures are seen", async () => {
    await admin("PATCH", "/models/fast", { canary: { target: "sim/broken", percent: 100 }, retries: 0 });
    expect(await target("fast", "s1")).toBe("sim/old");
    const row = await gateway.lastRow();
    expect([row.arm, row.attempts.map((attempt) => attempt.target)]).toEqual(["canary", ["sim/broken", "sim/old"]]);
    const arms = (await admin("GET", "/models/fast/canary")).body["arms"] as Record<string, ArmFigures>;
    // The window begins with the new target: calls of the earlier canary are not held against it.
    expect(arms["canary"]).toMatchObject({ calls: 1, targets: { "sim/old": 1 } });
    expect(arms["main"]?.calls).toBe(0);
  });

  it("ends by abort, or becomes the model by promote; comments stay", async () => {
    expect((await admin("POST", "/models/fast/canary/abort", {})).status).toBe(200);
    expect((await admin("POST", "/models/fast/canary/abort", {})).status).toBe(404);
    expect(await target("fast", "s1")).toBe("sim/old");
    expect((await gateway.lastRow()).arm).toBeUndefined();
    await admin("PATCH", "/models/fast", { canary: { target: "sim/new", percent: 1 } });
    const promoted = await admin("POST", "/models/fast/canary/promote", {});
    expect(promoted.status).toBe(200);
    expect(await target("fast", "s1")).toBe("sim/new");
    const { body } = await admin("GET", `/config/versions/${String(promoted.body["version"])}`);
    expect(body["text"]).toMatch(/fast:\s+# for everybody\n\s+targets: \[ sim\/new, sim\/old, sim\/spare \]/);
    expect(body["text"]).not.toContain("canary");
  });

  it("promoted under weights leaves the others without weight, or alone", async () => {
    await admin("PATCH", "/models/drawn", { canary: { targets: ["sim/new"], percent: 50 } });
    const { body } = await admin("POST", "/models/drawn/canary/promote", {});
    const text = String((await admin("GET", `/config/versions/${String(body["version"])}`)).body["text"]);
    expect(text.split("drawn:")[1]).toMatch(/sim\/new.*target: sim\/old, weight: 0.*target: sim\/spare, weight: 0/s);
    for (let number = 0; number < 5; number++) expect(await target("drawn", `${number}`)).toBe("sim/new");
    await admin("PATCH", "/models/drawn", { canary: { target: "sim/spare", percent: 50 } });
    await admin("POST", "/models/drawn/canary/promote", { alone: true });
    expect(await target("drawn", "s")).toBe("sim/spare");
  });

  it.each([
    [{ percent: 101, target: "sim/new" }, "A percentage is a number from 0 to 100"],
    [{ percent: -1, target: "sim/new" }, "A percentage is a number from 0 to 100"],
    [{ percent: "5", target: "sim/new" }, "A percentage is a number from 0 to 100"],
    [{ percent: 5 }, "either `target` or `targets`"],
    [{ percent: 5, target: "smi/new" }, 'Did you mean "sim"'],
    [{ percent: 5, target: "sim/new", sticky: "user" }, "sticky by session or by call"],
    [{ percent: 5, traget: "sim/new" }, "traget"],
    [{ percent: 5, targets: [] }, "at least one target"],
  ])("%j is refused in clear words, and nothing changes", async (canary, words) => {
    const before = (await admin("GET", "/config/versions")).body["inForce"];
    const refused = await admin("PATCH", "/models/fast", { canary });
    expect(refused.status).toBe(400);
    expect(JSON.stringify(refused.body).replaceAll("\\", "")).toContain(words);
    expect((await admin("GET", "/config/versions")).body["inForce"]).toBe(before);
  });

  it("of an unknown model, or of one without a canary, is refused", async () => {
    expect(await admin("GET", "/models/fats/canary")).toMatchObject({ status: 404 });
    expect(await admin("POST", "/models/fats/canary/promote", {})).toMatchObject({ status: 404 });
    expect(await admin("POST", "/models/fast/canary/promote", {})).toMatchObject({ status: 404 });
    expect(await admin("GET", "/models/fast/canary?minutes=-1")).toMatchObject({ status: 400 });
  });
});

describe("a way out that is kept warm", () => {
  it("gets its share, and the row says so", async () => {
    const answered = await Promise.all(Array.from({ length: 40 }, (_, number) => target("ready", `w${number}`, number)));
    const kept = answered.filter((one) => one === "sim/new").length;
    expect(kept).toBeGreaterThan(8);
    expect(kept).toBeLessThan(32);
    await gateway.rows();
    const arms = (await admin("GET", "/models/ready/canary")).body["arms"] as Record<string, ArmFigures>;
    expect([arms["warm"]?.calls, arms["main"]?.calls]).toEqual([kept, 40 - kept]);
  });
});
