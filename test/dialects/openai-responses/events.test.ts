import { describe, expect, it } from "vitest";
import { accumulateResponse } from "openai/lib/responses/ResponseAccumulator";
import { AnswerFold, type AnswerContext, type Event, type Item, type JsonObject } from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/openai-responses/index.ts";
import { FrameSplitter, formatFrame, parseFrame, SeededRandomness } from "../../../src/kit/index.ts";
import { badCuts, byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { recordedStreams } from "./recorded.ts";

const streams = recordedStreams();
const context: AnswerContext = {
  call: dialect.decodeCall({ model: "m", input: "hi" }, { operation: "generate", headers: {}, params: {} }),
  createdAt: 0,
};
const named = streams.map((stream) => [stream.name, stream] as const);
/** Of this many places to cut a stream, the whole is decoded at one. */
const SAMPLED = 997;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function framesOf(bytes: Uint8Array): { event: string | undefined; data: string; bytes: Buffer }[] {
  const frames: { event: string | undefined; data: string; bytes: Buffer }[] = [];
  const splitter = new FrameSplitter(1 << 25);
  splitter.push(bytes, (frame) => {
    const parsed = parseFrame(frame);
    // Some imitators end their streams like the older sister language.
    if (parsed && parsed.data !== "[DONE]") frames.push({ ...parsed, bytes: Buffer.from(frame) });
  });
  return frames;
}

/** The response object of the last event, unless the stream failed. */
function terminalOf(bytes: Uint8Array): JsonObject | undefined {
  for (const { data } of framesOf(bytes).toReversed()) {
    const event = JSON.parse(data) as { type: string; response?: JsonObject };
    if (event.type === "response.completed" || event.type === "response.incomplete") return event.response;
  }
  return undefined;
}

function encode(events: readonly Event[], to: AnswerContext = context): { event: string | undefined; data: string }[] {
  const frames: { event: string | undefined; data: string }[] = [];
  const encoder = dialect.encodeEvents((event, data) => frames.push({ event, data }), to);
  for (const event of events) encoder.event(event);
  return frames;
}

describe.skipIf(streams.length === 0)("recorded streams", () => {
  it("are many", () => {
    expect(streams.length).toBeGreaterThan(30);
  });

  it.each(named)("%s tells a well-formed story", (_name, { bytes }) => {
    const events = decodeStream(dialect, [bytes]);
    expect(events[0]?.type).toBe("start");
    expect(events.filter((event) => event.type === "start")).toHaveLength(1);
    const ends = events.filter((event) => event.type === "done" || event.type === "problem");
    expect(ends).toHaveLength(1);
    expect(events.at(-1)).toBe(ends[0]);
    const started = events.flatMap((event) => (event.type === "item_start" ? [event.index] : []));
    expect(started).toEqual(started.map((_, at) => at));
    if (ends[0]?.type !== "done") return;
    expect(events.flatMap((event) => (event.type === "item_end" ? [event.index] : [])).toSorted((a, b) => a - b)).toEqual(started);
  });

  it.each(named)("%s folds to its last event's answer", (_name, { bytes, provider }) => {
    const response = terminalOf(bytes);
    if (!response) return;
    const fold = new AnswerFold({ dialect: dialect.id, provider: "recorded" });
    for (const event of decodeStream(dialect, [bytes])) fold.event(event);
    const told = fold.answer();
    const whole = dialect.decodeAnswer(response, { provider: "recorded", operation: "generate" });
    expect({ ...told, items: [], native: {} }).toEqual({ ...whole, items: [], native: {} });
    expect(told.native).toMatchObject(whole.native);
    // Some servers write an item a little differently in its own last event and in the last of all; what it says is the same.
    expect(told.items.map(sayings)).toEqual(whole.items.map(sayings));
    expect(provider).not.toBe("");
  });

  it.each(named)("%s is the same byte by byte and cut in two", (_name, { bytes }) => {
    const whole = JSON.stringify(decodeStream(dialect, [bytes]));
    expect(JSON.stringify(decodeStream(dialect, byteByByte(bytes))) === whole).toBe(true);
    const places = cutPlaces(bytes.length);
    expect(badCuts(bytes, places)).toEqual([]);
    // The events of the whole stream at a sample.
    const different = places.filter(
      (place, at) =>
        at % SAMPLED === 0 && JSON.stringify(decodeStream(dialect, [bytes.subarray(0, place), bytes.subarray(place)])) !== whole,
    );
    expect(different).toEqual([]);
  });

  it.each(named)("%s is a problem when it is cut short", (_name, { bytes }) => {
    const random = new SeededRandomness(bytes.length);
    const frames = framesOf(bytes);
    const last = frames.findIndex(({ data }) => /"type":"(?:response\.(?:completed|incomplete|failed)|error)"/.test(data));
    const safe = text(bytes).indexOf(frames[last]?.data ?? "");
    for (let time = 0; time < 12; time++) {
      const events = decodeStream(dialect, [bytes.subarray(0, Math.floor(random.number() * safe))]);
      const ends = events.filter((event) => event.type === "done" || event.type === "problem");
      expect(ends).toHaveLength(1);
      expect(ends[0]).toMatchObject({ type: "problem", problem: { kind: "upstream_broken" } });
    }
  });

  it.each(named)("%s is metered as it is decoded", (_name, { bytes }) => {
    const fold = new AnswerFold({ dialect: dialect.id });
    for (const event of decodeStream(dialect, [bytes])) fold.event(event);
    for (const dress of ["event", "data", "socket"] as const) {
      const meter = dialect.usageFrames({ withholdUsage: false });
      const roles = framesOf(bytes).map(({ event, data }) =>
        meter.frame(Buffer.from(dress === "socket" ? data : formatFrame(dress === "event" ? event : undefined, data))),
      );
      expect(meter.usage()).toEqual(fold.usageSeen ? fold.usage : undefined);
      expect({ id: meter.id(), model: meter.model(), stop: meter.stop() }).toEqual({ id: fold.id, model: fold.model, stop: fold.stop });
      expect(roles.includes("problem")).toBe(fold.problem !== undefined);
      expect(roles.filter((role) => role === "done")).toHaveLength(fold.stop === undefined ? 0 : 1);
      expect(roles[0]).toBe("quiet");
      expect(meter.problem()?.kind).toBe(fold.problem?.kind);
    }
  });

  it.each(named)("%s is written again so that the official SDK reads it", (_name, { bytes }) => {
    const events = decodeStream(dialect, [bytes]);
    const before = terminalOf(bytes);
    if (!before || hasRepeatedIds(before)) return;
    const frames = encode(events);
    let snapshot: Parameters<typeof accumulateResponse>[1];
    for (const [at, { event, data }] of frames.entries()) {
      const parsed = JSON.parse(data) as Parameters<typeof accumulateResponse>[0];
      expect(parsed.type).toBe(event);
      expect(parsed.sequence_number).toBe(at);
      snapshot = accumulateResponse(parsed, snapshot);
    }
    expect({ ...snapshot, output_text: "" }).toEqual({ ...before, output: snapshot?.output, output_text: "" });
    // And decoding what was written tells the same story.
    const again = decodeStream(dialect, [Buffer.from(frames.map(({ event, data }) => formatFrame(event, data)).join(""))]);
    // (Some recordings were shortened: their deltas tell only the beginning of what the item's end holds.)
    const retold = texts(again);
    for (const [key, value] of Object.entries(texts(events))) expect(retold[key]?.startsWith(value)).toBe(true);
    expect(again.at(-1)).toMatchObject({ type: "done", stop: (events.at(-1) as { stop?: string }).stop });
  });
});

describe.skipIf(streams.length === 0)("streams with nonsense in them", () => {
  const JUNK = [null, 7, -1, "x", [], [null], {}, { type: 3 }, true];

  /** The same JSON with one member somewhere replaced. */
  function spoiled(value: unknown, random: SeededRandomness): unknown {
    if (typeof value !== "object" || value === null) return JUNK[Math.floor(random.number() * JUNK.length)];
    const keys = Object.keys(value);
    const key = keys[Math.floor(random.number() * keys.length)];
    if (key === undefined) return JUNK[Math.floor(random.number() * JUNK.length)];
    const member = (value as Record<string, unknown>)[key];
    const instead = random.number() < 0.4 ? JUNK[Math.floor(random.number() * JUNK.length)] : spoiled(member, random);
    if (Array.isArray(value)) return value.map((old: unknown, at) => (String(at) === key ? instead : old));
    return { ...value, [key]: instead };
  }

  it.each(named)("%s is read, metered and written without a throw", (_name, { bytes }) => {
    const random = new SeededRandomness(bytes.length);
    const frames = framesOf(bytes).filter((_, at, all) => at < 40 || at > all.length - 40);
    for (let time = 0; time < 10; time++) {
      const events: Event[] = [];
      const decoder = dialect.decodeEvents((event) => events.push(event), { provider: "p" });
      const meter = dialect.usageFrames({ withholdUsage: false });
      for (const { event, data } of frames) {
        const bad = random.number() < 0.5 ? JSON.stringify(spoiled(JSON.parse(data), random)) : data;
        decoder.frame({ event, data: bad });
        meter.frame(Buffer.from(formatFrame(event, bad)));
      }
      decoder.end();
      expect(events.filter((event) => event.type === "done" || event.type === "problem")).toHaveLength(1);
      for (const { event, data } of encode(events)) expect([event, typeof JSON.parse(data)]).toEqual([event, "object"]);
    }
  });
});

/** What an item says, without the fields in which servers contradict themselves. */
function sayings(item: Item): unknown {
  const { id: own, kind, input, parts } = item as { id?: string; kind?: string; input?: string; parts?: readonly { text?: string }[] };
  const id = own?.includes("_tmp_") ? "temporary" : own;
  return [item.type, kind, id, input, parts?.map((part) => part.text)];
}

function texts(events: readonly Event[]): Record<string, string> {
  const told: Record<string, string> = {};
  for (const event of events) {
    if (event.type === "text" || event.type === "refusal" || event.type === "reasoning" || event.type === "input") {
      const key = `${event.type} ${event.index}`;
      told[key] = (told[key] ?? "") + event.text;
    }
  }
  return told;
}

/** The SDK refuses answers in which two items bear one id, whoever wrote them. */
function hasRepeatedIds(response: JsonObject): boolean {
  const output = response["output"] as readonly { readonly type: string; readonly id?: string; readonly call_id?: string | null }[];
  const ids = output.flatMap(({ type, id, call_id: callId }) => [`id ${id ?? ""}`, ...(callId ? [`${type} ${callId}`] : [])]);
  return new Set(ids).size < ids.length || output.some(({ id }) => id === undefined);
}
