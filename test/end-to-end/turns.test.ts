import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { NotFoundError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startGateway, startPair, type GatewayPair, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

const SIM = `
sim:
  models:
    endless: { length: 100000, tokensPerSecond: 500 }
`;

let pair: GatewayPair;
let openai: OpenAI;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  openai = new OpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
});
afterAll(() => pair.close());

const WEATHER = {
  type: "function" as const,
  name: "get_weather",
  strict: false,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

type Response = OpenAI.Responses.Response;
const textOf = (response: Response): string =>
  response.output
    .flatMap((item) => (item.type === "message" ? item.content : []))
    .map((part) => (part.type === "output_text" ? part.text : ""))
    .join("");

describe("kept responses", () => {
  it.each(ROUTES.flatMap((first) => ROUTES.map((second) => [first, second] as const)))("begun at %s go on at %s", async (first, second) => {
    const one = await openai.responses.create({ model: `${first}echo`, input: "one" });
    const two = await openai.responses.create({ model: `${second}echo`, input: "two", previous_response_id: one.id });
    const three = await openai.responses.create({ model: `${first}echo`, input: "three", previous_response_id: two.id });
    expect([one, two, three].map(textOf)).toEqual(["one", "two", "three"]);
    expect(three.previous_response_id).toBe(two.id);
    const rows = (await pair.front.rows()).slice(-3);
    const [a = 0, b = 0, c = 0] = rows.map((row) => row.usage.inputUncached);
    expect(b).toBeGreaterThan(a);
    expect(c).toBeGreaterThan(b);
    const items = await openai.responses.inputItems.list(three.id, { order: "asc" });
    const said = items.data
      .flatMap((item): readonly object[] => ("content" in item && Array.isArray(item.content) ? item.content : []))
      .map((part) => ("text" in part ? part.text : ""));
    expect(said).toEqual(["one", "one", "two", "two", "three"]);
  });

  it("carry a tool loop over providers of different languages", async () => {
    const asked = await openai.responses.create({ model: "labclaude/sim/tools", input: "Weather?", tools: [WEATHER] });
    const [call] = asked.output.filter((item) => item.type === "function_call");
    expect(call).toBeDefined();
    const answered = await openai.responses.create({
      model: "labchat/sim/tools",
      previous_response_id: asked.id,
      tools: [WEATHER],
      input: [{ type: "function_call_output", call_id: call?.call_id ?? "", output: "mild" }],
    });
    expect(textOf(answered)).toContain("mild");
  });

  it("are read back, deleted, and then unknown", async () => {
    const made = await openai.responses.create({ model: "sim/echo", input: "keep me" });
    const read = await openai.responses.retrieve(made.id);
    expect(read).toMatchObject({ id: made.id, status: "completed", usage: made.usage });
    expect(textOf(read)).toBe("keep me");
    await openai.responses.delete(made.id);
    await expect(openai.responses.retrieve(made.id)).rejects.toBeInstanceOf(NotFoundError);
    await expect(openai.responses.create({ model: "sim/echo", input: "x", previous_response_id: made.id })).rejects.toThrow(
      /unknown|not found/i,
    );
    await expect(openai.responses.delete(made.id)).rejects.toBeInstanceOf(NotFoundError);
  });

  it("are not kept when the client says so", async () => {
    const made = await openai.responses.create({ model: "sim/echo", input: "forget me", store: false });
    await expect(openai.responses.retrieve(made.id)).rejects.toBeInstanceOf(NotFoundError);
  });

  it("page through their input items", async () => {
    const made = await openai.responses.create({
      model: "sim/echo",
      input: ["a", "b", "c"].map((text) => ({ role: "user" as const, content: text })),
    });
    const seen: string[] = [];
    for await (const item of openai.responses.inputItems.list(made.id, { limit: 1, order: "asc" })) seen.push(JSON.stringify(item));
    expect(seen).toHaveLength(3);
    expect(seen.join()).toMatch(/"a".*"b".*"c"/);
  });

  it("belong to their key alone", async () => {
    const clients = await Promise.all(
      ["first", "second"].map(
        async (name) => new OpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: await pair.front.key({ name }), maxRetries: 0 }),
      ),
    );
    const [mine, theirs] = clients as [OpenAI, OpenAI];
    const made = await mine.responses.create({ model: "sim/echo", input: "mine" });
    expect((await mine.responses.retrieve(made.id)).id).toBe(made.id);
    for (const other of [theirs, openai]) {
      await expect(other.responses.retrieve(made.id)).rejects.toBeInstanceOf(NotFoundError);
      await expect(other.responses.inputItems.list(made.id)).rejects.toBeInstanceOf(NotFoundError);
      await expect(other.responses.cancel(made.id)).rejects.toBeInstanceOf(NotFoundError);
      await expect(other.responses.delete(made.id)).rejects.toBeInstanceOf(NotFoundError);
      await expect(other.responses.create({ model: "sim/echo", input: "x", previous_response_id: made.id })).rejects.toBeInstanceOf(
        NotFoundError,
      );
    }
    expect((await mine.responses.retrieve(made.id)).id).toBe(made.id);
  });

  it.each(["sim/", "labclaude/sim/"])("run in the background at %s, and are cancelled there", async (route) => {
    const begun = await openai.responses.create({ model: `${route}endless`, input: "x", background: true });
    expect(["queued", "in_progress"]).toContain(begun.status);
    expect((await openai.responses.retrieve(begun.id)).status).toBe("in_progress");
    const cancelled = await openai.responses.cancel(begun.id);
    expect(cancelled.status).toBe("cancelled");
    expect((await openai.responses.retrieve(begun.id)).status).toBe("cancelled");
    expect(await pair.front.lastRow()).toMatchObject({ state: "cancelled", problem: "cancelled" });
  });

  it.each(ROUTES)("compact at %s, and go on from the compaction elsewhere", async (route) => {
    const compacted = await openai.responses.compact({ model: `${route}echo`, input: "The secret word is plum." });
    const types = compacted.output.map((item) => item.type);
    expect(types).toContain("compaction");
    for (const next of ROUTES) {
      const made = await openai.responses.create({
        model: `${next}echo`,
        store: false,
        input: [...(compacted.output as OpenAI.Responses.ResponseInputItem[]), { role: "user", content: "Go on." }],
      });
      // Where a language wants its roles to alternate, the summary and the question are one message, and the echo of both.
      expect(textOf(made)).toMatch(/Go on\.$/);
    }
  });

  it("count their input tokens, earlier turns included", async () => {
    const one = await openai.responses.create({ model: "sim/echo", input: "A first sentence with quite a few words in it." });
    const alone = await openai.responses.inputTokens.count({ model: "sim/echo", input: "two" });
    const after = await openai.responses.inputTokens.count({ model: "sim/echo", input: "two", previous_response_id: one.id });
    expect(after.input_tokens).toBeGreaterThan(alone.input_tokens);
  });
});

