import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPair, type GatewayPair } from "../support/gateway.ts";

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair();
});
afterAll(async () => {
  await pair.close();
});

async function ask(model: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${pair.front.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, seed: 7, messages: [{ role: "user", content: "Hello." }] }),
  });
  expect(response.status).toBe(200);
  await pair.front.rows();
  const call = await fetch(`${pair.front.url}/v1/calls/${response.headers.get("x-gimbal-call-id") ?? ""}`);
  return (await call.json()) as Record<string, unknown>;
}

describe("what a translation loses", () => {
  it("is told with the call", async () => {
    const { diagnostics } = await ask("labclaude/sim/echo");
    expect(diagnostics).toContainEqual({ field: "sampling.seed", action: "dropped", reason: expect.any(String) as string });
  });

  it("is nothing where the bytes pass", async () => {
    expect(await ask("labchat/sim/echo")).not.toHaveProperty("diagnostics");
  });
});
