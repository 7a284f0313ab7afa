import { Client, StreamableHTTPClientTransport, type Tool } from "@modelcontextprotocol/client";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { demoServer } from "./demo.ts";
import { httpServer, type HttpServer } from "./http-server.ts";

const EVERYTHING = fileURLToPath(new URL("../clients-cli/mcp-everything-server.ts", import.meta.url));

type Revision = "2026-07-28" | "2025-11-25";

let gateway: TestGateway;
let notes: HttpServer;
const clients: Client[] = [];

beforeAll(async () => {
  notes = await httpServer(demoServer);
  const everything = (revision: Revision): object => ({
    command: process.execPath,
    args: [EVERYTHING],
    pin: "first-use",
    revision,
    relay: ["sampling", "elicitation", "roots", "logging"],
  });
  const servers = {
    old: everything("2025-11-25"),
    new: { ...everything("2026-07-28"), deny: ["static-text", "static-binary", "watched-resource", "template"] },
    notes: { url: notes.url, allowPrivateNetwork: true, pin: "first-use", tier: 2 },
  };
  gateway = await startGateway({ env: { PATH: process.env["PATH"] ?? "" }, config: `mcp: ${JSON.stringify({ servers })}` });
}, 60_000);

afterAll(async () => {
  for (const each of clients) await each.close().catch(() => {});
  await gateway?.close();
  await notes?.close();
});

/** A client that answers what it is asked, and remembers what it is told. */
async function client(revision: Revision, key?: string) {
  const told: string[] = [];
  const made = new Client(
    { name: "test", version: "1" },
    {
      capabilities: { elicitation: {}, sampling: {}, roots: {} },
      versionNegotiation: { mode: revision === "2025-11-25" ? "legacy" : { pin: revision } },
      listChanged: { tools: { onChanged: () => void told.push("tools"), autoRefresh: false } },
    },
  );
  made.setRequestHandler("elicitation/create", () => ({ action: "accept" as const, content: { name: "Ada", color: "red" } }));
  made.setRequestHandler("sampling/createMessage", () => ({
    model: "m",
    role: "assistant" as const,
    content: { type: "text" as const, text: "Paris" },
  }));
  made.setRequestHandler("roots/list", () => ({ roots: [{ uri: "file:///home", name: "home" }] }));
  made.setNotificationHandler("notifications/message", ({ params }) => void told.push(String(params.data)));
  made.setNotificationHandler("notifications/resources/updated", ({ params }) => void told.push(params.uri));
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  await made.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers } }));
  clients.push(made);
  return { mcp: made, told };
}

async function said(mcp: Client, name: string): Promise<string> {
  return JSON.stringify((await mcp.callTool({ name, arguments: {} })).content);
}

describe.each([
  ["2025-11-25", "old"],
  ["2025-11-25", "new"],
  ["2026-07-28", "new"],
] as const)("a client of %s and the server %s", (revision, server) => {
  it("are led to each other: questions to the person, to the model and for roots", async () => {
    const { mcp } = await client(revision);
    expect(await said(mcp, `${server}__test_input_required_result_elicitation`)).toContain("Hello, Ada!");
    expect(await said(mcp, `${server}__test_input_required_result_sampling`)).toContain("Paris");
    expect(await said(mcp, `${server}__test_input_required_result_list_roots`)).toContain("file:///home");
    expect(await said(mcp, `${server}__test_input_required_result_multi_round`)).toContain("Ada likes red.");
  });
});

