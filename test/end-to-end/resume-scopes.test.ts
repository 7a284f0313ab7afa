import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Call, Guard } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const SIGNATURE = "c2lnbmVkLWJ5LXRoZS1tb2RlbA==";

const seen: Call[] = [];
const witness: Guard = {
  id: "witness",
  readsContent: true,
  call: (call) => {
    seen.push(call);
    return { verdict: "allow" };
  },
};

let back: TestGateway;
let front: TestGateway;
let keys: readonly [string, string];
beforeAll(async () => {
  back = await startGateway({
    guards: [witness],
    config: `sim: { models: { thinker: { signature: "${SIGNATURE}", script: [{ reasoning: "Cities first.", text: "Let me look." }, { text: "Mild." }] } } }`,
  });
  front = await startGateway({
    config: `providers: { labclaude: { kind: anthropic, baseUrl: "${back.url}", apiKey: x, allowPrivateNetwork: true } }`,
  });
  keys = [await front.key({ name: "one" }), await front.key({ name: "two" })];
});
afterAll(async () => {
  await front.close();
  await back.close();
});

async function say(key: string, path: string, body: object, method = "POST"): Promise<{ status: number; json: Record<string, unknown> }> {
  const response = await fetch(`${front.url}${path}`, {
    method,
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    ...(method === "POST" && { body: JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

const signatures = (): (string | undefined)[] =>
  (seen.at(-1)?.items ?? []).flatMap((item) => (item.type === "reasoning" ? [item.signature] : []));

describe("what is kept for one caller", () => {
  it("is restored for that caller, and for no other who sends the very same turn", async () => {
    const model = "labclaude/sim/thinker";
    const asked = { role: "user", content: "How is the weather?" };
    const first = await say(keys[0], "/v1/chat/completions", { model, messages: [asked] });
    expect(first.status).toBe(200);
    await front.rows();
    const answered = { role: "assistant", content: "Let me look." };
    const next = { model, messages: [asked, answered, { role: "user", content: "And now?" }] };
    await say(keys[1], "/v1/chat/completions", next);
    expect(signatures()).toEqual([]);
    await say(keys[0], "/v1/chat/completions", next);
    expect(signatures()).toEqual([SIGNATURE]);
  });

  it("cannot be read, continued, cancelled or deleted by another", async () => {
    const made = await say(keys[0], "/v1/responses", { model: "sim/echo", input: "mine", background: true });
    const id = String(made.json["id"]);
    await front.rows();
    const path = `/v1/responses/${id}`;
    expect((await say(keys[1], path, {}, "GET")).status).toBe(404);
    expect((await say(keys[1], `${path}?stream=true`, {}, "GET")).status).toBe(404);
    expect((await say(keys[1], `${path}/cancel`, {})).status).toBe(404);
    expect((await say(keys[1], path, {}, "DELETE")).status).toBe(404);
    expect((await say(keys[1], "/v1/responses", { model: "sim/echo", input: "on", previous_response_id: id })).status).toBe(404);
    expect(await say(keys[0], path, {}, "GET")).toMatchObject({ status: 200, json: { status: "completed" } });
  });
});
