import { describe, expect, it } from "vitest";
import type { Dialect, Event } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { FrameFeed, FrameSplitter, parseFrame } from "../../src/kit/index.ts";
import { streams as messages } from "./anthropic-messages/corpus.ts";
import { streams as gemini } from "./gemini/corpus.ts";
import { readCorpus } from "./openai-chat/corpus.ts";
import { recordedStreams } from "./openai-responses/recorded.ts";

const LIMIT_BYTES = 1 << 25;

function framesOf(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const splitter = new FrameSplitter(LIMIT_BYTES);
  splitter.push(bytes, (frame) => frames.push(frame));
  return [...frames, splitter.rest()];
}

function parsedOneByOne(dialect: Dialect, frames: readonly Uint8Array[]): Event[] {
  const events: Event[] = [];
  const decoder = dialect.decodeEvents((event) => events.push(event), { provider: "recorded" });
  for (const bytes of frames) {
    const frame = parseFrame(bytes);
    if (frame) decoder.frame(frame);
  }
  decoder.end();
  return events;
}

function fed(dialect: Dialect, frames: readonly Uint8Array[]): { readonly events: Event[]; readonly parsed: number } {
  const events: Event[] = [];
  let parsed = 0;
  const decoder = dialect.decodeEvents((event) => events.push(event), { provider: "recorded" });
  const feed = new FrameFeed({
    frame(frame) {
      parsed++;
      decoder.frame(frame);
    },
    get repeatable() {
      return decoder.repeatable;
    },
  });
  for (const bytes of frames) feed.frame(bytes);
  decoder.end();
  return { events, parsed };
}

/** Figures of an answer that still grows are replaced by the next ones, and may be left out. */
function withLastUsage(events: readonly Event[]): readonly Event[] {
  const last = events.findLast((event) => event.type === "usage");
  return events.filter((event) => event.type !== "usage" || event === last);
}

const recorded: [string, Uint8Array[]][] = [
  ["anthropic-messages", messages().map(({ bytes }) => bytes)],
  ["openai-chat", readCorpus().streams.map(({ value }) => Buffer.from(value))],
  ["gemini", gemini().map(({ bytes }) => bytes)],
  ["openai-responses", recordedStreams().map(({ bytes }) => bytes)],
];

describe.each(recorded)("%s: frames that repeat the one before", (id, streams) => {
  const dialect = dialects.get(id);
  it.skipIf(streams.length === 0)("tell the same events as when each is parsed", () => {
    let frameCount = 0;
    let parsedCount = 0;
    for (const stream of streams) {
      if (!dialect) throw new Error(`no ${id}`);
      const frames = framesOf(stream);
      const { events, parsed } = fed(dialect, frames);
      expect(withLastUsage(events)).toEqual(withLastUsage(parsedOneByOne(dialect, frames)));
      frameCount += frames.length;
      parsedCount += parsed;
    }
    process.stdout.write(`${id}: ${parsedCount} of ${frameCount} frames parsed\n`);
    expect(parsedCount).toBeLessThan(frameCount);
  });
});
