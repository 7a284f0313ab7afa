import { Client, ProtocolError, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { demoServer } from "./demo.ts";
import { httpServer, type HttpServer } from "./http-server.ts";

const STDIO = fileURLToPath(new URL("stdio-demo.ts", import.meta.url));
const NODE = process.execPath;

type Revision = "2026-07-28" | "2025-11-25";

let gateway: TestGateway;
let http: HttpServer;
const clients: Client[] = [];

async function client(revision: Revision, key?: string): Promise<Client> {
  const made = new Client(
    { name: "test", version: "1" },
    { capabilities: { elicitation: {} }, versionNegotiation: { mode: revision === "2025-11-25" ? "legacy" : { pin: revision } } },
  );
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  await made.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers } }));
  clients.push(made);
  return made;
}

beforeAll(async () => {
  http = await httpServer(demoServer);
  gateway = await startGateway({
    env: { PATH: process.env["PATH"] ?? "", GIMBAL_TEST_SECRET: "not for servers" },
    config: `
lineage: { record: true }
mcp:
  servers:
    files:
      command: ${NODE}
      args: [${STDIO}]
      env: { ONLY: this }
      pin: first-use
      deny: [fail]
      maxResultBytes: 100000
      tools: { echo: { priceUsd: 0.25 }, add: { requests: 2, per: day } }
    web:
      url: ${http.url}
      allowPrivateNetwork: true
      headers: { x-upstream: upstream-secret }
      pin: first-use
      tier: 2
      maxResultBytes: 100000
    strict: { url: ${http.url}, allowPrivateNetwork: true, allow: [echo, note] }
`,
  });
}, 60_000);

afterAll(async () => {
  for (const each of clients) await each.close().catch(() => {});
  await gateway?.close();
  await http?.close();
});

describe.each(["2025-11-25", "2026-07-28"] as const)("/mcp by revision %s", (revision) => {
  it("offers what all servers have, together, under their names", async () => {
    const mcp = await client(revision);
    expect(mcp.getNegotiatedProtocolVersion()).toBe(revision);
    const { tools } = await mcp.listTools();
    const names = tools.map(({ name }) => name);
    expect(names).toContain("files__echo");
    expect(names).toContain("web__echo");
    expect(names).not.toContain("files__fail");
    expect(names.filter((name) => name.startsWith("strict__"))).toEqual([]);
    expect((await mcp.listPrompts()).prompts.map(({ name }) => name)).toEqual(["files__greet", "web__greet"]);
    expect((await mcp.listResources()).resources).toEqual([expect.objectContaining({ uri: "demo://note", name: "files__note" })]);
    expect((await mcp.readResource({ uri: "demo://page/7" })).contents).toEqual([expect.objectContaining({ text: "page 7" })]);
    const { messages } = await mcp.getPrompt({ name: "files__greet", arguments: { name: "Ada" } });
    expect(messages[0]?.content).toEqual({ type: "text", text: "Greet Ada." });
  });

  it("calls tools of both kinds of server, with one row, one note and one lineage record for each call", async () => {
    const mcp = await client(revision);
    for (const name of ["files__echo", "web__echo"]) {
      const before = (await gateway.rows()).length;
      const { content } = await mcp.callTool({ name, arguments: { text: "hello" } });
      expect(content).toEqual([{ type: "text", text: "hello" }]);
      const rows = await gateway.rows();
      expect(rows).toHaveLength(before + 1);
      const row = rows.at(-1);
      const server = name.split("__")[0] ?? "";
      expect(row).toMatchObject({
        state: "done",
        dialect: "mcp",
        operation: "tool_call",
        model: name,
        target: `mcp:${server}/echo`,
        costNanodollars: server === "files" ? 250_000_000 : 0,
        usage: { media: { tool_calls: 1 } },
      });
      const notes = (await gateway.house.stores.audit.read(0, 1000)).map(
        ({ text }) => JSON.parse(text) as { action: string; details: object },
      );
      const note = notes.findLast(({ action }) => action === "tool.call");
      expect(note).toMatchObject({ subject: `tool:${server}/echo`, outcome: "done", details: { call: row?.callId } });
      expect(JSON.stringify(note)).not.toContain("hello");
      expect(await gateway.house.stores.lineage.read(row?.callId ?? "")).toMatchObject({ calls: [{ name }] });
    }
    expect(http.heard.at(-1)?.get("x-upstream")).toBe("upstream-secret");
    expect(http.heard.at(-1)?.get("authorization")).toBeNull();
  });

  it("gives a stdio server nothing of the gateway's environment but what is named", async () => {
    const mcp = await client(revision);
    const { content } = await mcp.callTool({ name: "files__environment" });
    const [part] = content;
    const environment = JSON.parse(part?.type === "text" ? part.text : "{}") as Record<string, string>;
    expect(Object.keys(environment).toSorted()).toEqual(["ONLY", "PATH"]);
  });

  it("refuses an answer that is too long, with the limit named, and goes on", async () => {
    const mcp = await client(revision);
    for (const name of ["web__huge", "files__huge"]) {
      await expect(mcp.callTool({ name, arguments: { bytes: revision === "2025-11-25" ? 100_000_000 : 2_000_000 } })).rejects.toThrow(
        /100000 bytes.*maxResultBytes/,
      );
      expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
    }
    expect((await mcp.callTool({ name: "web__echo", arguments: { text: "still" } })).content).toHaveLength(1);
    await expect
      .poll(async () => (await mcp.callTool({ name: "files__echo", arguments: { text: "back" } }).catch(() => ({ content: [] }))).content, {
        timeout: 10_000,
        interval: 200,
      })
      .toHaveLength(1);
  }, 120_000);

  it("denies what a server asks of the caller's client, and says so", async () => {
    const mcp = await client(revision);
    const { content, isError } = await mcp
      .callTool({ name: "files__ask" })
      .catch((error: unknown) => ({ content: String(error), isError: true }));
    expect(isError).toBe(true);
    expect(JSON.stringify(content)).toMatch(/denies|not supported|capabilit|2026-07-28/i);
  });

  it("passes progress on, and ends the call at its server when its caller cancels", async () => {
    const mcp = await client(revision);
    const stop = new AbortController();
    const heard: number[] = [];
    const call = mcp.callTool(
      { name: "files__wait" },
      {
        signal: stop.signal,
        onprogress: ({ progress }) => {
          heard.push(progress);
          stop.abort(new Error("enough"));
        },
      },
    );
    await expect(call).rejects.toThrow("enough");
    expect(heard).toEqual([1]);
    await expect
      .poll(async () => (await gateway.rows()).some(({ model, state }) => model === "files__wait" && state === "cancelled"))
      .toBe(true);
  });

  it("fails calls in flight so that they may be tried again when a server dies, and starts it anew", async () => {
    const mcp = await client(revision);
    const dying = mcp.callTool({ name: "files__die" });
    const other = mcp.callTool({ name: "files__wait" });
    await expect(dying).rejects.toSatisfy(
      (error) => error instanceof ProtocolError && (error.data as { retryable?: boolean }).retryable === true,
    );
    await expect(other).rejects.toThrow(/cannot be used now/);
    const again = async (): Promise<unknown> => (await mcp.callTool({ name: "files__echo", arguments: { text: "back" } })).content;
    await expect.poll(() => again().catch(() => undefined), { timeout: 10_000, interval: 100 }).toEqual([{ type: "text", text: "back" }]);
  }, 30_000);
});
