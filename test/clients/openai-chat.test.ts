import OpenAI, { NotFoundError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, CITY_SCHEMA, expectCancelled, FINAL_TEXT, isFast, PIXEL, REPORT, REPORT_SCHEMA, SIM, TEXT, THOUGHT } from "./simulated.ts";

let pair: GatewayPair;
let client: OpenAI;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  client = new OpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
});
afterAll(() => pair.close());

const HELLO = [{ role: "user" as const, content: "Say hello." }];

describe.each([...ROUTES, "labgemini/sim/"])("openai (chat completions) through %s", (route) => {
  it("gets a plain answer", async () => {
    const completion = await client.chat.completions.create({
      model: `${route}plain`,
      max_completion_tokens: 100,
      messages: [{ role: "developer", content: "Be brief." }, ...HELLO],
    });
    expect(completion.choices).toMatchObject([{ index: 0, message: { role: "assistant", content: TEXT }, finish_reason: "stop" }]);
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "openai-chat", fastPath: isFast(route, "labchat/"), stream: false });
    expect(row.usage).toMatchObject({ inputUncached: completion.usage?.prompt_tokens, output: completion.usage?.completion_tokens });
  });

  it.each([true, false])("gets a stream (usage asked for: %s)", async (include_usage) => {
    const stream = await client.chat.completions.create({
      model: `${route}plain`,
      messages: HELLO,
      stream: true,
      ...(include_usage && { stream_options: { include_usage } }),
    });
    let text = "";
    let finish: string | null | undefined;
    let usages = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      if (chunk.usage) usages++;
    }
    expect(text).toBe(TEXT);
    expect(finish).toBe("stop");
    expect(usages).toBe(include_usage ? 1 : 0);
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", stream: true, fastPath: isFast(route, "labchat/") });
    expect(row.usage.output).toBeGreaterThan(0);
    expect(row.usage.estimated).toBeUndefined();
  });

  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
    const asked: string[] = [];
    const body = {
      model: `${route}agent`,
      messages: [{ role: "user" as const, content: "How is the weather in Oslo and Rome?" }],
      tools: [
        {
          type: "function" as const,
          function: {
            name: "get_weather",
            description: "The weather in a city.",
            parameters: CITY_SCHEMA as object,
            parse: (text: string) => JSON.parse(text) as { city: string },
            function: ({ city }: { city: string }) => {
              asked.push(city);
              return "mild";
            },
          },
        },
      ],
    };
    const runner = stream ? client.chat.completions.runTools({ ...body, stream: true }) : client.chat.completions.runTools(body);
    expect(await runner.finalContent()).toBe(FINAL_TEXT);
    expect(asked.toSorted()).toEqual(CITIES);
  });

  it("gets structured output", async () => {
    const completion = await client.chat.completions.parse({
      model: `${route}json`,
      messages: HELLO,
      response_format: { type: "json_schema", json_schema: { name: "report", strict: true, schema: REPORT_SCHEMA } },
    });
    expect(JSON.parse(completion.choices[0]?.message.content ?? "")).toEqual(REPORT);
  });

  it("sends an image", async () => {
    const completion = await client.chat.completions.create({
      model: `${route}plain`,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}`, detail: "low" } },
          ],
        },
      ],
    });
    expect(completion.choices[0]?.message.content).toBe(TEXT);
  });

  it.each([false, true])("gets reasoning (stream: %s)", async (stream) => {
    const body = { model: `${route}thinker`, messages: HELLO, reasoning_effort: "low" as const };
    // Two languages have no figure for what was thought.
    const counts = !["labbedrock/sim/", "labcohere/sim/"].includes(route);
    let text: string | null | undefined = "";
    let reasoning = "";
    if (stream) {
      for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? "";
        reasoning += reasoningOf(chunk.choices[0]?.delta);
      }
    } else {
      const completion = await client.chat.completions.create(body);
      text = completion.choices[0]?.message.content;
      reasoning = reasoningOf(completion.choices[0]?.message);
      if (counts) expect(completion.usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(0);
    }
    expect(text).toBe(TEXT);
    expect(reasoning).toBe(THOUGHT);
    if (counts) expect((await pair.front.lastRow()).usage.reasoning).toBeGreaterThan(0);
  });

  it("can leave a stream", async () => {
    const stream = await client.chat.completions.create({ model: `${route}endless`, messages: HELLO, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    stream.controller.abort();
    await expectCancelled(pair.front);
  });
});

/** The field in which servers of this language show reasoning; the SDK's types do not know it. */
function reasoningOf(message: object | undefined): string {
  const shown: unknown = message && "reasoning_content" in message ? message.reasoning_content : "";
  return typeof shown === "string" ? shown : "";
}

describe("openai (chat completions)", () => {
  it("is told of an unknown model in its own words", async () => {
    const error = await client.chat.completions.create({ model: "sim/plian", messages: HELLO }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    const { status, code, message, headers, requestID } = error as NotFoundError;
    expect({ status, code }).toEqual({ status: 404, code: "model_not_found" });
    expect(message).toContain('plain"');
    expect(headers?.get("x-gimbal-problem")).toBe("unknown_model");
    expect(requestID).toBe(headers?.get("x-gimbal-call-id"));
  });

  it("lists the models", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toContain("sim/echo");
    expect((await client.models.retrieve("sim/echo")).object).toBe("model");
  });
});
