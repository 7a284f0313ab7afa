import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  unfold,
  type AnswerContext,
  type Event,
  type FrameMeter,
  type FrameRole,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/gemini/index.ts";
import { isList, isObject } from "../../../src/dialects/gemini/wire.ts";
import { formatFrame, FrameSplitter, parseFrame, SeededRandomness } from "../../../src/kit/index.ts";
import { badCuts, byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { answers, foreignCall, streams } from "./corpus.ts";

const DECODED_CUTS = process.env["GIMBAL_EXHAUSTIVE"] === "1" ? 1 : 250;
const TRUNCATIONS = 12;

const told: AnswerContext = { call: foreignCall({ origin: { dialect: dialect.id } }), createdAt: 0 };

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: dialect.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

function encodeStream(events: Iterable<Event>): Buffer {
  let text = "";
  const encoder = dialect.encodeEvents((event, data) => (text += formatFrame(event, data)), told);
  for (const event of events) encoder.event(event);
  return Buffer.from(text);
}

function framesOf(pieces: readonly Uint8Array[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const splitter = new FrameSplitter(1 << 24);
  for (const piece of pieces) splitter.push(piece, (frame) => frames.push(frame));
  return frames;
}

function metered(bytes: Buffer): { meter: FrameMeter; roles: FrameRole[] } {
  const meter = dialect.usageFrames({ withholdUsage: false });
  return { meter, roles: framesOf([bytes]).map((frame) => meter.frame(Buffer.from(frame))) };
}

/** Everything a client sees of the first candidate: words, thoughts and calls, each put together. */
function seen(bytes: Buffer): {
  text: string;
  thoughts: string;
  calls: unknown[];
  others: unknown[];
  signatures: string[];
  reason: unknown;
} {
  const found = {
    text: "",
    thoughts: "",
    calls: [] as unknown[],
    others: [] as unknown[],
    signatures: [] as string[],
    reason: undefined as unknown,
  };
  for (const frame of framesOf([bytes])) {
    const data = JSON.parse(parseFrame(frame)?.data ?? "null") as JsonObject;
    const [candidate] = isList(data["candidates"]) ? data["candidates"] : [];
    if (!isObject(candidate)) continue;
    found.reason = candidate["finishReason"] ?? found.reason;
    const parts = isObject(candidate["content"]) && isList(candidate["content"]["parts"]) ? candidate["content"]["parts"] : [];
    for (const part of parts.filter(isObject)) {
      if (typeof part["thoughtSignature"] === "string") found.signatures.push(part["thoughtSignature"]);
      if (typeof part["text"] === "string") found[part["thought"] === true ? "thoughts" : "text"] += part["text"];
      else if (part["functionCall"] !== undefined) found.calls.push(part["functionCall"]);
      else found.others.push(part);
    }
  }
  return found;
}

const recorded = streams();

describe("recorded streams", () => {
  it("are there", () => expect(recorded.length).toBeGreaterThanOrEqual(7));

  it.each(recorded)("$name: bytes may come as they like", ({ bytes }) => {
    const text = JSON.stringify(decodeStream(dialect, [bytes]));
    expect(JSON.stringify(decodeStream(dialect, byteByByte(bytes)))).toBe(text);
    const places = cutPlaces(bytes.length);
    expect(badCuts(bytes, places)).toEqual([]);
    const wrong = places.filter((place, at) => {
      if (at % DECODED_CUTS !== 0) return false;
      return JSON.stringify(decodeStream(dialect, [bytes.subarray(0, place), bytes.subarray(place)])) !== text;
    });
    expect(wrong).toEqual([]);
  });

  it.each(recorded)("$name: is well formed in canonical terms", ({ bytes }) => {
    const events = decodeStream(dialect, [bytes]);
    const terminals = events.filter((event) => event.type === "done" || event.type === "problem");
    expect(terminals).toHaveLength(1);
    expect(events.at(-1)).toBe(terminals[0]);
    expect(terminals[0]?.type).toBe("done");
    const begun = events.filter((event) => event.type === "item_start").map((event) => event.index);
    expect(begun).toEqual(begun.map((_, at) => at));
    expect(events.filter((event) => event.type === "item_end").map((event) => event.index)).toEqual(begun);
    expect(begun.length).toBeGreaterThan(0);
  });

  it.each(recorded)("$name: the meter reads what the decoder reads", ({ bytes }) => {
    const folded = fold(decodeStream(dialect, [bytes]));
    const { meter, roles } = metered(bytes);
    expect(meter.usage()).toEqual(folded.usage);
    expect(meter.id()).toBe(folded.id);
    expect(meter.model()).toBe(folded.model);
    expect(meter.stop()).toBe(folded.stop);
    expect(meter.complete?.()).toBe(true);
    expect(roles).not.toContain("problem");
  });

  it.each(recorded)("$name: cut short anywhere, it ends in one problem, and both paths say the same usage", ({ bytes }) => {
    const random = new SeededRandomness(bytes.length);
    const stop = bytes.lastIndexOf("finishReason");
    for (let count = 0; count < TRUNCATIONS; count++) {
      const cut = bytes.subarray(0, Math.floor(random.number() * stop));
      const events = decodeStream(dialect, [cut]);
      expect(events.filter((event) => event.type === "done")).toEqual([]);
      expect(events.at(-1)).toMatchObject({ type: "problem", problem: { kind: "upstream_broken" } });
      expect(events.filter((event) => event.type === "problem")).toHaveLength(1);
      const { meter } = metered(cut);
      expect(meter.complete?.()).toBe(false);
      expect(meter.usage()).toEqual(fold(events).usageSeen ? fold(events).usage : undefined);
    }
  });

  it.each(recorded)("$name: told again, a client sees the same", ({ bytes }) => {
    const before = seen(bytes);
    const events = decodeStream(dialect, [bytes]);
    const again = encodeStream(events);
    const after = seen(again);
    const whole = bytes.includes("partialArgs") ? { ...before, calls: after.calls } : before;
    expect(after).toEqual(whole);
    const { native: _twice, ...twice } = fold(decodeStream(dialect, [again])).answer();
    const { native: _once, ...once } = fold(events).answer();
    expect(twice).toEqual(once);
  });
});

describe("plain answers told as streams", () => {
  it.each(answers())("$name", ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    const bytes = encodeStream(unfold(answer));
    const again = fold(decodeStream(dialect, [bytes])).answer();
    expect(again.usage).toEqual(answer.usage);
    expect(again.stop).toEqual(answer.stop);
    const plain = seen(Buffer.from(formatFrame(undefined, JSON.stringify(body))));
    expect({ ...seen(bytes), signatures: [] }).toEqual({ ...plain, signatures: [] });
    expect(new Set(seen(bytes).signatures)).toEqual(new Set(plain.signatures));
  });
});

describe("a stream", () => {
  const frame = (data: JsonObject): string => formatFrame(undefined, JSON.stringify({ modelVersion: "m", responseId: "r", ...data }));
  const parts = (list: readonly JsonObject[], more: JsonObject = {}): string =>
    frame({ candidates: [{ content: { role: "model", parts: list }, index: 0, ...more }] });
  const events = (...frames: string[]): Event[] => decodeStream(dialect, [Buffer.from(frames.join(""))]);

  it("may go on behind its first finish reason, which some models give with every frame", () => {
    const folded = fold(events(parts([{ text: "a" }], { finishReason: "STOP" }), parts([{ text: "b" }], { finishReason: "MAX_TOKENS" })));
    expect(folded.stop).toBe("max_tokens");
    expect(folded.answer().items).toMatchObject([{ type: "message", parts: [{ text: "ab" }] }]);
  });

  it("without a finish reason is broken, and what came behind the last figures is estimated", () => {
    const usage = frame({
      candidates: [{ content: { parts: [{ text: "a" }] } }],
      usageMetadata: { promptTokenCount: 7, candidatesTokenCount: 1 },
    });
    const folded = fold(events(usage, parts([{ text: "b".repeat(40) }])));
    expect(folded.problem?.kind).toBe("upstream_broken");
    expect(folded.usage).toMatchObject({ inputUncached: 7, output: 11, estimated: true });
  });

  it("of a refused prompt ends without an answer", () => {
    const folded = fold(events(frame({ promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 4 } })));
    expect(folded.problem).toBeUndefined();
    expect(folded.answer()).toMatchObject({ stop: "content_filter", items: [], usage: { inputUncached: 4 } });
    const [again] = framesOf([encodeStream(events(frame({ promptFeedback: { blockReason: "SAFETY" } })))]);
    expect(JSON.parse(parseFrame(again ?? "")?.data ?? "")).toMatchObject({ promptFeedback: { blockReason: "SAFETY" } });
  });

  it("brings a function's arguments value by value", () => {
    const call = (functionCall: JsonObject): string => parts([{ functionCall }]);
    const folded = fold(
      events(
        call({ name: "f", id: "c1", willContinue: true }),
        call({
          partialArgs: [
            { jsonPath: "$.a.b[1]", numberValue: 2 },
            { jsonPath: "$['odd key']", boolValue: true },
          ],
          willContinue: true,
        }),
        call({ partialArgs: [{ jsonPath: "$.s", stringValue: "he", willContinue: true }], willContinue: true }),
        call({
          partialArgs: [
            { jsonPath: "$.s", stringValue: "llo" },
            { jsonPath: "$.n", nullValue: "NULL_VALUE" },
          ],
          willContinue: true,
        }),
        call({}),
        parts([], { finishReason: "STOP" }),
      ),
    );
    expect(folded.stop).toBe("tool_calls");
    expect(folded.answer().items).toMatchObject([{ type: "tool_call", callId: "c1", name: "f" }]);
    const [item] = folded.answer().items;
    expect(item?.type === "tool_call" && JSON.parse(item.input)).toEqual({ a: { b: [null, 2] }, "odd key": true, s: "hello", n: null });
  });

  it.each(["", "x", "$", "$.", "$[99999]", "$.a[", "$..a", 7])("refuses a piece of arguments at %j", (jsonPath) => {
    const folded = fold(events(parts([{ functionCall: { name: "f", willContinue: true, partialArgs: [{ jsonPath, numberValue: 1 }] } }])));
    expect(folded.problem?.kind).toBe("upstream_broken");
  });

  it("writes a prototype's name as any other", () => {
    const piece = { jsonPath: "$.__proto__.polluted", boolValue: true };
    const folded = fold(events(parts([{ functionCall: { name: "f", partialArgs: [piece] } }], { finishReason: "STOP" })));
    expect(folded.answer().items).toMatchObject([{ input: '{"__proto__":{"polluted":true}}' }]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("tells an error in its middle in the provider's words", () => {
    const folded = fold(events(parts([{ text: "a" }]), frame({ error: { code: 503, message: "Overloaded", status: "UNAVAILABLE" } })));
    expect(folded.problem).toMatchObject({ kind: "upstream_unavailable", code: "UNAVAILABLE" });
  });

  it.each([
    "[]",
    "7",
    '{"candidates":[3]}',
    '{"candidates":[{"content":{"parts":[3]}}]}',
    '{"candidates":[{"content":{"parts":[{"functionCall":{"args":3}}]}}]}',
  ])("that brings %s is garbled", (data) => {
    expect(fold(events(parts([{ text: "a" }]), formatFrame(undefined, data))).problem?.kind).toBe("upstream_broken");
  });
});
