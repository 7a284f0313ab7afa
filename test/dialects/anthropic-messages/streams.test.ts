import Anthropic from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  unfold,
  type AnswerContext,
  type Dialect,
  type Event,
  type FrameMeter,
  type FrameRole,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/anthropic-messages/index.ts";
import { formatFrame, FrameSplitter, SeededRandomness } from "../../../src/kit/index.ts";
import { badCuts, byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { answers, context, streams } from "./corpus.ts";

/** The decoder sees frames alone, so at most places of a cut it is enough that the frames are the same; at each such one it decodes, too. */
const DECODED_CUTS = process.env["GIMBAL_EXHAUSTIVE"] === "1" ? 1 : 250;
const TRUNCATIONS = 12;

const call = dialect.decodeCall({ model: "m", max_tokens: 1, messages: [] }, context("/v1/messages"));
const told: AnswerContext = { call, createdAt: 0 };

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: dialect.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

/** The frames that a client of this language gets for these events. */
export function encodeStream(to: Dialect, events: Iterable<Event>, answerContext: AnswerContext = told): Buffer {
  let text = "";
  const encoder = to.encodeEvents((event, data) => (text += formatFrame(event, data)), answerContext);
  for (const event of events) encoder.event(event);
  return Buffer.from(text);
}

/** What the vendor's own client makes of a stream. */
async function accumulated(bytes: Buffer): Promise<JsonObject> {
  const client = new Anthropic({
    apiKey: "none",
    maxRetries: 0,
    fetch: () => Promise.resolve(new Response(new Uint8Array(bytes), { headers: { "content-type": "text/event-stream" } })),
  });
  const message = await client.beta.messages
    .stream({ model: "m", max_tokens: 1, messages: [{ role: "user", content: "x" }] })
    .finalMessage();
  const { parsed_output: _parsed, ...rest } = JSON.parse(JSON.stringify(message)) as JsonObject;
  return rest;
}

function metered(bytes: Buffer): { meter: FrameMeter; roles: FrameRole[] } {
  const meter = dialect.usageFrames({ withholdUsage: false });
  const roles: FrameRole[] = [];
  new FrameSplitter(1 << 24).push(bytes, (frame) => roles.push(meter.frame(Buffer.from(frame.buffer, frame.byteOffset, frame.length))));
  return { meter, roles };
}

const recorded = streams();

describe("recorded streams", () => {
  it.each(recorded)("$name: bytes may come as they like", ({ bytes }) => {
    const whole = decodeStream(dialect, [bytes]);
    const text = JSON.stringify(whole);
    expect(JSON.stringify(decodeStream(dialect, byteByByte(bytes)))).toBe(text);
    const places = cutPlaces(bytes.length);
    expect(badCuts(bytes, places)).toEqual([]);
    const wrong = places.filter((place, at) => {
      if (at % DECODED_CUTS !== 0) return false;
      return JSON.stringify(decodeStream(dialect, [bytes.subarray(0, place), bytes.subarray(place)])) !== text;
    });
    expect(wrong).toEqual([]);
  });

  it.each(recorded)("$name: is well formed in canonical terms", ({ name, bytes }) => {
    const events = decodeStream(dialect, [bytes]);
    const terminals = events.filter((event) => event.type === "done" || event.type === "problem");
    expect(terminals).toHaveLength(1);
    expect(events.at(-1)).toBe(terminals[0]);
    expect(terminals[0]?.type).toBe(name.includes("spliced") ? "problem" : "done");
    const begun = events.filter((event) => event.type === "item_start").map((event) => event.index);
    expect(begun).toEqual(begun.map((_, at) => at));
    const ended = events.filter((event) => event.type === "item_end").map((event) => event.index);
    expect(ended).toEqual(begun.slice(0, name.includes("spliced") ? 1 : undefined));
  });

  it.each(recorded)("$name: the meter reads what the decoder reads", ({ bytes }) => {
    const folded = fold(decodeStream(dialect, [bytes]));
    const { meter, roles } = metered(bytes);
    expect(meter.usage()).toEqual(folded.usage);
    expect(meter.id()).toBe(folded.id);
    expect(meter.model()).toBe(folded.model);
    expect(meter.stop()).toBe(folded.stop);
    expect(meter.problem()?.kind).toBe(folded.problem?.kind);
    expect(roles.at(-1)).toBe(folded.problem ? "quiet" : "done");
    expect(roles.includes("problem")).toBe(folded.problem !== undefined);
  });

  it.each(recorded)("$name: the meter knows frames without event lines too", ({ bytes }) => {
    const bare = Buffer.from(bytes.toString().replaceAll(/^event: .*\n/gm, ""));
    const { meter, roles } = metered(bytes);
    const other = metered(bare);
    expect(other.roles).toEqual(roles);
    expect(other.meter.usage()).toEqual(meter.usage());
    expect(other.meter.outputCharacters()).toBe(meter.outputCharacters());
  });

  it.each(recorded)("$name: cut short anywhere, it ends in one problem and keeps its usage", ({ bytes }) => {
    const random = new SeededRandomness(bytes.length);
    const stop = bytes.lastIndexOf("event: message_stop");
    for (let count = 0; count < TRUNCATIONS; count++) {
      const events = decodeStream(dialect, [bytes.subarray(0, Math.floor(random.number() * stop))]);
      expect(events.filter((event) => event.type === "done")).toEqual([]);
      expect(events.at(-1)).toMatchObject({ type: "problem", problem: { kind: "upstream_broken" } });
      expect(events.filter((event) => event.type === "problem")).toHaveLength(1);
      expect(events.filter((event) => event.type === "usage").length).toBeGreaterThanOrEqual(
        events.filter((event) => event.type === "start").length,
      );
    }
  });

  const whole = recorded.filter(({ name }) => !name.includes("spliced"));
  it.each(whole)("$name: told again, the vendor's client makes the same of it", async ({ bytes }) => {
    const before = await accumulated(bytes);
    const events = decodeStream(dialect, [bytes]);
    const after = await accumulated(encodeStream(dialect, events));
    expect(after["content"]).toEqual(before["content"]);
    expect(after["usage"]).toEqual(fold(events).answer().native["usage"]);
    for (const member of ["id", "model", "stop_reason", "stop_sequence"]) expect(after[member]).toEqual(before[member]);
  });

  it.each(whole)("$name: folded, it is what the plain answer would be", async ({ bytes }) => {
    const plain = await accumulated(bytes);
    const folded = fold(decodeStream(dialect, [bytes])).answer();
    const decoded = dialect.decodeAnswer(
      { ...folded.native, content: plain["content"] ?? [] },
      { provider: "recorded", operation: "generate" },
    );
    expect(folded).toEqual(decoded);
  });
});

describe("plain answers told as streams", () => {
  it.each(answers())("$name", async ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    const bytes = encodeStream(dialect, unfold(answer));
    const again = fold(decodeStream(dialect, [bytes])).answer();
    expect(again.usage).toEqual(answer.usage);
    expect(again.stop).toEqual(answer.stop);
    const content = (await accumulated(bytes))["content"];
    const expected = (body["content"] as JsonObject[]).map(({ caller: _caller, ...block }) =>
      block["type"] === "text" && !(block["citations"] as [] | undefined)?.length ? { type: "text", text: block["text"] } : block,
    );
    expect((content as JsonObject[]).map(({ caller: _caller, ...block }) => block)).toEqual(expected);
  });
});
