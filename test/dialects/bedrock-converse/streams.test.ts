import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  unfold,
  type AnswerContext,
  type Event,
  type FrameRole,
  type Item,
  type JsonObject,
} from "../../../src/canon/index.ts";
import { eventMessages } from "../../../src/dialects/bedrock-converse/framing.ts";
import dialect from "../../../src/dialects/bedrock-converse/index.ts";
import { SeededRandomness } from "../../../src/kit/index.ts";
import { badCuts, byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { answers, foreignCall, present, streams } from "./corpus.ts";

const told: AnswerContext = { call: foreignCall({ origin: { dialect: dialect.id } }), createdAt: 0 };
const LIMIT_BYTES = 1 << 24;
const DECODED_CUTS = process.env["GIMBAL_EXHAUSTIVE"] === "1" ? 1 : 250;

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: dialect.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

function encodeStream(events: Iterable<Event>): Buffer {
  const frames: Uint8Array[] = [];
  const encoder = dialect.encodeEvents((event, data) => frames.push(eventMessages.format(event, data)), told);
  for (const event of events) encoder.event(event);
  return Buffer.concat(frames);
}

function framesOf(pieces: Iterable<Uint8Array>): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const cutter = eventMessages.cutter(LIMIT_BYTES);
  for (const piece of pieces) expect(cutter.push(piece, (frame) => frames.push(Uint8Array.from(frame)))).toBe(true);
  return frames;
}

function bare(items: readonly Item[]): unknown {
  return JSON.parse(JSON.stringify(items, (key, value: unknown) => (key === "raw" ? undefined : value)));
}

const message = (event: string, body: JsonObject): Buffer => Buffer.from(eventMessages.format(event, JSON.stringify(body)));
const events = (...frames: readonly Buffer[]): Event[] => decodeStream(dialect, [Buffer.concat(frames)]);

describe("messages", () => {
  it("are what another implementation writes and reads", () => {
    // The first message of "Amazon Event Stream Specification", "Examples": no headers, the payload {'foo':'bar'}.
    const example = Buffer.from("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", "hex");
    expect(example.length).toBe(29);
    expect(eventMessages.parse(example)).toEqual({ event: undefined, data: "{'foo':'bar'}" });
  });

  it.each([
    ["contentBlockDelta", "event"],
    ["throttlingException", "exception"],
  ])("%s comes back as it went out", (event, kind) => {
    const frame = message(event, { a: "é" });
    expect(frame.includes(`:${kind}-type`)).toBe(true);
    expect(eventMessages.parse(frame)).toEqual({ event, data: '{"a":"é"}' });
  });

  it("that are spoilt in any byte say nothing", () => {
    const frame = message("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "hello" } });
    for (let at = 0; at < frame.length; at++) {
      const spoilt = Buffer.from(frame);
      spoilt[at] = (spoilt[at] ?? 0) ^ 1;
      expect(eventMessages.parse(spoilt)).toEqual({ event: undefined, data: "" });
      expect(eventMessages.parse(frame.subarray(0, at))?.data ?? "").toBe("");
    }
  });

  it.each([
    ["longer than the limit", 1001],
    ["too short to be one", 12],
    ["of four gigabytes", 0xffff_ffff],
  ])("%s end the stream, however it is cut", (_, length) => {
    const bytes = Buffer.alloc(20);
    bytes.writeUInt32BE(length);
    expect(eventMessages.cutter(1000).push(bytes, () => expect.unreachable())).toBe(false);
    const cutter = eventMessages.cutter(1000);
    const outcomes = [...byteByByte(bytes.subarray(0, 4))].map((piece) => cutter.push(piece, () => expect.unreachable()));
    expect(outcomes).toEqual([true, true, true, false]);
  });
});

describe("recorded streams", () => {
  it.runIf(present)("are there", () => expect(streams.length).toBeGreaterThanOrEqual(11));

  it.each(streams)("$name: cut anywhere, metered and told again", ({ bytes, name }) => {
    const whole = decodeStream(dialect, [bytes]);
    const complete = fold(whole);
    expect(complete.problem, name).toBeUndefined();
    expect(complete.stop).toBeDefined();
    expect(decodeStream(dialect, byteByByte(bytes))).toEqual(whole);
    const frames = framesOf([bytes]);
    expect(badCuts(bytes, cutPlaces(bytes.length), eventMessages)).toEqual([]);
    for (let place = 0; place < bytes.length; place += DECODED_CUTS)
      expect(decodeStream(dialect, [bytes.subarray(0, place), bytes.subarray(place)])).toEqual(whole);
    const meter = dialect.usageFrames({ withholdUsage: false });
    const roles: FrameRole[] = frames.map((frame) => meter.frame(Buffer.from(frame)));
    expect(roles.includes("done") || meter.complete?.()).toBe(true);
    expect(meter.stop()).toBe(complete.stop);
    if (complete.usageSeen) expect(meter.usage()).toEqual(complete.usage);
    const again = fold(decodeStream(dialect, [encodeStream(whole)]));
    expect(again.items()).toEqual(complete.items());
    expect([again.stop, again.usage]).toEqual([complete.stop, complete.usage]);
  });

  it.each(streams)("$name: broken off, it is a problem until its last message", ({ bytes }) => {
    const random = new SeededRandomness(bytes.length);
    const frames = framesOf([bytes]);
    const stops = frames.findIndex((frame) => Buffer.from(frame).includes("messageStop"));
    const before = frames.slice(0, stops + 1).reduce((sum, frame) => sum + frame.length, 0);
    for (let copy = 0; copy < 12; copy++) {
      const cut = Math.floor(random.number() * before);
      const ends = decodeStream(dialect, [bytes.subarray(0, cut)]).filter(({ type }) => type === "done" || type === "problem");
      expect(ends).toMatchObject([{ type: "problem", problem: { kind: "upstream_broken" } }]);
    }
  });
});

describe("an answer, told as a stream", () => {
  it.each(answers)("$name", ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    const again = fold(decodeStream(dialect, [encodeStream(unfold(answer))])).answer();
    // A text that says nothing is not told in a stream, nor what stands beside a block's own members.
    const spoken = answer.items.filter(
      (item) => item.type !== "message" || item.parts.some((part) => part.type !== "text" || part.text !== ""),
    );
    expect(bare(again.items)).toEqual(bare(spoken));
    expect([again.stop, again.usage]).toEqual([answer.stop, answer.usage]);
  });
});

