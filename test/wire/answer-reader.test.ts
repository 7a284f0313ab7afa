import { describe, expect, it } from "vitest";
import { AnswerReader } from "../../src/wire/answer-reader.ts";
import type { Fault } from "../../src/wire/answer-reader.ts";

const MAX_HEAD = 4_096;

interface Read {
  status?: number;
  body: string;
  over?: { reusable: boolean };
  fault?: Fault;
}

/** Reads an answer in pieces of `size` bytes, then the connection's end. */
function read(text: string, size = text.length, isHead = false): Read {
  const found: Read = { body: "" };
  const reader = new AnswerReader(
    {
      onHead: (status) => (found.status = status),
      onPiece(piece) {
        found.body += piece.toString("latin1");
        return true;
      },
      onComplete: (reusable) => (found.over = { reusable }),
    },
    isHead,
    MAX_HEAD,
  );
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) {
    const fault = reader.read(bytes.subarray(at, at + size));
    if (fault) return { ...found, fault };
  }
  if (!found.over) reader.ends();
  return found;
}

function answer(lines: string, body = "", status = "HTTP/1.1 200 OK"): string {
  return `${status}\r\n${lines}\r\n${body}`;
}

const CHUNKS = "3\r\nabc\r\n00a;name=value\r\n0123456789\r\n0\r\n";

describe("an answer is read", () => {
  const kept = { reusable: true };
  const gone = { reusable: false };
  it.each<[string, string, Read]>([
    ["by length", answer("content-length: 3\r\n", "abc"), { status: 200, body: "abc", over: kept }],
    ["without a body", answer("content-length: 0\r\n"), { status: 200, body: "", over: kept }],
    ["in chunks", answer("transfer-encoding: Chunked\r\n", `${CHUNKS}\r\n`), { status: 200, body: "abc0123456789", over: kept }],
    [
      "with trailers",
      answer("transfer-encoding: chunked\r\n", `${CHUNKS}x-sum: 1\r\n\r\n`),
      { status: 200, body: "abc0123456789", over: kept },
    ],
    ["up to the end of the connection", answer("x-a: 1\r\n", "to the end"), { status: 200, body: "to the end", over: gone }],
    [
      "after early hints",
      `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${answer("content-length: 1\r\n", "a")}`,
      { status: 200, body: "a", over: kept },
    ],
    ["with status 204, whatever it says", answer("content-length: 0\r\n", "", "HTTP/1.1 204"), { status: 204, body: "", over: kept }],
    ["from an older server", answer("content-length: 1\r\n", "a", "HTTP/1.0 200 OK"), { status: 200, body: "a", over: gone }],
    ["from one that closes", answer("content-length: 1\r\nconnection: close\r\n", "a"), { status: 200, body: "a", over: gone }],
  ])("%s, whole and byte by byte", (_name, text, expected) => {
    expect(read(text)).toEqual(expected);
    for (const size of [1, 2, 3, 7]) expect(read(text, size)).toEqual(expected);
  });

  it("and the connection is not used again when more came than the answer", () => {
    expect(read(answer("content-length: 1\r\n", `a${answer("content-length: 1\r\n", "b")}`))).toEqual({
      status: 200,
      body: "a",
      over: gone,
    });
    expect(read(answer("content-length: 9\r\n", "x"), 999, true)).toEqual({ status: 200, body: "", over: gone });
  });

  it.each([
    ["two lengths", answer("content-length: 1\r\ncontent-length: 2\r\n", "ab")],
    ["two equal lengths", answer("content-length: 1\r\ncontent-length: 1\r\n", "a")],
    ["a signed length", answer("content-length: +1\r\n", "a")],
    ["a length beside chunks", answer("content-length: 3\r\ntransfer-encoding: chunked\r\n", `${CHUNKS}\r\n`)],
    ["chunks from an older server", answer("transfer-encoding: chunked\r\n", `${CHUNKS}\r\n`, "HTTP/1.0 200 OK")],
    ["another coding", answer("transfer-encoding: gzip, chunked\r\n", `${CHUNKS}\r\n`)],
    ["a space before the colon", answer("content-length : 1\r\n", "a")],
    ["a folded line", answer("x-a: 1\r\n b: 2\r\n")],
    ["a bare line feed", answer("x-a: 1\nx-b: 2\r\n")],
    ["a NUL", answer("x-a: \0\r\n")],
    ["a version that is none", answer("", "", "HTTP/2.0 200 OK")],
    ["a status that is none", answer("", "", "HTTP/1.1 20 OK")],
    ["a chunk without a size", answer("transfer-encoding: chunked\r\n", "\r\n")],
    ["a chunk of negative size", answer("transfer-encoding: chunked\r\n", "-1\r\n")],
    ["a chunk of 0x size", answer("transfer-encoding: chunked\r\n", "0x1\r\na\r\n")],
    ["a chunk longer than it says", answer("transfer-encoding: chunked\r\n", "1\r\nab\r\n")],
    ["a chunk line without end", answer("transfer-encoding: chunked\r\n", `1;${"a".repeat(5_000)}`)],
    ["trailers that are none", answer("transfer-encoding: chunked\r\n", "0\r\nnothing\r\n\r\n")],
    ["early hints for ever", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20)],
  ])("and refused with %s, whole and byte by byte", (_name, text) => {
    expect(read(text).fault).toBe("not_http");
    expect(read(text, 1).fault).toBe("not_http");
  });

  it("and refused with too large a head or trailers", () => {
    const large = `x: ${"a".repeat(MAX_HEAD)}\r\n`;
    for (const size of [100, 100_000]) {
      expect(read(answer(large), size).fault).toBe("headers_too_large");
      expect(read(answer("transfer-encoding: chunked\r\n", `0\r\n${large}\r\n`), size).fault).toBe("headers_too_large");
    }
  });
});
