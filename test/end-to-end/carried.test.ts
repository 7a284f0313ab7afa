import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, streamAnswer, type TestUpstream } from "../support/upstream.ts";

const SIGNATURE = "c2lnbmVkLWJ5LXRoZS1tb2RlbA==";
const SEALED = "gAAAAA-encrypted-by-the-provider";
const usage = { input_tokens: 3, output_tokens: 2 };

/** The Messages API as a provider: a signed thought, then words. */
const thinking = [
  { type: "thinking", thinking: "Cities first.", signature: SIGNATURE },
  { type: "redacted_thinking", data: "cmVkYWN0ZWQ=" },
  { type: "text", text: "Hi." },
];
const message = { id: "msg_1", type: "message", role: "assistant", model: "m", stop_reason: "end_turn", stop_sequence: null, usage };
const frames = (events: readonly Record<string, unknown>[]): string =>
  events.map((event) => `event: ${String(event["type"])}\ndata: ${JSON.stringify(event)}\n\n`).join("");
const messageStream = frames([
  { type: "message_start", message: { ...message, content: [], stop_reason: null } },
  ...thinking.flatMap((block, index) => [
    { type: "content_block_start", index, content_block: block.type === "text" ? { type: "text", text: "" } : block },
    ...(block.type === "text" ? [{ type: "content_block_delta", index, delta: { type: "text_delta", text: "Hi." } }] : []),
    { type: "content_block_stop", index },
  ]),
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 2 } },
  { type: "message_stop" },
]);

