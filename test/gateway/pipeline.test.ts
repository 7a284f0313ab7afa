import { afterEach, describe, expect, it } from "vitest";
import type { Alias, Dialect, LedgerRow, Provider, Snapshot, Stores } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { createGateway, openCall, type GatewayDeps } from "../../src/gateway/index.ts";
import type { Reader } from "../../src/gateway/reader.ts";
import { limitsOptions } from "../../src/gateway/options.ts";
import type { CallRequest } from "../../src/gateway/request.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";
import { ScriptedProvider, type Script } from "../support/scripted.ts";

const CHAT = "openai-chat";
const delta = (text: string): string =>
  `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1, model: "m-1", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`;
const FINISH = `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1, model: "m-1", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`;
const USAGE = `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1, model: "m-1", choices: [], usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } })}\n\n`;
const DONE = "data: [DONE]\n\n";
const PLAIN = JSON.stringify({
  id: "c1",
  object: "chat.completion",
  created: 1,
  model: "m-1",
  choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
});

class Client implements Reader {
  status = 0;
  headers: Readonly<Record<string, string>> = {};
  body = "";
  ended = 0;
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.head(status, headers);
    this.body += body.toString();
    this.ended++;
  }
  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.status = status;
    this.headers = headers;
  }
  frames(frames: readonly Buffer[]): boolean {
    for (const frame of frames) this.body += frame.toString();
    return true;
  }
  end(): void {
    this.ended++;
  }
}

interface Bench {
  readonly deps: GatewayDeps;
  readonly stores: Stores;
  readonly clock: ManualClock;
  call(
    body: unknown,
    options?: { readonly headers?: Record<string, string>; readonly peer?: string; readonly dialect?: string },
  ): Promise<{ client: Client; row: LedgerRow }>;
  start(body: unknown): { client: Client; live: ReturnType<typeof openCall> };
}

const defects: unknown[] = [];
afterEach(() => {
  expect(defects.splice(0)).toEqual([]);
});

function bench(providers: readonly Provider[], alias: Partial<Alias> = {}): Bench {
  const clock = new ManualClock();
  const stores = memoryStores(clock);
  const targets = providers.map((provider) => ({ provider: provider.id, model: "m", weight: 1 }));
  const entry: Alias = { name: "a", strategy: "fallback", retries: 0, timeoutMs: 1000, continue: "never", targets, ...alias };
  const snapshot: Snapshot = {
    version: 3,
    aliases: new Map([["a", entry]]),
    providers: new Map(providers.map((provider) => [provider.id, provider])),
    limits: limitsOptions.parse({}),
    access: { anonymous: "loopback" },
    callerLimits: [],
  };
  const deps = createGateway({
    clock,
    randomness: new SeededRandomness(1),
    snapshot: () => snapshot,
    dialects,
    stores,
    book: {
      version: "book-1",
      facts: () => undefined,
      cost: (_provider, _model, usage) => usage.output * 1000,
      countTokens: (text) => text.length,
    },
    guards: [],
    node: "n1",
    report: (error) => defects.push(error),
  });
  const start: Bench["start"] = (body) => open(body, {});
  function open(body: unknown, options: { readonly headers?: Record<string, string>; readonly peer?: string; readonly dialect?: string }) {
    const dialect = dialects.get(options.dialect ?? CHAT) as Dialect;
    const door = dialect.doors.find((candidate) => candidate.does.kind === "call") as CallRequest["door"];
    const client = new Client();
    const live = openCall(
      deps,
      {
        dialect,
        door,
        headers: { host: "127.0.0.1:1", ...options.headers },
        params: {},
        peer: options.peer ?? "127.0.0.1",
        readBody: async () => Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
      },
      client,
    );
    return { client, live };
  }
  return {
    deps,
    stores,
    clock,
    start,
    call: async (body, options = {}) => {
      const { client, live } = open(body, options);
      await live.whenSettled();
      const row = await stores.ledger.read(live.id);
      if (!row) throw new Error("no row");
      expect(client.ended).toBe(1);
      return { client, row };
    },
  };
}

const chat = (script: readonly Script[]): ScriptedProvider => new ScriptedProvider("p", [CHAT], script, { streamUsage: true });
const ASK = { model: "a", messages: [{ role: "user", content: "hello" }] };

