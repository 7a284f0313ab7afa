import type { Dialect, Event, Framing } from "../../src/canon/index.ts";
import { eventStream, FrameFeed, SeededRandomness } from "../../src/kit/index.ts";

const LIMIT_BYTES = 32 * 1024 * 1024;

/** Feeds pieces of a stream through cutter and decoder, as the gateway does. */
export function decodeStream(dialect: Dialect, pieces: Iterable<Uint8Array>): Event[] {
  const events: Event[] = [];
  const decoder = dialect.decodeEvents((event) => events.push(event), { provider: "recorded" });
  const framing = dialect.framing ?? eventStream;
  const cutter = framing.cutter(LIMIT_BYTES);
  const feed = new FrameFeed(decoder, framing.parse);
  for (const piece of pieces) cutter.push(piece, (bytes) => feed.frame(bytes));
  decoder.end();
  return events;
}

export function* byteByByte(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) yield bytes.subarray(at, at + 1);
}

/** Where to cut a stream in two: everywhere up to 16 kB (or always when `exhaustive`); above, both ends' 4 kB and 200 seeded places. */
export function cutPlaces(length: number, exhaustive = process.env["GIMBAL_EXHAUSTIVE"] === "1"): number[] {
  const everywhere = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
  if (exhaustive || length <= 16_384) return everywhere(0, length);
  const random = new SeededRandomness(length);
  const seeded = Array.from({ length: 200 }, () => 4096 + Math.floor(random.number() * (length - 8192)));
  return [...everywhere(0, 4096), ...seeded, ...everywhere(length - 4096, length)];
}

/**
 * Of some places those at which a cut in two changes how a stream falls into frames. Between frames nothing is remembered, so
 * each cut is tried in its own frame and the next: with the whole stream it would be the square of its length.
 */
export function badCuts(bytes: Uint8Array, places: readonly number[], framing: Framing = eventStream): number[] {
  const frames = framesOf(framing, [bytes]);
  let at = 0;
  let start = 0;
  const rising = places.toSorted((a, b) => a - b);
  return rising.filter((place) => {
    for (let frame = frames[at]; frame && place >= start + frame.length; frame = frames[at]) {
      start += frame.length;
      at++;
    }
    const around = frames.slice(at, at + 2);
    const end = around.length < 2 ? bytes.length : start + around.reduce((sum, frame) => sum + frame.length, 0);
    const found = framesOf(framing, [bytes.subarray(start, place), bytes.subarray(place, end)]);
    return found.length !== around.length || found.some((frame, index) => !frame.equals(around[index] ?? Buffer.alloc(0)));
  });
}

function framesOf(framing: Framing, pieces: readonly Uint8Array[]): Buffer[] {
  const frames: Buffer[] = [];
  const cutter = framing.cutter(LIMIT_BYTES);
  for (const piece of pieces) cutter.push(piece, (frame) => void frames.push(Buffer.from(frame)));
  return frames;
}
