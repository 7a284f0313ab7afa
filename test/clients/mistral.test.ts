import { Mistral } from "@mistralai/mistralai";
import type { AssistantMessage, ChatCompletionRequest, ChatCompletionResponse, ContentChunk } from "@mistralai/mistralai/models/components";
import { MistralError } from "@mistralai/mistralai/models/errors";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { startGateway, startPair, type GatewayPair, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, streamAnswer, type TestUpstream } from "../support/upstream.ts";
import { CITIES, CITY_SCHEMA, expectCancelled, FINAL_TEXT, isFast, PIXEL, REPORT, SIM, TEXT, THOUGHT } from "./simulated.ts";

/** The route on which the row of this client's own vendor is asked. */
const OWN = "labmistral/sim/";
const ROUTES = ["sim/", "labchat/sim/", "labresponses/sim/", "labclaude/sim/", OWN];

let pair: GatewayPair;
let upstream: TestUpstream;
let own: TestGateway;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  upstream = await startUpstream();
  own = await startGateway({
    config: `
providers:
  labmistral: { kind: mistral, baseUrl: "${pair.back.url}/v1", apiKey: x, allowPrivateNetwork: true }
  scripted: { kind: mistral, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true }
  elsewhere: { kind: groq, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true }
`,
  });
});
afterAll(async () => {
  for (const one of [own, pair, upstream]) await one.close();
});

type Request = Omit<ChatCompletionRequest, "stream">;
const HELLO: Request["messages"] = [{ role: "user", content: "Say hello." }];
const TOOL = {
  type: "function" as const,
  function: { name: "get_weather", description: "The weather in a city.", parameters: { ...CITY_SCHEMA } },
};

/** This client takes arguments as text and as what they say. */
function jsonOf(given: string | Record<string, unknown>): string {
  return typeof given === "string" ? given : JSON.stringify(given);
}

function textOf(content: string | ContentChunk[] | null | undefined): string {
  if (!Array.isArray(content)) return content ?? "";
  return content.map((part) => (part.type === "text" && "text" in part ? part.text : "")).join("");
}

describe.each(ROUTES)("@mistralai/mistralai through %s", (route) => {
  const gateway = (): TestGateway => (route === OWN ? own : pair.front);
  const client = (): Mistral => new Mistral({ serverURL: gateway().url, apiKey: "none", retryConfig: { strategy: "none" } });
  const ask = (body: Request): Promise<ChatCompletionResponse> => client().chat.complete(body);
  const fast = route === OWN || isFast(route, "labchat/");

  it("gets a plain answer", async () => {
    const answer = await ask({
      model: `${route}plain`,
      messages: [{ role: "system", content: "Be brief." }, ...HELLO],
      maxTokens: 100,
      randomSeed: 7,
      safePrompt: false,
    });
    expect(answer.choices).toMatchObject([{ index: 0, finishReason: "stop", message: { role: "assistant", content: TEXT } }]);
    const row = await gateway().lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "openai-chat", fastPath: fast, stream: false });
    expect(row.usage).toMatchObject({ inputUncached: answer.usage.promptTokens, output: answer.usage.completionTokens });
  });

  it("gets a stream", async () => {
    let text = "";
    let finish: string | null = null;
    for await (const { data } of await client().chat.stream({ model: `${route}plain`, messages: HELLO })) {
      text += textOf(data.choices[0]?.delta.content);
      finish = data.choices[0]?.finishReason ?? finish;
    }
    expect([text, finish]).toEqual([TEXT, "stop"]);
    const row = await gateway().lastRow();
    expect(row).toMatchObject({ state: "done", stream: true, fastPath: fast });
    expect(row.usage.output).toBeGreaterThan(0);
  });

  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
    const messages: Request["messages"] = [{ role: "user", content: "How is the weather in Oslo and Rome?" }];
    const turn = async (): Promise<AssistantMessage> => {
      const body = { model: `${route}agent`, messages, tools: [TOOL], toolChoice: "auto" as const };
      if (!stream) return (await ask(body)).choices[0]?.message ?? {};
      const message: AssistantMessage = { content: "", toolCalls: [] };
      for await (const { data } of await client().chat.stream(body)) {
        const delta = data.choices[0]?.delta;
        message.content = textOf(message.content) + textOf(delta?.content);
        // This vendor sends a call whole; others send its arguments in pieces, by its number.
        for (const piece of delta?.toolCalls ?? []) {
          const open = message.toolCalls?.find(({ index }) => index === piece.index);
          if (open) open.function.arguments = jsonOf(open.function.arguments) + jsonOf(piece.function.arguments);
          else message.toolCalls?.push(piece);
        }
      }
      return message;
    };
    const asking = await turn();
    const calls = asking.toolCalls ?? [];
    const given = calls.map((call) => JSON.parse(jsonOf(call.function.arguments)) as unknown);
    expect(given).toEqual(CITIES.map((city) => ({ city })));
    messages.push(
      { ...asking, role: "assistant" },
      ...calls.map((call) => ({ role: "tool" as const, toolCallId: call.id ?? "", name: "get_weather", content: "mild" })),
    );
    expect(textOf((await turn()).content)).toBe(FINAL_TEXT);
  });

  it("gets structured output", async () => {
    const answer = await client().chat.parse({
      model: `${route}json`,
      messages: HELLO,
      responseFormat: z.object({ city: z.string(), degrees: z.number() }),
    });
    expect(answer.choices?.[0]?.message?.parsed).toEqual(REPORT);
  });

  it("sends an image", async () => {
    const answer = await ask({
      model: `${route}plain`,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", imageUrl: `data:image/png;base64,${PIXEL}` },
          ],
        },
      ],
    });
    expect(textOf(answer.choices[0]?.message?.content)).toBe(TEXT);
  });

  it("asks the model to think, and for the rest of an answer that it begins", async () => {
    const answer = await ask({
      model: `${route}thinker`,
      promptMode: "reasoning",
      messages: [...HELLO, { role: "assistant", content: "Well,", prefix: true }],
    });
    expect(textOf(answer.choices[0]?.message?.content)).toBe(TEXT);
    expect((await gateway().lastRow()).usage.reasoning).toBeGreaterThan(0);
  });

  it("is told what is wrong", async () => {
    const failed = await ask({ model: `${route}nothing`, messages: HELLO }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(MistralError);
    expect(failed).toMatchObject({ statusCode: 404, body: expect.stringContaining("nothing") as string });
  });

  it("can leave a stream", async () => {
    // Its option of a signal is not relied on: one that is passed on through a `Request` can be lost to the garbage collector.
    for await (const { data } of await client().chat.stream({ model: `${route}endless`, messages: HELLO }))
      if (textOf(data.choices[0]?.delta.content) !== "") break;
    await expectCancelled(gateway());
  });
});