describe("the fast path", () => {
  it("sends the client's bytes on but for the model, and the answer's bytes back", async () => {
    const provider = chat([{ body: [PLAIN] }]);
    const { client, row } = await bench([provider]).call(
      '{ "messages":[{"role":"user","content":"h\\u00e9"}], "model" : "a", "x_unknown": [1, 2] }',
    );
    expect(provider.calls[0]?.request.body).toBe(
      '{ "messages":[{"role":"user","content":"h\\u00e9"}], "model" :"m", "x_unknown": [1, 2] }',
    );
    expect(client.body).toBe(PLAIN);
    expect(client.headers).toMatchObject({ "x-gimbal-target": "p/m", "x-gimbal-attempts": "1", "x-gimbal-call-id": row.callId });
    expect(row).toMatchObject({
      state: "done",
      fastPath: true,
      stream: false,
      target: "p/m",
      upstreamModel: "m-1",
      usage: { inputUncached: 5, output: 2 },
      costNanodollars: 2000,
      priceVersion: "book-1",
      configVersion: 3,
      stop: "end",
    });
  });

  it("asks for usage a client did not ask for and keeps that frame from it", async () => {
    const provider = chat([{ body: [delta("he") + delta("llo"), FINISH, USAGE + DONE] }]);
    const { client, row } = await bench([provider]).call({ ...ASK, stream: true });
    expect(JSON.parse(String(provider.calls[0]?.request.body))).toMatchObject({ stream_options: { include_usage: true } });
    expect(client.body).toBe(delta("he") + delta("llo") + FINISH + DONE);
    expect(row).toMatchObject({
      state: "done",
      fastPath: true,
      stream: true,
      usage: { inputUncached: 5, output: 2 },
      costNanodollars: 2000,
    });
  });
});

describe("failing over", () => {
  it("moves on from a refusal, an error status, an error event on a 200, and an early cut, before anything was said", async () => {
    const failures: Script[] = [
      { fails: "before" },
      { status: 500, body: ["{}"] },
      {
        status: 200,
        headers: { "content-type": "text/event-stream" },
        body: ['data: {"error":{"message":"boom","type":"server_error"}}\n\n'],
      },
      { status: 200, headers: { "content-type": "text/event-stream" }, body: [], fails: "after" },
      { status: 200, headers: { "content-type": "text/html" }, body: ["<html>hello"] },
    ];
    for (const failure of failures) {
      const [bad, good] = [
        new ScriptedProvider("bad", [CHAT], [failure]),
        new ScriptedProvider("good", [CHAT], [{ body: [delta("ok"), FINISH, USAGE, DONE] }]),
      ];
      const { client, row } = await bench([bad, good]).call({ ...ASK, stream: true });
      expect(client.body, JSON.stringify(failure)).toContain('"ok"');
      expect(client.body).not.toContain("boom");
      expect(row.attempts.map((attempt) => attempt.target)).toEqual(["bad/m", "good/m"]);
      expect(row).toMatchObject({ state: "done", target: "good/m" });
      expect(client.headers["x-gimbal-attempts"]).toBe("2");
    }
  });

  it("does not repeat what was the caller's fault", async () => {
    const [bad, good] = [
      chat([{ status: 400, body: ['{"error":{"message":"bad tool","type":"invalid_request_error"}}'] }]),
      new ScriptedProvider("good", [CHAT], []),
    ];
    const { client, row } = await bench([bad, good]).call(ASK);
    expect(client.status).toBe(400);
    expect(client.headers["x-gimbal-problem"]).toBe("upstream_rejected");
    expect(good.calls).toHaveLength(0);
    expect(row).toMatchObject({ state: "failed", problem: "upstream_rejected" });
  });

  it("ends a stream that broke after text with exactly one terminal event, and estimates what it cost", async () => {
    const provider = chat([{ body: [delta("hello wor")], fails: "after" }]);
    const { client, row } = await bench([provider]).call({ ...ASK, stream: true });
    expect(client.body.startsWith(delta("hello wor"))).toBe(true);
    expect(client.body).not.toContain("[DONE]");
    expect(client.body.match(/"error"/g)).toHaveLength(1);
    expect(row).toMatchObject({ state: "failed", problem: "upstream_broken", usage: { estimated: true } });
  });
});

