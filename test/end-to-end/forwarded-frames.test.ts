import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Guard, LedgerRow } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, streamAnswer, type TestUpstream } from "../support/upstream.ts";

/** Changes nothing, but wants to read: that alone rules out the fast path. */
const READER: Guard = { id: "reader", readsContent: true };
const USAGE = { prompt_tokens: 5, completion_tokens: 21, total_tokens: 26 };

let upstream: TestUpstream;
let fast: TestGateway;
let slow: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const config = `
providers:
  lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true, dialects: [openai-chat] }
`;
  fast = await startGateway({ config, trusting: true });
  slow = await startGateway({ config, guards: [READER], trusting: true });
});
afterAll(async () => {
  await fast.close();
  await slow.close();
  await upstream.close();
});

function chunk(choices: readonly object[], rest: object = {}): string {
  return `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 7, model: "m-1", choices, ...rest })}\n\n`;
}
function said(index: number, content: string): string {
  return chunk([{ index, delta: { content }, finish_reason: null }]);
}
function finished(index: number): string {
  return chunk([{ index, delta: {}, finish_reason: "stop" }]);
}

async function ask(gateway: TestGateway, path: string, body: object): Promise<{ readonly text: string; readonly row: LedgerRow }> {
  const response = await fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "lab/m", stream: true, ...body }),
  });
  return { text: await response.text(), row: await gateway.lastRow() };
}

const QUESTION = { messages: [{ role: "user", content: "x" }], max_tokens: 50 };

describe("a stream of several choices", () => {
  const stream = (usage: boolean): string =>
    [
      said(0, "first"),
      said(1, "second"),
      said(1, " goes on"),
      said(0, " ends"),
      finished(1),
      finished(0),
      usage ? chunk([], { usage: USAGE }) : "",
      "data: [DONE]\n\n",
    ].join("");

  it("is forwarded unchanged, told whole where it is decoded, and booked whole on both paths", async () => {
    upstream.answerWith(streamAnswer(stream(true)));
    const body = { ...QUESTION, n: 2, stream_options: { include_usage: true } };
    const direct = await ask(fast, "/v1/chat/completions", body);
    const decoded = await ask(slow, "/v1/chat/completions", body);
    expect(direct.text).toBe(stream(true));
    for (const piece of ['"content":"second"', '"content":" goes on"', '"content":"first"'])
      expect(decoded.text.split(piece)).toHaveLength(2);
    expect([direct.row.fastPath, decoded.row.fastPath]).toEqual([true, false]);
    expect(direct.row.usage).toMatchObject({ inputUncached: 5, output: 21 });
    expect(decoded.row.usage).toEqual(direct.row.usage);
  });

  it("is estimated alike on both paths when its usage never comes", async () => {
    upstream.answerWith(streamAnswer(stream(false)));
    const direct = await ask(fast, "/v1/chat/completions", { ...QUESTION, n: 2 });
    const decoded = await ask(slow, "/v1/chat/completions", { ...QUESTION, n: 2 });
    expect(direct.row.usage?.output).toBeGreaterThan(0);
    expect(decoded.row.usage).toEqual(direct.row.usage);
  });

  it("reaches a client of another language with its first choice", async () => {
    upstream.answerWith(streamAnswer(stream(true)));
    const { text, row } = await ask(fast, "/v1/messages", QUESTION);
    expect(text).toContain('"first"');
    expect(text).not.toContain("second");
    expect(row.usage).toMatchObject({ inputUncached: 5, output: 21 });
  });
});

describe("a garbled frame", () => {
  it.each([said(0, "second").replace('"delta"', "delta"), "data: {\n\n", "data: ]\n\n", said(0, "QQ").replace("QQ", "\u0001")])(
    "%j is a broken upstream on both paths, and never passed on",
    async (frame) => {
      upstream.answerWith(streamAnswer([said(0, "first"), said(0, "more"), frame, finished(0), "data: [DONE]\n\n"].join("")));
      for (const gateway of [fast, slow]) {
        const { text, row } = await ask(gateway, "/v1/chat/completions", QUESTION);
        expect(text).not.toContain(frame);
        expect(row.problem).toBe("upstream_broken");
      }
    },
  );
});
