import { describe, expect, it } from "vitest";
import { isLargeJson, jsonPieces } from "../../src/kit/index.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at / 7);

describe("JSON in pieces", () => {
  it.each<[string, unknown]>([
    ["nothing large", { a: [1, "two", null, true], b: undefined, c: {} }],
    ["a list of vectors", { data: Array.from({ length: 40 }, (_, index) => ({ index, embedding: numbers(1536) })), none: undefined }],
    ["one endless list", numbers(100_000)],
    ["leaves and lists in turn", [...numbers(5000), numbers(5000), "x", ...numbers(5000), {}, [], undefined, null]],
    ["long texts", Array.from({ length: 50 }, (_, at) => `${at}"\n`.repeat(3000))],
    ["lists in lists", [[numbers(9000)], [[numbers(9000), []]], {}]],
    ["strange names", { 'a"b': numbers(9000), "": numbers(9000), "\u2028": [] }],
  ])("are together what it is in one: %s", (_what, value) => {
    expect([...jsonPieces(value)].join("") === JSON.stringify(value)).toBe(true);
  });

  it("are small, however large the value", () => {
    const value = { data: Array.from({ length: 60 }, () => ({ embedding: numbers(1536) })), all: numbers(200_000) };
    expect(isLargeJson(value)).toBe(true);
    expect(isLargeJson({ data: numbers(100) })).toBe(false);
    expect(Math.max(...[...jsonPieces(value)].map((piece) => piece.length))).toBeLessThan(128 * 1024);
  });
});
