import { Ollama, type ChatResponse, type Message } from "ollama";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, CITY_SCHEMA, expectCancelled, FINAL_TEXT, PIXEL, REPORT, REPORT_SCHEMA, SIM, TEXT, THOUGHT } from "./simulated.ts";

let pair: GatewayPair;
let client: Ollama;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  client = new Ollama({ host: pair.front.url });
});
afterAll(() => pair.close());

const HELLO: Message[] = [{ role: "user", content: "Say hello." }];
const TOOL = {
  type: "function",
  function: { name: "get_weather", description: "The weather in a city.", parameters: { ...CITY_SCHEMA, required: ["city"] } },
};
const ROUTES = ["sim/", "labollama/sim/", "labchat/sim/", "labresponses/sim/", "labclaude/sim/"];
const isFast = (route: string): boolean => route === "sim/" || route === "labollama/sim/";

describe.each(ROUTES)("ollama through %s", (route) => {
  it("gets a plain answer", async () => {
    const answer = await client.chat({
      model: `${route}plain`,
      messages: [{ role: "system", content: "Be brief." }, ...HELLO],
      options: { num_predict: 100, temperature: 0.5 },
    });
    expect(answer).toMatchObject({ done: true, done_reason: "stop", message: { role: "assistant", content: TEXT } });
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "ollama-chat", fastPath: isFast(route), stream: false });
    expect(row.usage).toMatchObject({ inputUncached: answer.prompt_eval_count, output: answer.eval_count });
    expect(answer.eval_count).toBeGreaterThan(0);
  });

  it("gets a stream", async () => {
    let text = "";
    let last: ChatResponse | undefined;
    for await (const part of await client.chat({ model: `${route}plain`, messages: HELLO, stream: true })) {
      text += part.message.content;
      last = part;
    }
    expect(text).toBe(TEXT);
    expect(last).toMatchObject({ done: true, done_reason: "stop" });
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", stream: true, fastPath: isFast(route) });
    expect(row.usage).toMatchObject({ inputUncached: last?.prompt_eval_count, output: last?.eval_count });
    expect(row.usage.estimated).toBeUndefined();
  });

  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
    const messages: Message[] = [{ role: "user", content: "How is the weather in Oslo and Rome?" }];
    const body = { model: `${route}agent`, tools: [TOOL] };
    const ask = async (): Promise<Message> => {
      if (!stream) return (await client.chat({ ...body, messages })).message;
      const message: Message = { role: "assistant", content: "", tool_calls: [] };
      for await (const part of await client.chat({ ...body, messages, stream: true })) {
        message.content += part.message.content;
        message.tool_calls?.push(...(part.message.tool_calls ?? []));
      }
      return message;
    };
    const asking = await ask();
    expect(asking.tool_calls?.map((call) => call.function)).toMatchObject(
      CITIES.map((city) => ({ name: "get_weather", arguments: { city } })),
    );
    messages.push(asking, ...CITIES.map((): Message => ({ role: "tool", content: "mild", tool_name: "get_weather" })));
    expect((await ask()).content).toBe(FINAL_TEXT);
    expect(await pair.front.lastRow()).toMatchObject({ state: "done", fastPath: isFast(route) });
  });

  it("gets an answer that follows a schema", async () => {
    const answer = await client.chat({ model: `${route}json`, messages: HELLO, format: REPORT_SCHEMA });
    expect(JSON.parse(answer.message.content)).toEqual(REPORT);
  });

  it.each([false, true])("sees the model think (stream: %s)", async (stream) => {
    const body = { model: `${route}thinker`, messages: HELLO, think: true as const };
    let [thought, text] = ["", ""];
    const take = ({ message }: ChatResponse): void => {
      thought += message.thinking ?? "";
      text += message.content;
    };
    if (stream) for await (const part of await client.chat({ ...body, stream: true })) take(part);
    else take(await client.chat(body));
    expect(text).toBe(TEXT);
    // The other languages here are asked for thoughts, and not for their words.
    if (isFast(route) || route === "labchat/sim/") expect(thought).toBe(THOUGHT);
  });

  it("shows an image, and asks for a completion of one prompt", async () => {
    const seen = await client.chat({ model: `${route}plain`, messages: [{ role: "user", content: "What is this?", images: [PIXEL] }] });
    expect(seen.message.content).toBe(TEXT);
    const answer = await client.generate({ model: `${route}plain`, prompt: "Say hello.", system: "Be brief." });
    expect(answer).toMatchObject({ response: TEXT, done: true, done_reason: "stop" });
    let text = "";
    for await (const part of await client.generate({ model: `${route}plain`, prompt: "Say hello.", stream: true })) text += part.response;
    expect(text).toBe(TEXT);
  });

  it("leaves a stream, which is then paid for no longer", async () => {
    const stream = await client.chat({ model: `${route}endless`, messages: HELLO, stream: true });
    let parts = 0;
    await expect(
      (async () => {
        for await (const _ of stream) if (++parts === 3) stream.abort();
      })(),
    ).rejects.toThrow(/abort/i);
    await expectCancelled(pair.front);
  });

  it("reads a problem in its own shape", async () => {
    await expect(client.chat({ model: `${route}nothing`, messages: HELLO })).rejects.toMatchObject({
      name: "ResponseError",
      status_code: 404,
      error: expect.stringContaining("nothing") as string,
    });
    await expect(client.chat({ model: `${route}nothing`, messages: HELLO, stream: true })).rejects.toMatchObject({ status_code: 404 });
  });
});

describe("ollama asks the gateway itself", () => {
  it("for its models, one of them, and its version", async () => {
    const { models } = await client.list();
    expect(models.map(({ name }) => name)).toContain("sim/echo");
    for (const model of models)
      expect(model).toMatchObject({ model: model.name, digest: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    expect(await client.show({ model: "sim/echo" })).toMatchObject({
      capabilities: expect.arrayContaining(["completion", "tools"]) as string[],
      details: { family: "" },
    });
    await expect(client.show({ model: "sim/ecko" })).rejects.toThrow(/sim\/echo/);
    expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it("and is told in its own shape what is not served", async () => {
    const response = await fetch(`${pair.front.url}/api/nonsense`, { method: "POST" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: expect.stringContaining("/api/nonsense") as string });
  });
});
