import { isUtf8 } from "node:buffer";
import { describe, expect, it } from "vitest";
import type { AnswerContext, Call, Dialect, Event, Guard } from "../../src/canon/index.ts";
import { AnswerFold, NO_USAGE, outputCharacters, ProblemError } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { framingOf } from "../../src/gateway/framing.ts";
import { LiveCall } from "../../src/gateway/live.ts";
import { limitsOptions } from "../../src/gateway/options.ts";
import type { Reader } from "../../src/gateway/reader.ts";
import { openReply, type Reply, type ReplyContext } from "../../src/gateway/reply.ts";
import { formatFrame, FrameSplitter, ManualClock, parseFrame, SeededRandomness } from "../../src/kit/index.ts";
import { streams as messages } from "../dialects/anthropic-messages/corpus.ts";
import { readCorpus } from "../dialects/openai-chat/corpus.ts";
import { recordedStreams } from "../dialects/openai-responses/recorded.ts";

const recorded: [string, readonly Uint8Array[]][] = [
  ["anthropic-messages", messages().map(({ bytes }) => bytes)],
  ["openai-chat", readCorpus().streams.map(({ value }) => Buffer.from(value))],
  ["openai-responses", recordedStreams().map(({ bytes }) => bytes)],
];
const clients = ["anthropic-messages", "openai-chat", "openai-responses"].map(dialect);
const limits = limitsOptions.parse(undefined);

function dialect(id: string): Dialect {
  const found = dialects.get(id);
  if (!found) throw new Error(`no ${id}`);
  return found;
}

function answerContext(id: string): AnswerContext {
  const call: Call = {
    operation: "generate",
    origin: { dialect: id },
    model: "m",
    stream: true,
    items: [],
    tools: [],
    sampling: {},
    native: { stream_options: { include_usage: true } },
    touched: new Set(),
  };
  return { call, createdAt: 1 };
}

/** By which the call under test is known. */
const UNIQUE = "named";

interface Told {
  readonly frames: readonly string[];
  readonly reply: Reply;
  /** Events that the decoder emitted. */
  readonly events: number;
  readonly problem: string | undefined;
}

/** What a client gets of the pieces. */
function told(
  upstream: Dialect,
  client: Dialect,
  pieces: Iterable<Uint8Array>,
  more: Partial<ReplyContext> & { readonly cancelled?: true } = {},
): Told {
  const live = new LiveCall({ id: `call_${UNIQUE}`, clock: new ManualClock(), journalBytes: limits.journalBytes });
  const frames: string[] = [];
  const reader: Reader = {
    whole: () => expect.unreachable(),
    head() {},
    frames(some) {
      for (const frame of some) {
        expect(isUtf8(frame)).toBe(true);
        frames.push(frame.toString());
      }
      return true;
    },
    end() {},
  };
  live.attach(reader);
  const answered = answerContext(client.id);
  let events = 0;
  const context: ReplyContext = {
    live,
    client,
    upstream: {
      ...upstream,
      decodeEvents: (emit, options) =>
        upstream.decodeEvents((event) => {
          events++;
          emit(event);
        }, options),
    },
    provider: { id: "upstream" },
    wantsStream: true,
    forward: false,
    withholdUsage: false,
    keep: false,
    guards: [],
    limits,
    canonicalCall: () => answered.call,
    answerContext: () => answered,
    headers: () => ({}),
    onOutput() {},
    ...more,
  };
  const reply = openReply(context, { "content-type": framingOf(upstream).contentType });
  let problem: string | undefined;
  try {
    for (const piece of pieces) reply.data(Buffer.from(piece));
    if (!more.cancelled) problem = reply.end()?.message;
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    problem = error.problem.message;
  }
  live.flush();
  return { frames, reply, events, problem };
}

/** Every frame by itself, as a slow upstream sends them. */
function framesOf(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const splitter = new FrameSplitter(limits.frameBytes);
  splitter.push(bytes, (frame) => frames.push(frame));
  return [...frames, splitter.rest()];
}

