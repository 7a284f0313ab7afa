import { Client, ProtocolError, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const HOSTILE = fileURLToPath(new URL("hostile-server.ts", import.meta.url));
const HOW = ["junk", "endless", "die", "flood", "asks", "wrong", "silent", "hang"] as const;
const MOST_SESSIONS = 20;
const MEBIBYTE = 1024 * 1024;

let gateway: TestGateway;
let client: Client;
const told: string[] = [];

beforeAll(async () => {
  const servers = Object.fromEntries(
    HOW.map((how) => [
      how,
      {
        command: process.execPath,
        args: [HOSTILE, how],
        pin: "first-use",
        revision: "2025-11-25",
        maxResultBytes: 200_000,
        timeoutMs: how === "silent" ? 300 : 20_000,
        connectTimeoutMs: how === "hang" ? 1500 : 30_000,
      },
    ]),
  );
  const missing = { command: "/nowhere/no-such-program", connectTimeoutMs: 5000 };
  gateway = await startGateway({
    env: { PATH: process.env["PATH"] ?? "" },
    config: `access: { anonymous: loopback }\nmcp: ${JSON.stringify({ sessions: MOST_SESSIONS, servers: { ...servers, missing } })}`,
  });
  client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => void told.push(params.uri));
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`)));
}, 60_000);
afterAll(async () => {
  await client?.close();
  await gateway?.close();
});

function act(how: string): Promise<unknown> {
  return client.callTool({ name: `${how}__act`, arguments: {} }).then(({ content }) => content);
}
const ACTED = [{ type: "text", text: "acted" }];

async function state(server: string): Promise<{ state: string; why?: string } | undefined> {
  const headers = { authorization: `Bearer ${gateway.house.adminToken.reveal()}` };
  const { servers } = (await (await fetch(`${gateway.url}/admin/api/mcp`, { headers })).json()) as {
    servers: { server: string; state: string; why?: string }[];
  };
  return servers.find((one) => one.server === server);
}

it("a server that hangs at its start, or is none, is down with the reason, and holds nobody else up", async () => {
  const names = (await client.listTools()).tools.map(({ name }) => name);
  expect(names).toEqual(HOW.filter((how) => how !== "hang").map((how) => `${how}__act`));
  await expect
    .poll(() => state("hang"), { timeout: 20_000 })
    .toMatchObject({ state: "down", why: expect.stringMatching(/time/i) as string });
  expect((await state("missing"))?.why).toMatch(/ENOENT/);
  await expect(act("hang")).rejects.toThrow(/no tool/);
});

it("junk on its output is passed over, and fills no log", async () => {
  const before = gateway.logs.length;
  expect(await act("junk")).toEqual(ACTED);
  expect(gateway.logs.length - before).toBeLessThan(300);
  expect(gateway.logs.join("\n")).not.toContain("\u001b");
});

it("a line that never ends is cut off with the limit in words, the memory stays, and the server is started anew", async () => {
  const before = process.memoryUsage().rss;
  await expect(act("endless")).rejects.toThrow(/200000 bytes.*maxResultBytes/);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * MEBIBYTE);
  expect(await gateway.lastRow()).toMatchObject({ target: "mcp:endless/act", state: "failed", problem: "upstream_broken" });
  await expect.poll(async () => (await state("endless"))?.state, { timeout: 20_000 }).toBe("ready");
});

it("a server that dies in the middle of a call fails it as retryable, with a row and a note", async () => {
  await expect(act("die")).rejects.toSatisfy(
    (error) => error instanceof ProtocolError && (error.data as { retryable?: boolean; kind?: string }).retryable === true,
  );
  const row = await gateway.lastRow();
  expect(row).toMatchObject({ target: "mcp:die/act", state: "failed", problem: "upstream_unavailable" });
  const notes = (await gateway.house.stores.audit.read(0, 1000)).map(({ text }) => JSON.parse(text) as { action: string; details: object });
  expect(notes.findLast(({ action }) => action === "tool.call")).toMatchObject({
    details: { call: row.callId, problem: "upstream_unavailable" },
  });
});

it("a flood of notifications costs a few readings, a few lines and no answer", async () => {
  await client.listen({ resourceSubscriptions: ["hostile://one", "hostile://made-up-1"] });
  const before = gateway.logs.length;
  expect(await act("flood")).toEqual(ACTED);
  expect(await act("junk")).toEqual(ACTED);
  expect(gateway.logs.length - before).toBeLessThan(400);
  // What nobody can see is told to nobody.
  expect(told.filter((uri) => uri !== "hostile://one")).toEqual([]);
});

it("a server that asks a thousand times without leave is denied each time", async () => {
  expect(await act("asks")).toEqual(ACTED);
});

it("an answer that is none, or never comes, fails its call alone", async () => {
  await expect(act("wrong")).rejects.toThrow(/invalid|expected/i);
  expect(await gateway.lastRow()).toMatchObject({ target: "mcp:wrong/act", state: "failed" });
  await expect(act("silent")).rejects.toThrow(/did not answer within 300 ms/);
  expect(await gateway.lastRow()).toMatchObject({ target: "mcp:silent/act", problem: "upstream_timeout" });
});

it("a client that opens session after session ends its own, and nobody else's", async () => {
  const [flooding, quiet] = await Promise.all([gateway.key({ name: "flooding" }), gateway.key({ name: "quiet" })]);
  const send = (key: string, method: string, session?: string): Promise<Response> =>
    fetch(`${gateway.url}/mcp`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...(session !== undefined && { "mcp-session-id": session }),
      },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method,
        params:
          method === "initialize" ? { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } } : {},
      }),
    });
  const begin = async (key: string): Promise<string> => {
    const response = await send(key, "initialize");
    await response.text();
    return response.headers.get("mcp-session-id") ?? "";
  };
  const kept = await begin(quiet);
  const sessions: string[] = [];
  for (let turn = 0; turn < 5 * MOST_SESSIONS; turn++) sessions.push(await begin(flooding));
  expect((await send(quiet, "ping", kept)).status).toBe(200);
  expect((await send(flooding, "ping", sessions[0])).status).toBe(404);
  expect((await send(flooding, "ping", sessions.at(-1))).status).toBe(200);
});
