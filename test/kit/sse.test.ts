import { describe, expect, it } from "vitest";
import { eventStream, formatFrame, FrameSplitter, mediaType, parseFrame } from "../../src/kit/index.ts";

const encoder = new TextEncoder();
const LIMIT = 1024;

function split(pieces: readonly Uint8Array[]): string[] {
  const frames: string[] = [];
  const splitter = new FrameSplitter(LIMIT);
  for (const piece of pieces) splitter.push(piece, (frame) => frames.push(new TextDecoder().decode(frame)));
  return [...frames, new TextDecoder().decode(splitter.rest())];
}

describe("server-sent events", () => {
  const text = 'event: a\ndata: {"x":"é"}\n\n: keep-alive\r\n\r\ndata: one\r\ndata: two\r\n\r\ndata:bare\n\nevent: cut\ndata: {"y"';
  const bytes = encoder.encode(text);
  const whole = split([bytes]);

  it("cuts at blank lines of either kind", () => {
    expect(whole).toHaveLength(5);
    expect(whole.map((frame) => parseFrame(frame))).toEqual([
      { event: "a", data: '{"x":"é"}' },
      undefined,
      { event: undefined, data: "one\ntwo" },
      { event: undefined, data: "bare" },
      { event: "cut", data: '{"y"' },
    ]);
  });

  it("gives the same frames wherever the bytes are cut", () => {
    for (let at = 0; at <= bytes.length; at++) expect(split([bytes.subarray(0, at), bytes.subarray(at)]), `cut at ${at}`).toEqual(whole);
    expect(split([...bytes].map((byte) => new Uint8Array([byte])))).toEqual(whole);
  });

  it("gives up on a frame beyond the limit", () => {
    const splitter = new FrameSplitter(LIMIT);
    expect(splitter.push(encoder.encode("data: " + "x".repeat(LIMIT)), () => {})).toBe(false);
  });

  it("does not copy a frame that came whole", () => {
    const chunk = encoder.encode("data: 1\n\ndata: 2\n\n");
    new FrameSplitter(LIMIT).push(chunk, (frame) => expect(frame.buffer).toBe(chunk.buffer));
  });

  it("formats what it parses", () => {
    expect(parseFrame(formatFrame("ping", "{}"))).toEqual({ event: "ping", data: "{}" });
    expect(parseFrame(formatFrame(undefined, "[DONE]"))).toEqual({ event: undefined, data: "[DONE]" });
    expect(eventStream.parse(eventStream.format("é", "{}"))).toEqual({ event: "é", data: "{}" });
    expect(mediaType(eventStream.contentType)).toBe("text/event-stream");
    expect(mediaType("Application/JSON")).toBe("application/json");
  });
});
