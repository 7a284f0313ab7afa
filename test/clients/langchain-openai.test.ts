import { HumanMessage, ToolMessage, type BaseMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, expectCancelled, FINAL_TEXT, PIXEL, REPORT, SIM, TEXT } from "./simulated.ts";

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
});
afterAll(() => pair.close());

const weather = tool(({ city }: { city: string }) => `mild in ${city}`, {
  name: "get_weather",
  description: "The weather in a city.",
  schema: z.object({ city: z.string() }),
});

describe.each([false, true])("@langchain/openai (responses: %s)", (useResponsesApi) => {
  const model = (name: string): ChatOpenAI =>
    new ChatOpenAI({ model: name, apiKey: "sk-none", useResponsesApi, maxRetries: 0, configuration: { baseURL: `${pair.front.url}/v1` } });

  describe.each(ROUTES)("through %s", (route) => {
    it("gets a plain answer", async () => {
      const message = await model(`${route}plain`).invoke("Say hello.");
      expect(message.text).toBe(TEXT);
      expect(message).toMatchObject({ usage_metadata: { output_tokens: expect.any(Number) as number } });
    });

    it("gets a stream", async () => {
      let text = "";
      for await (const chunk of await model(`${route}plain`).stream("Say hello.")) text += chunk.text;
      expect(text).toBe(TEXT);
    });

    it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
      const bound = model(`${route}agent`).bindTools([weather]);
      const messages: BaseMessage[] = [new HumanMessage("How is the weather in Oslo and Rome?")];
      const ask = async (): Promise<BaseMessage & { tool_calls?: { id?: string; name: string; args: Record<string, unknown> }[] }> => {
        if (!stream) return bound.invoke(messages);
        let whole;
        for await (const chunk of await bound.stream(messages)) whole = whole ? whole.concat(chunk) : chunk;
        if (!whole) throw new Error("the stream was empty");
        return whole;
      };
      const first = await ask();
      const calls = first.tool_calls ?? [];
      expect(calls.map((call) => call.args["city"])).toEqual(CITIES);
      messages.push(first, ...calls.map((call) => new ToolMessage({ tool_call_id: call.id ?? "", content: "mild" })));
      expect((await ask()).text).toBe(FINAL_TEXT);
    });

    it("gets structured output", async () => {
      const structured = model(`${route}json`).withStructuredOutput(z.object({ city: z.string(), degrees: z.number() }), {
        name: "report",
        method: "jsonSchema",
      });
      expect(await structured.invoke("Report.")).toEqual(REPORT);
    });

    it("sends an image", async () => {
      const message = await model(`${route}plain`).invoke([
        new HumanMessage({
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
          ],
        }),
      ]);
      expect(message.text).toBe(TEXT);
    });

    it("reasons", async () => {
      const message = await model(`${route}thinker`).invoke("Think.", { reasoning: { effort: "low" } });
      expect(message.text).toBe(TEXT);
      expect(message).toMatchObject({ usage_metadata: { output_token_details: { reasoning: expect.any(Number) as number } } });
    });
  });

  it("is told of an unknown model", async () => {
    const error = await model("sim/plian")
      .invoke("x")
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ status: 404, code: "model_not_found", message: expect.stringContaining('plain"') as string });
  });

  it("can leave a stream", async () => {
    const leave = new AbortController();
    const stream = await model("sim/endless").stream("Go on.", { signal: leave.signal });
    try {
      for await (const chunk of stream) if (chunk.text) leave.abort();
    } catch {
      // It reports its own abort; what counts is what the gateway saw.
    }
    await expectCancelled(pair.front);
  });
});
