import OpenAI, { BadRequestError, NotFoundError } from "openai";
import type { ResponseInputItem, ResponsesServerEvent } from "openai/resources/responses/responses";
import { ResponsesWS } from "openai/resources/responses/ws";
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

const WEATHER = {
  type: "function" as const,
  name: "get_weather",
  description: "The weather in a city.",
  strict: true,
  parameters: CITY_SCHEMA,
};
const QUESTION = "How is the weather in Oslo and Rome?";

describe.each([...ROUTES, "labgemini/sim/"])("openai (responses) through %s", (route) => {
  it("gets a plain answer", async () => {
    const response = await client.responses.create({
      model: `${route}plain`,
      instructions: "Be brief.",
      input: "Say hello.",
      store: false,
    });
    expect(response).toMatchObject({ object: "response", status: "completed", output_text: TEXT });
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "openai-responses", fastPath: isFast(route, "labresponses/"), stream: false });
    expect(row.usage).toMatchObject({ inputUncached: response.usage?.input_tokens, output: response.usage?.output_tokens });
  });

  it("gets a stream", async () => {
    const stream = client.responses.stream({ model: `${route}plain`, input: "Say hello.", store: false });
    let text = "";
    let last = -1;
    for await (const event of stream) {
      expect(event.sequence_number).toBeGreaterThan(last);
      last = event.sequence_number;
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const final = await stream.finalResponse();
    expect(text).toBe(TEXT);
    expect(final.output_text).toBe(TEXT);
    expect(await pair.front.lastRow()).toMatchObject({ state: "done", stream: true });
  });

  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
    const input: ResponseInputItem[] = [{ role: "user", content: QUESTION }];
    const body = { model: `${route}agent`, tools: [WEATHER], store: false };
    const ask = async (): Promise<OpenAI.Responses.Response> =>
      stream ? client.responses.stream({ ...body, input }).finalResponse() : client.responses.create({ ...body, input });
    const first = await ask();
    const calls = first.output.filter((item) => item.type === "function_call");
    expect(calls.map((call) => (JSON.parse(call.arguments) as { city: string }).city)).toEqual(CITIES);
    input.push(...(first.output as ResponseInputItem[]), ...calls.map((call) => resultOf(call.call_id)));
    const second = await ask();
    expect(textOf(second)).toBe(FINAL_TEXT);
  });

  it("completes the loop on turns that the gateway keeps", async () => {
    const first = await client.responses.create({ model: `${route}agent`, tools: [WEATHER], input: QUESTION });
    const calls = first.output.filter((item) => item.type === "function_call");
    const second = await client.responses.create({
      model: `${route}agent`,
      tools: [WEATHER],
      previous_response_id: first.id,
      input: calls.map((call) => resultOf(call.call_id)),
    });
    expect(second.output_text).toBe(FINAL_TEXT);
    expect(second.previous_response_id).toBe(first.id);
  });

  it("gets structured output", async () => {
    const response = await client.responses.parse({
      model: `${route}json`,
      input: "Report.",
      store: false,
      text: { format: { type: "json_schema", name: "report", strict: true, schema: REPORT_SCHEMA } },
    });
    expect(JSON.parse(response.output_text)).toEqual(REPORT);
  });

  it("sends an image", async () => {
    const response = await client.responses.create({
      model: `${route}plain`,
      store: false,
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "What is this?" },
            { type: "input_image", image_url: `data:image/png;base64,${PIXEL}`, detail: "low" },
          ],
        },
      ],
    });
    expect(response.output_text).toBe(TEXT);
  });

  it.each([false, true])("gets reasoning (stream: %s)", async (stream) => {
    const body = {
      model: `${route}thinker`,
      input: "Think.",
      store: false,
      reasoning: { effort: "low" as const, summary: "auto" as const },
    };
    const response: OpenAI.Responses.Response = stream
      ? await client.responses.stream(body).finalResponse()
      : await client.responses.create(body);
    const [reasoning] = response.output.filter((item) => item.type === "reasoning");
    const shown = [...(reasoning?.summary ?? []), ...(reasoning?.content ?? [])].map((part) => part.text).join("");
    expect(shown).toBe(THOUGHT);
    expect(textOf(response)).toBe(TEXT);
    // Two languages have no figure for what was thought.
    const counts = !["labbedrock/sim/", "labcohere/sim/"].includes(route);
    if (counts) expect(response.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
  });

  it("can leave a stream", async () => {
    const stream = await client.responses.create({ model: `${route}endless`, input: "Go on.", stream: true, store: false });
    for await (const event of stream) if (event.type === "response.output_text.delta") break;
    stream.controller.abort();
    await expectCancelled(pair.front);
  });

  it("counts input tokens", async () => {
    const count = await client.responses.inputTokens.count({ model: `${route}plain`, input: "How long is this?" });
    expect(count).toMatchObject({ object: "response.input_tokens" });
    expect(count.input_tokens).toBeGreaterThan(0);
  });

  it("compacts a conversation and goes on from there", async () => {
    const compacted = await client.responses.compact({ model: `${route}plain`, input: "A long story." });
    expect(compacted.object).toBe("response.compaction");
    expect(compacted.output.length).toBeGreaterThan(0);
    const next = await client.responses.create({
      model: `${route}plain`,
      store: false,
      input: [...(compacted.output as ResponseInputItem[]), { role: "user", content: "Go on." }],
    });
    expect(next.output_text).toBe(TEXT);
  });

  it("completes a loop over one WebSocket", async () => {
    const socket = new ResponsesWS(client);
    try {
      const turn = turnsOf(socket);
      const first = await turn({ model: `${route}agent`, tools: [WEATHER], store: false, input: QUESTION });
      const calls = first.output.filter((item) => item.type === "function_call");
      expect(calls).toHaveLength(CITIES.length);
      const second = await turn({
        model: `${route}agent`,
        tools: [WEATHER],
        store: false,
        previous_response_id: first.id,
        input: calls.map((call) => resultOf(call.call_id)),
      });
      expect(textOf(second)).toBe(FINAL_TEXT);
    } finally {
      socket.close();
    }
  });
});

