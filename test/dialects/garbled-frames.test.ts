import { describe, expect, it } from "vitest";
import type { Dialect, FrameMeter, FrameRole } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { FrameFeed, FrameSplitter, parseFrame, parseJson, SeededRandomness } from "../../src/kit/index.ts";
import { streams as messages } from "./anthropic-messages/corpus.ts";
import { streams as gemini } from "./gemini/corpus.ts";
import { readCorpus } from "./openai-chat/corpus.ts";
import { recordedStreams } from "./openai-responses/recorded.ts";

const LIMIT_BYTES = 1 << 25;
/** Damaged copies of each recorded stream; of a long one only the first and last frames are read. */
const COPIES = 30;
const MAX_FRAMES = 60;

const recorded: [string, Uint8Array[]][] = [
  ["anthropic-messages", messages().map(({ bytes }) => bytes)],
  ["openai-chat", readCorpus().streams.map(({ value }) => Buffer.from(value))],
  ["gemini", gemini().map(({ bytes }) => bytes)],
  ["openai-responses", recordedStreams().map(({ bytes }) => bytes)],
];

function framesOf(bytes: Uint8Array): Buffer[] {
  const frames: Buffer[] = [];
  new FrameSplitter(LIMIT_BYTES).push(bytes, (frame) => frames.push(Buffer.from(frame)));
  return frames;
}

function isGarbled(frame: Uint8Array, dialect: Dialect): boolean {
  const data = parseFrame(frame)?.data;
  if (data === undefined || (dialect.id !== "anthropic-messages" && data === "[DONE]")) return false;
  if (dialect.id === "openai-responses" && data === "") return false;
  const value = parseJson(data);
  return typeof value !== "object" || value === null || Array.isArray(value);
}

/** The roles up to the first end, behind which nobody listens any more. */
function rolesOf(meter: FrameMeter, frames: readonly Buffer[]): FrameRole[] {
  const roles: FrameRole[] = [];
  for (const frame of frames) {
    const role = meter.frame(frame);
    roles.push(role);
    if (role === "problem" || role === "done") break;
  }
  return roles;
}

/** One byte changed, left out or put in, or everything behind it cut off. */
function damaged(frame: Buffer, random: SeededRandomness): Buffer {
  const at = Math.floor(random.number() * (frame.length - 2));
  const byte = Buffer.from([Math.floor(random.number() * 256)]);
  switch (Math.floor(random.number() * 4)) {
    case 0:
      return Buffer.concat([frame.subarray(0, at), byte, frame.subarray(at + 1)]);
    case 1:
      return Buffer.concat([frame.subarray(0, at), frame.subarray(at + 1)]);
    case 2:
      return Buffer.concat([frame.subarray(0, at), byte, frame.subarray(at)]);
    default:
      return Buffer.concat([frame.subarray(0, at), Buffer.from("\n\n")]);
  }
}

/** The problem that whoever decodes the frames finds; undefined when they end well. */
function problemOf(dialect: Dialect, frames: readonly Buffer[]): string | undefined {
  let kind: string | undefined;
  const decoder = dialect.decodeEvents((event) => event.type === "problem" && (kind ??= event.problem.kind), { provider: "p" });
  const feed = new FrameFeed(decoder);
  for (const frame of frames) feed.frame(frame);
  return kind;
}

describe.each(recorded)("%s: the meter of forwarded frames", (id, streams) => {
  const found = dialects.get(id);
  if (!found) throw new Error(`no ${id}`);
  const dialect = found;

  it.skipIf(streams.length === 0)("sees a problem where a decoder does, and nowhere else", () => {
    for (const stream of streams) {
      const frames = framesOf(stream);
      const meter = dialect.usageFrames({ withholdUsage: false });
      rolesOf(meter, frames);
      expect(meter.problem()?.kind).toBe(problemOf(dialect, frames));
    }
  });

  it.skipIf(streams.length === 0)("finds every garbled frame, whichever byte it is", () => {
    const random = new SeededRandomness(7);
    let garbled = 0;
    for (const stream of streams) {
      const all = framesOf(stream);
      const frames = all.length > MAX_FRAMES ? [...all.slice(0, MAX_FRAMES / 2), ...all.slice(-MAX_FRAMES / 2)] : all;
      for (let copy = 0; copy < COPIES; copy++) {
        const at = Math.floor(random.number() * frames.length);
        const spoiled = damaged(frames[at] ?? Buffer.alloc(2), random);
        // A blank line in the middle makes two frames of it.
        const given = [...frames.slice(0, at), ...framesOf(spoiled), ...frames.slice(at + 1)];
        const first = given.findIndex((frame) => isGarbled(frame, dialect));
        const meter = dialect.usageFrames({ withholdUsage: false });
        const roles = rolesOf(meter, given);
        if (first < 0 || first >= roles.length) continue;
        garbled++;
        expect([spoiled.toString("latin1"), roles[first], meter.problem()?.kind]).toEqual([
          spoiled.toString("latin1"),
          "problem",
          "upstream_broken",
        ]);
      }
    }
    process.stdout.write(`${id}: ${garbled} garbled frames found\n`);
    expect(garbled).toBeGreaterThan(80);
  });
});

const OPENINGS: readonly [string, string, string][] = [
  [
    "anthropic-messages",
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[]}}\n\n',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ab"}}\n\n',
  ],
  [
    "openai-chat",
    'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"ab"}}]}\n\n',
  ],
  [
    "gemini",
    'data: {"responseId":"r","modelVersion":"m","usageMetadata":{"promptTokenCount":3}}\n\n',
    'data: {"candidates":[{"content":{"parts":[{"text":"ab"}],"role":"model"},"index":0}],"responseId":"r","modelVersion":"m"}\n\n',
  ],
  [
    "openai-responses",
    'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n',
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"delta":"ab","sequence_number":4}\n\n',
  ],
];

describe.each(OPENINGS)("%s: one frame more", (id, opening, delta) => {
  const metered = (...more: string[]): { roles: FrameRole[]; meter: FrameMeter } => {
    const found = dialects.get(id);
    if (!found) throw new Error(`no ${id}`);
    const meter = found.usageFrames({ withholdUsage: false });
    return { roles: [opening, delta, delta, ...more].map((frame) => meter.frame(Buffer.from(frame))), meter };
  };

  it.each(["ping", "something_new", "response.something.new"])("that is well-formed passes, though nobody knows %s", (type) => {
    const { roles, meter } = metered(
      `event: ${type}\ndata: {"type":"${type}","x":[1]}\n\n`,
      ": keep-alive\n\n",
      "event: nothing\n\n",
      delta,
    );
    expect(roles).not.toContain("problem");
    expect(meter.problem()).toBeUndefined();
    expect(meter.outputCharacters()).toBe(6);
  });

  it.each([
    "event: something_new\ndata: {",
    "data: ]",
    "data: 7",
    "data: null",
    "data: oops",
    "data: [DON",
    'data: {"a":1}}',
    "data: <html>",
  ])("that is %j does not pass", (frame) => {
    const { roles, meter } = metered(`${frame}\n\n`);
    expect(roles).toEqual(["quiet", "output", "output", "problem"]);
    expect(meter.problem()?.kind).toBe("upstream_broken");
  });

  it.each(["\\x", "\\u00g0", "\\", "\u0001", "\t"])(
    "whose words hold %j does not pass, though it has the shape of the one before",
    (words) => {
      const { roles } = metered(delta.replace('"ab"', `"a${words}b"`));
      expect(roles.at(-1)).toBe(words === "\\" ? "output" : "problem");
    },
  );
});
