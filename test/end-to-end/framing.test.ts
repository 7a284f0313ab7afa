import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { sharedData } from "../support/shared.ts";
import { STREAMS } from "../dialects/ollama-chat/samples.ts";
import { endAll, serve } from "./resume-process.ts";

/** Large enough for every frame here but one. */
const FRAME_BYTES = 65_536;

interface Asked {
  readonly path: string;
  readonly accept: string | undefined;
  readonly bytes: string;
}

let gateway: TestGateway;
let server: Server;
let asked: Asked[] = [];
let answer: (response: ServerResponse) => void = (response) => void response.end();

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      asked.push({ path: request.url ?? "", accept: request.headers.accept, bytes: Buffer.concat(chunks).toString() });
      answer(response);
    });
    response.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  gateway = await startGateway({
    trusting: true,
    config: `
servers: { watch: false }
providers:
  lab: { kind: ollama, baseUrl: "http://127.0.0.1:${port}/v1", dialects: [ollama-chat] }
  chat: { kind: ollama, baseUrl: "http://127.0.0.1:${port}" , dialects: [openai-chat] }
models:
  l: lab/l
  kept: { targets: [lab/l], cache: { ttlSeconds: 600 } }
  once: { targets: [lab/l], retries: 0 }
  steadfast: { targets: [sim/broken, sim/whole], continue: always }
sim:
  models:
    broken: { text: "One two three four five six seven eight nine ten.", tokensPerSecond: 5000, faults: [{ kind: cut, afterTokens: 5 }] }
    whole: { text: "One two three four five six seven eight nine ten." }
    cut: { length: 60, faults: [{ kind: cut, afterTokens: 20 }] }
    steady: { length: 200, tokensPerSecond: 2000, seed: 3 }
serve: { limits: { frameBytes: ${FRAME_BYTES} } }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
});
afterEach(() => {
  asked = [];
});

const ask = (body: unknown, path = "/api/chat"): Promise<Response> =>
  fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const HELLO = [{ role: "user", content: "Hi" }];
const NDJSON = "application/x-ndjson";
const CHAT = STREAMS["chat"] ?? "";
const GENERATE = STREAMS["generate"] ?? "";
const streamed = (text: string | Buffer) => (response: ServerResponse) =>
  void response.writeHead(200, { "content-type": NDJSON }).end(text);
/** Whole lines of JSON and nothing else. */
const linesIn = (text: string): Record<string, unknown>[] => {
  expect(text.endsWith("\n")).toBe(true);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

describe("a stream that is no event stream", () => {
  it.each([
    ["/api/chat", { messages: HELLO }, CHAT],
    ["/api/generate", { prompt: "Hi" }, GENERATE],
  ])("passes byte for byte, and is asked for by its own name: %s", async (path, body, text) => {
    for (const piece of [1, 7, 100_000]) {
      answer = (response) => {
        response.writeHead(200, { "content-type": NDJSON });
        const bytes = Buffer.from(text);
        for (let at = 0; at < bytes.length; at += piece) response.write(bytes.subarray(at, at + piece));
        response.end();
      };
      const response = await ask({ model: "l", ...body }, path);
      expect(response.headers.get("content-type")).toBe(NDJSON);
      expect(await response.text()).toBe(text);
      expect(asked.at(-1)).toMatchObject({ path, accept: NDJSON });
      expect(await gateway.lastRow()).toMatchObject({
        state: "done",
        fastPath: true,
        stream: true,
        usage: { inputUncached: 26, output: 290 },
      });
    }
  });

  it("is whole without its last line end", async () => {
    answer = streamed(CHAT.trimEnd());
    expect(await (await ask({ model: "l", messages: HELLO })).text()).toBe(CHAT);
    expect((await gateway.lastRow()).state).toBe("done");
  });

  it("ends in one error in its own words wherever it breaks, or is refused before anything was said", async () => {
    const lines = CHAT.split("\n");
    for (const keep of [0, 10, (lines[0]?.length ?? 0) + 5, CHAT.length - 200, CHAT.length - 3]) {
      answer = streamed(CHAT.slice(0, keep));
      const response = await ask({ model: "once", messages: HELLO });
      const text = await response.text();
      expect(await gateway.lastRow()).toMatchObject({ problem: "upstream_broken" });
      if (keep < (lines[0]?.length ?? 0)) {
        expect(response.status).toBe(502);
        expect(JSON.parse(text)).toMatchObject({ error: expect.any(String) as string });
        continue;
      }
      const told = linesIn(text);
      expect(told.filter((line) => "error" in line || line["done"] === true)).toHaveLength(1);
      expect(told.at(-1)).toMatchObject({ error: expect.stringContaining("ended before") as string });
    }
  });

  it("is given up when a line grows beyond the limit, or the server says that it failed", async () => {
    answer = streamed(`${CHAT.split("\n")[0]}\n${"x".repeat(2 * FRAME_BYTES)}`);
    expect(linesIn(await (await ask({ model: "once", messages: HELLO })).text()).at(-1)).toMatchObject({
      error: expect.stringContaining(String(FRAME_BYTES)) as string,
    });
    answer = streamed(`${CHAT.split("\n")[0]}\n{"error":"the runner died"}\n`);
    expect(linesIn(await (await ask({ model: "once", messages: HELLO })).text()).at(-1)).toMatchObject({
      error: expect.stringContaining("the runner died") as string,
    });
  });

  it("is gone on with when it breaks", async () => {
    const told = linesIn(await (await ask({ model: "steadfast", messages: HELLO })).text());
    const text = told.map((line) => (line["message"] as { content: string }).content).join("");
    expect(text).toBe("One two three four five six seven eight nine ten.");
    expect(told.filter((line) => line["done"] === true)).toHaveLength(1);
    expect((await gateway.lastRow()).attempts.length).toBeGreaterThan(1);
  });

  it("is read on as it was, without numbers in it", async () => {
    const response = await ask({ model: "sim/steady", messages: HELLO });
    const id = response.headers.get("x-gimbal-call-id");
    const text = await response.text();
    const lines = text.split(/(?<=\n)/);
    await gateway.rows();
    await gateway.house.gateway.spilling.flush();
    for (const after of [0, 1, 77, lines.length - 1, lines.length]) {
      const again = await fetch(`${gateway.url}/v1/calls/${id}/events?after=${after}`);
      expect(again.headers.get("content-type")).toBe(NDJSON);
      expect(await again.text()).toBe(lines.slice(after).join(""));
    }
    const behind = await fetch(`${gateway.url}/v1/calls/${id}/events?after=${lines.length + 1}`);
    expect(behind.status).toBe(416);
  });

  it("that is kept serves every language, both doors, plain and streamed", async () => {
    answer = streamed(CHAT.replaceAll(/^.*tool_calls.*\n/gm, ""));
    const words = 'Hello "you" \u{1f600}\n.';
    const first = await ask({ model: "kept", messages: HELLO });
    expect(await first.text()).toContain('"done":true');
    const again = async (body: unknown, path?: string): Promise<string> => {
      const response = await ask(body, path);
      expect([response.status, response.headers.get("x-gimbal-cache")]).toEqual([200, "hit"]);
      return response.text();
    };
    expect(await again({ model: "kept", messages: HELLO, stream: false })).toContain(JSON.stringify(words));
    const generated = linesIn(await again({ model: "kept", prompt: "Hi" }, "/api/generate"));
    expect(generated.map((line) => line["response"]).join("")).toBe(words);
    expect(JSON.parse(await again({ model: "kept", prompt: "Hi", stream: false }, "/api/generate"))).toMatchObject({ response: words });
    const chat = await again({ model: "kept", messages: HELLO, stream: true }, "/v1/chat/completions");
    expect(chat.startsWith("data: ") && chat.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(JSON.parse(await again({ model: "kept", prompt: "Hi" }, "/v1/completions"))).toMatchObject({ choices: [{ text: words }] });
    expect(asked).toHaveLength(1);
  });

  it("passes on a request that only loads the model, and refuses it where there is none to load", async () => {
    answer = (response) =>
      void response
        .writeHead(200, { "content-type": "application/json" })
        .end('{"model":"l","created_at":"2026-01-01T00:00:00Z","response":"","done":true,"done_reason":"load"}');
    expect(await (await ask({ model: "l", stream: false }, "/api/generate")).json()).toMatchObject({ done_reason: "load" });
    expect(asked.at(-1)).toMatchObject({ path: "/api/generate", bytes: '{"model":"l","stream":false}' });
    const refused = await ask({ model: "chat/m", stream: false }, "/api/generate");
    expect([refused.status, refused.headers.get("x-gimbal-problem")]).toEqual([400, "invalid_request"]);
    expect(await refused.json()).toMatchObject({ error: expect.stringContaining("nothing to answer") as string });
  });

  it("finds the server's other API below its version path", async () => {
    const message = { role: "assistant", content: "Hello" };
    answer = (response) =>
      void response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ id: "c", model: "m", choices: [{ index: 0, message, finish_reason: "stop" }] }));
    expect(await (await ask({ model: "chat/m", messages: HELLO, stream: false })).json()).toMatchObject({ message, done: true });
    expect(asked.at(-1)?.path).toBe("/v1/chat/completions");
  });
});

const folder = sharedData("captures/ollama-js");

describe.skipIf(folder === undefined)("what released clients send", () => {
  const captures = readdirSync(folder ?? ".")
    .filter((file) => file.endsWith("api_chat.json"))
    .map(
      (file) => JSON.parse(readFileSync(join(folder ?? "", file), "utf8")) as { path: string; body: { model: string; stream: boolean } },
    );
  it("reaches the server byte for byte", async () => {
    expect(captures.length).toBeGreaterThan(1);
    for (const { path, body } of captures) {
      answer = body.stream
        ? streamed(CHAT)
        : (response) => void response.writeHead(200, { "content-type": "application/json" }).end(CHAT.trim().split("\n").at(-1));
      const bytes = JSON.stringify(body);
      await (await ask(bytes, path)).text();
      expect(asked.at(-1)).toMatchObject({ path, bytes, accept: body.stream ? NDJSON : "application/json" });
      expect(await gateway.lastRow()).toMatchObject({ state: "done", fastPath: true });
    }
  });
});

describe("a stream of lines whose gateway was killed", () => {
  afterEach(endAll);
  it("is told to the last line that was spilled, then one problem", async () => {
    const data = await mkdtemp(join(tmpdir(), "gimbal-framing-"));
    try {
      const file = join(data, "gimbal.yaml");
      await writeFile(
        file,
        "version: 1\nstorage: { openHoldMs: 1 }\nsim:\n  models:\n    endless: { length: 100000, tokensPerSecond: 200, seed: 4 }\n",
      );
      const before = await serve(data, file);
      const response = await fetch(`${before.url}/api/chat`, {
        method: "POST",
        body: JSON.stringify({ model: "sim/endless", messages: HELLO }),
      });
      const id = response.headers.get("x-gimbal-call-id");
      const reader = response.body?.getReader();
      let heard = "";
      while (heard.split("\n").length < 60) heard += new TextDecoder().decode((await reader?.read())?.value);
      await before.kill();
      const after = await serve(data, file);
      const again = await fetch(`${after.url}/v1/calls/${id}/events?after=0`);
      expect(again.headers.get("content-type")).toBe(NDJSON);
      const text = await again.text();
      const lines = linesIn(text);
      expect(lines.length).toBeGreaterThan(20);
      expect(lines.at(-1)).toMatchObject({ error: expect.stringContaining("stopped while call") as string });
      expect(lines.filter((line) => "error" in line)).toHaveLength(1);
      const told = text.split("\n").slice(0, -2);
      expect(heard.split("\n").slice(0, told.length)).toEqual(told.slice(0, heard.split("\n").length));
    } finally {
      endAll();
      await rm(data, { recursive: true, force: true });
    }
  });
});
