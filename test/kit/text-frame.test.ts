import { describe, expect, it } from "vitest";
import { formatFrame, TextFrame } from "../../src/kit/index.ts";

const allocate = (length: number): Uint8Array => new Uint8Array(length);
const words = (frame: TextFrame, text: string, number?: number): string | undefined => {
  const bytes = frame.bytes(text, allocate, number);
  return bytes && new TextDecoder().decode(bytes);
};

describe("a frame that is filled in", () => {
  const named = new TextFrame("delta", '{"é":', ',"x":1}');
  const bare = new TextFrame(undefined, '{"t":', "}");
  const numbered = new TextFrame("delta", '{"t":', ',"n":', "}");

  it.each(["a", "", "two words", "~ !#[]^", "\u007f", "x".repeat(64), 'a"b', "\\", '"\b\f\n\r\t\\"'])(
    "is the same in bytes as of strings with %j",
    (text) => {
      for (const frame of [named, bare]) expect(words(frame, text)).toBe(formatFrame(frame.event, frame.data(text)));
      for (const number of [0, 7, 10, 99, 100, 12_345, 999_999_999, 1_000_000_000])
        expect(words(numbered, text, number)).toBe(formatFrame("delta", numbered.data(text, number)));
    },
  );

  it.each(["\u0000", "\u001f", "é", "\u{1f600}", "\u2028", "x".repeat(65)])("leaves %j to strings", (text) => {
    expect(words(named, text)).toBeUndefined();
    expect(JSON.parse(bare.data(text))).toEqual({ t: text });
    expect(JSON.parse(numbered.data(text, 3))).toEqual({ t: text, n: 3 });
  });

  it("leaves numbers beyond any stream's to strings", () => {
    expect(words(numbered, "a", 1_000_000_001)).toBeUndefined();
    expect(numbered.data("a", 1_000_000_001)).toBe('{"t":"a","n":1000000001}');
  });
});
