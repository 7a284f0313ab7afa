import { describe, expect, it } from "vitest";
import type { AnyValue } from "../../../src/ledger/telemetry/attributes.ts";
import { exportRequest, spansOf, type Span, type SpanWords } from "../../../src/ledger/telemetry/spans.ts";
import {
  attemptSpanId,
  callSpanId,
  formatTraceparent,
  isInSample,
  readTraceparent,
  traceIdOf,
} from "../../../src/ledger/telemetry/trace.ts";
import { ATTEMPT, rowOf } from "./rows.ts";

const WORDS: SpanWords = { semconv: "v1.41", providerName: (name) => `the ${name}` };
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;

function plain(value: AnyValue): unknown {
  if ("arrayValue" in value) return value.arrayValue.values.map(plain);
  return Object.values(value)[0];
}
const attributesOf = (span: Span | undefined): Record<string, unknown> =>
  Object.fromEntries((span?.attributes ?? []).map(({ key, value }) => [key, plain(value)]));

describe("traceparent", () => {
  it("is read as W3C says", () => {
    expect(readTraceparent(PARENT)).toEqual({ traceId: TRACE, spanId: "b7ad6b7169203331", sampled: true });
    expect(readTraceparent(PARENT.replace(/01$/, "02"))?.sampled).toBe(false);
    expect(readTraceparent(`cc${PARENT.slice(2)}-later`)?.traceId).toBe(TRACE);
  });
  it.each([
    undefined,
    "",
    "nonsense",
    `ff${PARENT.slice(2)}`,
    `${PARENT}-more`,
    PARENT.toUpperCase(),
    PARENT.replace(TRACE, "0".repeat(32)),
    PARENT.replace("b7ad6b7169203331", "0".repeat(16)),
    PARENT.slice(0, -1),
  ])("%s is ignored", (header) => expect(readTraceparent(header)).toBeUndefined());
  it("is written as it is read", () => {
    const read = readTraceparent(PARENT);
    expect(read && formatTraceparent(read)).toBe(PARENT);
  });
});

describe("ids worked out from a call's", () => {
  it("are the same every time and differ between calls and spans", () => {
    const ids = Array.from({ length: 20_000 }, (_, place) => `call_01k${place}`);
    expect(new Set(ids.map(traceIdOf)).size).toBe(ids.length);
    const spans = ids.flatMap((id) => [
      callSpanId(id),
      attemptSpanId(id, 1, undefined),
      attemptSpanId(id, 1, true),
      attemptSpanId(id, 1.001, undefined),
    ]);
    expect(new Set(spans).size).toBe(4 * ids.length);
    expect(traceIdOf("call_1")).toMatch(/^[0-9a-f]{32}$/);
    expect(callSpanId("call_1")).toMatch(/^[0-9a-f]{16}$/);
    const attempts = Array.from({ length: 20_000 }, (_, place) => attemptSpanId("call_1", place / 1000, undefined));
    expect(new Set([...attempts, callSpanId("call_1")]).size).toBe(20_001);
  });
  it("spread so that a share of them is in a sample", () => {
    const inSample = Array.from({ length: 20_000 }, (_, place) => isInSample(traceIdOf(`call_01k${place}`), 0.25)).filter(Boolean).length;
    expect(inSample / 20_000).toBeCloseTo(0.25, 1);
    expect(isInSample(traceIdOf("call_1"), 1)).toBe(true);
    expect(isInSample(traceIdOf("call_1"), 0)).toBe(false);
  });
});

