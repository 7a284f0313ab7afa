import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const CONFIG = `
providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKeys: [first-secret, { key: second-secret, weight: 2 }], allowPrivateNetwork: true, concurrency: 7 }
models:
  fast: { targets: [lab/small, sim/echo] }
`;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: CONFIG });
});
afterAll(() => gateway.close());

async function ask(
  method: string,
  body?: unknown,
  token = gateway.house.adminToken.reveal(),
): Promise<{ status: number; text: string; json: unknown }> {
  const response = await fetch(`${gateway.url}/admin/api/health/targets`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) as unknown };
}

describe("the health of targets over the admin API", () => {
  it("shows providers and keys, and never a secret", async () => {
    const { status, text, json } = await ask("GET");
    expect(status).toBe(200);
    expect(json).toMatchObject({
      providers: [
        {
          provider: "lab",
          force: "auto",
          concurrency: 7,
          keys: [
            { key: "lab#1", state: "ready", weight: 1 },
            { key: "lab#2", state: "ready", weight: 2 },
          ],
        },
        { provider: "sim", keys: [] },
      ],
    });
    expect(text).not.toContain("secret");
  });

  it("takes a person's word on a target and on a provider, says so in the log, and takes it back", async () => {
    expect(await ask("POST", { target: "lab/small", force: "shut" })).toMatchObject({
      status: 200,
      json: { target: "lab/small", force: "shut" },
    });
    expect(await ask("POST", { provider: "sim", force: "open" })).toMatchObject({ status: 200, json: { provider: "sim", force: "open" } });
    const { json } = await ask("GET");
    expect(json).toMatchObject({ targets: [{ target: "lab/small", state: "shut", reason: "shut by an administrator", force: "shut" }] });
    expect(gateway.logs).toContain("lab/small: forced (shut)");
    await ask("POST", { target: "lab/small", force: "auto" });
    await ask("POST", { provider: "sim", force: "auto" });
    expect((await ask("GET")).json).toMatchObject({ targets: [{ state: "closed", force: "auto" }] });
  });

  it("keeps a person's word, and follows what another process writes", async () => {
    await ask("POST", { target: "lab/kept", force: "shut" });
    const { switches } = gateway.house.stores;
    expect(await switches.list()).toMatchObject([{ kind: "shut", scope: "target", value: "lab/kept" }]);
    await switches.put({ id: "x", kind: "open", scope: "provider", value: "lab", author: "someone", createdAt: 1 });
    await ask("POST", { target: "lab/kept", force: "auto" });
    expect((await ask("GET")).json).toMatchObject({ providers: [{ provider: "lab", force: "open" }, {}] });
    await switches.remove("x");
    await ask("POST", { provider: "gone", force: "auto" });
    expect((await ask("GET")).json).toMatchObject({ providers: [{ provider: "lab", force: "auto" }, {}] });
  });

  it.each<[unknown, number, string]>([
    [{ target: "nowhere/x", force: "shut" }, 404, "nowhere"],
    [{ provider: "nowhere", force: "shut" }, 404, "nowhere"],
    [{ target: "small", force: "shut" }, 400, "provider/model"],
    [{ target: "lab/small", force: "closed" }, 400, "force"],
    [{ force: "shut" }, 400, "either"],
    [{ target: "lab/small", provider: "lab", force: "shut" }, 400, "either"],
    [{ target: "lab/small", force: "shut", why: "x" }, 400, "why"],
    ["{", 400, "JSON"],
  ])("%j: %i", async (body, status, word) => {
    const answer = await ask("POST", body);
    expect(answer.status).toBe(status);
    expect(answer.text).toContain(word);
  });

  it("is for administrators", async () => {
    expect((await ask("GET", undefined, "wrong")).status).toBe(401);
    expect((await ask("POST", { target: "lab/small", force: "shut" }, "wrong")).status).toBe(401);
  });
});
