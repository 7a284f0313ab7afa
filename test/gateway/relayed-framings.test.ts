import { describe, expect, it } from "vitest";
import { NO_USAGE, unfold, type AnswerContext, type Dialect, type Event, type EventEncoder } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { frameWriter, framingOf } from "../../src/gateway/framing.ts";
import { LiveCall } from "../../src/gateway/live.ts";
import { limitsOptions } from "../../src/gateway/options.ts";
import type { Reader } from "../../src/gateway/reader.ts";
import { openReply } from "../../src/gateway/reply.ts";
import { ManualClock } from "../../src/kit/index.ts";

const limits = limitsOptions.parse(undefined);
const all = [...dialects.values()].filter(({ doors }) => doors.some(({ does }) => does.kind === "call" && does.operation === "generate"));
/** Pairs of which one at least has streams of its own kind. */
const pairs = all.flatMap((upstream) =>
  all
    .filter((client) => client.framing ?? upstream.framing)
    .map((client) => ({ upstream, client, title: `${upstream.id} to ${client.id}` })),
);

/** Everything that JSON writes in a way of its own, and what its writers differ in. */
const WORDS = [
  "The ",
  'said "',
  "line\nbreak\ttab ",
  "back\\slash ",
  "é ",
  "日本 ",
  "😀 ",
  "\u0001 ",
  "</b> ",
  "",
  "\ud800 ",
  "x".repeat(200),
];
const PIECES = Array.from({ length: 60 }, (_, at) => WORDS[at % WORDS.length] ?? "");

function answerContext(id: string): AnswerContext {
  return {
    call: {
      operation: "generate",
      origin: { dialect: id },
      model: "m",
      stream: true,
      items: [],
      tools: [],
      sampling: {},
      native: { stream_options: { include_usage: true } },
      touched: new Set(),
    },
    createdAt: 1,
  };
}

/** An answer that thinks, speaks in two parts and calls a tool, each in many pieces. */
function* answer(thinks: boolean): Generator<Event> {
  const text = PIECES.join("").replaceAll("\ud800", "\ufffd");
  const input = JSON.stringify({ city: "x".repeat(40) });
  const whole = unfold({
    id: "answer1",
    model: "small",
    createdAt: 1,
    items: [
      ...(thinks ? [{ type: "reasoning" as const, parts: [{ kind: "text" as const, text }] }] : []),
      { type: "message", role: "assistant", parts: [{ type: "text", text }] },
      ...(thinks ? [{ type: "tool_call" as const, callId: "call_1", name: "weather", kind: "function" as const, input }] : []),
    ],
    stop: thinks ? "tool_calls" : "end",
    usage: { ...NO_USAGE, inputUncached: 3, output: 60 },
    origin: { dialect: "none" },
    native: {},
  });
  for (const event of whole) {
    if (event.type === "text" || event.type === "reasoning") for (const piece of PIECES) yield { ...event, text: piece };
    else if (event.type === "input") for (const piece of input) yield { ...event, text: piece };
    else yield event;
  }
}

function framesOf(dialect: Dialect, thinks: boolean): Buffer[] {
  const frames: Buffer[] = [];
  const written = frameWriter(dialect);
  const encoder = dialect.encodeEvents((event, data) => void frames.push(written(event, data)), answerContext(dialect.id));
  for (const event of answer(thinks)) encoder.event(event);
  return frames;
}

/** What the client gets by way of the gateway, how many frames had to be read for it, and how many events were written one by one. */
function told(
  upstream: Dialect,
  client: Dialect,
  frames: readonly Buffer[],
): { readonly bytes: string[]; readonly read: number; readonly written: number } {
  const live = new LiveCall({ id: "call_named", clock: new ManualClock(), journalBytes: limits.journalBytes });
  const bytes: string[] = [];
  const reader: Reader = {
    whole: () => expect.unreachable(),
    head() {},
    frames: (some) => bytes.push(...some.map((frame) => frame.toString("latin1"))) > 0,
    end() {},
  };
  live.attach(reader);
  let read = 0;
  const framing = framingOf(upstream);
  const counting: Dialect = {
    ...upstream,
    framing: {
      ...framing,
      parse: (frame) => {
        read++;
        return framing.parse(frame);
      },
    },
  };
  let written = 0;
  const counted: Dialect = {
    ...client,
    encodeEvents(emit, context, emitText): EventEncoder {
      const inner = client.encodeEvents(emit, context, emitText);
      return {
        event(event) {
          written++;
          inner.event(event);
        },
        get repeats() {
          return inner.repeats;
        },
        goOnFrom: (count) => inner.goOnFrom?.(count),
      };
    },
  };
  const reply = openReply(
    {
      live,
      client: counted,
      upstream: counting,
      provider: { id: "upstream" },
      wantsStream: true,
      forward: false,
      withholdUsage: false,
      keep: false,
      guards: [],
      limits,
      canonicalCall: () => answerContext(client.id).call,
      answerContext: () => answerContext(client.id),
      headers: () => ({}),
      onOutput() {},
    },
    { "content-type": framing.contentType },
  );
  for (const frame of frames) reply.data(frame);
  expect(reply.end()).toBeUndefined();
  live.flush();
  return { bytes, read, written };
}

/** Every frame parsed, every event written by way of strings: what it has to come to. */
function plainly(upstream: Dialect, client: Dialect, frames: readonly Buffer[]): string[] {
  const bytes: string[] = [];
  const written = frameWriter(client);
  const encoder = client.encodeEvents((event, data) => void bytes.push(written(event, data).toString("latin1")), answerContext(client.id));
  const decoder = upstream.decodeEvents(
    (event) => {
      const nameless = event.type === "start" && event.id === "" && client.id !== upstream.id;
      encoder.event(nameless ? { ...event, id: client.newAnswerId?.("named") ?? "named" } : event);
    },
    { provider: "upstream" },
  );
  for (const frame of frames) {
    const parsed = framingOf(upstream).parse(frame);
    if (parsed) decoder.frame(parsed);
  }
  decoder.end();
  return bytes;
}

describe.each(pairs)("a stream from $title", ({ upstream, client }) => {
  it.each([false, true])("is told as if every frame were read (thoughts and tools: %s)", (thinks) => {
    const frames = framesOf(upstream, thinks && upstream.id !== "openai-completions");
    expect(told(upstream, client, frames).bytes).toEqual(plainly(upstream, client, frames));
  });

  it("is read and written a few times only", () => {
    const plain = Array.from({ length: 100 }, () => "word ");
    const written = frameWriter(upstream);
    const frames: Buffer[] = [];
    const encoder = upstream.encodeEvents((event, data) => void frames.push(written(event, data)), answerContext(upstream.id));
    for (const event of answer(false)) {
      if (event.type !== "text")
        encoder.event(event.type === "item_end" ? { ...event, item: { type: "message", role: "assistant", parts: [] } } : event);
      else if (event.text === "The ") for (const text of plain.splice(0)) encoder.event({ ...event, text });
    }
    expect(frames.length).toBeGreaterThan(100);
    const { read, written: events } = told(upstream, client, frames);
    expect(read).toBeLessThan(20);
    // What is relayed is told to the encoder in few pieces.
    expect(events).toBeLessThan(30);
  });
});
