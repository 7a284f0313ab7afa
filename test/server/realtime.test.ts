import { connect } from "node:net";
import { GoogleGenAI, type LiveServerMessage, type Session } from "@google/genai";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ANSWER, say, talk } from "../support/session.ts";

/** A gateway whose provider is another one: the session crosses a real socket twice. */
let far: TestGateway;
let near: TestGateway;
beforeAll(async () => {
  far = await startGateway({ config: `sim: { models: { voice: { echo: true, price: { inputUsd: 1000, outputUsd: 1000 } } } }\n` });
  near = await startGateway({
    config: `providers:
  lab:
    kind: openai-compatible
    baseUrl: ${far.url}/v1
    apiKey: x
    allowPrivateNetwork: true
    models:
      sim/voice: { contextTokens: 100, maxOutputTokens: 50, price: { inputUsd: 1000, outputUsd: 1000 } }
models: { talk: lab/sim/voice, lost: lab/sim/nobody }
`,
  });
});
afterAll(async () => {
  await near.close();
  await far.close();
});

const door = (model = "talk") => `${near.url}/v1/realtime?model=${model}`;

describe("/v1/realtime", () => {
  it("serves the openai client, and books the session as one call", async () => {
    const before = (await near.rows()).length;
    // This client speaks TLS to every host; what ends the TLS in front of a gateway is left out here.
    const createConnection = () => connect(Number(new URL(near.url).port), "127.0.0.1");
    const session = new OpenAIRealtimeWS(
      { model: "talk", options: { createConnection } },
      new OpenAI({ baseURL: `${near.url}/v1`, apiKey: "none" }),
    );
    const told = await new Promise<string>((resolve, reject) => {
      session.on("error", reject);
      session.on("session.created", () => {
        session.send({ type: "session.update", session: { type: "realtime", instructions: "Repeat." } });
      });
      session.on("session.updated", () => {
        session.send(say("hello there") as Parameters<typeof session.send>[0]);
        session.send(ANSWER as Parameters<typeof session.send>[0]);
      });
      let text = "";
      session.on("response.output_text.delta", ({ delta }) => (text += delta));
      session.on("response.done", () => resolve(text));
    });
    expect(told).toBe("hello there");
    session.close();
    const rows = await near.rows();
    expect(rows.length).toBe(before + 1);
    expect(rows.at(-1)).toMatchObject({
      state: "done",
      operation: "realtime",
      dialect: "openai-responses",
      model: "talk",
      target: "lab/sim/voice",
      usage: { inputUncached: 3, output: 3 },
      // Six tokens at a thousandth of a dollar each.
      costNanodollars: 6_000_000,
    });
    expect(await far.lastRow()).toMatchObject({ operation: "realtime", target: "sim/voice", usage: { inputUncached: 3, output: 3 } });
  });

  it("ends a session when its budget has no room for another answer, and never passes it", async () => {
    // Room for one answer is 150 tokens at a thousandth of a dollar each: 0.15; each answer really costs 3 + 3 and more.
    const key = await near.key({ name: "spender", budgets: [{ usd: 0.17, per: "day", hard: true }] });
    const session = await talk(door(), key);
    await session.until("session.created");
    let answers = 0;
    for (; answers < 20; answers++) {
      session.send(say("hello there"));
      session.send(ANSWER);
      const over = await session.until("response.done").catch(() => undefined);
      if (!over) break;
    }
    expect(await session.closed).toBe(1008);
    const row = await near.lastRow();
    expect(row).toMatchObject({ state: "failed", problem: "budget_exhausted", callerName: "spender" });
    // Two answers, 6 and 12 tokens; the third finds room only where the second is booked by then.
    expect(row.costNanodollars).toBeGreaterThanOrEqual(18_000_000);
    expect(row.costNanodollars).toBeLessThanOrEqual(170_000_000);
    const again = await talk(door(), key);
    expect(await again.until("error")).toMatchObject({ error: { type: "budget_exhausted" } });
    expect(await again.closed).toBe(1008);
  });

  it("lets a client ask for several answers at once only while there is room for each", async () => {
    // One answer may cost 0.15: two have room, three have not.
    const session = await talk(door(), await near.key({ name: "eager", budgets: [{ usd: 0.4, per: "day", hard: true }] }));
    await session.until("session.created");
    for (let at = 0; at < 3; at++) session.send(ANSWER);
    expect(await session.closed).toBe(1008);
    expect(await near.lastRow()).toMatchObject({ problem: "budget_exhausted", callerName: "eager" });
  });

  it("is refused before anything is opened to whom it is not allowed", async () => {
    await expect(talk(door(), "gk_unknown")).rejects.toThrow("401");
    await expect(talk(`${near.url}/v1/realtime`)).rejects.toThrow("400");
    const scoped = await talk(door(), await near.key({ models: ["other"] }));
    expect(await scoped.until("error")).toMatchObject({ error: { type: "forbidden" } });
    const unknown = await talk(door("tlak"));
    expect(await unknown.until("error")).toMatchObject({ error: { type: "unknown_model" } });
    const lost = await talk(door("lost"));
    expect(await lost.until("error")).toMatchObject({ error: { type: expect.stringMatching(/^up/) as string } });
  });

  it("lets a key offer only its tools, whatever the names are written as, and no other model", async () => {
    const session = await talk(door(), await near.key({ tools: ["weather"] }));
    await session.until("session.created");
    session.send(`{"type":"session.update","session":{"\\u0074ools":[{"type":"function","name":"shell"}]}}`);
    expect(await session.until("error")).toMatchObject({ error: { type: "forbidden" } });
    session.send({ type: "session.update", session: { tools: [{ type: "function", name: "weather" }] } });
    await session.until("session.updated");
    session.send({ type: "session.update", session: { model: "gpt-realtime" } });
    expect(await session.until("error")).toMatchObject({ error: { type: "invalid_request" } });
    session.send(`{"type":"response.create","type":"session.update"}`);
    expect(await session.until("error")).toMatchObject({ error: { type: "invalid_request" } });
    session.close();
    await session.closed;
  });

  it("takes no nonsense, no flood and no message of 20 MB", async () => {
    const nonsense = await talk(door());
    await nonsense.until("session.created");
    nonsense.send("{");
    expect(await nonsense.until("error")).toMatchObject({ error: { type: "invalid_request" } });
    nonsense.close();
    const flood = await talk(door());
    await flood.until("session.created");
    for (let at = 0; at < 2000; at++) flood.send({ type: "input_audio_buffer.append", audio: "AAAA" });
    expect(await flood.closed).toBe(1008);
    expect(await near.lastRow()).toMatchObject({ operation: "realtime", problem: "rate_limited" });
    const large = await talk(door());
    await large.until("session.created");
    large.send({ type: "input_audio_buffer.append", audio: "A".repeat(20 * 1024 * 1024) });
    expect(await large.closed).toBe(1009);
    expect(await near.lastRow()).toMatchObject({ problem: "too_large" });
  });

  it("ends at the provider when the client is gone", async () => {
    const session = await talk(door());
    await session.until("session.created");
    session.close();
    await session.closed;
    expect(await near.lastRow()).toMatchObject({ state: "done", operation: "realtime" });
    expect(await far.lastRow()).toMatchObject({ state: "done", operation: "realtime" });
    expect([near.house.gateway.live.running, far.house.gateway.live.running]).toEqual([0, 0]);
  });
});

