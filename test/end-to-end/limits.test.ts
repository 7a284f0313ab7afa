import { afterEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const SIM = `sim:
  models:
    slow: { text: "one two three four five", ttftMs: 300 }
    wordy: { text: "${"word ".repeat(40).trim()}" }
`;

let gateway: TestGateway | undefined;
afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
});

async function start(config: string): Promise<TestGateway> {
  gateway = await startGateway({ config: `${SIM}${config}` });
  return gateway;
}

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function ask(model: string, key?: string, path = "/v1/chat/completions", content = "hi"): Promise<Asked> {
  const response = await fetch(`${gateway?.url ?? ""}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ model, messages: [{ role: "user", content }], max_tokens: 100 }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const count = async (calls: number, model: string, key?: string): Promise<number> =>
  (await Promise.all(Array.from({ length: calls }, () => ask(model, key)))).filter(({ status }) => status === 200).length;

describe("limits", () => {
  it("let a whole window's requests pass at once, and say when the next may come", async () => {
    await start(`limits: [{ match: { key: "*" }, requests: 20, per: hour }]`);
    expect(await count(30, "sim/echo")).toBe(20);
    const refused = await ask("sim/echo");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-gimbal-problem")).toBe("rate_limited");
    const wait = Number(refused.headers.get("retry-after"));
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(180);
    expect(refused.text).toContain("20 requests per hour");
  });

  it("count each key by itself, and one with a limit of its own by that", async () => {
    await start(`limits: [{ match: { key: "*" }, requests: 3, per: day }, { match: { key: vip }, requests: 6, per: day }]`);
    const keys = await Promise.all([
      gateway?.key({ name: "a" }),
      gateway?.key({ name: "vip" }),
      gateway?.key({ name: "own", limits: [{ requests: 2, per: "day" }] }),
    ]);
    const passed = await Promise.all(keys.map((key) => count(10, "sim/echo", key)));
    expect(passed).toEqual([3, 6, 2]);
  });

  it("hold for teams and models beside the key's own", async () => {
    await start(`limits: [{ match: { team: t }, requests: 4, per: day }, { match: { model: sim/wordy }, requests: 1, per: day }]`);
    const key = await gateway?.key({ team: "t", limits: [{ requests: 100, per: "day" }] });
    expect(await count(3, "sim/wordy", key)).toBe(1);
    // What a limit of the model refuses was asked all the same: a team's requests are counted when they come.
    expect(await count(5, "sim/echo", key)).toBe(1);
  });

  it("count tokens as the provider does, and let what is written beyond them be waited for", async () => {
    await start(`limits: [{ match: {}, outputTokens: 60, per: day }]`);
    const { headers } = await ask("sim/wordy");
    expect(headers.get("x-ratelimit-limit-tokens")).toBe("60");
    await gateway?.rows();
    expect((await ask("sim/wordy")).status).toBe(200);
    await gateway?.rows();
    expect(await ask("sim/wordy")).toMatchObject({ status: 429 });
  });

  it("bound input tokens", async () => {
    await start(`limits: [{ match: {}, inputTokens: 100, per: day }]`);
    const long = "word ".repeat(30);
    const said: Asked[] = [];
    for (let call = 0; call < 6; call++) {
      said.push(await ask("sim/echo", undefined, undefined, long));
      await gateway?.rows();
    }
    expect(said[0]?.status).toBe(200);
    expect(said.at(-1)).toMatchObject({ status: 429 });
    expect(said.at(-1)?.text).toContain("100 input tokens per day");
  });

  it("bound the calls that run at once, and let the next in when one is over", async () => {
    await start(`limits: [{ match: {}, concurrency: 3 }]`);
    expect(await count(8, "sim/slow")).toBe(3);
    await gateway?.rows();
    expect(await count(3, "sim/slow")).toBe(3);
    const running = Array.from({ length: 3 }, () => ask("sim/slow"));
    await expect.poll(() => gateway?.house.gateway.live.running).toBe(3);
    const refused = await ask("sim/slow");
    expect(refused).toMatchObject({ status: 429 });
    expect(refused.headers.get("retry-after")).toBe("1");
    await Promise.all(running);
  });

  it("of a provider make a call go to the next target", async () => {
    const back = await startGateway();
    try {
      await start(`providers: { lab: { kind: openai-compatible, baseUrl: "${back.url}/v1", apiKey: x, allowPrivateNetwork: true } }
models: { both: { targets: [lab/sim/echo, sim/echo], retries: 0 } }
limits: [{ match: { provider: lab }, requests: 2, per: day }]`);
      const targets: (string | null)[] = [];
      for (let call = 0; call < 4; call++) targets.push((await ask("both")).headers.get("x-gimbal-target"));
      expect(targets).toEqual(["lab/sim/echo", "lab/sim/echo", "sim/echo", "sim/echo"]);
    } finally {
      await back.close();
    }
  });

  it("are told in the words of the client's language", async () => {
    await start(`limits: [{ match: {}, requests: 10, inputTokens: 1000, outputTokens: 500, per: minute }]`);
    const chat = await ask("sim/echo");
    expect(chat.headers.get("x-ratelimit-limit-requests")).toBe("10");
    expect(chat.headers.get("x-ratelimit-remaining-requests")).toBe("9");
    expect(chat.headers.get("x-ratelimit-reset-requests")).toMatch(/^[\d.]+s$/);
    const messages = await ask("sim/echo", undefined, "/v1/messages");
    expect(messages.headers.get("anthropic-ratelimit-requests-limit")).toBe("10");
    expect(messages.headers.get("anthropic-ratelimit-requests-remaining")).toBe("8");
    expect(messages.headers.get("anthropic-ratelimit-output-tokens-limit")).toBe("500");
    expect(Date.parse(messages.headers.get("anthropic-ratelimit-input-tokens-reset") ?? "")).toBeGreaterThan(0);
  });
});
