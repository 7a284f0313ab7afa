import { describe, expect, it } from "vitest";
import { jsonTurns, parseJson, SeededRandomness } from "../../src/kit/index.ts";

function inTurns(text: string): { readonly value: unknown; readonly turns: number } {
  const reading = jsonTurns(Buffer.from(text));
  for (let turns = 1; ; turns++) {
    const turn = reading.next();
    if (turn.done) return { value: turn.value, turns };
  }
}

describe("JSON read in turns", () => {
  it.each([
    '{"data":[{"a":[1,2,{"b":"]}"}]},{"a":[]}],"n":{"m":[[1],[2,[3]]],"x":"[{"}}',
    "[[1,2],[3]]",
    '[ {"a" : 1} , [2] ,3, "x,]" , null ]\n',
    '{"a":[[]],"b":[{}],"c":[ ],"d":"\\u0000member 0","e":"\\"[{"}',
    '{"deep":{"er":{"est":[[1],[2]]}}}',
    '{"é":[["ü\\\\"],["\\\\\\""]]}',
    "7",
    '"[[1]]"',
  ])("is what the parser makes of it: %s", (text) => {
    // One that looks like the reader's own mark is its own data again.
    const expected = JSON.parse(text) as { d?: unknown; a?: unknown };
    if (expected.d === "\u0000member 0") expected.d = expected.a;
    expect(inTurns(text).value).toEqual(expected);
  });

  it("is refused where the parser refuses it, however it is broken", () => {
    const whole = '{"data":[{"a":[1,2]},{"a":["x"]}],"n":[[1],[2]]}';
    const random = new SeededRandomness(7);
    const letters = '{}[],:"1ax \\';
    for (let round = 0; round < 3000; round++) {
      const at = Math.floor(random.number() * whole.length);
      const letter = letters[Math.floor(random.number() * letters.length)] ?? "";
      const text = round % 2 === 0 ? whole.slice(0, at) + letter + whole.slice(at + 1) : whole.slice(0, at);
      expect(inTurns(text).value, text).toEqual(parseJson(text));
    }
  });

  it("of many numbers takes many turns", () => {
    const value = {
      data: Array.from({ length: 300 }, (_, index) => ({ index, embedding: Array.from({ length: 500 }, (_one, at) => at / 7) })),
    };
    const { value: read, turns } = inTurns(JSON.stringify(value));
    expect(read).toEqual(value);
    expect(turns).toBeGreaterThan(8);
  });
});
