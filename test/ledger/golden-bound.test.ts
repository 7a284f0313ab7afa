import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

/** What a call may cost at most is held before it is sent: whatever multiplies its cost must be in that. */
let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream(
    jsonAnswer({
      id: "chatcmpl-1",
      object: "chat.completion",
      created: 1,
      model: "gpt-5",
      choices: [{ index: 0, message: { role: "assistant", content: "Yes." }, finish_reason: "stop" }],
      usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 },
    }),
  );
  gateway = await startGateway({
    config: `
providers:
  mine: { kind: openai, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true, dialects: [openai-chat] }
  lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true, models: { gpu: { price: { gpuHourUsd: 1 } } } }
models:
  soon: { targets: [lab/gpu], timeoutMs: 10000 }
  late: { targets: [lab/gpu], timeoutMs: 100000 }
budgets: [{ match: { model: "*" }, usd: 0.02, per: day, hard: true }]
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

async function status(model: string, body: Readonly<Record<string, unknown>>): Promise<number> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, max_completion_tokens: 1200, messages: [{ role: "user", content: "hi" }], ...body }),
  });
  await response.text();
  return response.status;
}

describe("under a budget of 2 cents", () => {
  // gpt-5 writes 1,200 tokens for 1,200 x 10,000 nanodollars, which is 1.2 cents.
  it("one answer fits, and two at once do not", async () => {
    expect(await status("mine/gpt-5", {})).toBe(200);
    expect(await status("mine/gpt-5", { n: 2 })).toBe(402);
  });
  it("the standard tier fits, and the one at twice its price does not", async () => {
    expect(await status("mine/gpt-5", { service_tier: "default" })).toBe(200);
    expect(await status("mine/gpt-5", { service_tier: "priority" })).toBe(402);
  });
  it("a price by the hour is known, and held for the time that the call may take", async () => {
    // A dollar an hour: 10 seconds are 0.28 cents, 100 seconds 2.8.
    expect(await status("soon", {})).toBe(200);
    expect(await status("late", {})).toBe(402);
  });
});
