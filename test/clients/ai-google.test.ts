import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { APICallError, generateText, streamText } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { expectImage, expectPlain, expectStream, expectStructured, expectToolLoop } from "./ai-shared.ts";
import { expectCancelled, SIM, TEXT, THOUGHT } from "./simulated.ts";

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
    await expectPlain(model("plain"));
    expect(await pair.front.lastRow()).toMatchObject({ state: "done", dialect: "gemini" });
  });
  it("gets a stream", () => expectStream(model("plain")));
  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", (stream) => expectToolLoop(model("agent"), stream));
  it("gets structured output", () => expectStructured(model("json")));
  it("sends an image", () => expectImage(model("plain")));

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
