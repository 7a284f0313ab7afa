import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";
import { plain } from "./recall-support.ts";

let upstream: TestUpstream;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startUpstream(jsonAnswer(JSON.parse(plain())));
  gateway = await startGateway({
    config: `
providers: { lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true } }
models:
  kept: { targets: [lab/m], cache: { ttlSeconds: 600, staleSeconds: 60, share: team, replay: paced, keyWith: [endUser] } }
  bare: lab/m
cache: { entryBytes: 100000 }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const ask = (content: string, model = "kept", headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ model, messages: [{ role: "user", content }] }),
  });
const cacheOf = async (response: Promise<Response>): Promise<string | null> => {
  const { headers, body } = await response;
  await body?.cancel();
  return headers.get("x-gimbal-cache");
};
const forget = async (query: string): Promise<{ status: number; body: unknown }> => {
  const response = await fetch(`${gateway.url}/admin/api/cache${query}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
  });
  return { status: response.status, body: await response.json() };
};

describe("a running gateway with a cache", () => {
  it("pays once for what is asked twice, and says what it saved", async () => {
    const before = upstream.requests.length;
    expect(await cacheOf(ask("hello"))).toBe("miss");
    expect(await cacheOf(ask("hello"))).toBe("hit");
    expect(await cacheOf(ask("hello", "bare"))).toBe("bypass");
    expect(upstream.requests.length - before).toBe(2);
    const rows = (await gateway.rows()).slice(-3);
    expect(rows.map((row) => [row.cache, row.attempts.length])).toEqual([
      ["miss", 1],
      ["hit", 0],
      [undefined, 1],
    ]);
    expect(rows[1]).toMatchObject({ costNanodollars: 0, target: "lab/m", usage: { output: 0 } });
  });

  it("forgets by tag, by model and by team, and names what it did not understand", async () => {
    const search = { authorization: `Bearer ${await gateway.key({ team: "search" })}` };
    expect(await cacheOf(ask("tagged", "kept", { "x-gimbal-cache-tags": "doc-7" }))).toBe("miss");
    expect(await cacheOf(ask("of a team", "kept", search))).toBe("miss");
    const mate = { authorization: `Bearer ${await gateway.key({ team: "search" })}` };
    expect(await cacheOf(ask("of a team", "kept", mate))).toBe("hit");
    await gateway.rows();
    expect((await forget("?tag=doc-7")).status).toBe(200);
    expect(await cacheOf(ask("tagged"))).toBe("miss");
    expect((await forget("?team=search")).status).toBe(200);
    expect(await cacheOf(ask("of a team", "kept", mate))).toBe("miss");
    expect((await forget("?model=kept")).status).toBe(200);
    expect(await cacheOf(ask("hello"))).toBe("miss");
    expect((await forget("")).status).toBe(200);
    expect((await forget("?color=red")).status).toBe(400);
    expect((await forget("?tag=a&model=b")).status).toBe(400);
  });

  it("needs the admin token to forget", async () => {
    expect((await fetch(`${gateway.url}/admin/api/cache`, { method: "DELETE" })).status).toBe(401);
  });
});
