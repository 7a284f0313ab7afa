import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { LedgerRow } from "../../src/canon/index.ts";
import type { ShadowFigures } from "../../src/ledger/compare.ts";
import { likeness } from "../../src/gateway/likeness.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { promisedMs } from "../support/promised.ts";

const CONFIG = `models:
  fast: { targets: [sim/old], shadow: { target: sim/new, share: 1, concurrency: 4 } }
  same: { targets: [sim/old], shadow: { target: sim/twin, share: 1 } }
  half: { targets: [sim/old], shadow: { target: sim/twin, share: 0.5, concurrency: 1000 } }
  cached: { targets: [sim/old], cache: { ttlSeconds: 60 }, shadow: { target: sim/new, share: 1 } }
  fails: { targets: [sim/broken], retries: 0, shadow: { target: sim/new, share: 1 } }
  doomed: { targets: [sim/old], shadow: { target: sim/broken, share: 1 } }
  lingering: { targets: [sim/old], shadow: { target: sim/slow, share: 1, concurrency: 2 } }
  inside: { targets: [sim/old], requires: { region: eu }, shadow: { target: sim/new, share: 1 } }
sim:
  models:
    old: { text: "one two three four", price: { perCallUsd: 0.02 } }
    twin: { text: "one two three four" }
    new: { text: "one two three five", price: { perCallUsd: 0.01 } }
    broken: { text: "no", faults: [{ kind: server-error, share: 1 }] }
`;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: CONFIG.replace("  inside: { targets: [sim/old], requires: { region: eu }, shadow: { target: sim/new, share: 1 } }\n", ""),
  });
});
afterAll(() => gateway.close());
afterEach(() => gateway.house.gateway.live.whenIdle());