/** The Responses API as a provider: sealed reasoning, with a summary and without, then words. */
const output = [
  { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "Cities first." }], encrypted_content: SEALED },
  { type: "reasoning", id: "rs_2", summary: [], encrypted_content: `${SEALED}-2` },
  {
    type: "message",
    id: "msg_1",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: "Hi.", annotations: [], logprobs: [] }],
  },
];
const response = {
  id: "resp_1",
  object: "response",
  created_at: 1,
  status: "completed",
  model: "m",
  output,
  usage: { ...usage, total_tokens: 5, input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
};
const responseStream = frames([
  { type: "response.created", sequence_number: 0, response: { ...response, status: "in_progress", output: [] } },
  ...output.flatMap((item, output_index) => [
    { type: "response.output_item.added", sequence_number: 0, output_index, item },
    { type: "response.output_item.done", sequence_number: 0, output_index, item },
  ]),
  { type: "response.completed", sequence_number: 9, response },
]);

let claude: TestUpstream;
let responses: TestUpstream;
let gateway: TestGateway;
let other: TestGateway;
const answering =
  (plain: unknown, stream: string) =>
  (out: Parameters<ReturnType<typeof jsonAnswer>>[0], request: Parameters<ReturnType<typeof jsonAnswer>>[1]) =>
    (request.body["stream"] === true ? streamAnswer(stream) : jsonAnswer(plain))(out, request);
beforeAll(async () => {
  claude = await startUpstream(answering({ ...message, content: thinking }, messageStream));
  responses = await startUpstream(answering(response, responseStream));
  const config = `
providers:
  labclaude: { kind: anthropic, baseUrl: "${claude.url}", apiKey: x, allowPrivateNetwork: true }
  labclaude2: { kind: anthropic, baseUrl: "${claude.url}", apiKey: x, allowPrivateNetwork: true }
  labresponses: { kind: openai, baseUrl: "${responses.url}/v1", apiKey: x, dialects: [openai-responses], allowPrivateNetwork: true }
`;
  gateway = await startGateway({ config });
  other = await startGateway({ config });
});
afterAll(async () => {
  for (const one of [gateway, other, claude, responses]) await one.close();
});

const openai = (key: string, at = gateway) => new OpenAI({ baseURL: `${at.url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = (key: string) => new Anthropic({ baseURL: gateway.url, apiKey: key, maxRetries: 0 });
const sent = (upstream: TestUpstream) => JSON.stringify(upstream.requests.at(-1)?.body ?? {});

/** Each test has words of its own, so that nothing kept under the words of another helps it. */
let alice = "";
let bob = "";
beforeEach(async () => {
  [alice, bob] = await Promise.all([gateway.key({ name: "alice" }), gateway.key({ name: "bob" })]);
});

type Output = OpenAI.Responses.ResponseOutputItem[];

async function ask(client: OpenAI, stream: boolean, model = "labclaude/m", include = true): Promise<Output> {
  const body = {
    model,
    store: false,
    input: "Hello.",
    reasoning: { effort: "high" as const },
    ...(include && { include: ["reasoning.encrypted_content" as const] }),
  };
  return (stream ? await client.responses.stream(body).finalResponse() : await client.responses.create(body)).output;
}

async function goOn(client: OpenAI, before: Output, model = "labclaude/m"): Promise<void> {
  const said = before.map((item) =>
    item.type === "message" ? { ...item, content: [{ ...item.content[0], text: "Other words." }] } : item,
  );
  await client.responses.create({
    model,
    store: false,
    include: ["reasoning.encrypted_content"],
    input: [{ role: "user", content: "Hello." }, ...(said as OpenAI.Responses.ResponseInputItem[]), { role: "user", content: "Go on." }],
  });
}

describe.each([false, true])("a Responses client that keeps its own turns, before the Messages API (stream: %s)", (stream) => {
  it("carries the signatures back, though nothing kept would find them", async () => {
    const items = await ask(openai(alice), stream);
    const reasoning = items.filter((item) => item.type === "reasoning");
    expect(reasoning.map((item) => typeof item.encrypted_content)).toEqual(["string", "string"]);
    expect(JSON.stringify(items)).not.toContain(SIGNATURE);
    await goOn(openai(alice), items);
    expect(sent(claude)).toContain(JSON.stringify(thinking[0]));
    expect(sent(claude)).toContain(JSON.stringify(thinking[1]));
    expect(sent(claude)).not.toContain("gkr1.");
  });

  it("is given none unless it asks", async () => {
    expect(JSON.stringify(await ask(openai(alice), stream, "labclaude/m", false))).not.toContain("encrypted_content");
  });

  it("can give it to nobody else, nor to another gateway, nor change it", async () => {
    const items = await ask(openai(alice), stream);
    const changed = items.map((item) =>
      item.type === "reasoning" ? { ...item, encrypted_content: `${(item.encrypted_content ?? "").slice(0, -6)}AAAAAA` } : item,
    );
    for (const [client, given] of [
      [openai(bob), items],
      [openai(await other.key(), other), items],
      [openai(alice), changed],
    ] as const) {
      await goOn(client, given);
      expect(sent(claude)).not.toContain(SIGNATURE);
      expect(sent(claude)).not.toContain("gkr1.");
      expect(sent(claude)).toContain("Other words.");
    }
  });

  it("shows it to no other provider, whatever its language", async () => {
    const items = await ask(openai(alice), stream);
    await goOn(openai(alice), items, "labclaude2/m");
    expect(sent(claude)).not.toContain(SIGNATURE);
    await goOn(openai(alice), items, "labresponses/m");
    expect(sent(responses)).toContain("Other words.");
    for (const secret of [SIGNATURE, "gkr1."]) expect(sent(responses)).not.toContain(secret);
  });
});

describe.each([false, true])("a Messages client before the Responses API (stream: %s)", (stream) => {
  type Content = Anthropic.ContentBlock[];
  async function askMessages(): Promise<Content> {
    const body = { model: "labresponses/m", max_tokens: 99, messages: [{ role: "user" as const, content: "Hello." }] };
    const client = anthropic(alice);
    return (stream ? await client.messages.stream(body).finalMessage() : await client.messages.create(body)).content;
  }
  const goOnMessages = (key: string, content: Content, model = "labresponses/m") =>
    anthropic(key).messages.create({
      model,
      max_tokens: 99,
      messages: [
        { role: "user", content: "Hello." },
        { role: "assistant", content: content.map((block) => (block.type === "text" ? { type: "text", text: "Other words." } : block)) },
        { role: "user", content: "Go on." },
      ],
    });

  it("carries the sealed reasoning back as signatures", async () => {
    const content = await askMessages();
    const signatures = content.flatMap((block) => (block.type === "thinking" ? [block.signature.slice(0, 5)] : []));
    expect(signatures).toEqual(["gkr1.", "gkr1."]);
    expect(JSON.stringify(content)).not.toContain(SEALED);
    await goOnMessages(alice, content);
    const input = responses.requests.at(-1)?.body["input"] as { type: string }[];
    expect(input.filter(({ type }) => type === "reasoning")).toEqual(output.slice(0, 2));
  });

  it("can give it to nobody else, and shows it to no other provider", async () => {
    const content = await askMessages();
    await goOnMessages(bob, content);
    expect(sent(responses)).not.toContain(SEALED);
    expect(sent(responses)).not.toContain("gkr1.");
    await goOnMessages(alice, content, "labclaude/m");
    expect(sent(claude)).toContain("Other words.");
    for (const secret of [SEALED, "gkr1."]) expect(sent(claude)).not.toContain(secret);
  });
});
