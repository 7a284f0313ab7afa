import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { openHouse } from "../../src/house.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { systemClock } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

const CONFIG = `sim: { models: { stuck: { text: "never told", faults: [{ kind: stall, afterTokens: 1 }] }, brief: { length: 30, tokensPerSecond: 100 } } }
serve: { limits: { drainMs: 300 } }
`;

let gateway: TestGateway;
let open: WebSocket[] = [];
afterEach(() => {
  for (const socket of open) socket.terminate();
  open = [];
});

function post(path: string, body: unknown): Promise<Response> {
  return fetch(gateway.url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** A client of the WebSocket door: its messages by type, and how it ended. */
async function socketClient(): Promise<{
  socket: WebSocket;
  types: string[];
  said: (type: string) => Promise<void>;
  closed: Promise<number>;
}> {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/v1/responses`);
  open.push(socket);
  const types: string[] = [];
  const waiting = new Map<string, () => void>();
  socket.on("message", (bytes) => {
    const { type } = JSON.parse((bytes as Buffer).toString("utf8")) as { type: string };
    types.push(type);
    waiting.get(type)?.();
  });
  const closed = new Promise<number>((resolve) => socket.on("close", resolve));
  const said = (type: string): Promise<void> => new Promise((resolve) => (types.includes(type) ? resolve() : waiting.set(type, resolve)));
  await new Promise((resolve) => socket.once("open", resolve));
  return { socket, types, said, closed };
}

describe("a gateway that is closed", () => {
  it("stops what outlasts the drain, tells its client why, and settles it", async () => {
    gateway = await startGateway({ config: CONFIG });
    const { stores } = gateway.house;
    const settled: string[] = [];
    const settle = stores.ledger.settle.bind(stores.ledger);
    stores.ledger.settle = (row) => {
      settled.push(`${row.state} ${row.problem ?? ""} ${row.usage.inputUncached > 0 ? "estimated" : "free"}`);
      return settle(row);
    };
    const stream = await post("/v1/chat/completions", { model: "sim/stuck", stream: true, messages: [{ role: "user", content: "x" }] });
    expect(
      ((await (await post("/v1/responses", { model: "sim/stuck", background: true, input: "x" })).json()) as { status: string }).status,
    ).toBe("queued");
    const closing = gateway.close();
    expect(await stream.text()).toContain("gateway_restarted");
    await closing;
    expect(settled).toEqual(["failed gateway_restarted estimated", "failed gateway_restarted estimated"]);
  });

  it("lets the calls of a WebSocket finish before it says goodbye", async () => {
    gateway = await startGateway({ config: CONFIG.replace("drainMs: 300", "drainMs: 10000") });
    const { socket, types, said, closed } = await socketClient();
    socket.send(JSON.stringify({ type: "response.create", model: "sim/brief", input: "x" }));
    await said("response.output_text.delta");
    const closing = gateway.close();
    expect(await closed).toBe(1001);
    expect(types.at(-1)).toBe("response.completed");
    await closing;
  });

  it("leaves the record free when it cannot listen", async () => {
    const busy = createServer();
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
    const { port } = busy.address() as AddressInfo;
    const folder = await mkdtemp(join(tmpdir(), "gimbal-test-"));
    const config = { text: "version: 1\n", fileName: "gimbal.yaml" };
    await expect(openHouse({ folder, config, host: "127.0.0.1", port, env: {}, log: () => {} })).rejects.toThrow(
      `Cannot listen on 127.0.0.1:${port}: another program holds this port (EADDRINUSE).`,
    );
    await (await openSqlite({ folder, node: "next", clock: systemClock })).close();
    busy.close();
    await rm(folder, { recursive: true, force: true });
  });
});

describe("a client of the WebSocket door", () => {
  it("is cut off when it sends nonsense and does not read the refusals", async () => {
    gateway = await startGateway();
    const { socket, closed } = await socketClient();
    socket.pause();
    for (let sent = 0; sent < 60_000; sent++) socket.send("{");
    // The gateway's own goodbye cannot arrive while nothing is read: what comes is bounded by what was on its way.
    await new Promise<void>((resolve) => socket.send("{", () => resolve()));
    socket.resume();
    expect(await closed).toBe(1008);
    await gateway.close();
  });
});

describe("a kept answer", () => {
  it("that was deleted while it was made is gone", async () => {
    gateway = await startGateway({ config: CONFIG });
    const { id } = (await (await post("/v1/responses", { model: "sim/stuck", background: true, input: "x" })).json()) as { id: string };
    expect((await fetch(`${gateway.url}/v1/responses/${id}`, { method: "DELETE" })).status).toBe(200);
    expect((await fetch(`${gateway.url}/v1/responses/${id}`)).status).toBe(404);
    await gateway.close();
  });
});

describe("what a client names", () => {
  it("does not fill headers and rows", async () => {
    gateway = await startGateway();
    const response = await post("/v1/chat/completions", {
      model: `sim/${"x".repeat(100_000)}`,
      messages: [{ role: "user", content: "x" }],
    });
    expect(response.status).toBe(400);
    expect((await gateway.lastRow()).model.length).toBeLessThan(1000);
    await gateway.close();
  });
});

describe("an upstream that keeps its connection open behind the end of its stream", () => {
  it("does not keep the call from being settled", async () => {
    const chunk = JSON.stringify({
      id: "c",
      object: "chat.completion.chunk",
      created: 1,
      model: "m",
      choices: [{ index: 0, delta: { content: "hi" }, finish_reason: "stop" }],
    });
    const upstream = await startUpstream(
      (response) => void response.writeHead(200, { "content-type": "text/event-stream" }).write(`data: ${chunk}\n\ndata: [DONE]\n\n`),
    );
    gateway = await startGateway({
      config: `providers: { lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true } }\n`,
    });
    const response = await post("/v1/chat/completions", { model: "lab/m", stream: true, messages: [{ role: "user", content: "x" }] });
    expect(await response.text()).toContain("[DONE]");
    expect(await gateway.lastRow()).toMatchObject({ state: "done", stop: "end" });
    await gateway.close();
    await upstream.close();
  });
});

describe("a client that leaves while its call is made ready", () => {
  it("costs nothing upstream", async () => {
    const upstream = await startUpstream();
    gateway = await startGateway({
      config: `providers: { lab: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true } }\n`,
    });
    const { calls } = gateway.house.stores;
    let release = (): void => {};
    const looking = new Promise<void>((begun) => {
      calls.findNative = async () => {
        begun();
        await new Promise<void>((resolve) => (release = resolve));
        return new Map();
      };
    });
    const messages = [
      { role: "user", content: "x" },
      { role: "assistant", content: "earlier words" },
      { role: "user", content: "y" },
    ];
    const leaving = new AbortController();
    const asked = fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "lab/m", messages }),
      signal: leaving.signal,
    });
    await looking;
    const call = gateway.house.gateway.live.findRunning(() => true);
    const stopped = new Promise<void>((resolve) => {
      const stop = call?.detach.bind(call);
      if (call && stop) call.detach = (reader) => (stop(reader), resolve());
    });
    leaving.abort();
    await asked.catch(() => {});
    await stopped;
    release();
    expect(await gateway.lastRow()).toMatchObject({ state: "cancelled" });
    expect(upstream.requests).toHaveLength(0);
    await gateway.close();
    await upstream.close();
  });
});