async function admin(at: TestGateway, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${at.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${at.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return (await response.json()) as Record<string, unknown>;
}

function ask(at: TestGateway, path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${at.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", ...headers },
    body: JSON.stringify(body),
  });
}
const messages = [{ role: "user", content: "hello" }];
const chat = (model: string, stream = false): object => ({ model, stream, messages });

/** The newest call of a model, and its copy. */
async function pair(at: TestGateway): Promise<{ readonly original: LedgerRow | undefined; readonly copy: LedgerRow | undefined }> {
  const rows = await at.rows();
  const original = rows.findLast((row) => !row.shadow);
  return { original, copy: rows.find((row) => row.shadow?.of === original?.callId) };
}

describe("a shadow", () => {
  it.each([
    ["/v1/chat/completions", chat("fast")],
    ["/v1/chat/completions", chat("fast", true)],
    ["/v1/responses", { model: "fast", input: "hello" }],
    ["/v1/responses", { model: "fast", input: "hello", stream: true }],
    ["/v1/messages", { model: "fast", messages, max_tokens: 50 }],
    ["/v1/messages", { model: "fast", messages, max_tokens: 50, stream: true }],
  ])("copies a call of %s %j, compares the answers, and charges nobody", async (path, body) => {
    const key = await gateway.key({ name: "payer", team: "search" });
    const answer = await (await ask(gateway, path, body, { authorization: `Bearer ${key}` })).text();
    expect(answer).not.toContain("five");
    const { original, copy } = await pair(gateway);
    expect(original).toMatchObject({ callerName: "payer", team: "search", target: "sim/old", costNanodollars: 20_000_000, fastPath: true });
    expect(copy).toMatchObject({
      callerId: "shadow",
      callerName: "shadow",
      state: "done",
      target: "sim/new",
      dialect: original?.dialect,
      stream: original?.stream,
      costNanodollars: 10_000_000,
      shadow: {
        of: original?.callId,
        model: "fast",
        equal: false,
        similarity: 0.75,
        original: { target: "sim/old", stop: "end", costNanodollars: 20_000_000 },
      },
    });
    expect(copy?.team).toBeUndefined();
    expect(JSON.stringify(copy)).not.toContain("three");
  });

  it("is told in figures: equal, alike, times and costs of both", async () => {
    for (let number = 0; number < 3; number++) await (await ask(gateway, "/v1/chat/completions", chat("same", number === 1))).text();
    await gateway.rows();
    const told = await admin(gateway, "GET", "/shadow?alias=same&limit=2");
    expect(told).toMatchObject({ model: "same", shadow: { target: "sim/twin", share: 1 }, running: 0, dropped: 0, complete: true });
    expect(told["calls"]).toHaveLength(2);
    const [figures] = told["targets"] as ShadowFigures[];
    expect(figures).toMatchObject({
      target: "sim/twin",
      compared: 3,
      equalShare: 1,
      similarity: 1,
      sameStopShare: 1,
      shadow: { calls: 3, failed: 0, costUsd: "0.000000000" },
      original: { failed: 0, costUsd: "0.060000000" },
    });
    expect(figures?.original.totalMs?.p95).toBeGreaterThan(0);
  });

  it("draws its share by call", async () => {
    for (let number = 0; number < 40; number++) await (await ask(gateway, "/v1/chat/completions", chat("half"))).text();
    const copies = (await gateway.rows()).filter((row) => row.shadow?.model === "half").length;
    expect(copies).toBeGreaterThan(8);
    expect(copies).toBeLessThan(32);
  });

  it("keeps no turn, and uses the caller's kept turns once", async () => {
    const first = (await (await ask(gateway, "/v1/responses", { model: "same", input: "my name is Ada" })).json()) as { id: string };
    const second = await ask(gateway, "/v1/responses", { model: "same", input: "who am I?", previous_response_id: first.id });
    expect(second.status).toBe(200);
    const { id } = (await second.json()) as { id: string };
    const { copy } = await pair(gateway);
    expect(copy).toMatchObject({ state: "done", shadow: { equal: true } });
    // The whole conversation went along, not the name of a turn.
    expect(copy?.usage.inputUncached).toBeGreaterThan(4);
    expect((await fetch(`${gateway.url}/v1/responses/${id}`)).status).toBe(200);
  });

  it("is not made of cache hits, nor of calls that were refused", async () => {
    const before = (await gateway.rows()).length;
    for (let number = 0; number < 3; number++) await (await ask(gateway, "/v1/chat/completions", chat("cached"))).text();
    expect((await ask(gateway, "/v1/chat/completions", { model: "cached" })).status).toBe(400);
    const rows = (await gateway.rows()).slice(before);
    expect(rows.filter((row) => row.shadow)).toHaveLength(1);
    expect(rows.filter((row) => row.cache === "hit")).toHaveLength(2);
  });

  it("shows what it would have answered where the original failed, and its own failure is nobody's", async () => {
    expect((await ask(gateway, "/v1/chat/completions", chat("fails"))).status).toBeGreaterThan(499);
    const { original, copy } = await pair(gateway);
    expect(copy).toMatchObject({ state: "done", shadow: { of: original?.callId, original: { problem: original?.problem } } });
    expect(copy?.shadow?.equal).toBeUndefined();
    const fine = await ask(gateway, "/v1/chat/completions", chat("doomed", true));
    expect([fine.status, (await fine.text()).includes("[DONE]")]).toEqual([200, true]);
    const doomed = await pair(gateway);
    expect(doomed.copy).toMatchObject({ state: "failed", attempts: [{ target: "sim/broken" }] });
    expect(doomed.copy?.attempts).toHaveLength(1);
  });

  it("delays no caller; where too many run none is made, which is counted; a kill of the model stops those that run", async () => {
    const before = performance.now();
    for (let number = 0; number < 6; number++) expect((await ask(gateway, "/v1/chat/completions", chat("lingering"))).status).toBe(200);
    // Each copy takes more than a second to its first word.
    expect(performance.now() - before).toBeLessThan(promisedMs(1000));
    expect(await admin(gateway, "GET", "/shadow?alias=lingering")).toMatchObject({ running: 2, dropped: 4 });
    const { id } = await admin(gateway, "POST", "/kill", { scope: "model", value: "lingering" });
    const rows = (await gateway.rows()).filter((row) => row.shadow?.model === "lingering");
    expect(rows.map((row) => row.problem)).toEqual(["killed", "killed"]);
    await admin(gateway, "DELETE", `/kill/${String(id)}`);
    expect(await admin(gateway, "GET", "/shadow?alias=lingering")).toMatchObject({ running: 0 });
  });

  it("stays where its model's calls must stay", async () => {
    const bound = await startGateway({
      config: CONFIG.replace("targets: [sim/old], requires", "targets: [{ target: sim/old, region: eu }], requires"),
    });
    expect((await ask(bound, "/v1/chat/completions", chat("inside"))).status).toBe(200);
    const key = await bound.key({ name: "bound", requires: { region: "eu" } });
    const { copy } = await pair(bound);
    expect(copy).toMatchObject({ state: "failed", problem: "unsupported", attempts: [] });
    await bound.close();
    expect(key).toMatch(/^gk_/);
  });

  it("is stopped by a shutdown, which does not wait for it", async () => {
    const stopping = await startGateway({ config: CONFIG.replace(/ {2}inside.*\n/, "") });
    await (await ask(stopping, "/v1/chat/completions", chat("lingering"))).text();
    const before = performance.now();
    await stopping.close();
    expect(performance.now() - before).toBeLessThan(promisedMs(1000));
  });

  it.each([
    ["/shadow", "alias"],
    ["/shadow?alias=fsat", 'Did you mean "fast"'],
    ["/shadow?alias=fast&limit=-1", "limit"],
  ])("%s is refused in clear words", async (path, words) => {
    expect(JSON.stringify(await admin(gateway, "GET", path)).replaceAll("\\", "")).toContain(words);
  });
});

describe("between languages", () => {
  let front: TestGateway;
  let back: TestGateway;
  beforeAll(async () => {
    back = await startGateway();
    const lab = (kind: string, path: string, dialect: string): string =>
      `{ kind: ${kind}, baseUrl: "${back.url}${path}", dialects: [${dialect}], apiKey: lab-key, allowPrivateNetwork: true }`;
    front = await startGateway({
      config: `models:
  a: { targets: [labchat/sim/echo], shadow: { target: labclaude/sim/echo, share: 1 } }
  b: { targets: [labclaude/sim/echo], shadow: { target: labchat/sim/echo, share: 1 } }
providers:
  labchat: ${lab("openai-compatible", "/v1", "openai-chat")}
  labclaude: { kind: anthropic, baseUrl: "${back.url}", apiKey: lab-key, allowPrivateNetwork: true }
`,
    });
  });
  afterAll(async () => {
    await front.close();
    await back.close();
  });

  it("copies and compares decoded calls too", async () => {
    for (const model of ["a", "b"]) {
      const response = await ask(front, "/v1/responses", { model, input: "say this", stream: model === "a" });
      await response.text();
      const { copy } = await pair(front);
      expect(copy).toMatchObject({ state: "done", fastPath: false, shadow: { model, equal: true, similarity: 1 } });
    }
  });
});

describe("likeness", () => {
  it.each([
    ["", "", 1],
    ["a", "", 0],
    ["The cat sat.", "the  cat\nsat.", 1],
    ["one two three four", "one two three five", 0.75],
    ["one two", "two one", 0],
    ["日本", "日本", 1],
  ])("of %j and %j is %d", (one, other, expected) => {
    expect(likeness(one, other)).toBe(expected);
  });

  it("looks at so much of a long text only", () => {
    expect(likeness("word ".repeat(1_000_000), "word ".repeat(1_000_000))).toBe(1);
  });
});
