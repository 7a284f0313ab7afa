import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Span } from "../../src/ledger/telemetry/spans.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const ANSWER = jsonAnswer({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "small-2026",
  choices: [{ index: 0, message: { role: "assistant", content: "well" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
});

let upstream: TestUpstream;
let collector: TestUpstream;
let gateway: TestGateway;

beforeAll(async () => {
  [upstream, collector] = await Promise.all([startUpstream(ANSWER), startUpstream()]);
  gateway = await startGateway({
    config: `
providers:
  lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: k, allowPrivateNetwork: true }
models:
  fast: { targets: [lab/small, sim/echo] }
pricing: { unknown: allow }
budgets:
  - { match: {}, usd: 5, per: month }
telemetry:
  otlp: { endpoint: "${collector.url}", headers: { x-collector-key: hush }, everyMs: 10 }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([upstream.close(), collector.close()]);
});

const call = (to: TestGateway, headers: Record<string, string> = {}, model = "fast"): Promise<Response> =>
  fetch(`${to.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "a private question" }] }),
  });

const spans = (): Span[] =>
  collector.requests.flatMap(({ body }) =>
    (body as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }).resourceSpans.flatMap(({ scopeSpans }) =>
      scopeSpans.flatMap((each) => each.spans),
    ),
  );
const metrics = async (headers: Record<string, string> = {}): Promise<string> =>
  (await fetch(`${gateway.url}/metrics`, { headers })).text();

describe("a call and what is told of it", () => {
  it("goes to its provider and to the collector as one trace", async () => {
    expect((await call(gateway, { traceparent: PARENT })).status).toBe(200);
    const sent = String(upstream.requests.at(-1)?.headers["traceparent"]);
    expect(sent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
    expect(sent).not.toBe(PARENT);
    await expect.poll(() => spans().filter(({ traceId }) => traceId === TRACE).length).toBe(2);
    const [root, attempt] = spans().filter(({ traceId }) => traceId === TRACE);
    expect(root?.parentSpanId).toBe("b7ad6b7169203331");
    expect(attempt?.parentSpanId).toBe(root?.spanId);
    // The provider's own spans hang below the very span that is exported.
    expect(sent.split("-")[2]).toBe(attempt?.spanId);
    expect(attempt?.attributes).toContainEqual({ key: "gen_ai.usage.input_tokens", value: { intValue: "12" } });
    expect(collector.requests.at(-1)).toMatchObject({
      method: "POST",
      path: "/v1/traces",
      headers: { "x-collector-key": "hush", "content-type": "application/json" },
    });
    expect(JSON.stringify(collector.requests)).not.toContain("private question");
  });

  it("begins a trace of its own where its caller has none, and leaves out one that its caller does not record", async () => {
    await call(gateway);
    expect(upstream.requests.at(-1)?.headers["traceparent"]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    const unrecorded = `00-${"1".repeat(32)}-${"2".repeat(16)}-00`;
    await call(gateway, { traceparent: unrecorded });
    expect(upstream.requests.at(-1)?.headers["traceparent"]).toBe(unrecorded);
  });

  it("is counted", async () => {
    const before = Number(
      /gimbal_calls_total\{model="fast",provider="lab",state="done",problem=""\} (\d+)/.exec(await metrics())?.[1] ?? 0,
    );
    await call(gateway);
    await call(gateway, {}, "no-such-model");
    await gateway.rows();
    const text = await metrics();
    expect(text).toContain(`gimbal_calls_total{model="fast",provider="lab",state="done",problem=""} ${before + 1}\n`);
    expect(text).toMatch(/gimbal_calls_total\{model="other",provider="",state="failed",problem="unknown_model"\} 1\n/);
    expect(text).not.toContain("no-such-model");
    expect(text).toMatch(/gimbal_record_delay_seconds_count [1-9]/);
    expect(text).toContain('gimbal_target_state{target="lab/small",state="closed"} 1\n');
    expect(text).toContain("gimbal_calls_running 0\n");
    expect(text).toMatch(/gimbal_budget_remaining_dollars\{budget="[^"]+"\} 5\n/);
    expect(text).toContain('gimbal_telemetry_dropped_total{reason="queue_full"} 0\n');
    expect(text).toContain("# TYPE gimbal_event_loop_delay_seconds gauge");
  });
});

describe("who may read metrics", () => {
  it("whoever is on this machine, and elsewhere the administrator", async () => {
    const url = `${gateway.url}/metrics`;
    const here = await fetch(url);
    expect(here.status).toBe(200);
    expect(here.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const relayed = { "x-forwarded-for": "1.2.3.4" };
    expect((await fetch(url, { headers: relayed })).status).toBe(401);
    const token = gateway.house.adminToken.reveal();
    expect((await fetch(url, { headers: { ...relayed, authorization: `Bearer ${token}` } })).status).toBe(200);
    expect((await fetch(url, { headers: { ...relayed, authorization: "Bearer wrong" } })).status).toBe(401);
  });
});

describe("a collector that hangs", () => {
  it("slows no call and holds up no stop; what is lost is counted", async () => {
    const deaf = await startUpstream(() => {});
    const other = await startGateway({
      config: `telemetry: { otlp: { endpoint: "${deaf.url}/v1/traces", everyMs: 10, queueCalls: 2, batchCalls: 1, timeoutMs: 60000 } }\n`,
    });
    try {
      await call(other, {}, "sim/echo");
      await expect.poll(() => deaf.requests.length).toBe(1);
      expect(deaf.requests[0]?.path).toBe("/v1/traces");
      const answers = await Promise.all(Array.from({ length: 10 }, () => call(other, {}, "sim/echo")));
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
      await other.rows();
      const text = await (await fetch(`${other.url}/metrics`)).text();
      expect(text).toContain('gimbal_telemetry_dropped_total{reason="queue_full"} 8\n');
      expect(text).toContain("gimbal_telemetry_queue 2\n");
    } finally {
      await Promise.all([other.close(), deaf.close()]);
    }
  });
});

describe("where nothing is exported", () => {
  it("a caller's trace goes on as it came, to the providers that may see it", async () => {
    const config = (propagate: string): string => `
providers:
  lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: k, allowPrivateNetwork: true }
telemetry: { propagate: ${propagate} }
`;
    for (const [propagate, seen] of [
      ["all", PARENT],
      ["[lab]", PARENT],
      ["[elsewhere]", undefined],
      ["none", undefined],
    ] as const) {
      const other = await startGateway({ config: config(propagate) });
      try {
        await call(other, { traceparent: PARENT }, "lab/small");
        expect(upstream.requests.at(-1)?.headers["traceparent"], propagate).toBe(seen);
        await call(other, {}, "lab/small");
        expect(upstream.requests.at(-1)?.headers["traceparent"]).toBeUndefined();
      } finally {
        await other.close();
      }
    }
  });
});

describe("structured logs", () => {
  it("are JSON from the gateway's first line on", async () => {
    const other = await startGateway({ config: "logs: { format: json, level: info, calls: problems }\n" });
    try {
      await call(other, {}, "no-such-model");
      await other.rows();
      expect(other.logs.map((line) => JSON.parse(line) as unknown)).toContainEqual(
        expect.objectContaining({ level: "info", problem: "unknown_model", state: "failed" }),
      );
    } finally {
      await other.close();
    }
  });
});
