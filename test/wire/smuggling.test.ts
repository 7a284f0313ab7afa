import { afterEach, describe, expect, it } from "vitest";
import { readPlainHead } from "../../src/wire/request-head.ts";
import type { Front, FrontHandler } from "../../src/wire/types.ts";
import { frontWith, MB, RawClient } from "./raw.ts";

let front: Front | undefined;
afterEach(async () => {
  await front?.close(0);
  front = undefined;
});

const MAX_HEAD = 16 * 1024;
/** What an attacker hopes to slip past as a request of its own. */
const HIDDEN = "GET /hidden HTTP/1.1\r\nhost: here\r\n\r\n";

function head(lines: string, line = "POST /x HTTP/1.1"): string {
  return `${line}\r\nhost: here\r\n${lines}\r\n`;
}

/** Everything the handler was asked, as `METHOD path body`. */
async function recording(asked: string[]): Promise<number> {
  const handler: FrontHandler = (request, out) =>
    request.readBody({ maxBytes: MB, timeoutMs: 30_000 }, (outcome) => {
      asked.push(`${request.method} ${request.path} ${outcome.ok ? outcome.bytes.toString("latin1") : outcome.problem.kind}`);
      out.whole(200, {}, `answer ${asked.length}`);
    });
  front = await frontWith(handler);
  return front.port;
}

/** Two readings of such bytes are possible, so that none of them may be plain. */
const AMBIGUOUS: readonly [string, string][] = [
  ["a length beside chunks", head("content-length: 4\r\ntransfer-encoding: chunked\r\n")],
  ["chunks beside a length", head("transfer-encoding: chunked\r\ncontent-length: 4\r\n")],
  ["a coding that is none", head("transfer-encoding: xchunked\r\n")],
  ["a coding behind a tab", head("transfer-encoding:\tchunked\r\n")],
  ["two lengths", head("content-length: 0\r\ncontent-length: 4\r\n")],
  ["two equal lengths", head("content-length: 4\r\ncontent-length: 4\r\n")],
  ["two lengths in one", head("content-length: 0, 4\r\n")],
  ["a signed length", head("content-length: +4\r\n")],
  ["a negative length", head("content-length: -4\r\n")],
  ["a hexadecimal length", head("content-length: 0x4\r\n")],
  ["a length with a space in it", head("content-length: 1 4\r\n")],
  ["a length with leading zeros", head("content-length: 004\r\n")],
  ["a length beyond exactness", head("content-length: 99999999999999999999\r\n")],
  ["an empty length", head("content-length:\r\n")],
  ["a space before the colon", head("content-length : 4\r\n")],
  ["a tab before the colon", head("transfer-encoding\t: chunked\r\n")],
  ["a folded line", head("x-a: 1\r\n content-length: 4\r\n")],
  ["a folded coding", head("transfer-encoding:\r\n chunked\r\n")],
  ["a line without a colon", head("content-length 4\r\n")],
  ["an empty name", head(": 4\r\n")],
  ["a bare line feed", head("x-a: 1\ncontent-length: 4\r\n")],
  ["a bare carriage return", head("x-a: 1\rcontent-length: 4\r\n")],
  ["bare line feeds only", "POST /x HTTP/1.1\nhost: here\ncontent-length: 4\n\n"],
  ["a NUL in a value", head("x-a: 1\0\r\n")],
  ["a NUL in a name", head("x\0a: 1\r\n")],
  ["another control", head("x-a: \x0b1\r\n")],
  ["a name beyond ASCII", head("x-\xe9: 1\r\n")],
  ["two hosts", head("host: elsewhere\r\n")],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["an absolute target", head("", "GET http://elsewhere/x HTTP/1.1")],
  ["a target without a slash", head("", "GET x HTTP/1.1")],
  ["a target with a space", head("", "GET /x y HTTP/1.1")],
  ["a target with a tab", head("", "GET /x\ty HTTP/1.1")],
  ["a target with a fragment", head("", "GET /x#y HTTP/1.1")],
  ["two spaces", head("", "GET  /x HTTP/1.1")],
  ["an empty line first", `\r\n${head("", "GET /x HTTP/1.1")}`],
  ["HTTP/1.0", head("", "GET /x HTTP/1.0")],
  ["a version that is none", head("", "GET /x HTTP/1.10")],
  ["a method in small letters", head("", "get /x HTTP/1.1")],
  ["a tunnel", head("", "CONNECT here:443 HTTP/1.1")],
  ["an upgrade", head("connection: upgrade\r\nupgrade: websocket\r\n")],
  ["an unusual connection", head("connection: keep-alive, x-a\r\n")],
  ["an old proxy's connection", head("proxy-connection: close\r\n")],
  ["an expectation", head("expect: 100-continue\r\n")],
  ["more lines than anybody sends", head(Array.from({ length: 200 }, (_, at) => `x-${at}: 1\r\n`).join(""))],
  ["a head over the limit", head(`x-a: ${"a".repeat(MAX_HEAD)}\r\n`)],
];

