import { connect as connectHttp2, constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { request as secureRequest } from "node:https";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { Secret } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import type { Front, FrontHandler, FrontOptions, ServerTls } from "../../src/wire/types.ts";
import { canIssue, newAuthority } from "../support/certificates.ts";
import type { Authority, Issued } from "../support/certificates.ts";
import { exchange, frontWith, MB, RawClient } from "./raw.ts";

let authority: Authority;
let server: Issued;
const ends: (() => unknown)[] = [];

function tlsOf(issued: Issued, more: Partial<ServerTls> = {}): ServerTls {
  return { cert: issued.cert, key: new Secret(issued.key), clientAuth: "none", ...more };
}

async function secureFront(handler: FrontHandler, more: Partial<FrontOptions> = {}): Promise<Front> {
  const front = await frontWith(handler, { tls: tlsOf(server), ...more });
  ends.push(() => front.close(0));
  return front;
}

const sayHello: FrontHandler = (request, out) => out.whole(200, { "content-type": "text/plain" }, `${request.method} ${request.path}`);
const echo: FrontHandler = (request, out) =>
  request.readBody({ maxBytes: MB, timeoutMs: 5_000 }, (body) =>
    body.ok ? out.whole(200, {}, body.bytes) : out.whole(413, { "x-gimbal-problem": body.problem.kind }, body.problem.message),
  );

/** The subject of the certificate that new connections get, and the connection. */
function handshake(front: Front, more: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port: front.port, servername: "localhost", ca: authority.ca, ...more }, () =>
      resolve(socket),
    );
    socket.on("error", reject);
    ends.push(() => socket.destroy());
  });
}
function subject(socket: TLSSocket): string | undefined {
  const { CN } = socket.getPeerCertificate().subject;
  return typeof CN === "string" ? CN : undefined;
}

function http2To(front: Front): ClientHttp2Session {
  const session = connectHttp2(`https://localhost:${front.port}`, {
    ca: authority.ca,
    lookup: (_host, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  session.on("error", () => {});
  ends.push(() => session.destroy());
  return session;
}

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
  code: number;
}
function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve) => {
    const answer: Answer = { status: 0, headers: {}, text: "", code: -1 };
    stream.on("response", (headers) => Object.assign(answer, { status: headers[":status"], headers }));
    stream.on("data", (piece: Buffer) => (answer.text += piece.toString()));
    stream.on("error", () => {});
    stream.on("close", () => resolve({ ...answer, code: stream.rstCode ?? -1 }));
  });
}
function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return answerOf(stream);
}