describe("what a server says while it works", () => {
  it("reaches the client of that call and no other", async () => {
    const [mine, other] = await Promise.all([client("2025-11-25"), client("2025-11-25")]);
    await Promise.all([mine.mcp.setLoggingLevel("info"), other.mcp.setLoggingLevel("info")]);
    await mine.mcp.callTool({ name: "old__test_tool_with_logging", arguments: {} });
    await expect.poll(() => mine.told).toEqual(["It begins.", "It goes on.", "It ends."]);
    expect(other.told).toEqual([]);
  });

  it("is asked for no more than its caller's client can do", async () => {
    const bare = new Client({ name: "bare", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
    await bare.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`)));
    clients.push(bare);
    expect(await said(bare, "new__test_input_required_result_capabilities")).toContain("Nobody can be asked.");
  });
});

describe.each(["2025-11-25", "2026-07-28"] as const)("what changes, by revision %s", (revision) => {
  it("is told: the list of tools, and resources that a client watches", async () => {
    const { mcp, told } = await client(revision);
    await mcp.listTools();
    const pin = { server: "notes", tool: "echo" };
    const admin = (method: string, path: string, body?: object): Promise<Response> =>
      fetch(`${gateway.url}/admin/api/mcp/pins${path}`, {
        method,
        headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
        ...(body && { body: JSON.stringify(body) }),
      });
    // A tool that is not pinned any more is pinned anew at once, at its first use.
    expect((await admin("POST", "", pin)).status).toBe(201);
    expect((await admin("DELETE", `?${new URLSearchParams(pin).toString()}`)).status).toBe(200);
    await expect.poll(() => told).toContain("tools");

    if (revision === "2025-11-25") await mcp.subscribeResource({ uri: "demo://note" });
    else await mcp.listen({ resourceSubscriptions: ["demo://note", "demo://page/9"] });
    // The gateway listens at the server as soon as somebody wants to hear of it.
    await expect
      .poll(() => {
        notes.handler.notify.resourceUpdated("demo://note");
        return told.includes("demo://note");
      })
      .toBe(true);
    expect(told).not.toContain("demo://page/9");
  });

  it("is told in one word where a server says it ten thousand times", async () => {
    const { mcp, told } = await client(revision);
    if (revision === "2025-11-25") await mcp.subscribeResource({ uri: "demo://note" });
    else await mcp.listen({ resourceSubscriptions: ["demo://note"] });
    await expect
      .poll(() => {
        notes.handler.notify.resourceUpdated("demo://note");
        return told.includes("demo://note");
      })
      .toBe(true);
    const before = told.length;
    for (let turn = 0; turn < 10_000; turn++) notes.handler.notify.resourceUpdated("demo://note");
    await expect.poll(() => told.length, { timeout: 10_000 }).toBeGreaterThan(before);
    expect((await mcp.callTool({ name: "notes__echo", arguments: { text: "still" } })).content).toHaveLength(1);
    expect(told.length - before).toBeLessThan(50);
  });
});

it("shows prompts and resources only to keys whose scopes and tier reach them", async () => {
  const [low, narrow, wide] = await Promise.all([
    gateway.key({ name: "low", tier: 1 }),
    gateway.key({ name: "narrow", tools: ["notes__greet", "notes__note"] }),
    gateway.key({ name: "wide" }),
  ]);
  const seen = async (key: string) => {
    const { mcp } = await client("2026-07-28", key);
    const [{ prompts }, { resources }] = await Promise.all([mcp.listPrompts(), mcp.listResources()]);
    const names = [...prompts, ...resources].map(({ name }) => name).filter((name) => name.startsWith("notes__"));
    const read = await mcp.readResource({ uri: "demo://note" }).then(
      () => "read",
      (error: unknown) => String(error),
    );
    const page = await mcp.readResource({ uri: "demo://page/1" }).then(
      () => "read",
      () => "refused",
    );
    return { names, read, page };
  };
  expect(await seen(wide)).toEqual({ names: ["notes__greet", "notes__note"], read: "read", page: "read" });
  expect(await seen(narrow)).toEqual({ names: ["notes__greet", "notes__note"], read: "read", page: "refused" });
  const hidden = await seen(low);
  expect(hidden.names).toEqual([]);
  expect(hidden.read).toMatch(/no resource/);
  const { mcp } = await client("2025-11-25", low);
  await expect(mcp.subscribeResource({ uri: "demo://note" })).rejects.toThrow(/no resource/);
  await expect(mcp.getPrompt({ name: "notes__greet", arguments: { name: "x" } })).rejects.toThrow(/no prompt/);
  expect((await mcp.listTools()).tools.filter(({ name }: Tool) => name.startsWith("notes__"))).toEqual([]);
});