describe("ends", () => {
  it("stops the upstream when the client leaves and still leaves a row", async () => {
    const provider = chat([{ body: [delta("a")], fails: "never-ends" }]);
    const test = bench([provider]);
    const { client, live } = test.start({ ...ASK, stream: true });
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.body).toBe(delta("a"));
    live.detach(client);
    await live.whenSettled();
    expect(provider.cancelled).toBe(1);
    expect(await test.stores.ledger.read(live.id)).toMatchObject({ state: "cancelled", problem: "cancelled" });
    expect(test.deps.live.running).toBe(0);
  });

  it("times out an attempt that says nothing", async () => {
    const provider = chat([{ body: [], headers: { "content-type": "text/event-stream" }, fails: "never-ends" }]);
    const test = bench([provider]);
    const { client, live } = test.start({ ...ASK, stream: true });
    await new Promise((resolve) => setImmediate(resolve));
    test.clock.advance(1000);
    await live.whenSettled();
    expect(client.status).toBe(504);
    expect(await test.stores.ledger.read(live.id)).toMatchObject({ state: "failed", problem: "upstream_timeout" });
  });

  it("is over at its regular end although the connection behind it stays open", async () => {
    const provider = chat([{ body: [delta("a"), FINISH, DONE], fails: "never-ends" }]);
    const test = bench([provider]);
    const { client, live } = test.start({ ...ASK, stream: true });
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.ended).toBe(1);
    test.clock.advance(200_000);
    await live.whenSettled();
    expect(await test.stores.ledger.read(live.id)).toMatchObject({ state: "done" });
  });
});

describe("a call stopped on its way to the next target", () => {
  it("books what the first one used, once, and nothing for the one that was never asked", async () => {
    const failing: Script = {
      headers: { "content-type": "text/event-stream" },
      body: [USAGE, 'data: {"error":{"message":"boom","type":"server_error"}}\n\n'],
    };
    const [bad, good] = [new ScriptedProvider("bad", [CHAT], [failing]), new ScriptedProvider("good", [CHAT], [])];
    const test = bench([bad, good]);
    let lookUps = 0;
    test.stores.calls.findNative = async () => {
      if (++lookUps === 2) test.deps.live.findRunning(() => true)?.stop({ kind: "cancelled", message: "enough" });
      return new Map();
    };
    const history = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "c" },
    ];
    const { row } = await test.call({ model: "a", input: history, stream: true, store: false }, { dialect: "openai-responses" });
    expect(lookUps).toBe(2);
    expect(good.calls).toHaveLength(0);
    expect(row.attempts.map((attempt) => attempt.target)).toEqual(["bad/m"]);
    expect(row).toMatchObject({ state: "cancelled", usage: { inputUncached: 5, output: 2 } });
    expect(row.usage.estimated).toBeUndefined();
  });
});

describe("refusals at the door", () => {
  const cases: [string, unknown, { headers?: Record<string, string>; peer?: string }, string, number][] = [
    ["malformed JSON", "{", {}, "invalid_request", 400],
    ["two models", '{"model":"a","model":"b","messages":[]}', {}, "invalid_request", 400],
    ["no model", { messages: [] }, {}, "invalid_request", 400],
    ["model of the wrong type", { model: 7, messages: [] }, {}, "invalid_request", 400],
    ["unknown model", { ...ASK, model: "b" }, {}, "unknown_model", 404],
    ["missing key", ASK, { peer: "10.0.0.1" }, "unauthenticated", 401],
    ["unknown key", ASK, { headers: { authorization: "Bearer gk_nope" } }, "unauthenticated", 401],
    ["bad metadata", ASK, { headers: { "x-gimbal-metadata": "{" } }, "invalid_request", 400],
  ];
  for (const [name, body, options, kind, status] of cases) {
    it(`${name}: ${kind}, in the caller's own dialect, with one row`, async () => {
      const { client, row } = await bench([chat([])]).call(body, options);
      expect(client.status).toBe(status);
      expect(client.headers["x-gimbal-problem"]).toBe(kind);
      expect(JSON.parse(client.body).error.message).toEqual(expect.any(String));
      expect(row).toMatchObject({ state: "failed", problem: kind, attempts: [] });
    });
  }
});
