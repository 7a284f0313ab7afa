import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Guard, LedgerRow } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { readInteractions, recordings } from "../support/shared.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

/** Changes nothing, but wants to read: that alone rules out the fast path. */
const READER: Guard = { id: "reader", readsContent: true };
const METHOD = /\/models\/(.+):(generateContent|streamGenerateContent)(?:\?|$)/;

interface RecordedCall {
  readonly name: string;
  readonly model: string;
  readonly method: string;
  readonly body: unknown;
  readonly status: number;
  readonly answer: string;
}

const calls = recordings(["google", "google-vertex"], ["exchange", "exchange-stream"]).flatMap(({ file }) =>
  readInteractions(file).flatMap(({ request, response }, place): RecordedCall[] => {
    const [, model = "", method = ""] = METHOD.exec(request.path) ?? [];
    const answer = response.sse ?? (response.json === undefined ? undefined : JSON.stringify(response.json));
    return method === "" || answer === undefined
      ? []
      : [{ name: `${file} #${place}`, model, method, body: request.body, status: response.status, answer }];
  }),
);

let upstream: TestUpstream;
let fast: TestGateway;
let slow: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const config = `providers:\n  gemini: { baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true }\n`;
  fast = await startGateway({ config, trusting: true });
  slow = await startGateway({ config, trusting: true, guards: [READER] });
});
afterAll(async () => {
  await fast.close();
  await slow.close();
  await upstream.close();
});

async function play(gateway: TestGateway, call: RecordedCall): Promise<{ row: LedgerRow; status: number; text: string }> {
  const stream = call.method === "streamGenerateContent";
  upstream.answerWith(
    (response) =>
      void response.writeHead(call.status, { "content-type": stream ? "text/event-stream" : "application/json" }).end(call.answer),
  );
  const response = await fetch(`${gateway.url}/v1beta/models/gemini/${call.model}:${call.method}?alt=sse`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(call.body),
  });
  const text = await response.text();
  const row = await gateway.lastRow();
  return { row, status: response.status, text: text.replaceAll(row.callId, "call") };
}

/** What must be equal: everything but who, when, and which way. */
function comparable(row: LedgerRow): unknown {
  const { callId: _callId, startedAt: _startedAt, timings: _timings, fastPath: _fastPath, attempts, ...rest } = row;
  return { ...rest, attempts: attempts.map(({ startedMs: _started, endedMs: _ended, ...attempt }) => attempt) };
}

describe.skipIf(calls.length === 0)("the fast path and the slow path of generateContent", () => {
  it("have recordings", () => expect(calls.length).toBeGreaterThan(150));

  it.each(calls)("leave the same row for $name", async (call) => {
    const quick = await play(fast, call);
    const thorough = await play(slow, call);
    expect([quick.row.fastPath, thorough.row.fastPath]).toEqual([true, false]);
    expect(comparable(quick.row)).toEqual(comparable(thorough.row));
    expect(quick.status).toBe(thorough.status);
    if (call.method !== "streamGenerateContent") expect(JSON.parse(thorough.text)).toEqual(JSON.parse(quick.text));
    else expect(quick.text).toBe(call.answer);
    if (quick.row.state !== "done") return;
    expect(quick.row.usage.estimated).toBeUndefined();
    expect(quick.row.usage.output + quick.row.usage.inputUncached).toBeGreaterThan(0);
  });
});
