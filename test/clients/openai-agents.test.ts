import { Agent, OpenAIProvider, Runner, tool } from "@openai/agents";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, expectCancelled, FINAL_TEXT, PIXEL, REPORT, SIM, TEXT } from "./simulated.ts";

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
});
afterAll(() => pair.close());

/** The three ways in which this client speaks. */
const SURFACES = [
  { title: "responses", options: { useResponses: true } },
  { title: "responses over a WebSocket", options: { useResponses: true, useResponsesWebSocket: true } },
  { title: "chat completions", options: { useResponses: false } },
];

describe.each(SURFACES)("@openai/agents with $title", ({ options, title }) => {
  let provider: OpenAIProvider;
  let runner: Runner;
  beforeAll(() => {
    provider = new OpenAIProvider({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none", ...options });
    runner = new Runner({ modelProvider: provider, tracingDisabled: true });
  });
  afterAll(() => provider.close());

  describe.each(ROUTES)("through %s", (route) => {
    it("gets a plain answer", async () => {
      const result = await runner.run(new Agent({ name: "plain", instructions: "Be brief.", model: `${route}plain` }), "Say hello.");
      expect(result.finalOutput).toBe(TEXT);
    });

    it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
      const asked: string[] = [];
      const weather = tool({
        name: "get_weather",
        description: "The weather in a city.",
        parameters: z.object({ city: z.string() }),
        execute: ({ city }) => {
          asked.push(city);
          return "mild";
        },
      });
      const agent = new Agent({ name: "weather", instructions: "Use the tool.", model: `${route}agent`, tools: [weather] });
      if (stream) {
        const result = await runner.run(agent, "How is the weather?", { stream: true });
        await result.completed;
        expect(result.finalOutput).toBe(FINAL_TEXT);
      } else expect((await runner.run(agent, "How is the weather?")).finalOutput).toBe(FINAL_TEXT);
      expect(asked.toSorted()).toEqual(CITIES);
    });

    it("gets structured output", async () => {
      const agent = new Agent({ name: "report", model: `${route}json`, outputType: z.object({ city: z.string(), degrees: z.number() }) });
      expect((await runner.run(agent, "Report.")).finalOutput).toEqual(REPORT);
    });

    it("sends an image", async () => {
      const agent = new Agent({ name: "eyes", model: `${route}plain` });
      const result = await runner.run(agent, [
        {
          role: "user",
          content: [
            { type: "input_text", text: "What is this?" },
            { type: "input_image", image: `data:image/png;base64,${PIXEL}` },
          ],
        },
      ]);
      expect(result.finalOutput).toBe(TEXT);
    });

    it("reasons", async () => {
      const agent = new Agent({ name: "thinker", model: `${route}thinker`, modelSettings: { reasoning: { effort: "low" } } });
      expect((await runner.run(agent, "Think.")).finalOutput).toBe(TEXT);
    });
  });

  it("is told of an unknown model", async () => {
    const error = await runner.run(new Agent({ name: "lost", model: "sim/plian" }), "x").catch((thrown: unknown) => thrown);
    // Over a WebSocket this client reports the event and keeps its words to itself.
    if (title.includes("WebSocket")) expect((error as Error).message).toMatch(/error|fail/i);
    else expect(error).toMatchObject({ status: 404, code: "model_not_found", message: expect.stringContaining("plain") as string });
  });

  it("can leave a stream", async () => {
    const leave = new AbortController();
    const result = await runner.run(new Agent({ name: "endless", model: "sim/endless" }), "Go on.", { stream: true, signal: leave.signal });
    try {
      await result.toTextStream()[Symbol.asyncIterator]().next();
      leave.abort();
      await result.completed;
    } catch {
      // It may report its own abort; what counts is what the gateway saw.
    }
    await expectCancelled(pair.front);
  });
});