describe("openai (responses)", () => {
  it("is told of an unknown model in its own words", async () => {
    const error = await client.responses.create({ model: "sim/plian", input: "x" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    const { status, code, message, headers } = error as NotFoundError;
    expect({ status, code }).toEqual({ status: 404, code: "model_not_found" });
    expect(message).toContain('plain"');
    expect(headers?.get("x-gimbal-problem")).toBe("unknown_model");
  });

  it("is told of a field at fault", async () => {
    const wrong = { model: "sim/plain", input: "x", max_output_tokens: "many" } as unknown as { model: string; input: string };
    const error = await client.responses.create(wrong).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect((error as BadRequestError).param).toBe("max_output_tokens");
  });

  it("runs in the background", async () => {
    const queued = await client.responses.create({ model: "sim/plain", input: "x", background: true });
    expect(["queued", "in_progress"]).toContain(queued.status);
    await pair.front.rows();
    const done = await client.responses.retrieve(queued.id);
    expect(done).toMatchObject({ id: queued.id, status: "completed" });
    expect(textOf(done)).toBe(TEXT);
  });
});

function resultOf(callId: string): ResponseInputItem {
  return { type: "function_call_output", call_id: callId, output: "mild" };
}

/** Not `output_text`: the SDK only adds that to answers of `create`. */
function textOf(response: OpenAI.Responses.Response): string {
  return response.output
    .flatMap((item) => (item.type === "message" ? item.content : []))
    .map((part) => (part.type === "output_text" ? part.text : ""))
    .join("");
}

/** Sends a turn over the socket and waits for its end. */
function turnsOf(socket: ResponsesWS) {
  return (body: OpenAI.Responses.ResponseCreateParams): Promise<OpenAI.Responses.Response> =>
    new Promise((resolve, reject) => {
      const onEvent = (event: ResponsesServerEvent): void => {
        if (event.type === "response.completed") {
          socket.off("event", onEvent);
          resolve(event.response);
        } else if (event.type === "error" || event.type === "response.failed") reject(new Error(JSON.stringify(event)));
      };
      socket.on("event", onEvent);
      socket.on("error", reject);
      socket.send({ type: "response.create", ...body });
    });
}
