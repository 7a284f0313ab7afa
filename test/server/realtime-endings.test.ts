import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";
import type { LedgerRow } from "../../src/canon/index.ts";
import { RealtimeSession, type SessionRequest } from "../../src/gateway/realtime.ts";
import { REALTIME_LIMITS } from "../../src/gateway/realtime-flow.ts";
import { collectEverything } from "../../src/wire/reclaim.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ANSWER, say, talk, type Talk } from "../support/session.ts";
import { promisedMs } from "../support/promised.ts";

/** How long whatever is taken back may go on. */
const PROMISED_MS = promisedMs(1000);

/** A provider that does what a test says. */
let provider: WebSocketServer;
let onSession: (socket: WebSocket) => void;
let gateway: TestGateway;
beforeAll(async () => {
  provider = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  provider.on("connection", (socket) => {
    socket.on("error", () => {});
    onSession(socket);
  });
  await new Promise<void>((resolve) => provider.once("listening", resolve));
  gateway = await startGateway({
    config: `providers:
  lab:
    kind: openai-compatible
    baseUrl: "http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1"
    apiKey: secret
    allowPrivateNetwork: true
    models:
      voice: { price: { inputUsd: 4, cacheReadUsd: 0.4, outputUsd: 16, inputAudioUsd: 32, outputAudioUsd: 64 } }
models: { talk: sim/echo, voice: lab/voice }
`,
    trusting: true,
  });
});
afterAll(async () => {
  await gateway.close();
  for (const socket of provider.clients) socket.terminate();
  await new Promise((resolve) => provider.close(resolve));
});
const opened: Talk[] = [];
afterEach(async () => {
  for (const { socket } of opened.splice(0)) socket.terminate();
  await gateway.house.gateway.live.whenIdle();
  for (const { id } of (await admin(gateway, "GET", "/kill"))["kills"] as { id: string }[]) await admin(gateway, "DELETE", `/kill/${id}`);
});

const door = (model = "talk", of = gateway): string => `${of.url}/v1/realtime?model=${model}`;

