import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPair, type GatewayPair } from "../support/gateway.ts";
import { expectCancelled, SIM, TEXT } from "./simulated.ts";

let pair: GatewayPair;
let client: OpenAI;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  client = new OpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
});
afterAll(() => pair.close());

const ROUTES = ["sim/", "labtext/sim/", "labchat/sim/", "labresponses/sim/", "labclaude/sim/", "labollama/sim/"];
const isFast = (route: string): boolean => route === "sim/" || route === "labtext/sim/";
const PROMPT = "Say hello.";

describe.each(ROUTES)("openai (legacy completions) through %s", (route) => {
  it.each([false, true])("gets a text (its prompt in front of it: %s)", async (echo) => {
    const answer = await client.completions.create({ model: `${route}plain`, prompt: PROMPT, max_tokens: 100, echo });
    expect(answer).toMatchObject({
      object: "text_completion",
      choices: [{ index: 0, text: (echo ? PROMPT : "") + TEXT, finish_reason: "stop" }],
    });
    expect(answer.id).not.toBe("");
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "openai-completions", fastPath: isFast(route) });
    expect(row.usage).toMatchObject({ inputUncached: answer.usage?.prompt_tokens, output: answer.usage?.completion_tokens });
  });

  it.each([true, false])("gets a stream (usage asked for: %s)", async (include_usage) => {
    const stream = await client.completions.create({
      model: `${route}plain`,
      prompt: [PROMPT],
      stream: true,
      echo: true,
      ...(include_usage && { stream_options: { include_usage } }),
    });
    let text = "";
    let finish: string | undefined;
    let usages = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      if (chunk.usage) usages++;
    }
    expect([text, finish, usages]).toEqual([PROMPT + TEXT, "stop", include_usage ? 1 : 0]);
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", stream: true, fastPath: isFast(route) });
    expect(row.usage.output).toBeGreaterThan(0);
    expect(row.usage.estimated).toBeUndefined();
  });

  it("leaves a stream, which is then paid for no longer", async () => {
    const stream = await client.completions.create({ model: `${route}endless`, prompt: PROMPT, stream: true });
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 3) stream.controller.abort();
    await expectCancelled(pair.front);
  });

  it("reads a problem in its own shape", async () => {
    await expect(client.completions.create({ model: `${route}nothing`, prompt: PROMPT })).rejects.toMatchObject({
      status: 404,
      type: "invalid_request_error",
    });
  });

  it.runIf(!isFast(route))("is told when several prompts or tokens cannot be carried", async () => {
    for (const prompt of [
      ["a", "b"],
      [1, 2, 3],
    ])
      await expect(client.completions.create({ model: `${route}plain`, prompt })).rejects.toMatchObject({ code: "content_unsupported" });
  });
});

describe("chat completions through a model that goes on with one text", () => {
  const HELLO = [
    { role: "system" as const, content: "Be brief." },
    { role: "user" as const, content: PROMPT },
  ];
  it.each([false, true])("gets an answer (stream: %s)", async (stream) => {
    const body = { model: "labtext/sim/plain", messages: HELLO };
    let text = "";
    if (stream)
      for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
        text += chunk.choices[0]?.delta.content ?? "";
    else text = (await client.chat.completions.create(body)).choices[0]?.message.content ?? "";
    expect(text).toBe(TEXT);
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", fastPath: false });
    expect(row.diagnostics?.map(({ reason }) => reason).join()).toContain("knows no roles");
  });
  it("is refused what it has tools for", async () => {
    const tools = [{ type: "function" as const, function: { name: "f" } }];
    await expect(client.chat.completions.create({ model: "labtext/sim/plain", messages: HELLO, tools })).rejects.toMatchObject({
      code: "tools_unsupported",
    });
  });
});