describe("a stream", () => {
  const start = message("messageStart", { role: "assistant" });
  const stop = message("messageStop", { stopReason: "end_turn" });
  const usage = message("metadata", { usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 } });
  const delta = (contentBlockIndex: number, body: JsonObject) => message("contentBlockDelta", { contentBlockIndex, delta: body });

  it("brings thoughts with their signature, what is redacted, and citations", () => {
    const folded = fold(
      events(
        start,
        delta(0, { reasoningContent: { text: "Hm" } }),
        delta(0, { reasoningContent: { text: "m." } }),
        delta(0, { reasoningContent: { signature: "sig" } }),
        message("contentBlockStop", { contentBlockIndex: 0 }),
        delta(1, { reasoningContent: { redactedContent: "AAAA" } }),
        message("contentBlockStop", { contentBlockIndex: 1 }),
        delta(2, { text: "It is so." }),
        delta(2, { citation: { title: "t", location: { web: { url: "u" } } } }),
        message("contentBlockStop", { contentBlockIndex: 2 }),
        stop,
        usage,
      ),
    );
    expect(folded.problem).toBeUndefined();
    expect(folded.items()).toMatchObject([
      { type: "reasoning", parts: [{ text: "Hmm." }], signature: "sig" },
      { type: "reasoning", encrypted: "AAAA" },
      { type: "message", parts: [{ text: "It is so.", annotations: [{ title: "t" }] }] },
    ]);
    const again = fold(decodeStream(dialect, [encodeStream(unfold(folded.answer()))]));
    expect(again.items()).toEqual(folded.items());
  });

  it("ends well without its figures when the connection closes behind its stop", () => {
    expect(fold(events(start, delta(0, { text: "x" }), stop)).stop).toBe("end");
  });

  it.each([
    ["throttlingException", "rate_limited"],
    ["modelStreamErrorException", "upstream_broken"],
    ["internalServerException", "upstream_unavailable"],
    ["validationException", "upstream_rejected"],
    ["serviceUnavailableException", "upstream_unavailable"],
    ["modelTimeoutException", "upstream_timeout"],
  ])("tells of %s in its midst", (name, kind) => {
    const frame = message(name, { message: "Too much." });
    const problem = fold(events(start, delta(0, { text: "x" }), frame, stop)).problem;
    expect(problem).toMatchObject({ kind, message: expect.stringContaining("Too much.") as string });
    const meter = dialect.usageFrames({ withholdUsage: false });
    expect(meter.frame(frame)).toBe("problem");
    expect(meter.problem()).toMatchObject({ kind });
    if (!problem) return;
    const names: string[] = [];
    dialect.encodeProblemFrames(problem, "call_1", (event) => names.push(event ?? ""));
    expect(names[0]).toMatch(/Exception$/);
  });

  it.each<[string, Buffer]>([
    ["no JSON", Buffer.from(eventMessages.format("contentBlockDelta", "{"))],
    ["a delta of no block", message("contentBlockDelta", { delta: { text: "x" } })],
    ["input of a text", delta(0, { toolUse: { input: "{}" } })],
    ["a call without a name", message("contentBlockStart", { contentBlockIndex: 1, start: { toolUse: { toolUseId: "t" } } })],
  ])("that brings %s is garbled", (_, frame) => {
    expect(fold(events(start, delta(0, { text: "a" }), frame, stop)).problem?.kind).toBe("upstream_broken");
  });

  it("passes on what only its own language knows", () => {
    const image = { contentBlockIndex: 0, start: { image: { format: "png" } } };
    const seen = events(start, message("contentBlockStart", image), message("brandNew", { a: 1 }), stop, usage);
    expect(seen.filter(({ type }) => type === "native")).toMatchObject([
      { event: "contentBlockStart", raw: image },
      { event: "brandNew", raw: { a: 1 } },
    ]);
    expect(fold(seen).stop).toBe("end");
  });
});