/** Every frame parsed, every event encoded by way of strings: what it has to come to. */
function plainly(upstream: Dialect, client: Dialect, frames: readonly Uint8Array[]): { frames: string[]; events: Event[] } {
  const out: string[] = [];
  const events: Event[] = [];
  const decoder = upstream.decodeEvents(
    (event) => {
      // Recordings without an id: the call's own takes its place.
      const nameless = event.type === "start" && event.id === "" && client.id !== upstream.id;
      events.push(nameless ? { ...event, id: client.newAnswerId?.(UNIQUE) ?? UNIQUE } : event);
    },
    { provider: "upstream" },
  );
  for (const frame of frames) {
    const parsed = parseFrame(frame);
    if (parsed) decoder.frame(parsed);
  }
  decoder.end();
  const encoder = client.encodeEvents((event, data) => out.push(formatFrame(event, data)), answerContext(client.id));
  for (const event of events) {
    if (event.type === "problem") break;
    encoder.event(event);
  }
  return { frames: out, events };
}

function* inPieces(bytes: Uint8Array, most: number): Generator<Uint8Array> {
  const random = new SeededRandomness(bytes.length);
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(random.number() * most);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe.each(recorded)("%s, translated", (id, streams) => {
  const upstream = dialect(id);
  it.skipIf(streams.length === 0).each(clients)("to $id is the same bytes, relayed or read frame by frame", (client) => {
    let read = 0;
    let emitted = 0;
    for (const bytes of streams) {
      const frames = framesOf(bytes);
      const plain = plainly(upstream, client, frames);
      const one = told(upstream, client, frames);
      expect(one.frames).toEqual(one.problem === undefined ? plain.frames : plain.frames.slice(0, one.frames.length));
      read += one.events;
      emitted += plain.events.length;
      const fold = new AnswerFold({ dialect: id, provider: "upstream" });
      for (const event of plain.events) fold.event(event);
      expect(one.reply.answer()).toEqual(fold.answer());
      for (const most of [40, 3_000]) {
        const cut = told(upstream, client, inPieces(bytes, most));
        expect(cut.frames).toEqual(one.frames);
        expect(cut.reply.answer()).toEqual(one.reply.answer());
        expect(cut.reply.report()).toEqual(one.reply.report());
      }
    }
    // Recorded texts are short; of longer ones nearly all is relayed, see below.
    expect(read).toBeLessThan(emitted * 0.9);
  });
});

/** A stream of the language that tells these texts, each in a frame of its own; `write` says how a string stands in it. */
function stream(language: Dialect, texts: readonly string[], write: (text: string) => string = JSON.stringify): Uint8Array[] {
  const frames: string[] = [];
  const encoder = language.encodeEvents((event, data) => frames.push(formatFrame(event, data)), answerContext(language.id));
  encoder.event({ type: "start", id: "a", model: "m", createdAt: 1 });
  encoder.event({ type: "item_start", index: 0, item: { type: "message", role: "assistant", parts: [] } });
  for (const at of texts.keys()) encoder.event({ type: "text", index: 0, part: 0, text: `<${at}>` });
  const whole = { type: "text", text: texts.map((_, at) => `<${at}>`).join("") } as const;
  encoder.event({ type: "item_end", index: 0, item: { type: "message", role: "assistant", parts: [whole] } });
  encoder.event({ type: "usage", usage: { ...NO_USAGE, inputUncached: 3, output: texts.length } });
  encoder.event({ type: "done", stop: "end" });
  return frames.map((frame) => {
    const at = /"<(\d+)>"/.exec(frame)?.[1];
    return Buffer.from(at === undefined ? frame : frame.replace(/"<\d+>"/, () => write(texts[Number(at)] ?? "")));
  });
}

const chat = dialect("openai-chat");
const claude = dialect("anthropic-messages");
const pairs = [chat, claude].flatMap((upstream) => clients.map((client) => [upstream.id, client.id] as const));

describe.each(pairs)("%s to %s", (from, to) => {
  const upstream = dialect(from);
  const client = dialect(to);
  const many = Array.from({ length: 500 }, (_, at) => `word${at} `);

  it("relays all but the first of many frames, and learns all of them", () => {
    const { frames, events, reply } = told(upstream, client, stream(upstream, many));
    expect(frames).toEqual(plainly(upstream, client, stream(upstream, many)).frames);
    expect(events).toBeLessThan(many.length / 10);
    expect(reply.report().outputCharacters).toBe(many.join("").length);
    expect(reply.answer()?.items).toMatchObject([{ parts: [{ text: many.join("") }] }]);
  });

  const odd = ["a", "b", 'say "so"\n', "\\", "\u007f", "\u0001", "é", "\u{1f600}", "\u2028", "\ufeff", "日本", "x".repeat(5_000), "/", "c"];
  it.each([
    ["as they are", JSON.stringify],
    ["with what need not be escaped", (text: string) => JSON.stringify(text).replaceAll("/", "\\/")],
    [
      "in ASCII",
      (text: string) =>
        JSON.stringify(text).replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
    ],
  ])("writes odd texts %s as it would write them", (_, write) => {
    const frames = stream(upstream, odd, write);
    const got = told(upstream, client, frames);
    expect(got.frames).toEqual(plainly(upstream, client, stream(upstream, odd)).frames);
    expect(got.reply.answer()?.items).toMatchObject([{ parts: [{ text: odd.join("") }] }]);
  });

  it.each([
    ["an overlong form", [0xc0, 0xaf]],
    ["half a surrogate", [0xed, 0xa0, 0x80]],
    ["a character cut short", [0xe2, 0x82]],
    ["what is beyond Unicode", [0xf4, 0x90, 0x80, 0x80]],
    ["a byte that begins nothing", [0xff]],
  ])("passes on no %s", (_, bytes) => {
    const frames = stream(upstream, ["a", "b", "c", "d"]).map((frame) =>
      Buffer.from(
        Buffer.from(frame)
          .toString("latin1")
          .replace('"c"', `"c${String.fromCharCode(...bytes)}"`),
        "latin1",
      ),
    );
    const got = told(upstream, client, frames);
    expect(got.frames).toEqual(plainly(upstream, client, frames).frames);
    expect(got.frames.join("")).toContain("\ufffd");
  });

  it.each(['"\\x"', '"\\u12"', '"a"b"', '"\u0000"'])("breaks off at a string %j that is none", (literal) => {
    const frames = stream(upstream, ["a", "b", "c", "d"]).map((frame) =>
      Buffer.from(
        Buffer.from(frame)
          .toString()
          .replace('"c"', () => literal),
      ),
    );
    const got = told(upstream, client, frames);
    expect(got.problem).toBeDefined();
    expect(got.frames.join("")).toContain('"b"');
    expect(got.frames.join("")).not.toContain('"d"');
    expect(got.reply.report()).toMatchObject({ stop: undefined, outputCharacters: 2 });
  });

  it("knows what was told of a stream that breaks", () => {
    const got = told(upstream, client, stream(upstream, many).slice(0, 300));
    expect(got.problem).toBeDefined();
    const answer = got.reply.answer();
    expect(answer && outputCharacters(answer)).toBe(got.reply.report().outputCharacters);
    expect(got.reply.report().outputCharacters).toBeGreaterThan(1_000);
    const cancelled = told(upstream, client, stream(upstream, many).slice(0, 300), { cancelled: true });
    expect(cancelled.reply.report()).toEqual(got.reply.report());
    expect(told(upstream, client, stream(upstream, many).slice(0, 300), { cancelled: true }).reply.answer()).toEqual(answer);
  });

  it("hides nothing from a guard", () => {
    const seen: string[] = [];
    const guard: Guard = {
      id: "listener",
      readsContent: true,
      event(event) {
        if (event.type === "text") seen.push(event.text);
        return event.type === "text" && event.text === "word40 "
          ? { verdict: "change", value: { ...event, text: "***" }, reason: "test" }
          : { verdict: "allow" };
      },
    };
    const got = told(upstream, client, stream(upstream, many), { guards: [guard] });
    expect(seen).toEqual(many);
    expect(got.frames.join("")).not.toContain('"word40 "');
  });

  it("is told to the words where a stream may be continued", () => {
    const got = told(upstream, client, stream(upstream, many), { continues: true });
    expect(got.frames).toEqual(plainly(upstream, client, stream(upstream, many)).frames);
    expect(got.events).toBeLessThan(many.length / 10);
  });
});