describe("message threads", () => {
  const BETA = "message-threads-2026-08-12";

  it("go on over providers of different languages, and belong to their key", async () => {
    const client = (apiKey: string) => new Anthropic({ baseURL: pair.front.url, apiKey, maxRetries: 0 });
    const mine = client(await pair.front.key({ name: "threads" }));
    const send = async (by: Anthropic, route: string, text: string, thread: object) =>
      by.beta.messages.create({
        model: `${route}echo`,
        max_tokens: 100,
        messages: [{ role: "user", content: text }],
        betas: [BETA],
        thread,
      } as unknown as Anthropic.Beta.MessageCreateParamsNonStreaming);
    let last = await send(mine, "sim/", "one", { type: "create" });
    for (const route of ROUTES) last = await send(mine, route, `at ${route}`, { type: "continue", previous_message_id: last.id });
    expect(last.content).toMatchObject([{ type: "text", text: `at ${ROUTES.at(-1) ?? ""}` }]);
    const rows = (await pair.front.rows()).slice(-ROUTES.length).map((row) => row.usage.inputUncached);
    expect(rows).toEqual(rows.toSorted((a, b) => a - b));
    const theirs = client(await pair.front.key({ name: "others" }));
    const error = await send(theirs, "sim/", "x", { type: "continue", previous_message_id: last.id }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Anthropic.NotFoundError);
  });
});

