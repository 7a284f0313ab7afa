import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, streamText, type LanguageModel } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { expectImage, expectPlain, expectStream, expectStructured, expectToolLoop } from "./ai-shared.ts";
import { expectCancelled, SIM, TEXT, THOUGHT } from "./simulated.ts";

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

/** Routes on which reasoning comes as it was thought, and not as a summary. */
const RAW = ["labchat/sim/", "labbedrock/sim/", "labcohere/sim/"];

describe.each(SURFACES)("ai with $title", ({ title, model, thinking, shows }) => {
  describe.each([...ROUTES, "labgemini/sim/"])("through %s", (route) => {
    it("gets a plain answer", () => expectPlain(model(`${route}plain`)));
    it("gets a stream", () => expectStream(model(`${route}plain`)));
    it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", (stream) =>
      expectToolLoop(model(`${route}agent`), stream),
    );
    it("gets structured output", () => expectStructured(model(`${route}json`)));
    it("sends an image", () => expectImage(model(`${route}plain`)));

    it.each([false, true])("gets reasoning (stream: %s)", async (stream) => {
      const body = { model: model(`${route}thinker`), prompt: "Think.", maxRetries: 0, ...(thinking && { providerOptions: thinking }) };
      const result = stream ? streamText(body) : await generateText(body);
      expect(await result.text).toBe(TEXT);
      // Some upstreams give raw reasoning, which this SDK hides unless it is a summary.
      if (shows && !(title.includes("responses") && RAW.includes(route))) expect(await result.reasoningText).toBe(THOUGHT);
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
