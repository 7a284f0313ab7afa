import { describe, expect, it } from "vitest";
import { boundaryOf, partText, readForm, replaceParts, type FormPart } from "../../src/kit/index.ts";

const B = "x-boundary";
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));
const part = (headers: string, content: string): string => `--${B}\r\n${headers}\r\n\r\n${content}\r\n`;
const field = (name: string, content: string): string => part(`Content-Disposition: form-data; name="${name}"`, content);
const form = (...pieces: readonly string[]): Uint8Array => bytes(`${pieces.join("")}--${B}--\r\n`);

function parts(body: Uint8Array): readonly FormPart[] {
  const outcome = readForm(body, B);
  if (!outcome.ok) throw new Error(outcome.message);
  return outcome.parts;
}
const fault = (body: Uint8Array): string => {
  const outcome = readForm(body, B);
  return outcome.ok ? "none" : outcome.message;
};

describe("a form", () => {
  it("is read part by part, its files too, whatever bytes they hold", async () => {
    const nasty = Buffer.from(`\r\n--${B.slice(0, -1)}\r\n\r\n--\0\xff`, "latin1").toString("latin1");
    const body = form(
      field("model", "m"),
      part(`content-disposition: form-data; name="file"; filename="a \\"b\\".wav"\r\nContent-Type: audio/wav`, nasty),
    );
    const [model, file] = parts(body);
    expect([model?.name, model && partText(body, model)]).toEqual(["model", "m"]);
    expect([file?.name, file?.fileName, file?.contentType]).toEqual(["file", 'a "b".wav', "audio/wav"]);
    expect(file && Buffer.from(body.subarray(file.start, file.end)).toString("latin1")).toBe(nasty);
  });

  it("is what this runtime's own client writes", async () => {
    const own = new FormData();
    own.set("model", "m");
    own.set("file", new Blob([Buffer.alloc(100_000, 13)]), "ü.bin");
    const request = new Request("http://127.0.0.1/", { method: "POST", body: own });
    const boundary = boundaryOf(request.headers.get("content-type") ?? "");
    const body = new Uint8Array(await request.arrayBuffer());
    const outcome = readForm(body, boundary ?? "");
    expect(outcome.ok && outcome.parts.map(({ name, fileName, start, end }) => [name, fileName, end - start])).toEqual([
      ["model", undefined, 1],
      ["file", "ü.bin", 100_000],
    ]);
  });

  it("keeps every byte but those of the fields that are replaced", () => {
    const body = form(field("a", "1"), field("model", "old"), field("b", "2"));
    const model = parts(body).find(({ name }) => name === "model");
    const changed = replaceParts(body, model ? [{ part: model, text: "newer" }] : []);
    expect(Buffer.from(changed).toString("latin1")).toBe(Buffer.from(body).toString("latin1").replace("old", "newer"));
  });

  it.each([
    ["text before it", bytes(`preamble\r\n${field("a", "1")}--${B}--`), "does not begin"],
    ["no end", bytes(field("a", "1")), "is followed by something else|do not end|cut short"],
    ["something behind its end", bytes(`${field("a", "1")}--${B}--\r\nmore`), "follows its end"],
    ["lines that end in LF", bytes(`--${B}\nContent-Disposition: form-data; name="a"\n\n1\n--${B}--`), "line's end"],
    ["a name with a line's end", form(part('Content-Disposition: form-data; name="a\r\nX-Evil: 1"', "1")), "header|cannot be read"],
    ["an escaped line's end in a name", form(field("a%0D%0Ab", "1")), "line's end"],
    ["two names", form(part('Content-Disposition: form-data; name="a"; name="model"', "1")), "named twice"],
    ["an extended name", form(part(`Content-Disposition: form-data; name="a"; name*=UTF-8''model`, "1")), "named twice or"],
    [
      "two dispositions",
      form(part('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', "1")),
      "twice or not allowed",
    ],
    ["a folded header", form(part('Content-Disposition: form-data;\r\n name="a"', "1")), "header line"],
    ["a header of another kind", form(part('Content-Disposition: form-data; name="a"\r\nX-Model: b', "1")), "not allowed"],
    ["an encoding", form(part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', "MQ==")), "not allowed"],
    ["no name", form(part("Content-Disposition: form-data", "1")), "no name"],
    ["another disposition", form(part('Content-Disposition: attachment; name="a"', "1")), "no form-data"],
    ["headers without end", bytes(`--${B}\r\n${"x".repeat(20_000)}`), "do not end"],
    ["headers that are no text", form(part('Content-Disposition: form-data; name="\xff\xfe"', "1")), "UTF-8"],
    ["too many parts", form(...Array.from({ length: 257 }, (_, at) => field(`f${at}`, ""))), "more than 256 parts"],
  ])("with %s is refused", (_what, body, words) => expect(fault(body)).toMatch(new RegExp(words)));

  it.each([
    ["multipart/form-data; boundary=abc", "abc"],
    ['Multipart/Form-Data; charset=utf-8; boundary="a b"', "a b"],
    ["multipart/form-data", undefined],
    ["multipart/mixed; boundary=abc", undefined],
    [`multipart/form-data; boundary=${"a".repeat(71)}`, undefined],
    ['multipart/form-data; boundary="a\u0000b"', undefined],
  ])("has the boundary of %s", (type, boundary) => expect(boundaryOf(type)).toBe(boundary));

  it("is read in linear time, whatever it holds", () => {
    const body = form(field("a", `\r\n--${B.slice(0, -1)}`.repeat(200_000)));
    const started = process.cpuUsage();
    expect(parts(body)).toHaveLength(1);
    const { user } = process.cpuUsage(started);
    expect(user).toBeLessThan(3_000_000);
  });
});
