import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const alias = (name: string, judge: string): string => `  ${name}:
    targets: [sim/easy]
    complexity: { model: ${judge}, timeoutMs: 200 }
    rules:
      - { name: night, when: "metadata.night == true", targets: [sim/easy] }
      - { name: hard, when: call.complexity >= 70, targets: [sim/hard] }
`;
const CONFIG = `
sim:
  models:
    easy: { text: easy }
    hard: { text: hard }
    stern: { text: "85" }
    mild: { text: "10" }
    vague: { text: "rather hard" }
    broken: { text: "85", faults: [{ kind: server-error }] }
    stuck: { text: "85", faults: [{ kind: stall }] }
models:
${alias("stern", "sim/stern")}${alias("mild", "sim/mild")}${alias("vague", "sim/vague")}${alias("broken", "sim/broken")}${alias("stuck", "sim/stuck")}`;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: CONFIG });
});
afterAll(() => gateway.close());

const BODIES = {
  "/v1/chat/completions": (model: string) => ({ model, messages: [{ role: "user", content: "hello" }] }),
  "/v1/responses": (model: string) => ({ model, input: "hello", stream: true }),
  "/v1/messages": (model: string) => ({ model, max_tokens: 50, messages: [{ role: "user", content: "hello" }] }),
} as const;

async function ask(
  model: string,
  path: keyof typeof BODIES = "/v1/chat/completions",
  headers: Record<string, string> = {},
): Promise<string | null> {
  const response = await fetch(`${gateway.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(BODIES[path](model)),
  });
  await response.text();
  expect(response.status).toBe(200);
  return response.headers.get("x-gimbal-target");
}

describe("a model that rates calls", () => {
  it.each(Object.keys(BODIES) as (keyof typeof BODIES)[])("decides where a call of %s goes, and leaves a row of its own", async (path) => {
    const before = (await gateway.rows()).length;
    expect(await ask("stern", path)).toBe("sim/hard");
    const rows = (await gateway.rows()).slice(before);
    const rated = rows.find(({ model }) => model === "stern");
    const rating = rows.find(({ model }) => model === "sim/stern");
    expect(rows).toHaveLength(2);
    expect(rating).toMatchObject({ state: "done", metadata: { rates: rated?.callId }, callerId: rated?.callerId, stream: false });
    expect(rated?.plan).toMatchObject({ rule: "hard" });
    expect(await ask("mild", path)).toBe("sim/easy");
  });

  it("is not asked where an earlier rule decides", async () => {
    const before = (await gateway.rows()).length;
    expect(await ask("stern", "/v1/chat/completions", { "x-gimbal-metadata": '{"night":true}' })).toBe("sim/easy");
    expect(await gateway.rows()).toHaveLength(before + 1);
  });

  it.each(["vague", "broken", "stuck"])("does no harm when it is %s: the call is rated by counting", async (model) => {
    expect(await ask(model)).toBe("sim/easy");
    expect((await gateway.rows()).find((row) => row.model === model)).toMatchObject({ state: "done" });
  });

  it("is asked with the caller's own key and nothing more: a key that may not use it gets the counted rating", async () => {
    const own = await gateway.key({ models: ["stern", "sim/stern"] });
    expect(await ask("stern", "/v1/chat/completions", { authorization: `Bearer ${own}` })).toBe("sim/hard");
    const barred = await gateway.key({ models: ["stern"] });
    expect(await ask("stern", "/v1/chat/completions", { authorization: `Bearer ${barred}` })).toBe("sim/easy");
  });
});
