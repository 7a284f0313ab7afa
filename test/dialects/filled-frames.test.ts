import { describe, expect, it } from "vitest";
import type { AnswerContext, Dialect, Event } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { frameWriter } from "../../src/gateway/framing.ts";
import { decodeStream } from "../support/streams.ts";
import { streams as messages } from "./anthropic-messages/corpus.ts";
import { streams as gemini } from "./gemini/corpus.ts";
import { readCorpus } from "./openai-chat/corpus.ts";
import { recordedStreams } from "./openai-responses/recorded.ts";

const recorded: [string, Uint8Array[]][] = [
  ["anthropic-messages", messages().map(({ bytes }) => bytes)],
  ["openai-chat", readCorpus().streams.map(({ value }) => Buffer.from(value))],
  ["gemini", gemini().map(({ bytes }) => bytes)],
  ["openai-responses", recordedStreams().map(({ bytes }) => bytes)],
];

function contextOf(dialect: Dialect): AnswerContext {
  const call = {
    operation: "generate",
    origin: { dialect: dialect.id },
    model: "m",
    stream: true,
    items: [],
    tools: [],
    sampling: {},
    native: { stream_options: { include_usage: true } },
    touched: new Set<never>(),
  } as const;
  return { call, createdAt: 1 };
}

/** The client's bytes, once of strings alone and once with pieces of text filled in; `filled` counts those. */
function written(client: Dialect, events: readonly Event[], fill: boolean): { readonly text: string; readonly filled: number } {
  const frames: Buffer[] = [];
  let filled = 0;
  const whole = frameWriter(client);
  const encoder = client.encodeEvents(
    (event, data) => frames.push(whole(event, data)),
    contextOf(client),
    fill
      ? (frame, text, number) => {
          const bytes = frame.bytes(text, (length) => Buffer.alloc(length), number);
          if (bytes) filled++;
          frames.push(bytes ?? whole(frame.event, frame.data(text, number)));
        }
      : undefined,
  );
  for (const event of events) encoder.event(event);
  // Some frames are no text.
  return { text: Buffer.concat(frames).toString("latin1"), filled };
}

describe.each(recorded)("%s, told to every client", (id, streams) => {
  const upstream = dialects.get(id);
  it.skipIf(streams.length === 0)("gives the same bytes when pieces of text are filled in", () => {
    let filled = 0;
    for (const bytes of streams) {
      if (!upstream) throw new Error(`no ${id}`);
      const events = decodeStream(upstream, [bytes]);
      for (const client of dialects.values()) {
        const quick = written(client, events, true);
        expect(quick.text).toBe(written(client, events, false).text);
        filled += quick.filled;
      }
    }
    expect(filled).toBeGreaterThan(50);
  });
});
