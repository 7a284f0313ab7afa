import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openJson, openJsonText, replaceMembers, type JsonDocument } from "../../src/kit/index.ts";

const LIMITS = { depth: 16 };

function open(text: string): JsonDocument {
  const opened = openJsonText(text, LIMITS);
  if (!opened.ok) throw new Error(opened.message);
  return opened.document;
}

function fault(text: string): string {
  const opened = openJsonText(text, LIMITS);
  return opened.ok ? "" : opened.message;
}

describe("the JSON door", () => {
  it("refuses what is not an object", () => {
    for (const text of ["", "[]", "null", '"a"', "1", "{", '{"a":1', "{'a':1}", '{"a":1}x']) expect(fault(text), text).not.toBe("");
  });

  it("refuses duplicate top-level keys, also when one is written with escapes", () => {
    expect(fault('{"model":"a","model":"b"}')).toContain('"model" twice');
    expect(fault('{"model":"a","mod\\u0065l":"b"}')).toContain('"model" twice');
    expect(fault('{"a":{"model":1},"model":2,"b":[{"model":3}]}')).toBe("");
  });

  it("refuses nesting beyond the limit and allows it at the limit", () => {
    const nested = (levels: number): string => `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    expect(fault(nested(16))).toBe("");
    expect(fault(nested(17))).toContain("16 levels");
    expect(fault(nested(100_000))).toContain("16 levels");
  });

  it("refuses invalid UTF-8 and says nothing of the content", () => {
    const opened = openJson(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), LIMITS);
    expect(opened).toEqual({ ok: false, message: "The body is not valid UTF-8." });
    expect(fault('{"secret": hunter2}')).not.toContain("hunter2");
  });

  it("replaces, adds and removes members and leaves every other byte", () => {
    const text = '{ "b" : 1 , "model" :  "x" ,"s":"a\\\\\\"}{,", "z":[1, {"model":2}] }';
    expect(replaceMembers(open(text), { model: "y/z" })).toBe('{ "b" : 1 , "model" :"y/z","s":"a\\\\\\"}{,", "z":[1, {"model":2}] }');
    expect(replaceMembers(open('{"a":1, "b":2 ,"c":3}'), { b: undefined, c: undefined, d: 4 })).toBe('{"a":1,"d":4}');
    expect(replaceMembers(open('{"a":1,"b":2}'), { a: undefined, b: undefined })).toBe("{}");
    expect(JSON.parse(replaceMembers(open(text), { z: undefined, n: { a: 1 } }))).toEqual({ b: 1, model: "x", s: 'a\\"}{,', n: { a: 1 } });
    expect(replaceMembers(open("{}"), { a: 1 })).toBe('{"a":1}');
    expect(replaceMembers(open('{"a":1}'), { a: undefined })).toBe("{}");
    expect(replaceMembers(open('{"a":1,"b":2}'), { a: undefined, b: undefined })).toBe("{}");
    expect(replaceMembers(open('{"a":1,"b":2}'), { a: undefined, b: undefined, c: 3 })).toBe('{"c":3}');
  });

  it("agrees with parse, change, stringify on any object", () => {
    const key = fc.string({ maxLength: 6 });
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.jsonValue({ maxDepth: 4 }), { maxKeys: 8 }),
        fc.array(fc.tuple(key, fc.option(fc.jsonValue({ maxDepth: 2 }), { nil: undefined })), { maxLength: 4 }),
        fc.constantFrom(undefined, 1, "\t"),
        (value, edits, space) => {
          const plain = Object.fromEntries(Object.entries(value).filter(([name]) => name !== "__proto__"));
          const replace = Object.fromEntries(edits.filter(([name]) => name !== "__proto__" && !/^\d+$/.test(name)));
          const want: Record<string, unknown> = { ...plain, ...replace };
          for (const name of Object.keys(want)) if (want[name] === undefined) delete want[name];
          expect(JSON.parse(replaceMembers(open(JSON.stringify(plain, null, space)), replace))).toEqual(JSON.parse(JSON.stringify(want)));
        },
      ),
      { seed: 7, numRuns: 500 },
    );
  });
});
