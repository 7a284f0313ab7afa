import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBase64, toBase64, vectorsIn } from "../../../src/dialects/shared-vectors.ts";

describe("vectors in base64", () => {
  it("are little-endian 32-bit floats", () => {
    expect(toBase64([1, -2])).toBe("AACAPwAAAMA=");
    expect(fromBase64("AACAPwAAAMA=")).toEqual([1, -2]);
  });

  it("are the same floats there and back, and through JSON", () => {
    const floats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 });
    fc.assert(
      fc.property(floats, (values) => {
        const text = toBase64(values);
        expect(toBase64(fromBase64(text))).toBe(text);
        expect(toBase64(JSON.parse(JSON.stringify(fromBase64(text)).replaceAll("-0,", "0,")) as number[]).length).toBe(text.length);
        expect(fromBase64(text).map((value) => value + 0)).toEqual(values.map((value) => value + 0));
      }),
    );
  });

  it.each([
    ["nothing", ""],
    ["half a float", "AAA="],
    ["a float that is none", "AADAfw=="],
    ["an infinite one", "AACAfw=="],
  ])("with %s are refused", (_what, text) => expect(() => fromBase64(text)).toThrow(/vector/));

  it("become floats and floats become them, and nothing else becomes anything", () => {
    expect(vectorsIn({ base64: ["AACAPw=="] }, "float")).toEqual([[1]]);
    expect(vectorsIn({ float: [[1]] }, "base64")).toEqual(["AACAPw=="]);
    expect(() => vectorsIn({ float: [[1]] }, "int8")).toThrow(/no vectors as int8/);
    expect(() => vectorsIn({ int8: [[1]] }, "float")).toThrow(/no vectors as float/);
  });
});
