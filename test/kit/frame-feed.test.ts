import { describe, expect, it } from "vitest";
import { FrameFeed, type RepeatableFrame } from "../../src/kit/index.ts";

/** Reads `{"t":...}` frames, counts what it had to parse. */
class Reader {
  repeatable: RepeatableFrame | undefined;
  parsed = 0;
  readonly told: unknown[] = [];

  frame({ data }: { readonly data: string }): void {
    this.parsed++;
    this.repeatable = undefined;
    let value: { t?: unknown; plain?: unknown };
    try {
      value = JSON.parse(data) as typeof value;
    } catch {
      this.told.push("garbled");
      return;
    }
    this.told.push(value.t ?? "nothing");
    if (typeof value.t !== "string" || value.plain === false) return;
    this.repeatable = { text: value.t, ignored: ["n", "pad"], tell: (text) => this.told.push(text) };
  }
}

function feed(...frames: (string | Uint8Array)[]): Reader {
  const reader = new Reader();
  const feeder = new FrameFeed(reader);
  for (const frame of frames) feeder.frame(typeof frame === "string" ? new TextEncoder().encode(`data: ${frame}\n\n`) : frame);
  return reader;
}

describe("frames that repeat the one before but for their text", () => {
  it("are told without being parsed", () => {
    const { told, parsed } = feed('{"a":1,"t":"one"}', '{"a":1,"t":"two"}', '{"a":1,"t":"drei ä €"}', '{"a":1,"t":"\u{1F600}\uFEFF"}');
    expect(told).toEqual(["one", "two", "drei ä €", "\u{1F600}\uFEFF"]);
    expect(parsed).toBe(1);
  });
  it("may have escapes, and be long", () => {
    const long = "word ".repeat(100);
    const texts = ['say "so"\n', "\\", "\u0001\u2028", long, `${long}"`];
    const { told, parsed } = feed('{"t":"one"}', ...texts.map((t) => JSON.stringify({ t })), '{"t":"\\u0041\\/"}');
    expect(told).toEqual(["one", ...texts, "A/"]);
    expect(parsed).toBe(1);
  });
  it("may be padded with spaces before the last brace", () => {
    const { told, parsed } = feed('{"t":"one"}', '{"t":"two"   }', '{"t":"three" }');
    expect(told).toEqual(["one", "two", "three"]);
    expect(parsed).toBe(1);
    expect(feed('{"t":"one" }', '{"t":"two","u":{}}', '{"t":"three"}}')).toMatchObject({ told: ["one", "two", "garbled"] });
  });
  it("may follow one with escapes", () => {
    const { told, parsed } = feed(JSON.stringify({ t: '{"a' }), JSON.stringify({ t: '":"' }), '{"t":"b"}');
    expect(told).toEqual(['{"a', '":"', "b"]);
    expect(parsed).toBe(1);
  });
  it("may differ in what means nothing", () => {
    const frames = ["1", "20", "0"].map((n) => `{"n":${n},"t":"t${n}","pad":"${"x".repeat(Number(n))}"}`);
    const { told, parsed } = feed(...frames);
    expect(told).toEqual(["t1", "t20", "t0"]);
    expect(parsed).toBe(1);
  });
  it("may come with an event's name, with carriage returns and without their blank line", () => {
    const bytes = (t: string, end: string): Uint8Array => new TextEncoder().encode(`event: e\r\ndata: {"t":"${t}"}${end}`);
    expect(feed(bytes("a", "\r\n\r\n"), bytes("b", "\r\n\r\n"))).toMatchObject({ told: ["a", "b"], parsed: 1 });
    expect(feed(bytes("a", "\n\n"), bytes("b", ""))).toMatchObject({ told: ["a", "b"], parsed: 2 });
  });
});

describe("frames that are parsed", () => {
  it.each([
    ['{"a":1,"t":"one"}', '{"a":2,"t":"two"}', "two"],
    ['{"t":"one"}', '{"t":"two","a":1}', "two"],
    ['{"t":"one"}', '{"t":""}', ""],
    ['{"t":"one"}', '{"t":"a","t":"b"}', "b"],
    ['{"t":"one"}', '{"t":"cut}', "garbled"],
    ['{"t":"one"}', '{"t":"bad \\x"}', "garbled"],
    ['{"t":"one"}', '{"t":"\t"}', "garbled"],
    ['{"n":1,"t":"one"}', '{"n":01,"t":"two"}', "garbled"],
    ['{"n":1,"t":"one"}', '{"n":1.5,"t":"two"}', "two"],
    ['{"n":1,"t":"one"}', '{"n":,"t":"two"}', "garbled"],
    ['{"pad":"x","t":"one"}', '{"pad":"\\q","t":"two"}', "garbled"],
  ])("%s then %s", (first, second, text) => {
    expect(feed(first, second)).toMatchObject({ told: ["one", text], parsed: 2 });
  });
  it("because it is not sure where the text stood", () => {
    expect(feed('{"b":"t","t":"t"}', '{"b":"u","t":"t"}')).toMatchObject({ told: ["t", "t"], parsed: 2 });
    expect(feed('{"b":"a","t":","}', '{"b":"a","t":"x"}')).toMatchObject({ told: [",", "x"], parsed: 2 });
    expect(feed('{"b":"\\\\","t":"a"}', '{"b":"\\\\","t":"b"}')).toMatchObject({ told: ["a", "b"], parsed: 2 });
    expect(feed('{"b":"A","t":"\\u0041"}', '{"b":"B","t":"\\u0041"}')).toMatchObject({ told: ["A", "A"], parsed: 2 });
  });
  it("because the frame between was another", () => {
    expect(feed('{"t":"a"}', '{"t":1}', '{"t":"b"}')).toMatchObject({ told: ["a", 1, "b"], parsed: 3 });
    expect(feed('{"t":"a","plain":false}', '{"t":"b","plain":false}')).toMatchObject({ told: ["a", "b"], parsed: 2 });
  });
  it("because they are large", () => {
    const pad = "x".repeat(5000);
    expect(feed(`{"pad":"${pad}","t":"a"}`, `{"pad":"${pad}","t":"b"}`)).toMatchObject({ parsed: 2 });
  });
  it("because none ever repeated: learning stops", () => {
    const reader = new Reader();
    const feeder = new FrameFeed(reader);
    const send = (frame: string): void => feeder.frame(new TextEncoder().encode(`data: ${frame}\n\n`));
    for (let at = 0; at < 16; at++) send(`{"a":${at},"t":"x${at}"}`);
    send('{"t":"same"}');
    send('{"t":"other"}');
    expect(reader).toMatchObject({ parsed: 18 });
    expect(reader.told.at(-1)).toBe("other");
  });
  it("but comments are not", () => {
    const comment = new TextEncoder().encode(": waiting\n\n");
    expect(feed('{"t":"a"}', comment, '{"t":"b"}')).toMatchObject({ told: ["a", "b"], parsed: 1 });
  });
});