describe("the spans of a call", () => {
  const parent = readTraceparent(PARENT);

  it("hang below the caller's, attempts below the call's", () => {
    const [call, attempt] = spansOf({ row: rowOf(), parent }, WORDS);
    expect(call).toMatchObject({ traceId: TRACE, parentSpanId: "b7ad6b7169203331", name: "gimbal chat fast", kind: 2 });
    expect(attempt).toMatchObject({ traceId: TRACE, parentSpanId: call?.spanId, name: "chat small-1", kind: 3 });
    expect(call?.startTimeUnixNano).toBe("1767225600000000000");
    expect(attempt?.startTimeUnixNano).toBe("1767225600002000000");
    expect(attempt?.endTimeUnixNano).toBe("1767225600052000000");
    expect(call?.status).toBeUndefined();
    const alone = spansOf({ row: rowOf(), parent: undefined }, WORDS);
    expect(alone[0]?.traceId).toBe(traceIdOf(rowOf().callId));
    expect(alone[0]).not.toHaveProperty("parentSpanId");
  });

  it("say of an attempt what the conventions have words for, with cached input among the input", () => {
    const [, attempt] = spansOf({ row: rowOf(), parent }, WORDS);
    expect(attributesOf(attempt)).toEqual({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "the lab",
      "gen_ai.request.model": "small-1",
      "gen_ai.conversation.id": "thread-7",
      "gen_ai.request.stream": true,
      "gen_ai.response.model": "small-1-2026",
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.response.time_to_first_chunk": 0.02,
      "gen_ai.usage.input_tokens": "45",
      "gen_ai.usage.output_tokens": "7",
      "gen_ai.usage.cache_read.input_tokens": "30",
      "gen_ai.usage.cache_creation.input_tokens": "5",
      "gen_ai.usage.reasoning.output_tokens": "3",
      "http.response.status_code": "200",
      "gimbal.call.id": rowOf().callId,
      "gimbal.target": "lab/small-1",
    });
  });

  it.each(["latest", "both"] as const)("%s adds tokens by what they stand for", (semconv) => {
    const [, attempt] = spansOf({ row: rowOf(), parent }, { ...WORDS, semconv });
    expect(attributesOf(attempt)).toMatchObject({ "gen_ai.usage.audio.input_tokens": "4", "gen_ai.usage.input_tokens": "45" });
  });

  it("count tokens once: the call's own span has none", () => {
    const [call] = spansOf({ row: rowOf(), parent }, WORDS);
    expect(Object.keys(attributesOf(call)).filter((key) => key.startsWith("gen_ai"))).toEqual([]);
    expect(attributesOf(call)).toMatchObject({ "gimbal.cost.usd": "0.001500000", "gimbal.team": "red", "gimbal.state": "done" });
  });

  it("show what failed and what answered in its place", () => {
    const row = rowOf({
      attempts: [{ target: "bad/big", startedMs: 1, endedMs: 2, status: 503, problem: "upstream_unavailable" }, ATTEMPT],
    });
    const [, failed, answered] = spansOf({ row, parent }, WORDS);
    expect(failed?.status).toEqual({ code: 2, message: "upstream_unavailable" });
    expect(attributesOf(failed)).toMatchObject({ "error.type": "upstream_unavailable", "http.response.status_code": "503" });
    expect(attributesOf(failed)).not.toHaveProperty("gen_ai.response.model");
    expect(answered?.status).toBeUndefined();
  });

  it("hold no content, and no message that may quote it", () => {
    const row = rowOf({
      state: "failed",
      problem: "upstream_rejected",
      problemMessage: "cannot parse: my secret prompt",
      metadata: { user: "ann" },
    });
    const text = exportRequest([{ row, parent }], WORDS, "gimbal", "node_1");
    expect(text).not.toContain("secret prompt");
    expect(text).not.toContain("ann");
  });

  it("travel with the service, and with the schema of their version", () => {
    const sent = JSON.parse(exportRequest([{ row: rowOf(), parent }], WORDS, "inference", "node_1")) as {
      resourceSpans: { resource: { attributes: unknown[] }; scopeSpans: { schemaUrl?: string; spans: Span[] }[] }[];
    };
    expect(sent.resourceSpans[0]?.resource.attributes).toContainEqual({ key: "service.name", value: { stringValue: "inference" } });
    expect(sent.resourceSpans[0]?.scopeSpans[0]?.schemaUrl).toBe("https://opentelemetry.io/schemas/1.41.0");
    expect(sent.resourceSpans[0]?.scopeSpans[0]?.spans).toHaveLength(2);
  });
});
