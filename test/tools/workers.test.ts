import { McpServer } from "@modelcontextprotocol/server";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endAll, serve, type Served } from "../end-to-end/resume-process.ts";
import { httpServer, type HttpServer } from "./http-server.ts";

/** Fresh connections are dealt out in turn: so many meet every worker. */
const TURNS = 6;
const PATIENCE_MS = 20_000;
const RPC = { "content-type": "application/json", accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25" };

let folder: string;
let file: string;
let served: Served;
let upstream: HttpServer;
/** Ends the tool `wait`. */
let go: () => void = () => {};

function waiting(): McpServer {
  const server = new McpServer({ name: "waiting", version: "1" }, { capabilities: { resources: { subscribe: true } } });
  server.registerTool("wait", {}, async () => {
    await new Promise<void>((resolve) => (go = resolve));
    return { content: [{ type: "text", text: "at last" }] };
  });
  server.registerResource("note", "demo://note", {}, (uri) => ({ contents: [{ uri: uri.href, text: "a note" }] }));
  return server;
}

const configOf = (names: readonly string[]): string =>
  `version: 1\nmcp: { servers: { ${names.map((name) => `${name}: { url: "${upstream.url}", allowPrivateNetwork: true, pin: first-use }`).join(", ")} } }\n`;

beforeAll(async () => {
  upstream = await httpServer(waiting);
  folder = await mkdtemp(join(tmpdir(), "gimbal-mcp-workers-"));
  file = join(folder, "gimbal.yaml");
  await writeFile(file, configOf(["one"]));
  served = await serve(folder, file, ["--workers", "2"]);
}, 60_000);
afterAll(async () => {
  endAll();
  await upstream?.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

interface Stream {
  readonly status: number;
  readonly session: string;
  /** What came so far. */
  readonly text: () => string;
  readonly sent: ClientRequest;
  readonly ended: Promise<void>;
}

/** One request over a connection of its own. */
function open(method: string, headers: Readonly<Record<string, string>>, body?: object): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const sent = request(`${served.url}/mcp`, { method, headers: { ...RPC, ...headers }, agent: false }, (response: IncomingMessage) => {
      let text = "";
      const ended = new Promise<void>((end) => response.on("close", end));
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("error", () => {});
      const session = String(response.headers["mcp-session-id"] ?? "");
      resolve({ status: response.statusCode ?? 0, session, text: () => text, sent, ended });
    });
    sent.on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}

async function ask(session: string, id: number, method: string, params: object = {}): Promise<Stream> {
  const stream = await open("POST", { "mcp-session-id": session }, { jsonrpc: "2.0", id, method, params });
  await stream.ended;
  return stream;
}

async function begin(): Promise<string> {
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } };
  const { session, ended } = await open("POST", {}, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  await ended;
  return session;
}

const lastId = (text: string): string => [...text.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] ?? "";

it("a session is served by whichever worker is asked, and nobody else's is", async () => {
  const session = await begin();
  const outcomes = await Promise.all(Array.from({ length: TURNS }, (_, turn) => ask(session, turn + 1, "ping")));
  expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: TURNS }, () => 200));
  expect(outcomes.every(({ text }) => text().includes('"result":{}'))).toBe(true);
  for (const stranger of [`${session}x`, session.replace(/\.\d+$/, ".77"), session.replace(/\.\d+$/, "")])
    expect((await ask(stranger, 1, "ping")).status).toBe(404);
});

it("a client that lost its streams has the rest from any worker", async () => {
  const session = await begin();
  await ask(session, 1, "tools/list");
  const call = await open(
    "POST",
    { "mcp-session-id": session },
    { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "one__wait" } },
  );
  await expect.poll(() => lastId(call.text()), { timeout: PATIENCE_MS }).not.toBe("");
  await expect.poll(() => String(go), { timeout: PATIENCE_MS }).not.toBe("() => {}");
  call.sent.destroy();
  await call.ended;
  go();
  for (let turn = 0; turn < 2; turn++) {
    // Each time another worker; what was read once can be read again.
    const rest = await open("GET", { "mcp-session-id": session, "last-event-id": lastId(call.text()) });
    expect(rest.status).toBe(200);
    await expect.poll(rest.text, { timeout: PATIENCE_MS }).toContain("at last");
    rest.sent.destroy();
    await rest.ended;
  }
  expect((await ask(session, 9, "ping")).status).toBe(200);
  const foreign = await open("GET", { "mcp-session-id": session, "last-event-id": "made~1" });
  expect(foreign.status).toBe(400);
  foreign.sent.destroy();
});

it("changes reach a stream at any worker, also those that came while it was away", async () => {
  const session = await begin();
  expect((await ask(session, 1, "resources/subscribe", { uri: "demo://note" })).text()).toContain('"result":{}');
  const change = (text: () => string): boolean => {
    upstream.handler.notify.resourceUpdated("demo://note");
    return text().includes("demo://note");
  };
  const first = await open("GET", { "mcp-session-id": session });
  await expect.poll(() => change(first.text), { timeout: PATIENCE_MS }).toBe(true);
  first.sent.destroy();
  await first.ended;
  upstream.handler.notify.resourceUpdated("demo://note");
  const again = await open("GET", { "mcp-session-id": session, "last-event-id": lastId(first.text()) });
  await expect.poll(again.text, { timeout: PATIENCE_MS }).toContain("demo://note");

  // The configuration changes while the session is open.
  await writeFile(file, configOf(["one", "two"]));
  await expect.poll(again.text, { timeout: PATIENCE_MS }).toContain("notifications/tools/list_changed");
  expect((await ask(session, 3, "tools/list")).text()).toContain("two__wait");
  again.sent.destroy();
});

it("a session whose worker died is over, and another can be begun", async () => {
  const sessions = [await begin(), await begin(), await begin(), await begin()];
  const page = await (await fetch(`${served.url}/metrics`)).text();
  const [victim] = [...page.matchAll(/^gimbal_process_info\{pid="(\d+)"/gm)].map(([, pid]) => Number(pid));
  process.kill(victim ?? 0, "SIGKILL");
  // A connection that is handed to a worker in the moment of its death is never answered.
  const status = async (session: string): Promise<number> => {
    const late = new Promise<number>((resolve) => void setTimeout(resolve, 2000, 0).unref());
    return Promise.race([ask(session, 1, "ping").then((one) => one.status), late]).catch(() => 0);
  };
  await expect
    .poll(async () => new Set(await Promise.all(sessions.map(status))), { timeout: PATIENCE_MS, interval: 200 })
    .toEqual(new Set([200, 404]));
  expect((await ask(await begin(), 1, "ping")).status).toBe(200);
});
