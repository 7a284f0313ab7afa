import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Call, Guard } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const SIGNATURE = "c2lnbmVkLWJ5LXRoZS1tb2RlbA==";
const THOUGHT = "Cities first.";

/** What reached the model, in canonical form. */
const seen: Call[] = [];
const witness: Guard = {
  id: "witness",
  readsContent: true,
  call: (call) => {
    seen.push(call);
    return { verdict: "allow" };
  },
};

let back: TestGateway;
let front: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  back = await startGateway({
    guards: [witness],
    config: `
sim:
  models:
    thinker:
      signature: "${SIGNATURE}"
      script:
        - { reasoning: "${THOUGHT}", text: "Let me look.", toolCalls: [{ name: get_weather, arguments: { city: Oslo } }] }
        - { reasoning: "And another.", toolCalls: [{ name: get_weather, arguments: { city: Rome } }] }
        - { text: "Mild." }
`,
  });
  front = await startGateway({
    config: `
providers:
  labclaude: { kind: anthropic, baseUrl: "${back.url}", apiKey: x, allowPrivateNetwork: true }
  labother: { kind: anthropic, baseUrl: "${back.url}", apiKey: x, allowPrivateNetwork: true }
`,
  });
  client = new OpenAI({ baseURL: `${front.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
});
afterAll(async () => {
  await front.close();
  await back.close();
});

const PARAMETERS = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

/** Signatures of the reasoning that the model got back, in the order of its turns. */
function signaturesSeen(): (string | undefined)[] {
  return (seen.at(-1)?.items ?? []).flatMap((item) => (item.type === "reasoning" ? [item.signature] : []));
}

describe.each([false, true])("signed reasoning over a tool loop of three turns (stream: %s)", (stream) => {
  /** A chat client that remembers what its language knows, and nothing else. */
  async function chatLoop(models: readonly string[]): Promise<void> {
    const messages: OpenAI.Chat.ChatCompletionMessageParam[] = [
      { role: "user", content: `How is the weather? (${stream} ${models.join()})` },
    ];
    for (const model of models) {
      const body = {
        model,
        messages,
        reasoning_effort: "high" as const,
        tools: [{ type: "function" as const, function: { name: "get_weather", parameters: PARAMETERS } }],
      };
      const completion = stream
        ? await client.chat.completions.stream(body).finalChatCompletion()
        : await client.chat.completions.create(body);
      const said = completion.choices[0]?.message;
      const calls = (said?.tool_calls ?? []).map(({ id, type, ...rest }) => ({
        id,
        type,
        function: { name: "get_weather", arguments: "function" in rest ? rest.function.arguments : "" },
      }));
      messages.push({
        role: "assistant",
        content: said?.content ?? null,
        ...(calls.length > 0 && { tool_calls: calls as OpenAI.Chat.ChatCompletionMessageToolCall[] }),
      });
      for (const { id } of calls) messages.push({ role: "tool", tool_call_id: id, content: "mild" });
    }
  }

  it("comes back to the provider it is from, through a chat client", async () => {
    await chatLoop(Array.from({ length: 3 }, () => "labclaude/sim/thinker"));
    expect(signaturesSeen()).toEqual([SIGNATURE, SIGNATURE]);
  });

  it("goes to no other provider", async () => {
    await chatLoop(["labclaude/sim/thinker", "labclaude/sim/thinker", "labother/sim/thinker"]);
    expect(signaturesSeen()).toEqual([]);
  });

  it("comes back through turns that the gateway keeps", async () => {
    const tools = [{ type: "function" as const, name: "get_weather", strict: false, parameters: PARAMETERS }];
    let previous: string | undefined;
    let input: OpenAI.Responses.ResponseInput = [{ role: "user", content: `How is the weather? (${stream} kept)` }];
    for (let turn = 0; turn < 3; turn++) {
      const body = {
        model: "labclaude/sim/thinker",
        tools,
        input,
        reasoning: { effort: "high" as const },
        ...(previous !== undefined && { previous_response_id: previous }),
      };
      const response: OpenAI.Responses.Response = stream
        ? await client.responses.stream(body).finalResponse()
        : await client.responses.create(body);
      previous = response.id;
      input = response.output.flatMap((item) =>
        item.type === "function_call" ? [{ type: "function_call_output" as const, call_id: item.call_id, output: "mild" }] : [],
      );
    }
    expect(signaturesSeen()).toEqual([SIGNATURE, SIGNATURE]);
  });
});
