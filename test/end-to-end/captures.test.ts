import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { captureFolders, sharedData } from "../support/shared.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

/** A request as a released client sent it. */
interface Capture {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly query?: string | Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Names that the captured clients call; all of them stand for simulated models here. */
const MODELS = [
  "claude-sonnet-4-5",
  "mistral-large-latest",
  "m",
  "gpt-4o",
  "gpt-5",
  "claude-x",
  "my-alias",
  "claude-opus-5-5",
  "gpt-6.1-sol",
  "gpt-5-codex",
  "l",
  "gpt-x",
  "mock-model",
  "text-embedding-ada-002",
  "omni-moderation-latest",
  "gemini-embedding",
  "gemini-x",
  "gemini-3-pro",
  "anthropic.claude-sonnet-4-5-v1:0",
  "command-a-03-2025",
  "c",
  "emb",
  "e",
  "r",
];
/** The doors that are built. */
const BUILT =
  /^\/v1\/(?:chat\/completions|files|embeddings|moderations|models\/[^/]+:(?:batchEmbedContents|generateContent|streamGenerateContent|countTokens)|responses(?:\/.*)?|messages(?:\/count_tokens)?|models(?:\/[^:]+)?)$|^\/v1beta\/models\/[^/]+:(?:stream)?[gG]enerateContent$|^\/v2\/(?:chat|embed|rerank)$|^\/model\/[^/]+\/converse(?:-stream)?$|^\/api\/(?:hello|embed|chat|generate|tags|show|version)$/;

const isSocket = (capture: Capture): boolean => capture.name.endsWith("WS_UPGRADE");

const captures = captureFolders().flatMap((folder) => capturesIn(folder));

/** What the server said whose ids the captured clients name later. */
const THREAD_ANSWER = {
  id: "msg_mock1",
  type: "message",
  role: "assistant",
  model: "mock",
  content: [{ type: "tool_use", id: "toolu_mock1", name: "get_weather", input: { city: "Oslo" } }],
  stop_reason: "tool_use",
  stop_sequence: null,
  usage: { input_tokens: 10, output_tokens: 5 },
};
const ITEMS_ANSWER = {
  id: "resp_mock1",
  object: "response",
  created_at: 1,
  status: "completed",
  model: "mock",
  output: [
    { type: "reasoning", id: "rs_mock1", summary: [] },
    {
      type: "function_call",
      id: "fc_mock1",
      call_id: "call_mock1",
      name: "get_weather",
      arguments: '{"city":"Paris"}',
      status: "completed",
    },
  ],
  usage: {
    input_tokens: 10,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 15,
  },
};

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream((response, asked) =>
    jsonAnswer(asked.path.endsWith("/messages") ? THREAD_ANSWER : ITEMS_ANSWER)(response, asked),
  );
  gateway = await startGateway({
    config: `
providers:
  thread: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true }
  items: { kind: openai, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true }
models:
${MODELS.map((name) => `  "${name}": sim/echo`).join("\n")}
  mock-thread: thread/mock
  mock-items: items/mock
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

describe.skipIf(captures.length === 0)("captured requests of released clients", () => {
  it("are there from every client set-up", () => {
    expect(captureFolders().length).toBeGreaterThanOrEqual(22);
  });

  it.each(captures.filter((capture) => !isSocket(capture) && BUILT.test(capture.path)))("$name is answered", async (capture) => {
    const before = (await gateway.rows()).length;
    const answer = await replay(gateway.url, withItsServer(capture));
    expect(answer.body).not.toContain("internal");
    expect(answer.status, answer.body).toBeGreaterThanOrEqual(200);
    expect(answer.status, answer.body).toBeLessThan(300);
    if (capture.method !== "POST") return;
    const rows = (await gateway.rows()).slice(before);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ state: "done", callId: answer.headers["x-gimbal-call-id"] });
  });

  it.each(captures.filter((capture) => !isSocket(capture) && !BUILT.test(capture.path)))(
    "$name, which no contract names, is not found",
    async (capture) => {
      const answer = await replay(gateway.url, capture);
      expect(answer.status, answer.body).toBe(404);
      expect(answer.headers["x-gimbal-problem"]).toBe("not_found");
    },
  );

  it.each(captures.filter((capture) => isSocket(capture)))("$name is accepted as a WebSocket", async (capture) => {
    const { socket, opened } = openSocket(`${gateway.url.replace("http", "ws")}${capture.path}`, capture.headers);
    await opened;
    const body = captures.find((other) => other.name === capture.name.replace(/ .*/, " 02_POST_v1_responses"))?.body ?? {};
    const types: string[] = [];
    const done = new Promise<void>((resolve) => {
      socket.on("message", (data: Buffer) => {
        const { type } = JSON.parse(data.toString()) as { type: string };
        types.push(type);
        if (type === "response.completed" || type === "error") resolve();
      });
    });
    socket.send(JSON.stringify({ type: "response.create", ...body }));
    await done;
    socket.close();
    expect(types.at(-1)).toBe("response.completed");
    expect(await gateway.lastRow()).toMatchObject({ state: "done", dialect: "openai-responses" });
  });
});

/** The captures that name what their server held meet that server here. */
function withItsServer(capture: Capture): Capture {
  const body = capture.body as { thread?: unknown } | undefined;
  if (body?.thread !== undefined) return { ...capture, body: { ...body, model: "mock-thread" } };
  return /^ai-openai-responses 0[12]/.test(capture.name) ? { ...capture, body: { ...body, model: "mock-items" } } : capture;
}

function capturesIn(folder: string): Capture[] {
  const root = sharedData(join("captures", folder));
  if (root === undefined) return [];
  return readdirSync(root)
    .filter((file) => file.endsWith(".json"))
    .toSorted()
    .map((file) => ({
      ...(JSON.parse(readFileSync(join(root, file), "utf8")) as Capture),
      name: `${folder} ${file.replace(".json", "")}`,
    }));
}

/** Said anew by the transport: they depend on the connection and on the body's length, not on the client. */
const OF_THE_CONNECTION = /^(?:host|connection|content-length|transfer-encoding|upgrade|sec-websocket-.*)$/i;

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends a capture as it was: its own headers, in their order and case, and its own body. */
function replay(url: string, capture: Capture): Promise<Answered> {
  const query = typeof capture.query === "object" ? `?${new URLSearchParams(capture.query).toString()}` : (capture.query ?? "");
  const body = capture.body === undefined || capture.body === null ? undefined : JSON.stringify(capture.body);
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}${capture.path}${query}`,
      {
        method: capture.method,
        headers: {
          ...Object.fromEntries(Object.entries(capture.headers).filter(([name]) => !OF_THE_CONNECTION.test(name))),
          ...(body !== undefined && { "content-length": String(Buffer.byteLength(body)) }),
        },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

function openSocket(url: string, headers: Readonly<Record<string, string>>): { socket: WebSocket; opened: Promise<void> } {
  const socket = new WebSocket(url, {
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_THE_CONNECTION.test(name))),
  });
  return {
    socket,
    opened: new Promise((resolve, reject) => {
      socket.on("open", () => resolve());
      socket.on("error", reject);
    }),
  };
}