describe("a plain request", () => {
  it.each(AMBIGUOUS)("is none with %s", (_name, text) => {
    expect(readPlainHead(Buffer.from(text, "latin1"), MAX_HEAD)).toBeUndefined();
  });

  it("is what clients usually send", () => {
    const text = head("Content-Length: 4\r\nX-A:  spaced \t\r\nx-empty:\r\nconnection: Keep-Alive\r\n", "POST /v1/a%2Fb?c=d HTTP/1.1");
    expect(readPlainHead(Buffer.from(`${text}body`), MAX_HEAD)).toEqual({
      method: "POST",
      path: "/v1/a%2Fb",
      query: "c=d",
      headers: { host: "here", "content-length": "4", "x-a": "spaced", "x-empty": "", connection: "Keep-Alive" },
      size: text.length,
      length: 4,
      close: false,
    });
    expect(readPlainHead(Buffer.from(head("connection: close\r\n")), MAX_HEAD)?.close).toBe(true);
  });

  it("is none before its head is complete, wherever that is cut", () => {
    const text = head("content-length: 4\r\n");
    for (let at = 0; at < text.length; at++) expect(readPlainHead(Buffer.from(text.slice(0, at)), MAX_HEAD)).toBeUndefined();
  });
});

describe("a request hidden in another one", () => {
  it.each([
    ["CL.TE", head(`content-length: ${HIDDEN.length + 5}\r\ntransfer-encoding: chunked\r\n`), `0\r\n\r\n${HIDDEN}`],
    ["TE.CL", head("transfer-encoding: chunked\r\ncontent-length: 3\r\n"), `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`],
    ["two lengths", head(`content-length: 0\r\ncontent-length: ${HIDDEN.length}\r\n`), HIDDEN],
    ["a signed length", head("content-length: +0\r\n"), HIDDEN],
    ["a list of lengths", head(`content-length: 0, ${HIDDEN.length}\r\n`), HIDDEN],
    ["a space before the colon", head("content-length : 0\r\n"), HIDDEN],
    ["a bare line feed", head("x-a: 1\ncontent-length: 0\r\n"), HIDDEN],
    ["a NUL", head("x-a: \0\r\n"), HIDDEN],
  ])("with %s is never asked", async (_name, outer, inner) => {
    const asked: string[] = [];
    const client = new RawClient(await recording(asked)).say(Buffer.from(outer + inner, "latin1"));
    await client.closed;
    expect(client.heard).toMatch(/^HTTP\/1\.1 400 /);
    expect(asked).toEqual([]);
  });

  it("is body when the length says so, in a plain request and after one", async () => {
    const asked: string[] = [];
    const client = new RawClient(await recording(asked));
    for (const nth of [1, 2]) {
      client.say(head(`content-length: ${HIDDEN.length}\r\n`) + HIDDEN);
      await client.hears(`answer ${nth}`);
    }
    client.socket.destroy();
    expect(asked).toEqual([`POST /x ${HIDDEN}`, `POST /x ${HIDDEN}`]);
  });
});

describe("a connection", () => {
  it("takes a request cut anywhere, after plain ones and before them", async () => {
    const asked: string[] = [];
    const port = await recording(asked);
    const request = `${head("content-length: 4\r\n")}body`;
    for (let at = 1; at < request.length; at++) {
      asked.length = 0;
      const client = new RawClient(port).say(request);
      await client.hears("answer 1");
      client.say(request.slice(0, at));
      await new Promise((resolve) => setImmediate(resolve));
      client.say(request.slice(at));
      await client.hears("answer 2");
      client.say(request);
      await client.hears("answer 3");
      client.socket.destroy();
      expect(asked).toEqual(Array.from({ length: 3 }, () => "POST /x body"));
    }
  });

  it("is handed over with what it sent ahead, and answers in order", async () => {
    const asked: string[] = [];
    const held: (() => void)[] = [];
    front = await frontWith((request, out) =>
      request.readBody({ maxBytes: MB, timeoutMs: 30_000 }, (outcome) => {
        asked.push(outcome.ok ? outcome.bytes.toString() : "");
        held.push(() => out.whole(200, {}, `to ${asked.length}`));
        if (held.length !== 1) for (const answer of held.splice(0)) answer();
      }),
    );
    const client = new RawClient(front.port).say(`${head("content-length: 3\r\n")}one`);
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
    // Chunks, and one more behind them: both wait until the first is answered.
    client.say(`${head("transfer-encoding: chunked\r\n")}3\r\ntwo\r\n0\r\n\r\n${head("content-length: 5\r\n")}three`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual(["one"]);
    held.shift()?.();
    await client.hears("HTTP/1.1 200", 3);
    client.socket.destroy();
    expect(asked).toEqual(["one", "two", "three"]);
  });
});