describe("@mistralai/mistralai and what is its vendor's own", () => {
  const client = (): Mistral => new Mistral({ serverURL: own.url, apiKey: "none", retryConfig: { strategy: "none" } });
  const thought = { type: "thinking" as const, thinking: [{ type: "text" as const, text: THOUGHT }] };
  const content = [thought, { type: "text", text: TEXT }];
  const usage = { prompt_tokens: 4, completion_tokens: 6, total_tokens: 10, prompt_tokens_details: { cached_tokens: 1 } };
  const head = { id: "a", created: 1, model: "magistral" };
  const history = (): Request["messages"] => [
    ...HELLO,
    { role: "assistant", content: [thought, { type: "text", text: TEXT }] },
    { role: "user", content: "Go on." },
  ];

  it("sees thoughts as parts of the content, plain and streamed", async () => {
    upstream.answerWith(
      jsonAnswer({
        ...head,
        object: "chat.completion",
        choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content } }],
        usage,
      }),
    );
    const answer = await client().chat.complete({ model: "scripted/m", messages: history() });
    expect(answer.choices[0]?.message?.content).toMatchObject(content);
    expect(upstream.requests.at(-1)?.body["messages"]).toMatchObject([{}, { content }, {}]);
    const chunk = (delta: object, rest: object = {}): string =>
      `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: null, ...rest }] })}\n\n`;
    const end = JSON.stringify({ ...head, choices: [{ index: 0, delta: { content: "" }, finish_reason: "stop" }], usage });
    upstream.answerWith(
      streamAnswer(
        `${chunk({ role: "assistant", content: "" })}${chunk({ content: [thought] })}${chunk({ content: TEXT })}data: ${end}\n\ndata: [DONE]\n\n`,
      ),
    );
    const seen: unknown[] = [];
    for await (const { data } of await client().chat.stream({ model: "scripted/m", messages: HELLO }))
      seen.push(data.choices[0]?.delta.content);
    expect(seen).toMatchObject(["", [thought], TEXT, ""]);
    expect((await own.lastRow()).usage).toMatchObject({ inputUncached: 3, cacheRead: 1, output: 6 });
  });

  it("is understood by another vendor, whose words it never learnt", async () => {
    upstream.answerWith(
      jsonAnswer({
        ...head,
        object: "chat.completion",
        choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: TEXT } }],
        usage,
      }),
    );
    await client().chat.complete({
      model: "elsewhere/m",
      messages: history(),
      randomSeed: 7,
      safePrompt: true,
      promptMode: "reasoning",
      maxTokens: 9,
    });
    const body = upstream.requests.at(-1)?.body ?? {};
    expect(body).toMatchObject({ seed: 7, max_completion_tokens: 9 });
    for (const field of ["random_seed", "safe_prompt", "prompt_mode", "max_tokens"]) expect(body).not.toHaveProperty(field);
    expect((body["messages"] as object[])[1]).toMatchObject({
      role: "assistant",
      content: [{ type: "text", text: TEXT }],
      reasoning: THOUGHT,
    });
  });

  it("reads a refusal in its vendor's form", async () => {
    const refusal = { detail: [{ type: "extra_forbidden", loc: ["body", "colour"], msg: "Extra inputs are not permitted", input: "red" }] };
    upstream.answerWith(jsonAnswer(refusal, 422));
    const failed = await client()
      .chat.complete({ model: "scripted/m", messages: HELLO })
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ name: "HTTPValidationError", statusCode: 422, detail: [{ msg: "Extra inputs are not permitted" }] });
  });
});
