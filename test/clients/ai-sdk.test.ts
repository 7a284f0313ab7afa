import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, isStepCount, jsonSchema, Output, streamText, tool, type LanguageModel } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, CITY_SCHEMA, expectCancelled, FINAL_TEXT, PIXEL, REPORT, REPORT_SCHEMA, SIM, TEXT, THOUGHT } from "./simulated.ts";

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
});
afterAll(() => pair.close());

const openai = () => createOpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none" });

interface Surface {
  readonly title: string;
  readonly model: (name: string) => LanguageModel;
  readonly thinking: Parameters<typeof generateText>[0]["providerOptions"];
  /** Does this client's language show reasoning to it? */
  readonly shows: boolean;
}
const SURFACES: readonly Surface[] = [
  {
    title: "@ai-sdk/openai (responses)",
    model: (name) => openai().responses(name),
    thinking: { openai: { reasoningEffort: "low", reasoningSummary: "auto", forceReasoning: true, store: false } },
    shows: true,
  },
  {
    title: "@ai-sdk/openai (chat completions)",
    model: (name) => openai().chat(name),
    thinking: { openai: { reasoningEffort: "low", forceReasoning: true } },
    shows: false,
  },
  {
    title: "@ai-sdk/anthropic",
    model: (name) => createAnthropic({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none" })(name),
    thinking: { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } },
    shows: true,
  },
];

describe.each(SURFACES)("ai with $title", ({ title, model, thinking, shows }) => {
  describe.each([...ROUTES, "labgemini/sim/"])("through %s", (route) => {
    it("gets a plain answer", async () => {
      const { text, finishReason, usage } = await generateText({ model: model(`${route}plain`), prompt: "Say hello.", maxRetries: 0 });
      expect({ text, finishReason }).toEqual({ text: TEXT, finishReason: "stop" });
      expect(usage.outputTokens).toBeGreaterThan(0);
    });

    it("gets a stream", async () => {
      const result = streamText({ model: model(`${route}plain`), prompt: "Say hello.", maxRetries: 0 });
      let text = "";
      for await (const piece of result.textStream) text += piece;
      expect(text).toBe(TEXT);
      expect(await result.finishReason).toBe("stop");
    });

    it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
      const asked: string[] = [];
      const weather = tool({
        description: "The weather in a city.",
        inputSchema: jsonSchema<{ city: string }>(CITY_SCHEMA),
        execute: ({ city }) => {
          asked.push(city);
          return "mild";
        },
      });
      const body = {
        model: model(`${route}agent`),
        prompt: "How is the weather in Oslo and Rome?",
        tools: { get_weather: weather },
        stopWhen: isStepCount(3),
        maxRetries: 0,
      };
      const text = stream ? await streamText(body).text : (await generateText(body)).text;
      expect(text).toBe(FINAL_TEXT);
      expect(asked.toSorted()).toEqual(CITIES);
    });

    it("gets structured output", async () => {
      const { output } = await generateText({
        model: model(`${route}json`),
        prompt: "Report.",
        output: Output.object({ schema: jsonSchema<typeof REPORT>(REPORT_SCHEMA) }),
        maxRetries: 0,
      });
      expect(output).toEqual(REPORT);
    });

    it("sends an image", async () => {
      const { text } = await generateText({
        model: model(`${route}plain`),
        maxRetries: 0,
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "What is this?" },
              { type: "file", mediaType: "image/png", data: PIXEL },
            ],
          },
        ],
      });
      expect(text).toBe(TEXT);
    });

    it.each([false, true])("gets reasoning (stream: %s)", async (stream) => {
      const body = { model: model(`${route}thinker`), prompt: "Think.", maxRetries: 0, ...(thinking && { providerOptions: thinking }) };
      const result = stream ? streamText(body) : await generateText(body);
      expect(await result.text).toBe(TEXT);
      // A chat upstream gives its raw reasoning, which this SDK hides unless it is a summary.
      if (shows && !(title.includes("responses") && route === "labchat/sim/")) expect(await result.reasoningText).toBe(THOUGHT);
    });
  });

  it("is told of an unknown model", async () => {
    const error = await generateText({ model: model("sim/plian"), prompt: "x", maxRetries: 0 }).catch((thrown: unknown) => thrown);
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 404, message: expect.stringContaining('plain"') as string });
    expect((error as APICallError).responseHeaders?.["x-gimbal-problem"]).toBe("unknown_model");
  });

  it("can leave a stream", async () => {
    const leave = new AbortController();
    const result = streamText({ model: model("sim/endless"), prompt: "Go on.", abortSignal: leave.signal, maxRetries: 0 });
    for await (const part of result.stream) if (part.type === "text-delta") leave.abort();
    await expectCancelled(pair.front);
  });
});
