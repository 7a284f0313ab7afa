import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Clock } from "../../src/canon/index.ts";
import { openHouse } from "../../src/house.ts";
import { systemClock } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** Reloads that the storm makes at least, and calls that run meanwhile. */
const RELOADS = 60;
const CALLS = 240;
const STREAMS_AT_ONCE = 12;
const WORDS = "one two three four five six seven eight nine ten";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: `models:
  fast: { targets: [sim/a], retries: 0 }
sim:
  models:
    a: { text: "${WORDS}", ttftMs: 5, tokensPerSecond: 400 }
    b: { text: "${WORDS}", ttftMs: 5, tokensPerSecond: 400 }
`,
  });
});
afterAll(() => gateway.close());

async function admin(method: string, path: string, body: object): Promise<number> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  await response.text();
  return response.status;
}

/** One call, in each language in turn, streamed two times out of three; resolves with what is wrong with its answer. */
async function faultOf(number: number): Promise<string | undefined> {
  const stream = number % 3 !== 0;
  const messages = [{ role: "user", content: "go on" }];
  const languages = [
    ["/v1/chat/completions", { messages }, /\[DONE\]/g],
    ["/v1/responses", { input: "go on", store: false }, /event: response\.completed/g],
    ["/v1/messages", { messages, max_tokens: 100 }, /event: message_stop/g],
  ] as const;
  const [path, body, terminal] = languages[number % languages.length] ?? languages[0];
  const response = await fetch(`${gateway.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "fast", stream, ...body }),
  });
  const text = await response.text();
  if (response.status !== 200) return `status ${response.status}: ${text.slice(0, 200)}`;
  const said = stream ? [...text.matchAll(/"(?:content|text|delta)":"([a-z ]+)"/g)].map((match) => match[1]).join("") : text;
  if (!said.includes(WORDS)) return `not whole: ${text.slice(-300)}`;
  return stream && text.match(terminal)?.length !== 1 ? `ends: ${text.match(terminal)?.length ?? 0}` : undefined;
}

describe("a storm of new configurations", () => {
  it("drops no call and cuts no stream, and every call ends under the version it began with", async () => {
    const faults: string[] = [];
    let next = 0;
    const weather = { over: false };
    const caller = async (): Promise<void> => {
      for (let number = next++; number < CALLS || !weather.over; number = next++) {
        const fault = await faultOf(number);
        if (fault !== undefined) faults.push(fault);
      }
    };
    const storm = async (): Promise<void> => {
      for (let round = 0; round < RELOADS; round++) {
        const target = round % 2 === 0 ? "sim/b" : "sim/a";
        expect(await admin("PATCH", "/models/fast", { targets: [target] })).toBe(200);
        // Now and then everything is taken back, or a change is refused.
        if (round % 10 === 9) expect(await admin("POST", "/config/rollback", { version: 1 })).toBe(200);
        if (round % 10 === 5) expect(await admin("PATCH", "/models/fast", { targets: ["nowhere/x"] })).toBe(400);
      }
      weather.over = true;
    };
    await Promise.all([storm(), ...Array.from({ length: STREAMS_AT_ONCE }, caller)]);
    expect(faults).toEqual([]);

    const rows = await gateway.rows();
    expect(rows.length).toBe(next - STREAMS_AT_ONCE);
    expect(rows.every(({ state }) => state === "done")).toBe(true);
    const versions = new Map((await gateway.house.stores.config.list(1000)).map((version) => [version.version, version.text]));
    // The target that answered is the one of the version that the row names: no call saw half of a change.
    for (const { configVersion, target } of rows) expect(versions.get(configVersion)).toMatch(new RegExp(`targets: \\[ ?${target} ?\\]`));
    expect(new Set(rows.map(({ configVersion }) => configVersion)).size).toBeGreaterThan(10);
    expect(versions.size).toBeGreaterThan(RELOADS);
  });
});

describe("providers of a configuration that was replaced", () => {
  it("stay open as long as a call of it runs, and are closed then", async () => {
    const back = await startGateway({ config: "sim: { models: { long: { length: 60, tokensPerSecond: 60 } } }\n" });
    const folder = await mkdtemp(join(tmpdir(), "gimbal-retire-"));
    let looks = 0;
    // What the house looks at every ten seconds it looks at every ten milliseconds.
    const look = (callback: () => void): (() => void) =>
      systemClock.after(10, () => {
        looks++;
        callback();
      });
    const clock: Clock = {
      now: () => systemClock.now(),
      monotonic: () => systemClock.monotonic(),
      after: (ms, callback) => (ms === 10_000 ? look(callback) : systemClock.after(ms, callback)),
    };
    const text = `version: 1
providers: { lab: { kind: openai-compatible, baseUrl: "${back.url}/v1", apiKey: x, allowPrivateNetwork: true } }
models: { far: { targets: [lab/sim/long], retries: 0 } }
`;
    const house = await openHouse({
      config: { text, fileName: "gimbal.yaml" },
      folder,
      host: "127.0.0.1",
      port: 0,
      env: {},
      log: () => {},
      clock,
    });
    const old = house.snapshot().providers.get("lab");
    if (!old) throw new Error("no provider");
    const closed = vi.spyOn(old, "close");
    const response = await fetch(`${house.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "far", stream: true, messages: [{ role: "user", content: "go on" }] }),
    });
    const changed = await fetch(`${house.url}/admin/api/models/far`, {
      method: "PATCH",
      headers: { authorization: `Bearer ${house.adminToken.reveal()}` },
      body: JSON.stringify({ retries: 1 }),
    });
    expect(changed.status).toBe(200);
    expect(house.snapshot().providers.get("lab")).not.toBe(old);
    const whole = response.text();
    await vi.waitUntil(() => looks > 5, { interval: 5, timeout: 30_000 });
    expect(closed).not.toHaveBeenCalled();
    expect(await whole).toContain("[DONE]");
    await vi.waitUntil(() => closed.mock.calls.length > 0, { interval: 5, timeout: 30_000 });
    await house.close();
    expect(closed).toHaveBeenCalledTimes(1);
    await back.close();
    await rm(folder, { recursive: true, force: true });
  });
});
