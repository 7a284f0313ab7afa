import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { promisedMs } from "../support/promised.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: `models:
  fast: # for everybody
    targets: [sim/echo, { target: sim/lorem, weight: 1 }]
    strategy: fallback
  slowly: sim/slow
`,
  });
});
afterAll(() => gateway.close());

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function admin(method: string, path: string, body?: unknown): Promise<Reply> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

function call(model: string, init: { stream?: boolean; key?: string } = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(init.key !== undefined && { authorization: `Bearer ${init.key}` }) },
    body: JSON.stringify({ model, stream: init.stream ?? false, messages: [{ role: "user", content: "hello" }] }),
  });
}

describe("versions of the configuration over the admin API", () => {
  it("a change to one model is a version with author and difference, and is in force at once", async () => {
    const changed = await admin("PATCH", "/models/fast", { targets: ["sim/lorem"] });
    expect(changed).toMatchObject({ status: 200, body: { version: 2, author: "admin", inForce: { processes: 1 } } });
    expect((await call("fast")).headers.get("x-gimbal-target")).toBe("sim/lorem");
    const { body } = await admin("GET", "/config/versions/2");
    expect(body["diff"]).toContain("+    targets:");
    expect(body["text"]).toContain("# for everybody");
    expect((await gateway.lastRow()).configVersion).toBe(2);
  });

  it("goes back with one request, and says how long it took", async () => {
    const back = await admin("POST", "/config/rollback", { version: 1 });
    expect(back).toMatchObject({ status: 200, body: { version: 3, rollbackOf: 1 } });
    expect(back.body["tookMs"]).toBeLessThan(promisedMs(1000));
    expect((await call("fast")).headers.get("x-gimbal-target")).toBe("sim/echo");
    const { body } = await admin("GET", "/config/versions");
    expect(body["inForce"]).toBe(3);
    expect((body["versions"] as { version: number; stoodMs?: number }[]).map(({ version }) => version)).toEqual([3, 2, 1]);
    expect((body["versions"] as { stoodMs?: number }[])[0]?.stoodMs).toBeGreaterThanOrEqual(0);
  });

  it.each([
    ["POST", "/config/rollback", { version: 99 }, 404, "There is no version 99"],
    ["POST", "/config/rollback", { version: "1" }, 400, "version"],
    ["POST", "/config/rollback", "{", 400, "not JSON"],
    ["POST", "/config/rollback", { version: 2, base: 1 }, 409, "has changed meanwhile"],
    ["GET", "/config/versions/0", undefined, 404, "There is no version"],
    ["GET", "/config/versions/x", undefined, 404, "There is no version"],
    ["PATCH", "/models/fats", { targets: ["sim/echo"] }, 404, 'Did you mean "fast"'],
    ["PATCH", "/models/fast", {}, 400, "Nothing is to be changed"],
    ["PATCH", "/models/fast", { wieghts: { "sim/echo": 1 } }, 400, "wieghts"],
    ["PATCH", "/models/fast", { weights: { "sim/ehco": 1 } }, 400, 'Did you mean "sim/echo"'],
    ["PATCH", "/models/fast", { strategy: "weighted", weights: { "sim/echo": 0, "sim/lorem": 0 } }, 400, "add up to 0"],
    ["PATCH", "/models/fast", { targets: [] }, 400, "at least one target"],
  ] as const)("%s %s with %j is refused in clear words", async (method, path, body, status, words) => {
    const before = (await admin("GET", "/config/versions")).body["inForce"];
    const refused = await admin(method, path, body);
    expect(refused.status, JSON.stringify(refused.body)).toBe(status);
    expect(JSON.stringify(refused.body).replaceAll("\\", "")).toContain(words);
    expect((await admin("GET", "/config/versions")).body["inForce"]).toBe(before);
  });
});

describe("kill switches", () => {
  async function killed(body: object): Promise<string> {
    const made = await admin("POST", "/kill", body);
    expect(made.status).toBe(201);
    return String(made.body["id"]);
  }

  it("refuse new calls, stop a running stream with one problem, and lift again", async () => {
    const stream = await call("slowly", { stream: true });
    expect(stream.status).toBe(200);
    const before = performance.now();
    // Its answer waits for the disk, the stream does not.
    const killing = killed({ scope: "model", value: "slowly", reason: "drill" });
    const text = await stream.text();
    expect(performance.now() - before).toBeLessThan(promisedMs(1000));
    const id = await killing;
    expect(text.match(/"error"/g)).toHaveLength(1);
    expect(text).toContain("switched off");
    expect(text).not.toContain("[DONE]");
    expect((await gateway.lastRow()).problem).toBe("killed");
    const refused = await call("slowly");
    expect([refused.status, refused.headers.get("x-gimbal-problem")]).toEqual([503, "killed"]);
    expect(await refused.text()).toContain("drill");
    expect((await admin("POST", "/kill", { scope: "model", value: "slowly" })).body["id"]).toBe(id);
    expect((await admin("DELETE", `/kill/${id}`)).status).toBe(200);
    expect((await admin("DELETE", `/kill/${id}`)).status).toBe(404);
    expect((await call("fast")).status).toBe(200);
  });

  it("a killed target is left out of the plan; when it was the only one the call is killed", async () => {
    const id = await killed({ scope: "model", value: "sim/echo" });
    expect((await call("fast")).headers.get("x-gimbal-target")).toBe("sim/lorem");
    expect((await call("sim/echo")).headers.get("x-gimbal-problem")).toBe("killed");
    await admin("DELETE", `/kill/${id}`);
    const provider = await killed({ scope: "provider", value: "sim" });
    expect((await call("fast")).headers.get("x-gimbal-problem")).toBe("killed");
    await admin("DELETE", `/kill/${provider}`);
  });

  it("of a key and of a tag strike those callers only", async () => {
    const [one, two] = [await gateway.key({ name: "one", tags: ["batch"] }), await gateway.key({ name: "two" })];
    const key = await killed({ scope: "key", value: "two" });
    expect([(await call("fast", { key: one })).status, (await call("fast", { key: two })).status]).toEqual([200, 503]);
    await admin("DELETE", `/kill/${key}`);
    const tag = await killed({ scope: "tag", value: "batch" });
    expect([(await call("fast", { key: one })).status, (await call("fast", { key: two })).status]).toEqual([503, 200]);
    await admin("DELETE", `/kill/${tag}`);
  });

  it("of everything stop everything", async () => {
    const id = await killed({ scope: "all" });
    expect((await call("fast")).status).toBe(503);
    expect((await admin("GET", "/kill")).body["kills"]).toMatchObject([{ id, scope: "all", value: "*" }]);
    await admin("DELETE", `/kill/${id}`);
    expect((await call("fast")).status).toBe(200);
  });

  it.each([
    [{ scope: "model", value: "fats" }, 404, 'Did you mean "fast"'],
    [{ scope: "provider", value: "openia" }, 404, "nothing was switched off"],
    [{ scope: "key", value: "nobody" }, 404, "nothing was switched off"],
    [{ scope: "model" }, 400, "value"],
    [{ scope: "planet", value: "x" }, 400, "scope"],
    [{}, 400, "scope"],
  ] as const)("%j is refused in clear words", async (body, status, words) => {
    const refused = await admin("POST", "/kill", body);
    expect(refused.status).toBe(status);
    expect(JSON.stringify(refused.body).replaceAll("\\", "")).toContain(words);
  });
});
