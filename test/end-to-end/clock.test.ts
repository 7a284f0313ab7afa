import { afterEach, beforeEach, expect, it } from "vitest";
import type { Clock } from "../../src/canon/index.ts";
import { openHouse, type House } from "../../src/house.ts";
import { systemClock } from "../../src/kit/index.ts";
import { temporaryFolder } from "../stores/folders.ts";
import { promisedMs } from "../support/promised.ts";

const HOUR_MS = 3_600_000;
const SOON = { timeout: 30_000, interval: 20 };
const CONFIG = `version: 1
access: { anonymous: never }
sim: { models: { penny: { text: "ok", price: { perCallUsd: 0.01 } } } }
budgets: [{ name: day, match: { model: sim/penny }, usd: 0.05, per: day }]
limits: [{ match: { model: sim/echo }, requests: 6, per: hour }]
`;

/** The machine's clock, whose time of day a person sets in the midst of service. */
let offsetMs = 0;
const clock: Clock = {
  now: () => Math.round(Date.UTC(2026, 5, 15, 12) + systemClock.monotonic() + offsetMs),
  monotonic: () => systemClock.monotonic(),
  after: (ms, callback) => systemClock.after(ms, callback),
};

let house: House;
beforeEach(async () => {
  offsetMs = 0;
  house = await openHouse({
    folder: temporaryFolder(),
    config: { text: CONFIG, fileName: "gimbal.yaml" },
    host: "127.0.0.1",
    port: 0,
    env: {},
    log: () => {},
    clock,
  });
});
afterEach(() => house.close());

async function admin(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${house.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return (await response.json()) as Record<string, unknown>;
}
async function call(key: string, model: string, headers: Readonly<Record<string, string>> = {}, stream = false): Promise<Response> {
  const response = await fetch(`${house.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({ model, stream, max_tokens: 5, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.clone().text();
  return response;
}
const statuses = async (key: string, model: string, count: number): Promise<readonly number[]> => {
  const all: number[] = [];
  for (let number = 0; number < count; number++) all.push((await call(key, model)).status);
  return all;
};
const newKey = async (): Promise<{ readonly id: string; readonly key: string }> =>
  (await admin("POST", "/keys", { name: "k" })) as { id: string; key: string };

it("a budget is no fuller and no emptier after the clock stepped back, within its window and into the one before", async () => {
  const { key } = await newKey();
  expect(await statuses(key, "sim/penny", 3)).toEqual([200, 200, 200]);
  offsetMs = -HOUR_MS;
  expect(await statuses(key, "sim/penny", 3)).toEqual([200, 200, 402]);
  // Into the day before: a window of its own. And back: the first is as full as it was.
  offsetMs = -24 * HOUR_MS;
  expect(await statuses(key, "sim/penny", 6)).toEqual([200, 200, 200, 200, 200, 402]);
  offsetMs = 0;
  expect(await statuses(key, "sim/penny", 1)).toEqual([402]);
  const counters = async (): Promise<readonly unknown[]> =>
    (await house.stores.budgets.list(0, 100))
      .filter((counter) => counter.key.startsWith("budget"))
      .map(({ spent, leased, begins, ends }) => [spent, leased, ends - begins]);
  const full = [50_000_000, 0, 24 * HOUR_MS];
  await expect.poll(counters, SOON).toEqual([full, full]);
});

it("a limit gives back nothing early", async () => {
  const { key } = await newKey();
  expect((await statuses(key, "sim/echo", 7)).filter((status) => status === 200)).toHaveLength(6);
  offsetMs = -5 * HOUR_MS;
  expect(await statuses(key, "sim/echo", 1)).toEqual([429]);
  offsetMs = 0;
  expect(await statuses(key, "sim/echo", 1)).toEqual([429]);
});

it("rows have no negative times, and a call is read back and expires as it would have", async () => {
  const { key } = await newKey();
  const response = await call(key, "sim/lorem", {}, true);
  const id = response.headers.get("x-gimbal-call-id") ?? "";
  offsetMs = -HOUR_MS;
  const after = await call(key, "sim/lorem", {}, true);
  await house.gateway.live.whenIdle();
  await house.gateway.spilling.flush();
  await house.stores.ledger.flush();
  for (const row of await house.stores.ledger.list({ limit: 10 })) {
    expect(row.timings.totalMs).toBeGreaterThanOrEqual(0);
    for (const { startedMs, endedMs } of row.attempts) expect(endedMs).toBeGreaterThanOrEqual(startedMs);
  }
  const events = async (callId: string): Promise<number> =>
    (await fetch(`${house.url}/v1/calls/${callId}/events?after=1`, { headers: { authorization: `Bearer ${key}` } })).status;
  expect(await events(id)).toBe(200);
  const later = after.headers.get("x-gimbal-call-id") ?? "";
  expect(await events(later)).toBe(200);
  offsetMs = HOUR_MS;
  expect([await events(id), await events(later)]).toEqual([410, 410]);
});

it("a revoked key is refused at once, and a repeated request is answered as before, whatever the clock says", async () => {
  const { id, key } = await newKey();
  const first = await (await call(key, "sim/penny", { "idempotency-key": "same" })).text();
  offsetMs = -48 * HOUR_MS;
  expect(await (await call(key, "sim/penny", { "idempotency-key": "same" })).text()).toBe(first);
  await admin("DELETE", `/keys/${id}`);
  await expect.poll(async () => (await call(key, "sim/echo")).status, { timeout: promisedMs(1000), interval: 20 }).toBe(401);
});
