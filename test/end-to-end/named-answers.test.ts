import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Dialect } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { frameWriter, streamHeaders } from "../../src/gateway/framing.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

const BEDROCK_ANSWER = {
  output: { message: { role: "assistant", content: [{ text: "Hi" }] } },
  stopReason: "end_turn",
  usage: { inputTokens: 10, outputTokens: 2, totalTokens: 12 },
  metrics: { latencyMs: 5 },
};
const COHERE_ANSWER = {
  id: "c0ffee",
  finish_reason: "COMPLETE",
  message: { role: "assistant", content: [{ type: "text", text: "Hi" }] },
  usage: { tokens: { input_tokens: 10, output_tokens: 2 } },
};
const BEDROCK_STREAM: readonly (readonly [string, object])[] = [
  ["messageStart", { role: "assistant" }],
  ["contentBlockDelta", { contentBlockIndex: 0, delta: { text: "Hi" } }],
  ["contentBlockStop", { contentBlockIndex: 0 }],
  ["messageStop", { stopReason: "end_turn" }],
  ["metadata", { usage: BEDROCK_ANSWER.usage, metrics: { latencyMs: 5 } }],
];
const COHERE_STREAM: readonly (readonly [string, object])[] = [
  ["message-start", { type: "message-start", id: "c0ffee", delta: { message: { role: "assistant" } } }],
  ["content-start", { type: "content-start", index: 0, delta: { message: { content: { type: "text", text: "" } } } }],
  ["content-delta", { type: "content-delta", index: 0, delta: { message: { content: { text: "Hi" } } } }],
  ["content-end", { type: "content-end", index: 0 }],
  ["message-end", { type: "message-end", delta: { finish_reason: "COMPLETE", usage: COHERE_ANSWER.usage } }],
];

interface Upstream {
  readonly dialect: string;
  readonly target: string;
  readonly model: string;
  /** What its language calls the answer; undefined: nothing. */
  readonly id: string | undefined;
  readonly plain: object;
  readonly stream: readonly (readonly [string, object])[];
}
const UPSTREAMS: readonly Upstream[] = [
  {
    dialect: "bedrock-converse",
    target: "aws",
    model: "amazon.nova-pro-v1:0",
    id: undefined,
    plain: BEDROCK_ANSWER,
    stream: BEDROCK_STREAM,
  },
  { dialect: "cohere-chat", target: "co", model: "command-a-03-2025", id: "c0ffee", plain: COHERE_ANSWER, stream: COHERE_STREAM },
];

interface Client {
  readonly id: string;
  /** What stands before an id that the gateway gives. */
  readonly prefix: string;
  ask(model: string, stream: boolean): readonly [path: string, body: object];
}
const user = [{ role: "user", content: "Hi?" }];
const CLIENTS: readonly Client[] = [
  { id: "openai-chat", prefix: "chatcmpl-", ask: (model, stream) => ["/v1/chat/completions", { model, stream, messages: user }] },
  { id: "openai-responses", prefix: "resp_", ask: (model, stream) => ["/v1/responses", { model, stream, store: false, input: user }] },
  { id: "anthropic-messages", prefix: "msg_", ask: (model, stream) => ["/v1/messages", { model, stream, max_tokens: 9, messages: user }] },
  {
    id: "gemini",
    prefix: "",
    ask: (model, stream) => [
      `/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
      { contents: [{ role: "user", parts: [{ text: "Hi?" }] }] },
    ],
  },
];

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    config: `
providers:
  aws: { kind: bedrock, baseUrl: "${upstream.url}", region: us-east-1, apiKey: x, allowPrivateNetwork: true }
  co: { kind: cohere, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

function dialectOf(id: string): Dialect {
  const dialect = dialects.get(id);
  if (!dialect) throw new Error(`no dialect ${id}`);
  return dialect;
}

async function answered(
  { dialect, plain, stream, target, model }: Upstream,
  client: Client,
  streams: boolean,
): Promise<[string, Response]> {
  const language = dialectOf(dialect);
  const written = frameWriter(language);
  const body = Buffer.concat(stream.map(([event, value]) => written(event, JSON.stringify(value))));
  upstream.answerWith(streams ? (response) => void response.writeHead(200, streamHeaders(language)).end(body) : jsonAnswer(plain));
  const [path, asked] = client.ask(`${target}/${model}`, streams);
  const response = await fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(asked),
  });
  return [await response.text(), response];
}

const ways = UPSTREAMS.flatMap((from) => CLIENTS.map((client) => ({ from, client, title: `${from.dialect} to ${client.id}` })));

describe.each(ways)("an answer translated from $title", ({ from, client }) => {
  it.each([false, true])("bears an id and the target's model (stream: %s)", async (streams) => {
    const [text, response] = await answered(from, client, streams);
    expect(response.status, text).toBe(200);
    const unique = response.headers.get("x-gimbal-call-id")?.replace("call_", "") ?? "none";
    const ids = /"(?:id|responseId)":"([^"]*)"/.exec(text)?.[1] ?? "";
    expect(ids).toMatch(from.id === undefined ? `${client.prefix}${unique}` : from.id);
    expect(/"model(?:Version)?":"([^"]*)"/.exec(text)?.[1]).toBe(from.model);
    expect(text).not.toMatch(/"(?:id|responseId|model|modelVersion)":""/);
  });
});

describe("an answer in its own language", () => {
  it("gets no name that the language does not have", async () => {
    const [from] = UPSTREAMS;
    if (!from) throw new Error("no upstream");
    upstream.answerWith(jsonAnswer(BEDROCK_ANSWER));
    const response = await fetch(`${gateway.url}/model/${encodeURIComponent(`aws/${from.model}`)}/converse`, {
      method: "POST",
      body: JSON.stringify({ messages: [{ role: "user", content: [{ text: "Hi?" }] }] }),
    });
    expect(await response.json()).toEqual(BEDROCK_ANSWER);
  });
});