async function admin(of: TestGateway, method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${of.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${of.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return (response.status === 204 ? {} : await response.json()) as Record<string, unknown>;
}

/** A session that stands. */
async function standing(url: string, key?: string, protocols?: readonly string[]): Promise<Talk> {
  const session = await talk(url, key, protocols);
  opened.push(session);
  await session.until("session.created");
  return session;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** What the server makes of a request for a session. */
function requestFor(model: string, key?: string): SessionRequest {
  const dialect = gateway.house.gateway.dialects.get("openai-responses");
  const language = dialect?.realtime;
  if (!dialect || !language) throw new Error("no such language");
  const headers = { host: "127.0.0.1", ...(key !== undefined && { authorization: `Bearer ${key}` }) };
  return { dialect, language, model, headers, params: { model }, peer: "127.0.0.1" };
}

/** How it ends: what the client was told, the code, and after how many milliseconds. */
async function ending(session: Talk): Promise<{ readonly type: unknown; readonly code: number; readonly ms: number }> {
  const from = performance.now();
  const { error } = (await session.until("error")) as { error?: { type?: unknown } };
  return { type: error?.type, code: await session.closed, ms: performance.now() - from };
}

describe("a session that somebody ends", () => {
  it("hears of a kill switch at once, and the session beside it does not", async () => {
    const [stopped, other] = await Promise.all([standing(door()), standing(door("sim%2Fecho"))]);
    await admin(gateway, "POST", "/kill", { scope: "model", value: "talk" });
    expect(await ending(stopped)).toMatchObject({ type: "killed", code: 1011 });
    other.send(say("still here"));
    other.send(ANSWER);
    expect(await other.until("response.output_text.done")).toMatchObject({ text: "still here" });
    other.close();
    await other.closed;
    expect((await gateway.rows()).slice(-2).map(({ state, problem }) => [state, problem])).toEqual([
      ["failed", "killed"],
      ["done", undefined],
    ]);
  });

  it("ends within a second when its key is revoked, whoever else goes on", async () => {
    const other = await standing(door());
    const session = await standing(door(), await gateway.key({ name: "leaver" }));
    const { keys } = (await admin(gateway, "GET", "/keys")) as { keys: { id: string; name: string }[] };
    await admin(gateway, "DELETE", `/keys/${keys.find(({ name }) => name === "leaver")?.id}`);
    const { ms, ...rest } = await ending(session);
    expect(rest).toEqual({ type: "unauthenticated", code: 1008 });
    expect(ms).toBeLessThan(PROMISED_MS);
    expect(other.socket.readyState).toBe(other.socket.OPEN);
    other.close();
    await other.closed;
    const row = (await gateway.rows()).find(({ callerName }) => callerName === "leaver");
    expect(row).toMatchObject({ state: "failed", problem: "unauthenticated" });
  });

  it("is cancelled by its call id", async () => {
    const session = await standing(door());
    const id = gateway.house.gateway.live.findRunning(() => true)?.id ?? "";
    await fetch(`${gateway.url}/v1/calls/${id}/cancel`, { method: "POST" });
    expect(await ending(session)).toMatchObject({ type: "cancelled" });
    expect(await gateway.lastRow()).toMatchObject({ callId: id, state: "cancelled" });
  });

  it("outlasts a drain no longer than its patience, is told, and leaves its row", async () => {
    const closing = await startGateway({ config: "serve: { limits: { drainMs: 300 } }\n" });
    const rows: LedgerRow[] = [];
    const { ledger } = closing.house.stores;
    const settle = ledger.settle.bind(ledger);
    ledger.settle = (row, ...rest) => {
      rows.push(row);
      return settle(row, ...rest);
    };
    const session = await standing(door("sim%2Fecho", closing));
    const closed = closing.close();
    // What is under way may go on until then.
    session.send(say("last words"));
    session.send(ANSWER);
    await session.until("response.done");
    expect(await ending(session)).toMatchObject({ type: "gateway_restarted", code: 1011 });
    await closed;
    expect(rows).toMatchObject([{ operation: "realtime", state: "failed", problem: "gateway_restarted", usage: { output: 3 } }]);
  });
});

describe("who may come", () => {
  it("lets a browser show its key among the subprotocols", async () => {
    const key = await gateway.key({ name: "browser", models: ["talk"] });
    const session = await standing(door(), undefined, ["realtime", `openai-insecure-api-key.${key}`]);
    expect(session.socket.protocol).toBe("realtime");
    session.close();
    await session.closed;
    expect(await gateway.lastRow()).toMatchObject({ callerName: "browser", state: "done" });
    await expect(talk(door(), undefined, ["realtime", "openai-insecure-api-key.gk_unknown"])).rejects.toThrow("401");
  });

  it("counts a session among the concurrent calls until it ends", async () => {
    const key = await gateway.key({ name: "single", limits: [{ concurrency: 1, per: "minute" }] });
    const first = await standing(door(), key);
    const second = await talk(door(), key);
    expect(await ending(second)).toMatchObject({ type: "rate_limited", code: 1008 });
    first.close();
    await first.closed;
    await gateway.rows();
    const third = await standing(door(), key);
    third.close();
    await third.closed;
    await gateway.rows();
  });

  it("gives back what was taken for a client that left while it was let in", async () => {
    const key = await gateway.key({
      name: "hasty",
      limits: [{ concurrency: 1, per: "minute" }],
      budgets: [{ usd: 1, per: "day", hard: true }],
    });
    const { gateway: deps } = gateway.house;
    let letIn = (): void => {};
    const slow = Object.create(deps.admission) as typeof deps.admission;
    slow.identify = async (...args) => {
      await new Promise<void>((resolve) => (letIn = resolve));
      return deps.admission.identify(...args);
    };
    const session = new RealtimeSession({ ...deps, admission: slow }, requestFor("talk", key), {
      send: () => {},
      close: () => {},
      buffered: 0,
    });
    session.clientLeft();
    letIn();
    const row = await gateway.lastRow();
    expect(row).toMatchObject({ operation: "realtime", callerName: "hasty", usage: { output: 0 } });
    expect(await gateway.house.stores.ledger.readOpen(row.callId)).toBeUndefined();
    const next = await standing(door(), key);
    next.close();
    await next.closed;
    await gateway.rows();
  });
});

describe("what is too much", () => {
  it("bounds what waits for a provider that takes nothing", async () => {
    onSession = (socket) => {
      socket.send(JSON.stringify({ type: "session.created", session: {} }));
      socket.pause();
    };
    const session = await standing(door("voice"));
    await collectEverything();
    const before = process.memoryUsage().external;
    const piece = JSON.stringify({ type: "input_audio_buffer.append", audio: "A".repeat(1024 * 1024) });
    for (let at = 0; at < 64 && session.socket.readyState === session.socket.OPEN; at++) {
      session.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await ending(session)).toMatchObject({ type: "rate_limited", code: 1008 });
    expect(await gateway.lastRow()).toMatchObject({ problem: "rate_limited" });
    expect((await gateway.lastRow()).problemMessage).toContain("wait for the provider");
    // What is garbage is not kept: the pieces were made in this process, too.
    await collectEverything();
    expect(process.memoryUsage().external - before).toBeLessThan(3 * REALTIME_LIMITS.uploadBytes);
    for (const socket of provider.clients) socket.terminate();
  });

  it("pauses a provider that floods a client which reads slowly, and loses nothing", async () => {
    const pieces = 24;
    const piece = JSON.stringify({ type: "response.output_audio.delta", delta: "A".repeat(1024 * 1024) });
    onSession = (socket) => {
      for (let at = 0; at < pieces; at++) socket.send(piece);
    };
    const heard: string[] = [];
    const client = {
      buffered: 0,
      send: (text: string): void => {
        heard.push(text);
        client.buffered += text.length;
      },
      close: () => {},
    };
    const session = new RealtimeSession(gateway.house.gateway, requestFor("voice"), client);
    while (client.buffered <= REALTIME_LIMITS.bufferBytes) await pause(10);
    // Whatever was on its way has come by then.
    await pause(300);
    expect(client.buffered).toBeLessThan(REALTIME_LIMITS.bufferBytes + 3 * piece.length);
    while (heard.length < pieces) {
      client.buffered = 0;
      await pause(10);
    }
    expect(heard.every((text) => text === piece)).toBe(true);
    session.clientLeft();
    expect(await gateway.lastRow()).toMatchObject({ state: "done", target: "lab/voice" });
  });

  it("ends a session whose provider sends a message beyond all measure, or leaves with its reason", async () => {
    onSession = (socket) => {
      socket.send(JSON.stringify({ type: "session.created", session: {} }));
      socket.once("message", () => socket.send("A".repeat(REALTIME_LIMITS.messageBytes + 1)));
    };
    const large = await standing(door("voice"));
    large.send(ANSWER);
    expect(await ending(large)).toMatchObject({ type: "upstream_broken", code: 1011 });
    onSession = (socket) => {
      socket.send(JSON.stringify({ type: "session.created", session: {} }));
      socket.once("message", () => socket.close(1007, "no such voice"));
    };
    const refused = await standing(door("voice"));
    refused.send(ANSWER);
    expect(await ending(refused)).toMatchObject({ type: "upstream_broken" });
    expect((await gateway.lastRow()).problemMessage).toContain("(1007: no such voice)");
  });
});

describe("a session in the other language", () => {
  const path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
  const heard = async (session: Talk, member: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const found = session.events.find((event) => event[member] !== undefined);
      if (found) return found;
      await pause(5);
    }
  };

  it("ends as the first one does, with its reason in the close frame, and is costed", async () => {
    const key = await gateway.key({ name: "live", limits: [{ concurrency: 1, per: "minute" }] });
    const session = await talk(`${gateway.url}${path}?key=${key}`);
    opened.push(session);
    session.send({ setup: { model: "models/talk" } });
    await heard(session, "setupComplete");
    session.send({ clientContent: { turns: [{ role: "user", parts: [{ text: "hello there" }] }], turnComplete: true } });
    await heard(session, "usageMetadata");
    const second = await talk(`${gateway.url}${path}?key=${key}`);
    second.send({ setup: { model: "models/talk" } });
    expect(await second.closed).toBe(1008);
    expect(second.reason()).toContain("which is the limit");
    await admin(gateway, "POST", "/kill", { scope: "key", value: "live" });
    expect(await session.closed).toBe(1011);
    expect(session.reason()).toContain("switched off");
    const rows = (await gateway.rows()).filter(({ callerName }) => callerName === "live");
    expect(rows.map(({ dialect, problem, usage }) => [dialect, problem, usage.output])).toEqual([
      ["gemini", "rate_limited", 0],
      ["gemini", "killed", 3],
    ]);
  });

  it("holds a flood to the same bounds", async () => {
    const session = await talk(`${gateway.url}${path}`);
    opened.push(session);
    session.send({ setup: { model: "models/talk" } });
    await heard(session, "setupComplete");
    for (let at = 0; at < 2000; at++) session.send({ realtimeInput: { audio: { data: "AAAA", mimeType: "audio/pcm" } } });
    expect(await session.closed).toBe(1008);
    expect(session.reason()).toContain("messages a second");
    expect(await gateway.lastRow()).toMatchObject({ dialect: "gemini", problem: "rate_limited" });
  });
});

describe("what a session costs", () => {
  it("is priced by sound, words and what was cached, and each of two at once has its own row", async () => {
    const usage = {
      input_tokens: 1000,
      output_tokens: 500,
      input_token_details: {
        text_tokens: 400,
        audio_tokens: 600,
        cached_tokens: 300,
        cached_tokens_details: { text_tokens: 100, audio_tokens: 200 },
      },
      output_token_details: { text_tokens: 100, audio_tokens: 400 },
    };
    onSession = (socket) => {
      socket.send(JSON.stringify({ type: "session.created", session: {} }));
      socket.on("message", () => {
        socket.send(JSON.stringify({ type: "response.created", response: {} }));
        socket.send(JSON.stringify({ type: "response.done", response: { usage } }));
      });
    };
    const two = await Promise.all([standing(door("voice")), standing(door("voice"))]);
    for (const session of two) session.send(ANSWER);
    for (const session of two) await session.until("response.done");
    for (const session of two) session.close();
    for (const session of two) await session.closed;
    const rows = (await gateway.rows()).slice(-2);
    expect(new Set(rows.map(({ callId }) => callId)).size).toBe(2);
    for (const row of rows) {
      expect(row.usage).toMatchObject({
        inputUncached: 700,
        cacheRead: 300,
        output: 500,
        media: { input_audio_tokens: 400, cached_audio_tokens: 200, output_audio_tokens: 400 },
      });
      // Nanodollars: 300 words at 4, 400 of sound at 32, 300 cached at 0.4, 100 words at 16, 400 of sound at 64.
      expect(row.costNanodollars).toBe(300 * 4000 + 400 * 32_000 + 300 * 400 + 100 * 16_000 + 400 * 64_000);
    }
  });
});
