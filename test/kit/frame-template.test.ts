import { describe, expect, it } from "vitest";
import { FrameTemplate, FrameTemplates } from "../../src/kit/index.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const frame = (data: string): Uint8Array => bytes(`data: ${data}\n\n`);
const saying = (text: string, rest = ""): Uint8Array => frame(`{"t":${JSON.stringify(text)}${rest}}`);

function template(of: Uint8Array, text: string, ignored: readonly string[] = []): FrameTemplate {
  const made = FrameTemplate.of(of, text, ignored);
  if (!made) throw new Error("no template");
  return made;
}

describe("a frame's template", () => {
  const one = template(saying("one"), "one");

  it.each(["a", "two words", "é", "€", "\u{1f600}", 'a"b', "\\", "\b\f\n\r\t", "\u0000", "\u2028", "x".repeat(100), `${"x".repeat(100)}"`])(
    "finds %j, and how long it is",
    (text) => {
      expect(one.text(saying(text))).toBe(text);
      expect(one.characters(saying(text))).toBe(text.length);
    },
  );

  it("reads escapes that nobody needs", () => {
    const escaped = frame('{"t":"\\u0041\\/\\u00e9\\uD83D\\ude00"}');
    expect(one.text(escaped)).toBe("A/é\u{1f600}");
    expect(one.characters(escaped)).toBe(5);
  });

  it.each(['"a\\x"', '"a\\u00g0"', '"a\\u12"', '"a\u0001"', '"a\n"', '"a', "7", '""', '"a"b"', '"a\\"'])(
    "is fitted by no frame with %s",
    (literal) => {
      expect(one.text(frame(`{"t":${literal}}`))).toBe("");
      expect(one.characters(frame(`{"t":${literal}}`))).toBe(0);
    },
  );

  it("is fitted by no frame that goes on, stops early or differs elsewhere", () => {
    for (const other of ['{"t":"a"},', '{"t":"a"', '{"u":"a"}', '{"t": "a"}', '{"t":"a","u":1}'])
      expect(one.characters(frame(other))).toBe(0);
    expect(one.characters(bytes("event: x\n"))).toBe(0);
  });

  it("lets what means nothing differ, but not be nonsense", () => {
    const counted = template(saying("one", ',"n":7,"pad":"xy"'), "one", ["n", "pad"]);
    expect(counted.characters(saying("ab", ',"n":1234,"pad":""'))).toBe(2);
    for (const rest of [',"n":07,"pad":""', ',"n":,"pad":""', ',"n":-1,"pad":""', ',"n":1,"pad":"\\x"', ',"n":1,"pad":"\u0001"'])
      expect(counted.characters(saying("ab", rest))).toBe(0);
  });

  it("knows vendors who write every letter beyond ASCII as an escape, and messages of WebSockets", () => {
    const escaping = template(frame('{"t":"\\u4f60\\u597d"}'), "你好");
    expect(escaping.text(frame('{"t":"\\u55ae"}'))).toBe("單");
    expect(template(bytes('{"t":"one"}'), "one").text(bytes('{"t":"two"}'))).toBe("two");
  });

  it.each([
    ["a text that stands there twice", saying("one", ',"u":"one"'), "one"],
    ["a text that is not there", saying("one"), "two"],
    ["no text", saying(""), ""],
    ["a frame with escapes elsewhere", saying("one", ',"u":"\\n"'), "one"],
    ["a key of the same name", frame('{"one":1,"t":"o"}'), "on"],
    ["a large frame", saying("one", `,"u":"${"x".repeat(4096)}"`), "one"],
  ])("is not made of %s", (_name, given, text) => {
    expect(FrameTemplate.of(given, text, [])).toBeUndefined();
  });
});

describe("the templates of a stream", () => {
  const kind = (at: number, text: string): Uint8Array => saying(text, `,"kind":${at}`);

  it("are several, for streams that alternate; the oldest goes first", () => {
    const templates = new FrameTemplates();
    for (const at of [1, 2, 3, 4, 5]) templates.learn(kind(at, "one"), "one", []);
    expect([1, 2, 3, 4, 5].map((at) => templates.characters(kind(at, "ab")))).toEqual([0, 2, 2, 2, 2]);
  });

  it("are no longer learnt when none is ever used", () => {
    const templates = new FrameTemplates();
    for (let at = 0; at < 16; at++) templates.learn(kind(at, "one"), "one", []);
    templates.learn(kind(99, "one"), "one", []);
    expect(templates.characters(kind(99, "ab"))).toBe(0);
    expect(templates.characters(kind(15, "ab"))).toBe(2);
    templates.learn(kind(99, "one"), "one", []);
    expect(templates.characters(kind(99, "ab"))).toBe(2);
  });
});