describe.skipIf(!canIssue)("serving TLS (needs openssl)", () => {
  beforeAll(() => {
    authority = newAuthority();
    server = authority.issue("server");
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  afterAll(() => authority.remove());

  it("answers HTTP/1.1 on connections that live on, and WebSockets", async () => {
    const front = await secureFront(sayHello, {
      upgrade: (_request, answer) => answer.accept((socket) => socket.onMessage((text) => socket.send(`heard ${text}`))),
    });
    const socket = await handshake(front);
    let heard = "";
    socket.on("data", (piece: Buffer) => (heard += piece.toString()));
    for (const path of ["/one", "/two"]) {
      socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
      await expect.poll(() => heard).toContain(`GET ${path}`);
    }
    expect(front.connections).toBe(1);
    const web = new WebSocket(`wss://localhost:${front.port}/`, { ca: authority.ca });
    ends.push(() => web.terminate());
    const said = new Promise((resolve) => web.on("message", (bytes: Buffer) => resolve(bytes.toString())));
    web.on("open", () => web.send("hello"));
    expect(await said).toBe("heard hello");
  });

  it("tells a client in the clear where it is, and drops what says nothing", async () => {
    const clock = new ManualClock();
    const front = await secureFront(() => expect.unreachable(), { clock });
    const told = await exchange(front.port, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    expect(told).toMatch(/^HTTP\/1\.1 400 /);
    expect(told).toContain("begin the address with https://");
    await expect.poll(() => front.connections).toBe(0);
    const silent = new RawClient(front.port);
    await expect.poll(() => front.connections).toBe(1);
    clock.advance(10_000);
    await silent.closed;
    expect(silent.heard).toBe("");
  });

  it("gives up on a handshake that begins and goes no further", async () => {
    const front = await secureFront(() => expect.unreachable(), { headTimeoutMs: 80 });
    const slow = new RawClient(front.port).say(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    await slow.closed;
    await expect.poll(() => front.connections).toBe(0);
  });

  it("lets in whoever shows a certificate of its authorities, and nobody else", async () => {
    const required = await secureFront(sayHello, { tls: tlsOf(server, { ca: authority.ca, clientAuth: "require" }) });
    const mine = authority.issue("client");
    const get = (front: Front, more: object): Promise<number> =>
      new Promise((resolve, reject) => {
        const options = { host: "localhost", port: front.port, path: "/", ca: authority.ca, agent: false, ...more };
        secureRequest(options, (answer) => resolve(answer.resume().statusCode ?? 0))
          .on("error", reject)
          .end();
      });
    expect(await get(required, { cert: mine.cert, key: mine.key })).toBe(200);
    await expect(get(required, {})).rejects.toThrow(/alert|hang up|ECONNRESET/i);
    const stranger = newAuthority();
    ends.push(() => stranger.remove());
    const theirs = stranger.issue("client");
    await expect(get(required, { cert: theirs.cert, key: theirs.key })).rejects.toThrow(/alert|hang up|ECONNRESET/i);
    const asked = await secureFront(sayHello, { tls: tlsOf(server, { ca: authority.ca, clientAuth: "request" }) });
    expect(await get(asked, {})).toBe(200);
    await expect(get(asked, { cert: theirs.cert, key: theirs.key })).rejects.toThrow(/alert|hang up|ECONNRESET/i);
  });

  it("takes a renewed certificate for new connections; those that stand go on, and a bad one changes nothing", async () => {
    const lines: string[] = [];
    const clock = new ManualClock();
    const files = authority.issue("renewable");
    const next = authority.issue("renewed");
    const front = await secureFront(sayHello, {
      clock,
      tls: { cert: files.certFile, key: new Secret(files.keyFile), clientAuth: "none" },
      report: (line) => lines.push(line),
    });
    const old = await handshake(front);
    expect(subject(old)).toBe("renewable");
    copyFileSync(next.certFile, files.certFile);
    clock.advance(10_000);
    // Half of the pair has changed: not to be used.
    expect(lines.at(-1)).toContain("the key belongs to another certificate");
    expect(subject(await handshake(front))).toBe("renewable");
    copyFileSync(next.keyFile, files.keyFile);
    clock.advance(10_000);
    expect(lines.at(-1)).toContain("renewed");
    expect(subject(await handshake(front))).toBe("renewed");
    let heard = "";
    old.on("data", (piece: Buffer) => (heard += piece.toString()));
    old.write("GET /still-here HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await expect.poll(() => heard).toContain("GET /still-here");
    front.configure({ tls: tlsOf(server) });
    expect(subject(await handshake(front))).toBe("server");
    expect(() => front.configure({ tls: tlsOf(server, { cert: join(authority.folder, "nowhere") }) })).toThrow(
      /serve\.tls\.cert cannot be read/,
    );
    expect(subject(await handshake(front))).toBe("server");
  });

  it("refuses to start with a certificate and another's key", async () => {
    const tls = tlsOf(server, { key: new Secret(authority.issue("another").key) });
    await expect(frontWith(sayHello, { tls })).rejects.toThrow(/key belongs to another certificate/);
  });

  describe("in HTTP/2", () => {
    it("answers many requests of one connection at once, each with its own body", async () => {
      const front = await secureFront(echo);
      const session = http2To(front);
      const bodies = Array.from({ length: 50 }, (_, nth) => `${nth} `.repeat(2_000 + nth));
      const answers = await Promise.all(bodies.map((body) => ask(session, { ":method": "POST", ":path": "/" }, body)));
      expect(answers.map(({ text }) => text)).toEqual(bodies);
      expect(front.connections).toBe(1);
    });

    it("hands over method, path, query, host and every header once", async () => {
      const seen: unknown[] = [];
      const front = await secureFront((request, out) => {
        const { method, path, query, headers, peer } = request;
        seen.push({ method, path, query, host: headers["host"], list: headers["x-list"], cookie: headers["cookie"], peer });
        out.whole(204, { connection: "close", "X-Mixed": "yes", "x-evil": "a\r\nb: c" }, "");
      });
      const session = http2To(front);
      const headers = { ":method": "PUT", ":path": "/a%2Fb?c=d", "x-list": ["1", "2"], cookie: ["a=1", "b=2"] };
      const answer = await ask(session, headers, "");
      expect(answer).toMatchObject({ status: 204, headers: { "x-mixed": "yes" } });
      expect(answer.headers).not.toHaveProperty("x-evil");
      const host = `localhost:${front.port}`;
      expect(seen).toEqual([{ method: "PUT", path: "/a%2Fb", query: "c=d", host, list: "1, 2", cookie: "a=1; b=2", peer: "127.0.0.1" }]);
    });

    it("refuses a request that names two hosts", async () => {
      const front = await secureFront(() => expect.unreachable());
      const answer = await ask(http2To(front), { ":path": "/", ":authority": "here.test", host: "elsewhere.test" });
      expect(answer.code).toBe(constants.NGHTTP2_PROTOCOL_ERROR);
    });

    it("sends no more than the client takes, and hears when there is room again", async () => {
      let waits = 0;
      let sent = 0;
      const piece = Buffer.alloc(64 * 1024, "x");
      const front = await secureFront((_request, out) => {
        out.head(200, {});
        const go = (): void => {
          while (sent < 100) {
            sent++;
            if (out.write(piece)) continue;
            waits++;
            return out.onDrain(go);
          }
          out.end();
        };
        go();
      });
      const stream = http2To(front).request({ ":path": "/" });
      await new Promise((resolve) => stream.once("response", resolve));
      stream.pause();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(sent).toBeLessThan(50);
      expect(waits).toBeGreaterThan(0);
      let bytes = 0;
      stream.on("data", (data: Buffer) => (bytes += data.length));
      stream.resume();
      await new Promise((resolve) => stream.on("end", resolve));
      expect(bytes).toBe(100 * piece.length);
    });

    it("tells of a client that takes its request back, and cuts without an end", async () => {
      const left = Promise.withResolvers<void>();
      const front = await secureFront((request, out) => {
        out.head(200, {});
        out.write("first");
        if (request.path === "/cut") return out.cut();
        out.onLeave(() => left.resolve());
      });
      const session = http2To(front);
      const stream = session.request({ ":path": "/" });
      stream.on("error", () => {});
      stream.once("data", () => stream.close(constants.NGHTTP2_CANCEL));
      await left.promise;
      expect((await ask(session, { ":path": "/cut" })).code).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    });

    it("refuses bodies over the limit and lets the connection go on", async () => {
      const front = await secureFront(echo);
      const session = http2To(front);
      const answer = await ask(session, { ":method": "POST", ":path": "/" }, Buffer.alloc(3 * MB));
      expect(answer).toMatchObject({ status: 413, headers: { "x-gimbal-problem": "too_large" } });
      expect((await ask(session, { ":method": "POST", ":path": "/" }, "small")).text).toBe("small");
    });

    it("refuses heads over the limit", async () => {
      const front = await secureFront(() => expect.unreachable(), { maxHeaderBytes: 4_096 });
      const many = Object.fromEntries(Array.from({ length: 20 }, (_, nth) => [`x-${nth}`, "y".repeat(1_000)]));
      const answer = await ask(http2To(front), { ":path": "/", ...many });
      expect(answer).toMatchObject({ status: 431, headers: { "x-gimbal-problem": "too_large" } });
    });

    it("ends a connection that takes back request after request (rapid reset)", async () => {
      let begun = 0;
      const front = await secureFront((_request, _out) => void begun++);
      const session = http2To(front);
      await new Promise((resolve) => session.once("connect", resolve));
      const ended = new Promise<void>((resolve) => session.once("close", resolve));
      const storm = (): void => {
        if (session.closed || session.destroyed || begun > 5_000) return;
        const stream = session.request({ ":path": "/" });
        stream.on("error", () => {});
        stream.on("close", storm);
        // Late enough to have reached the other side.
        setImmediate(() => setImmediate(() => stream.close(constants.NGHTTP2_CANCEL)));
      };
      for (let nth = 0; nth < 20; nth++) storm();
      await ended;
      expect(begun).toBeGreaterThan(200);
      expect(begun).toBeLessThan(2_000);
    }, 20_000);

    it("lets what is under way end when the front end closes", async () => {
      const waiting = Promise.withResolvers<() => void>();
      const front = await secureFront((_request, out) => waiting.resolve(() => out.whole(200, {}, "late")));
      const session = http2To(front);
      const asked = ask(session, { ":path": "/" });
      const answer = await waiting.promise;
      const closed = front.close(5_000);
      await new Promise((resolve) => session.once("goaway", resolve));
      answer();
      expect((await asked).text).toBe("late");
      await closed;
      await expect.poll(() => front.connections).toBe(0);
    });

    it("ends connections on which nothing is asked", async () => {
      const clock = new ManualClock();
      const front = await secureFront(sayHello, { clock });
      const session = http2To(front);
      expect((await ask(session, { ":path": "/" })).text).toBe("GET /");
      const ended = new Promise((resolve) => session.once("close", resolve));
      for (let seconds = 0; seconds < 80; seconds += 5) clock.advance(5_000);
      await ended;
    });
  });
});
