import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";

const SIM = `
sim:
  models:
    plain: { text: "Hello from the simulator." }
    cut: { length: 200, faults: [{ kind: cut, afterTokens: 50, how: end }] }
    paced: { length: 60, tokensPerSecond: 600 }
`;

let pair: GatewayPair;
let openai: OpenAI;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  openai = new OpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
});
afterAll(() => pair.close());

type StreamEvent = OpenAI.Responses.ResponseStreamEvent;

async function collect(stream: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function frames(body: object): Promise<Record<string, unknown>[]> {
  const response = await fetch(`${pair.front.url}/v1/responses`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
  });
  const text = await response.text();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? "") as Record<string, unknown>);
}

/** Fields that every response object has, whatever became of it. */
const REQUIRED = (
  "id object created_at completed_at status error incomplete_details instructions model output parallel_tool_calls " +
  "previous_response_id reasoning store temperature text tool_choice tools top_p truncation usage metadata service_tier " +
  "background max_output_tokens top_logprobs"
).split(" ");

describe.each(ROUTES)("a response from %s", (route) => {
  it("has items that a later call may name instead of sending them", async () => {
    const made = await openai.responses.create({ model: `${route}echo`, input: "The word is plum." });
    const [item] = made.output;
    for (const next of ROUTES) {
      const later = await openai.responses.create({
        model: `${next}echo`,
        store: false,
        input: [
          { type: "item_reference", id: item?.id ?? "" },
          { role: "user", content: "And now?" },
        ],
      });
      expect(later.output_text).toBe("And now?");
      const row = await pair.front.lastRow();
      // The words of the item were read, not only those of the question.
      expect(row.usage.inputUncached).toBeGreaterThan(4);
    }
  });

  it("that breaks off goes on counting its events, and says the whole of what is known", async () => {
    const events = await frames({ model: `${route}cut`, input: "x" });
    expect(events.map((event) => event["sequence_number"])).toEqual(events.map((_event, place) => place));
    const [error, failed] = events.slice(-2);
    expect(error).toMatchObject({ type: "error", error: { gimbal_call_id: expect.stringMatching(/^call_/) } });
    expect(failed).toMatchObject({ type: "response.failed", response: { status: "failed", object: "response" } });
    const opened = events[0]?.["response"] as Record<string, unknown>;
    const ended = failed?.["response"] as Record<string, unknown>;
    expect(ended["id"]).toBe(opened["id"]);
    for (const field of REQUIRED) expect(Object.keys(ended)).toContain(field);
  });

  it("bears an id of its own language, kept or not, streamed or not", async () => {
    for (const store of [true, false]) {
      const plain = await openai.responses.create({ model: `${route}plain`, input: "x", store });
      const [streamed] = await frames({ model: `${route}plain`, input: "x", store });
      expect(plain.id).toMatch(/^resp_/);
      expect(streamed).toMatchObject({ response: { id: expect.stringMatching(/^resp_/) } });
    }
  });

  it("made in the background is read as a stream, from any event on", async () => {
    const begun = await openai.responses.create({ model: `${route}plain`, input: "x", background: true });
    const all = await collect(await openai.responses.retrieve(begun.id, { stream: true }));
    expect(all.map((event) => event.sequence_number)).toEqual(all.map((_event, place) => place));
    expect(all.at(-1)).toMatchObject({ type: "response.completed", response: { id: begun.id, status: "completed" } });
    const rest = await collect(await openai.responses.retrieve(begun.id, { stream: true, starting_after: 3 }));
    expect(rest).toEqual(all.slice(4));
  });

  it("streamed in the background is gone on with after its client left", async () => {
    const stream = await openai.responses.create({ model: `${route}paced`, input: "x", background: true, stream: true });
    let id = "";
    let last = 0;
    for await (const event of stream) {
      if ("response" in event) id = event.response.id;
      last = event.sequence_number;
      if (last === 6) break;
    }
    const rest = await collect(await openai.responses.retrieve(id, { stream: true, starting_after: last }));
    expect(rest[0]?.sequence_number).toBe(last + 1);
    expect(rest.at(-1)).toMatchObject({ type: "response.completed", response: { id, status: "completed" } });
  });
});

describe("reading a response as a stream", () => {
  it("tells why one failed", async () => {
    const begun = await openai.responses.create({ model: "sim/cut", input: "x", background: true });
    const read = collect(await openai.responses.retrieve(begun.id, { stream: true }));
    await expect(read).rejects.toThrow(/ended before|cut|broke/i);
  });

  it("refuses what is no number, and what is not there", async () => {
    const get = (path: string) => fetch(`${pair.front.url}/v1/responses/${path}`);
    expect((await get("resp_none?stream=true&starting_after=x")).status).toBe(400);
    expect((await get("resp_none?stream=true")).status).toBe(404);
  });
});