describe("Gemini's Live API", () => {
  it("serves its own client, with the model that the first message names", async () => {
    const gateway = await startGateway({
      config: `providers:
  lab:
    kind: gemini
    baseUrl: ${far.url}
    apiKey: x
    allowPrivateNetwork: true
    models: { sim/voice: { price: { inputUsd: 1000, outputUsd: 1000 } } }
models: { talk: lab/sim/voice }
`,
    });
    const ai = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: gateway.url } });
    let session: Session | undefined;
    const told = await new Promise<string>((resolve, reject) => {
      let text = "";
      const onmessage = (message: LiveServerMessage): void => {
        text += message.serverContent?.modelTurn?.parts?.map((part) => part.text ?? "").join("") ?? "";
        if (message.serverContent?.turnComplete) resolve(text);
      };
      const open = async (): Promise<void> => {
        const onerror = (event: { readonly message: string }): void => reject(new Error(event.message));
        session = await ai.live.connect({ model: "talk", callbacks: { onmessage, onerror } });
        session.sendClientContent({ turns: "hello there" });
      };
      open().catch(reject);
    });
    expect(told).toBe("hello there");
    session?.close();
    expect(await gateway.lastRow()).toMatchObject({ state: "done", dialect: "gemini", operation: "realtime", target: "lab/sim/voice" });
    expect((await gateway.lastRow()).costNanodollars).toBeGreaterThanOrEqual(6_000_000);
    const silent = await talk(`${gateway.url}/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent`);
    silent.send({ clientContent: {} });
    expect(await silent.closed).toBe(1008);
    await gateway.close();
  });
});

describe("a provider's socket", () => {
  it("that dies in the middle of an answer is a failure, told and booked as an estimate", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    const asked: (string | undefined)[] = [];
    server.on("connection", (socket, request) => {
      asked.push(request.url, request.headers.authorization);
      socket.send(JSON.stringify({ type: "session.created", session: {} }));
      socket.on("message", () => {
        socket.send(JSON.stringify({ type: "response.created", response: {} }));
        socket.send(JSON.stringify({ type: "response.output_text.delta", delta: "a".repeat(400) }));
        setImmediate(() => socket.terminate());
      });
    });
    await new Promise<void>((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const gateway = await startGateway({
      config: `providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:${port}/v1", apiKey: secret, allowPrivateNetwork: true }
models: { talk: lab/voice }
`,
    });
    const session = await talk(`${gateway.url}/v1/realtime?model=talk`, "sk-of-the-client");
    await session.until("session.created");
    session.send(ANSWER);
    expect(await session.until("error")).toMatchObject({ error: { type: "upstream_broken" } });
    expect(await session.closed).toBe(1011);
    expect(asked).toEqual(["/v1/realtime?model=voice", "Bearer secret"]);
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken", usage: { output: 100, estimated: true } });
    await gateway.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
