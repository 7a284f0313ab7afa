import { expect, it } from "vitest";
import { startGateway } from "../support/gateway.ts";

it("a key of higher priority goes first where calls wait for a place at a provider; none may ask for more than its own", async () => {
  const back = await startGateway({ config: `sim: { models: { one: { text: "ok", ttftMs: 150 } } }\n` });
  const front = await startGateway({
    config: `providers:\n  lab: { kind: openai-compatible, baseUrl: "${back.url}/v1", apiKey: k, allowPrivateNetwork: true, concurrency: 1 }\n`,
  });
  try {
    const [low, high] = [await front.key({ name: "low", priority: 1 }), await front.key({ name: "high", priority: 8 })];
    const order: string[] = [];
    const call = async (name: string, key: string): Promise<void> => {
      const response = await fetch(`${front.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${key}`, "x-gimbal-priority": "9" },
        body: JSON.stringify({ model: "lab/sim/one", messages: [{ role: "user", content: "hi" }] }),
      });
      expect(response.status).toBe(200);
      order.push(name);
    };
    const first = call("first", low);
    // The place is taken once the first attempt is under way; what comes then waits.
    await expect.poll(() => front.house.gateway.live.findRunning((live) => live.caller?.name === "low") !== undefined).toBe(true);
    await expect.poll(() => back.house.gateway.live.running).toBe(1);
    const waiting = [call("low", low)];
    await expect.poll(() => front.house.gateway.live.running).toBe(2);
    waiting.push(call("high", high));
    await Promise.all([first, ...waiting]);
    expect(order).toEqual(["first", "high", "low"]);
    const refused = await fetch(`${front.url}/admin/api/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${front.house.adminToken.reveal()}`, "content-type": "application/json" },
      body: JSON.stringify({ name: "x", priority: 10 }),
    });
    expect(refused.status).toBe(400);
  } finally {
    await front.close();
    await back.close();
  }
});