describe("what a client's language cannot carry", () => {
  let upstream: TestUpstream;
  let gateway: TestGateway;
  let chat: OpenAI;
  beforeAll(async () => {
    upstream = await startUpstream();
    gateway = await startGateway({
      config: `providers: { labclaude: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true } }`,
    });
    chat = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
  });
  afterAll(async () => {
    await gateway.close();
    await upstream.close();
  });

  const THINKING = { type: "thinking", thinking: "First the weather.", signature: "c2lnbmVk" };
  const SEALED = { type: "redacted_thinking", data: "c2VhbGVk" };
  const message = (content: unknown[], stop_reason: string) => ({
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "thinker",
    content,
    stop_reason,
    stop_sequence: null,
    usage: { input_tokens: 5, output_tokens: 5 },
  });
  const TOOLS: OpenAI.Chat.ChatCompletionTool[] = [{ type: "function", function: { name: "get_weather", parameters: WEATHER.parameters } }];
  const QUESTION: OpenAI.Chat.ChatCompletionMessageParam = { role: "user", content: "How is the weather?" };

  /** Two calls of a tool loop; returns what the upstream got in the second. */
  async function toolLoop(client: OpenAI, second = client): Promise<unknown[]> {
    upstream.answerWith(
      jsonAnswer(
        message(
          [
            THINKING,
            SEALED,
            { type: "text", text: "Let me look." },
            { type: "tool_use", id: "toolu_77", name: "get_weather", input: { city: "Oslo" } },
          ],
          "tool_use",
        ),
      ),
    );
    const first = await client.chat.completions.create({
      model: "labclaude/thinker",
      messages: [QUESTION],
      tools: TOOLS,
      reasoning_effort: "high",
    });
    const said = first.choices[0]?.message;
    if (!said) throw new Error("no message");
    expect(said.tool_calls).toMatchObject([{ id: "toolu_77" }]);
    upstream.answerWith(jsonAnswer(message([{ type: "text", text: "Mild." }], "end_turn")));
    // Only what the language knows: a client that drops extra fields is the rule.
    const history: OpenAI.Chat.ChatCompletionMessageParam = {
      role: "assistant",
      content: said.content,
      ...(said.tool_calls && { tool_calls: said.tool_calls }),
    };
    const done = await second.chat.completions.create({
      model: "labclaude/thinker",
      messages: [QUESTION, history, { role: "tool", tool_call_id: "toolu_77", content: "mild" }],
      tools: TOOLS,
      reasoning_effort: "high",
    });
    expect(done.choices[0]?.message.content).toBe("Mild.");
    const messages = upstream.requests.at(-1)?.body["messages"] as { role: string; content: unknown[] }[];
    return messages.find(({ role }) => role === "assistant")?.content ?? [];
  }

  it("is put back where it was on the next turn", async () => {
    expect(await toolLoop(chat)).toMatchObject([
      THINKING,
      SEALED,
      { type: "text", text: "Let me look." },
      { type: "tool_use", id: "toolu_77", name: "get_weather", input: { city: "Oslo" } },
    ]);
  });

  it("is never put into the call of somebody else", async () => {
    const [mine, theirs] = await Promise.all(
      ["mine", "theirs"].map(
        async (name) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: await gateway.key({ name }), maxRetries: 0 }),
      ),
    );
    if (!mine || !theirs) throw new Error("no clients");
    expect(JSON.stringify(await toolLoop(mine, theirs))).not.toContain(THINKING.signature);
  });
});
