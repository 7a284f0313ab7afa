import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unfold, type Dialect, type Guard, type Json, type LedgerRow } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { formatFrame } from "../../src/kit/index.ts";
import { ROUTES, startGateway, startPair, type GatewayPair, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";
import { LANGUAGES } from "./languages.ts";
import { recordedCalls, type RecordedCall } from "./recorded-calls.ts";

/** Changes nothing, but wants to read: that alone rules out the fast path. */
const READER: Guard = { id: "reader", readsContent: true };

let upstream: TestUpstream;
let fast: TestGateway;
let slow: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const config = `
providers:
  openai: { baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true }
  anthropic: { baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true }
`;
  fast = await startGateway({ config });
  slow = await startGateway({ config, guards: [READER] });
});
afterAll(async () => {
  await fast.close();
  await slow.close();
  await upstream.close();
});

const calls = recordedCalls().filter(standsAlone);

/** Without the earlier turns that lie with its provider, a recording may answer calls that nobody made. */
function standsAlone(call: RecordedCall): boolean {
  const list = call.body["input"];
  if (call.body["previous_response_id"] === undefined || !Array.isArray(list)) return true;
  return !list.some((item: { type?: string }) => item.type?.endsWith("_output"));
}

/** The provider whose prices hold, and the model it was asked for. */
function target(call: RecordedCall): string {
  const provider = call.dialect === "anthropic-messages" ? "anthropic" : "openai";
  return `${provider}/${typeof call.body["model"] === "string" ? call.body["model"] : "recorded"}`;
}

interface Seen {
  readonly row: LedgerRow;
  readonly status: number;
  readonly text: string;
}

async function play(gateway: TestGateway, call: RecordedCall, change: Readonly<Record<string, unknown>> = {}): Promise<Seen> {
  upstream.answerWith(
    (response) =>
      void response.writeHead(call.status, { "content-type": call.stream ? "text/event-stream" : "application/json" }).end(call.answer),
  );
  const response = await fetch(gateway.url + call.path, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", ...call.headers },
    // Earlier turns of a recording lie with its own provider; what is asked here stands alone.
    body: JSON.stringify({
      ...call.body,
      model: target(call),
      previous_response_id: undefined,
      conversation: undefined,
      background: undefined,
      ...change,
    }),
  });
  const text = await response.text();
  return { row: await gateway.lastRow(), status: response.status, text };
}

/** What must be equal: everything but who, when, and which way. */
function comparable(row: LedgerRow): unknown {
  const { callId: _callId, startedAt: _startedAt, timings: _timings, fastPath: _fastPath, attempts, ...rest } = row;
  return { ...rest, attempts: attempts.map(({ startedMs: _started, endedMs: _ended, ...attempt }) => attempt) };
}

describe.skipIf(calls.length === 0)("the fast path and the slow path", () => {
  it("have recordings of every language, plain and streamed", () => {
    const kinds = new Set(calls.map((call) => `${call.dialect} ${call.stream}`));
    expect(kinds.size).toBe(6);
    expect(calls.length).toBeGreaterThan(380);
  });

  it.each(calls)("leave the same row for $name", async (call) => {
    const change = call.stream ? { stream: true } : {};
    const quick = await play(fast, call, change);
    const thorough = await play(slow, call, change);
    expect(thorough.row.fastPath).toBe(false);
    expect(comparable(quick.row)).toEqual(comparable(thorough.row));
    expect(quick.status).toBe(thorough.status);
    if (!call.stream) expect(JSON.parse(anonymous(quick))).toEqual(JSON.parse(anonymous(thorough)));
    if (quick.row.state === "done" && namesUsage(call)) expect(quick.row.usage.estimated).toBeUndefined();
  });

  it("is fast for nearly all of them", async () => {
    const rows = await fast.rows();
    const quick = rows.filter((row) => row.fastPath);
    expect(quick.length / rows.length).toBeGreaterThan(0.9);
  });
});

/** The answer without the one word that differs: which call it was. */
function anonymous({ text, row }: Seen): string {
  return text.replaceAll(row.callId, "call");
}

/** Answers that are only promised, and some errors, say nothing of tokens. */
function namesUsage(call: RecordedCall): boolean {
  return /"usage":\s*\{/.test(call.answer);
}

describe.skipIf(calls.length === 0)("the same content", () => {
  const plain = calls.filter((call) => !call.stream && call.status === 200 && namesUsage(call));

  it.each(plain)("costs the same streamed as plain: $name", async (call) => {
    const whole = await play(fast, call);
    const streamed = { ...call, stream: true, answer: streamOf(call) };
    const change = { stream: true, ...(call.dialect === "openai-chat" && { stream_options: { include_usage: true } }) };
    for (const gateway of [fast, slow]) {
      const piecemeal = await play(gateway, streamed, change);
      expect(piecemeal.row.state, piecemeal.text).toBe("done");
      const { usage, costNanodollars, stop, upstreamModel } = piecemeal.row;
      expect({ usage, costNanodollars, stop, upstreamModel }).toEqual({
        usage: whole.row.usage,
        costNanodollars: whole.row.costNanodollars,
        stop: whole.row.stop,
        upstreamModel: whole.row.upstreamModel,
      });
    }
  });
});

/** The stream by which a provider would have sent this answer. */
function streamOf(call: RecordedCall): string {
  const dialect = dialects.get(call.dialect) as Dialect;
  const answer = dialect.decodeAnswer(JSON.parse(call.answer) as Json, { operation: "generate" });
  const asked = dialect.decodeCall(
    {
      ...(call.body as Record<string, Json>),
      stream: true,
      ...(call.dialect === "openai-chat" && { stream_options: { include_usage: true } }),
    },
    { operation: "generate", headers: { "anthropic-version": "2023-06-01", ...call.headers }, params: {} },
  );
  let stream = "";
  const encoder = dialect.encodeEvents((event, data) => (stream += formatFrame(event, data)), { call: asked, createdAt: 1 });
  for (const event of unfold(answer)) encoder.event(event);
  return stream;
}

describe("the simulator's content", () => {
  let pair: GatewayPair;
  beforeAll(async () => {
    pair = await startPair({ config: `sim: { models: { penny: { text: "One and two and three.", price: { perCallUsd: 0.01 } } } }` });
  });
  afterAll(() => pair.close());

  it.each(LANGUAGES)("costs the same streamed as plain for a $id client on every route", async (language) => {
    for (const route of ROUTES) {
      const costs: unknown[] = [];
      for (const stream of [false, true]) {
        const response = await fetch(pair.front.url + language.path, {
          method: "POST",
          headers: { "content-type": "application/json", ...language.headers },
          body: JSON.stringify(language.call(`${route}penny`, "Count.", { stream })),
        });
        expect(response.status).toBe(200);
        await response.text();
        const { usage, costNanodollars } = await pair.front.lastRow();
        costs.push({ usage, costNanodollars });
      }
      expect(costs[0], route).toEqual(costs[1]);
      if (route === "sim/") expect(costs[0]).toMatchObject({ costNanodollars: 10_000_000 });
    }
  });
});
