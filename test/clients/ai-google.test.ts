import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { APICallError, generateText, isStepCount, jsonSchema, Output, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, CITY_SCHEMA, expectCancelled, FINAL_TEXT, PIXEL, REPORT, REPORT_SCHEMA, SIM, TEXT, THOUGHT } from "./simulated.ts";

let pair: GatewayPair;
let google: ReturnType<typeof createGoogleGenerativeAI>;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  google = createGoogleGenerativeAI({ baseURL: `${pair.front.url}/v1beta`, apiKey: "none" });
});
afterAll(() => pair.close());

const THINKING = { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } } };

describe.each([...ROUTES, "labgemini/sim/"])("@ai-sdk/google through %s", (route) => {
  // The SDK takes a name with a slash for a whole path of its own vendor's.
  const model = (name: string) => google(`models/${route}${name}`);

  it("gets a plain answer", async () => {
    const { text, finishReason, usage } = await generateText({ model: model("plain"), prompt: "Say hello.", maxRetries: 0 });
    expect({ text, finishReason }).toEqual({ text: TEXT, finishReason: "stop" });
    expect(usage.outputTokens).toBeGreaterThan(0);
    expect(await pair.front.lastRow()).toMatchObject({ state: "done", dialect: "gemini" });
  });

  it("gets a stream", async () => {
    const result = streamText({ model: model("plain"), prompt: "Say hello.", maxRetries: 0 });
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
      model: model("agent"),
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
      model: model("json"),
      prompt: "Report.",
      output: Output.object({ schema: jsonSchema<typeof REPORT>(REPORT_SCHEMA) }),
      maxRetries: 0,
    });
    expect(output).toEqual(REPORT);
  });

  it("sends an image", async () => {
    const { text } = await generateText({
      model: model("plain"),
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
    const body = { model: model("thinker"), prompt: "Think.", maxRetries: 0, providerOptions: THINKING };
    const result = stream ? streamText(body) : await generateText(body);
    expect(await result.text).toBe(TEXT);
    expect(await result.reasoningText).toBe(THOUGHT);
  });
});

describe("@ai-sdk/google", () => {
  it("is told of an unknown model", async () => {
    const error = await generateText({ model: google("models/sim/plian"), prompt: "x", maxRetries: 0 }).catch((thrown: unknown) => thrown);
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 404, message: expect.stringContaining("plian") as string });
  });

  it("can leave a stream", async () => {
    const leaving = new AbortController();
    const result = streamText({
      model: google("models/sim/endless"),
      prompt: "Go on.",
      maxRetries: 0,
      abortSignal: leaving.signal,
      onError: () => undefined,
    });
    for await (const piece of result.textStream) if (piece !== "") leaving.abort();
    await expectCancelled(pair.front);
  });
});
