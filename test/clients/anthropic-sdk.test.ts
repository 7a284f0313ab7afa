import Anthropic, { NotFoundError } from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import {
  CITIES,
  CITY_SCHEMA,
  expectCancelled,
  FINAL_TEXT,
  isFast,
  PIXEL,
  REPORT,
  REPORT_SCHEMA,
  SIGNATURE,
  SIM,
  TEXT,
  THOUGHT,
} from "./simulated.ts";

let pair: GatewayPair;
let client: Anthropic;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  client = new Anthropic({ baseURL: pair.front.url, apiKey: "sk-none", maxRetries: 0 });
});
afterAll(() => pair.close());

const HELLO = [{ role: "user" as const, content: "Say hello." }];
const textOf = (content: readonly { type: string; text?: string }[]): string => content.map((block) => block.text ?? "").join("");

describe.each([...ROUTES, "labgemini/sim/"])("@anthropic-ai/sdk through %s", (route) => {
  it("gets a plain answer", async () => {
    const message = await client.messages.create({ model: `${route}plain`, max_tokens: 100, system: "Be brief.", messages: HELLO });
    expect(textOf(message.content)).toBe(TEXT);
    expect(message).toMatchObject({ type: "message", role: "assistant", stop_reason: "end_turn" });
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "anthropic-messages", fastPath: isFast(route, "labclaude/"), stream: false });
    expect(row.usage).toMatchObject({ inputUncached: message.usage.input_tokens, output: message.usage.output_tokens });
  });

  it("gets a stream", async () => {
    const stream = client.messages.stream({ model: `${route}plain`, max_tokens: 100, messages: HELLO });
    const pieces: string[] = [];
    stream.on("text", (text) => pieces.push(text));
    const message = await stream.finalMessage();
    expect(pieces.join("")).toBe(TEXT);
    expect(textOf(message.content)).toBe(TEXT);
    expect(message.usage.output_tokens).toBeGreaterThan(0);
    expect(await pair.front.lastRow()).toMatchObject({ state: "done", stream: true, fastPath: isFast(route, "labclaude/") });
  });

  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
    const asked: string[] = [];
    const weather = betaTool({
      name: "get_weather",
      description: "The weather in a city.",
      inputSchema: CITY_SCHEMA,
      run: ({ city }) => {
        asked.push(city);
        return "mild";
      },
    });
    const runner = client.beta.messages.toolRunner({
      model: `${route}agent`,
      max_tokens: 200,
      messages: [{ role: "user", content: "How is the weather in Oslo and Rome?" }],
      tools: [weather],
      stream,
    });
    const message = await runner.runUntilDone();
    expect(asked.toSorted()).toEqual(CITIES);
    expect(textOf(message.content)).toBe(FINAL_TEXT);
  });

  it("gets structured output", async () => {
    const message = await client.messages.parse({
      model: `${route}json`,
      max_tokens: 200,
      messages: HELLO,
      output_config: { format: jsonSchemaOutputFormat(REPORT_SCHEMA) },
    });
    expect(message.parsed_output).toEqual(REPORT);
  });

  it("sends an image", async () => {
    const message = await client.messages.create({
      model: `${route}plain`,
      max_tokens: 100,
      messages: [
        {
          role: "user",
          content: [
            { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
            { type: "text", text: "What is this?" },
          ],
        },
      ],
    });
    expect(textOf(message.content)).toBe(TEXT);
  });

  it.each([false, true])("gets reasoning (stream: %s)", async (stream) => {
    const params = {
      model: `${route}thinker`,
      max_tokens: 4000,
      thinking: { type: "enabled" as const, budget_tokens: 1024 },
      messages: HELLO,
    };
    const message = stream ? await client.messages.stream(params).finalMessage() : await client.messages.create(params);
    const thinking = message.content.find((block) => block.type === "thinking");
    expect(thinking?.thinking).toBe(THOUGHT);
    if (isFast(route, "labclaude/")) expect(thinking?.signature).toBe(SIGNATURE);
    expect(textOf(message.content)).toBe(TEXT);
  });

  it("can leave a stream", async () => {
    const stream = client.messages.stream({ model: `${route}endless`, max_tokens: 100_000, messages: HELLO });
    const ended = stream.done().catch((error: unknown) => error);
    await new Promise<void>((resolve) => stream.once("text", () => resolve()));
    stream.abort();
    await ended;
    await expectCancelled(pair.front);
  });

  it("counts tokens", async () => {
    const { input_tokens: short } = await client.messages.countTokens({ model: `${route}plain`, messages: HELLO });
    const { input_tokens: long } = await client.messages.countTokens({
      model: `${route}plain`,
      messages: [...HELLO, { role: "user", content: "And more, and more." }],
    });
    expect(short).toBeGreaterThan(0);
    expect(long).toBeGreaterThan(short);
  });

  it("continues a thread that the gateway holds", async () => {
    const thread = client.beta.messages.thread({ model: `${route}echo`, max_tokens: 100 });
    const first = await thread.send({ role: "user", content: "one" });
    const second = await thread.send({ role: "user", content: "two" });
    expect(textOf(first.content)).toBe("one");
    expect(textOf(second.content)).toBe("two");
    expect(thread.previousMessageId).toBe(second.id);
    const row = await pair.front.lastRow();
    expect(row.usage.inputUncached).toBeGreaterThan(first.usage.input_tokens);
  });

  it("runs tools over a thread", async () => {
    const weather = betaTool({ name: "get_weather", description: "The weather.", inputSchema: CITY_SCHEMA, run: () => "mild" });
    const thread = client.beta.messages.thread({ model: `${route}agent`, max_tokens: 200, tools: [weather] });
    thread.append({ role: "user", content: "How is the weather in Oslo and Rome?" });
    const message = await thread.toolRunner().runUntilDone();
    expect(textOf(message.content)).toBe(FINAL_TEXT);
  });
});

describe("@anthropic-ai/sdk", () => {
  it("is told of an unknown model in its own words", async () => {
    const error = await client.messages.create({ model: "sim/plian", max_tokens: 10, messages: HELLO }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    const { status, error: body, headers, requestID, message } = error as NotFoundError;
    expect(status).toBe(404);
    expect(body).toMatchObject({ type: "error", error: { type: "not_found_error", message: expect.stringContaining('plain"') as string } });
    expect(message).toContain("plain");
    expect(headers.get("x-gimbal-problem")).toBe("unknown_model");
    expect(requestID).toBe(headers.get("x-gimbal-call-id"));
  });

  it("lists the models", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toContain("sim/echo");
    expect((await client.models.retrieve("sim/echo")).id).toBe("sim/echo");
  });
});
