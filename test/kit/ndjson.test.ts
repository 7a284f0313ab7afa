import { describe, expect, it } from "vitest";
import { jsonLines, LineSplitter } from "../../src/kit/index.ts";

const encoder = new TextEncoder();
const LIMIT = 64;

function split(pieces: readonly Uint8Array[]): string[] {
  const frames: string[] = [];
  const splitter = new LineSplitter(LIMIT);
  for (const piece of pieces) splitter.push(piece, (frame) => frames.push(new TextDecoder().decode(frame)));
  return [...frames, new TextDecoder().decode(splitter.rest())];
}

describe("lines of JSON", () => {
  const bytes = encoder.encode('{"x":"é"}\n\r\n{"y":1}\r\n{"cut":');
  const whole = split([bytes]);

  it("are cut at line ends of either kind; an empty one says nothing", () => {
    expect(whole.map((line) => jsonLines.parse(encoder.encode(line))?.data)).toEqual(['{"x":"é"}', undefined, '{"y":1}', '{"cut":']);
  });

  it("are the same wherever the bytes are cut", () => {
    for (let at = 0; at <= bytes.length; at++) expect(split([bytes.subarray(0, at), bytes.subarray(at)]), `cut at ${at}`).toEqual(whole);
    expect(split([...bytes].map((byte) => new Uint8Array([byte])))).toEqual(whole);
  });

  it("may not grow beyond the limit, in one piece or in many", () => {
    expect(new LineSplitter(LIMIT).push(encoder.encode("x".repeat(LIMIT + 1)), () => {})).toBe(false);
    const slow = new LineSplitter(LIMIT);
    for (let at = 0; at < LIMIT; at++) expect(slow.push(encoder.encode("x"), () => {})).toBe(true);
    expect(slow.push(encoder.encode("x"), () => {})).toBe(false);
    expect(new LineSplitter(LIMIT).push(encoder.encode(`${"x".repeat(LIMIT)}\n`.repeat(9)), () => {})).toBe(true);
  });

  it("are not copied when they came whole", () => {
    const chunk = encoder.encode("1\n2\n");
    new LineSplitter(LIMIT).push(chunk, (frame) => expect(frame.buffer).toBe(chunk.buffer));
  });

  it("can be asked for the rest more than once", () => {
    const splitter = new LineSplitter(LIMIT);
    splitter.push(encoder.encode("a"), () => {});
    expect(splitter.rest()).toEqual(splitter.rest());
  });

  it("are written as they are read", () => {
    expect(jsonLines.parse(jsonLines.format("ignored", '{"a":1}'))).toEqual({ event: undefined, data: '{"a":1}' });
  });
});
