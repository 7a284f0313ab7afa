import { CohereClientV2, CohereError } from "cohere-ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, CITY_SCHEMA, FINAL_TEXT, REPORT, REPORT_SCHEMA, SIM, TEXT, THOUGHT } from "./simulated.ts";

let pair: GatewayPair;
let client: CohereClientV2;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  client = new CohereClientV2({ environment: pair.front.url, token: "none" });
});
afterAll(() => pair.close());

type ChatRequest = Parameters<CohereClientV2["chat"]>[0];
const HELLO: ChatRequest["messages"] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Say hello." },
];
const TOOL: NonNullable<ChatRequest["tools"]>[number] = {
  type: "function",
  function: { name: "get_weather", description: "The weather in a city.", parameters: { ...CITY_SCHEMA } },
};

describe.each(["sim/", "labcohere/sim/", "labchat/sim/", "labresponses/sim/", "labclaude/sim/", "labbedrock/sim/"])(
  "cohere-ai through %s",
  (route) => {
    const isFast = route === "sim/" || route === "labcohere/sim/";

    it("gets a plain answer", async () => {
      const answer = await client.chat({ model: `${route}plain`, messages: HELLO, maxTokens: 100, k: 5 });
      expect(answer).toMatchObject({ finishReason: "COMPLETE", message: { role: "assistant", content: [{ type: "text", text: TEXT }] } });
      const row = await pair.front.lastRow();
      expect(row).toMatchObject({ state: "done", dialect: "cohere-chat", fastPath: isFast });
      expect(answer.usage?.billedUnits).toMatchObject({ inputTokens: row.usage.inputUncached, outputTokens: row.usage.output });
    });

    it("gets a stream", async () => {
      let text = "";
      let end: unknown;
      for await (const event of await client.chatStream({ model: `${route}plain`, messages: HELLO })) {
        if (event.type === "content-delta") text += event.delta?.message?.content?.text ?? "";
        if (event.type === "message-end") end = event.delta;
      }
      expect(text).toBe(TEXT);
      expect(end).toMatchObject({ finishReason: "COMPLETE" });
      expect(await pair.front.lastRow()).toMatchObject({ state: "done", stream: true, fastPath: isFast });
    });

    it("completes a loop of parallel tool calls", async () => {
      const messages: ChatRequest["messages"] = [{ role: "user", content: "How is the weather in Oslo and Rome?" }];
      const asking = await client.chat({ model: `${route}agent`, messages, tools: [TOOL] });
      expect(asking.finishReason).toBe("TOOL_CALL");
      const calls = asking.message.toolCalls ?? [];
      expect(calls.map((call) => JSON.parse(call.function?.arguments ?? "") as unknown)).toEqual(CITIES.map((city) => ({ city })));
      messages.push({ role: "assistant", toolCalls: calls, ...(asking.message.toolPlan && { toolPlan: asking.message.toolPlan }) });
      for (const call of calls) messages.push({ role: "tool", toolCallId: call.id, content: "mild" });
      const answer = await client.chat({ model: `${route}agent`, messages, tools: [TOOL] });
      expect(answer.message.content).toMatchObject([{ text: FINAL_TEXT }]);
    });

    it("gets structured output", async () => {
      const answer = await client.chat({
        model: `${route}json`,
        messages: HELLO,
        responseFormat: { type: "json_object", jsonSchema: { ...REPORT_SCHEMA } },
      });
      const [first] = answer.message.content ?? [];
      expect(first?.type === "text" ? (JSON.parse(first.text) as unknown) : undefined).toEqual(REPORT);
    });

    it("shows what the model thinks", async () => {
      const answer = await client.chat({ model: `${route}thinker`, messages: HELLO, thinking: { type: "enabled", tokenBudget: 2000 } });
      const words = answer.message.content?.map((part) => (part.type === "thinking" ? part.thinking : part.text));
      // Not every language between shows thoughts.
      expect(words?.at(-1)).toBe(TEXT);
      if (isFast || route.startsWith("labbedrock")) expect(words).toEqual([THOUGHT, TEXT]);
    });

    it("is told what is wrong in its own words", async () => {
      const failed = await client.chat({ model: `${route}nothing`, messages: HELLO }, { maxRetries: 0 }).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(CohereError);
      expect(failed).toMatchObject({ statusCode: 404, body: { message: expect.stringContaining("nothing") as string } });
    });
  },
);
