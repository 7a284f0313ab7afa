import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import type { BodyOutcome, Front, FrontHandler, FrontOptions, FrontOut, FrontRequest } from "../../src/wire/types.ts";
import { exchange, frontWith, MB, RawClient } from "./raw.ts";

let front: Front | undefined;
afterEach(async () => {
  await front?.close(0);
  front = undefined;
});

async function serve(handler: FrontHandler, more: Partial<FrontOptions> = {}): Promise<number> {
  front = await frontWith(handler, more);
  return front.port;
}

const LIMITS = { maxBytes: 32 * MB, timeoutMs: 30_000 };

/** Reads the body and tells its size, or the problem. */
const measuring: FrontHandler = (request, out) =>
  request.readBody(LIMITS, (outcome) => {
    if (outcome.ok) out.whole(200, {}, `${outcome.bytes.length} bytes`);
    else out.whole(outcome.problem.status ?? 413, { "x-gimbal-problem": outcome.problem.kind }, outcome.problem.message);
  });

function post(headers: string, body = ""): string {
  return `POST /v1/x?a=b HTTP/1.1\r\nhost: here\r\n${headers}\r\n${body}`;
}

describe("a request", () => {
  it("is handed over with path, query, headers in lower case and repeated ones joined", async () => {
    let seen: FrontRequest | undefined;
    const port = await serve((request, out) => {
      seen = request;
      out.whole(200, {}, "ok");
    });
    const head =
      "GET /v1/models/a%2Fb?limit=2&x HTTP/1.1\r\nHost: here\r\nX-A: 1\r\nx-a: 2\r\nAuthorization: k1\r\nauthorization: k2\r\nconnection: close\r\n\r\n";
    await exchange(port, head);
    expect(seen).toMatchObject({ method: "GET", path: "/v1/models/a%2Fb", query: "limit=2&x", peer: "127.0.0.1" });
    expect(seen?.headers["x-a"]).toBe("1, 2");
    expect(seen?.headers["authorization"]).toBe("k1, k2");
  });

  it("may name its target absolutely", async () => {
    const paths: string[] = [];
    const port = await serve((request, out) => {
      paths.push(`${request.path}?${request.query}`);
      out.whole(200, {}, "");
    });
    await exchange(port, "GET http://here/a?b HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    await exchange(port, "GET http://here HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    expect(paths).toEqual(["/a?b", "/?"]);
  });

  it("takes the client's address from x-forwarded-for only where the peer is a trusted proxy", async () => {
    const peers: string[] = [];
    const request = "GET / HTTP/1.1\r\nhost: here\r\nx-forwarded-for: 6.6.6.6, 9.9.9.9, 10.0.0.2\r\nconnection: close\r\n\r\n";
    const handler: FrontHandler = ({ peer }, out) => {
      peers.push(peer);
      out.whole(200, {}, "");
    };
    await exchange(await serve(handler), request);
    await front?.close(0);
    await exchange(await serve(handler, { trustedProxies: ["127.0.0.1", "10.0.0.0/8"] }), request);
    expect(peers).toEqual(["127.0.0.1", "9.9.9.9"]);
  });

  it("that is not HTTP is answered 400, one with huge headers 431", async () => {
    const port = await serve(() => expect.unreachable());
    expect(await exchange(port, "EHLO there\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(await exchange(port, "GET / HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /); // no host
    expect(await exchange(port, `GET / HTTP/1.1\r\nhost: here\r\nx: ${"a".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    const smuggled = "content-length: 4\r\ntransfer-encoding: chunked\r\n";
    expect(await exchange(port, post(smuggled, "0\r\n\r\n"))).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("whose head is slow is answered 408", async () => {
    const port = await serve(() => expect.unreachable(), { headTimeoutMs: 20 });
    expect(await exchange(port, "GET / HTTP/1.1\r\nhost:")).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("that offers HTTP/2 by upgrade is answered in HTTP/1.1", async () => {
    const port = await serve(measuring);
    const offer = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\ncontent-length: 2\r\n";
    const client = new RawClient(port).say(post(offer, "{}"));
    await client.hears("2 bytes");
    expect(client.heard).toMatch(/^HTTP\/1\.1 200 /);
    client.socket.destroy();
  });
});

describe("a body", () => {
  it("arrives whole, by length or in chunks, in however many pieces", async () => {
    const bodies: string[] = [];
    const port = await serve((request, out) =>
      request.readBody(LIMITS, (outcome) => {
        if (outcome.ok) bodies.push(outcome.bytes.toString());
        out.whole(200, {}, "");
      }),
    );
    const client = new RawClient(port);
    for (const byte of post("content-length: 5\r\n", "hello")) client.say(byte);
    await client.hears("HTTP/1.1 200");
    client.say(post("transfer-encoding: chunked\r\nconnection: close\r\n", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"));
    await client.closed;
    expect(bodies).toEqual(["hello", "hello"]);
  });

  it("declared over the limit is refused before it is read, and the client that sends it anyway reads the refusal", async () => {
    const port = await serve(measuring);
    const size = 50 * MB;
    const client = new RawClient(port).say(post(`content-length: ${size}\r\n`));
    await client.hears("limit of 33554432 bytes");
    const piece = Buffer.alloc(MB);
    for (let sent = 0; sent < size; sent += MB) client.say(piece);
    await client.closed;
    expect(client.heard).toMatch(/^HTTP\/1\.1 413 /);
    expect(client.heard).toMatch(/connection: close/);
  });

  it("over the limit in chunks is refused as soon as it is", async () => {
    const port = await serve((request, out) =>
      request.readBody({ maxBytes: 1000, timeoutMs: 30_000 }, (outcome) => out.whole(outcome.ok ? 200 : 413, {}, "x")),
    );
    const client = new RawClient(port).say(post("transfer-encoding: chunked\r\n", `400\r\n${"a".repeat(1024)}\r\n`));
    await client.hears("HTTP/1.1 413");
    client.say("0\r\n\r\n");
    await client.closed;
    expect(client.heard).toMatch(/connection: close/);
  });

  it("that waits for 100 Continue is refused without being sent, or asked for", async () => {
    const port = await serve(measuring);
    const refused = await exchange(port, post(`expect: 100-continue\r\ncontent-length: ${50 * MB}\r\n`));
    expect(refused).toMatch(/^HTTP\/1\.1 413 /);
    const client = new RawClient(port).say(post("expect: 100-continue\r\ncontent-length: 3\r\nconnection: close\r\n"));
    await client.hears("HTTP/1.1 100 Continue\r\n\r\n");
    client.say("abc");
    await client.closed;
    expect(client.heard).toContain("3 bytes");
  });

  it("that is slow is given up at its deadline", async () => {
    const clock = new ManualClock();
    let reading: () => void = () => undefined;
    const began = new Promise<void>((resolve) => (reading = resolve));
    const port = await serve(
      (request, out) => {
        measuring(request, out);
        reading();
      },
      { clock },
    );
    const client = new RawClient(port).say(post("content-length: 100\r\n", "slow"));
    await began;
    clock.advance(30_000);
    await client.hears("within 30 seconds");
    clock.advance(2_000);
    await client.closed;
    expect(client.heard).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("that is cut is a cancelled request", async () => {
    const outcome = Promise.withResolvers<BodyOutcome>();
    const port = await serve((request) => request.readBody(LIMITS, outcome.resolve));
    const client = new RawClient(port).say(post("content-length: 100\r\n", "half"));
    client.socket.on("connect", () => setImmediate(() => client.socket.destroy()));
    expect(await outcome.promise).toMatchObject({ ok: false, problem: { kind: "cancelled" } });
  });

  it("that nobody reads does not spoil the next request on the connection", async () => {
    const port = await serve((_request, out) => out.whole(401, {}, "no key"));
    const client = new RawClient(port)
      .say(post("content-length: 5\r\n", "hello"))
      .say(post("content-length: 5\r\nconnection: close\r\n", "again"));
    await client.closed;
    expect(client.heard.match(/HTTP\/1\.1 401/g)).toHaveLength(2);
  });

  it("that nobody reads ends the connection when it is large", async () => {
    const port = await serve((_request, out) => out.whole(401, {}, "no key"));
    const client = new RawClient(port).say(post(`content-length: ${MB}\r\n`));
    await client.hears("no key");
    client.say(Buffer.alloc(MB));
    await client.closed;
    expect(client.heard).toContain("connection: close");
  });
});

describe("an answer", () => {
  it("keeps injected line breaks out of its headers, and goes out without the header that had them", async () => {
    const port = await serve((_request, out) =>
      out.whole(
        200,
        { "x-good": "1", "x-evil": "a\r\nset-cookie: stolen=1", "x evil": "b", "x-wide": "日本", "Content-Length": "999" },
        "body",
      ),
    );
    const heard = await exchange(port, "GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    expect(heard).toBe("HTTP/1.1 200 OK\r\nx-good: 1\r\ncontent-length: 4\r\nConnection: close\r\n\r\nbody");
  });

  it("counts its length in bytes and leaves every byte as it is", async () => {
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, at) => at & 255));
    const port = await serve((request, out) => out.whole(200, {}, request.path === "/text" ? "日本" : bytes));
    const heard = await exchange(port, "GET /bytes HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    expect(Buffer.from(heard.slice(heard.indexOf("\r\n\r\n") + 4), "latin1").equals(bytes)).toBe(true);
    expect(await exchange(port, "GET /text HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")).toContain("content-length: 6\r\n");
  });

  it("to HEAD has the length and no body, whole or streamed", async () => {
    const port = await serve((request, out) => {
      if (request.path === "/whole") return out.whole(200, {}, "12345");
      out.head(200, {});
      out.write("never sent");
      out.end();
    });
    const whole = await exchange(port, "HEAD /whole HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    expect(whole).toMatch(/content-length: 5\r\n/);
    expect(whole).toMatch(/\r\n\r\n$/);
    expect(await exchange(port, "HEAD /stream HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")).not.toContain("never");
  });

  it("is streamed in chunks, the pieces of one tick in one chunk", async () => {
    const port = await serve((_request, out) => {
      out.head(200, { "content-type": "text/event-stream" });
      out.write("data: 1\n\n");
      out.write(Buffer.from("data: ü\n\n"));
      setImmediate(() => {
        out.write("data: 日\n\n");
        setImmediate(() => {
          out.write("last");
          out.end();
          out.write("after the end");
        });
      });
    });
    const heard = await exchange(port, "GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    const [head = "", ...body] = heard.split("\r\n\r\n");
    expect(head).toContain("Transfer-Encoding: chunked");
    const chunks = Buffer.from(body.join("\r\n\r\n"), "latin1").toString();
    expect(chunks).toBe("13\r\ndata: 1\n\ndata: ü\n\n\r\nb\r\ndata: 日\n\n\r\n4\r\nlast\r\n0\r\n\r\n");
  });

  it("sends its head at once, before there is anything to say", async () => {
    let out: FrontOut | undefined;
    const port = await serve((_request, given) => {
      out = given;
      given.head(200, {});
    });
    const client = new RawClient(port).say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await client.hears("\r\n\r\n");
    out?.end();
    await client.hears("0\r\n\r\n");
    expect(client.heard).toMatch(/^HTTP\/1\.1 200 /);
    client.socket.destroy();
  });

  it("to HTTP/1.0 is not chunked", async () => {
    const port = await serve((_request, out) => {
      out.head(200, {});
      out.write("plain");
      out.end();
    });
    expect(await exchange(port, "GET / HTTP/1.0\r\n\r\n")).toMatch(/\r\n\r\nplain$/);
  });

  it("waits its turn behind an earlier one when requests are pipelined", async () => {
    const outs: FrontOut[] = [];
    const port = await serve((_request, out) => {
      outs.push(out);
      if (outs.length < 3) return;
      outs[2]?.whole(200, {}, "three");
      outs[1]?.head(200, {});
      outs[1]?.write("two");
      outs[1]?.end();
      outs[0]?.whole(200, {}, "one");
    });
    const get = "GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    const client = new RawClient(port).say(get + get + get);
    await client.hears("three");
    expect(client.heard.match(/one|two|three/g)).toEqual(["one", "two", "three"]);
    client.socket.destroy();
  });

  it("holds back when the client is slow and goes on when it has caught up", async () => {
    let written = 0;
    let pauses = 0;
    const total = 20 * MB;
    let stuck: () => void = () => undefined;
    const paused = new Promise<void>((resolve) => (stuck = resolve));
    const port = await serve((_request, out) => {
      const piece = Buffer.alloc(64 * 1024, "x");
      const fill = (): void => {
        while (written < total) {
          written += piece.length;
          if (out.write(piece)) continue;
          pauses++;
          stuck();
          return out.onDrain(fill);
        }
        out.end();
      };
      out.head(200, {});
      fill();
    });
    const client = connect(port, "127.0.0.1");
    client.write("GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    await paused;
    expect(written).toBeLessThan(total);
    let received = 0;
    client.on("data", (bytes) => (received += bytes.length));
    await new Promise((resolve) => client.on("close", resolve));
    expect(pauses).toBeGreaterThan(0);
    expect(received).toBeGreaterThan(total);
  });

  it("cuts a client off that takes nothing for two minutes", async () => {
    const clock = new ManualClock();
    let left = false;
    let stuck: () => void = () => undefined;
    const full = new Promise<void>((resolve) => (stuck = resolve));
    const port = await serve(
      (_request, out) => {
        out.onLeave(() => (left = true));
        out.head(200, {});
        out.write(Buffer.alloc(64 * MB));
        out.onDrain(() => undefined);
        stuck();
      },
      { clock },
    );
    const client = new RawClient(port).say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    client.socket.pause();
    await full;
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(120_000);
    client.socket.resume();
    await client.closed;
    expect(left).toBe(true);
  });

  it("tells when the client leaves in the middle, once, and not when it was complete", async () => {
    const left: string[] = [];
    const gone = Promise.withResolvers<void>();
    const port = await serve((request, out) => {
      out.onLeave(() => {
        left.push(request.path);
        expect(out.closed).toBe(true);
        out.write("into the void");
        out.end();
        gone.resolve();
      });
      if (request.path === "/whole") return out.whole(200, {}, "done");
      out.head(200, {});
      out.write("first");
    });
    const client = new RawClient(port).say("GET /whole HTTP/1.1\r\nhost: here\r\n\r\n");
    await client.hears("done");
    client.say("GET /stream HTTP/1.1\r\nhost: here\r\n\r\n");
    await client.hears("first");
    client.socket.destroy();
    await gone.promise;
    expect(left).toEqual(["/stream"]);
  });
});

describe("the front end", () => {
  it("answers 503 to connections over its cap, and serves again when one leaves", async () => {
    const port = await serve((_request, out) => out.whole(200, {}, "ok"), { maxConnections: 2 });
    const get = "GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    const first = new RawClient(port).say(get);
    const second = new RawClient(port).say(get);
    await Promise.all([first.hears("ok"), second.hears("ok")]);
    const refused = await exchange(port, get);
    expect(refused).toMatch(/^HTTP\/1\.1 503 /);
    expect(refused).toContain("retry-after: 1");
    first.socket.destroy();
    await first.closed;
    const again = new RawClient(port).say(get);
    await again.hears("HTTP/1.1");
    for (const client of [second, again]) client.socket.destroy();
  });

  it("closes: idle connections at once, running answers after their end, new ones not at all", async () => {
    let out: FrontOut | undefined;
    const port = await serve((request, given) => {
      if (request.path === "/idle") return given.whole(200, {}, "idle");
      out = given;
      given.head(200, {});
      given.write("begun");
    });
    const idle = new RawClient(port).say("GET /idle HTTP/1.1\r\nhost: here\r\n\r\n");
    const silent = new RawClient(port);
    const running = new RawClient(port).say("GET /stream HTTP/1.1\r\nhost: here\r\n\r\n");
    await Promise.all([idle.hears("idle"), running.hears("begun")]);
    const closed = front?.close(60_000);
    await Promise.all([idle.closed, silent.closed]);
    await new RawClient(port).closed;
    out?.write("last");
    out?.end();
    await Promise.all([running.closed, closed]);
    expect(running.heard).toContain("last");
  });

  it("closes what still runs when the time is over", async () => {
    const clock = new ManualClock();
    const port = await serve((_request, out) => out.head(200, {}), { clock });
    const client = new RawClient(port).say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await client.hears("200");
    const closed = front?.close(1_000);
    clock.advance(999);
    expect(front?.connections).toBe(1);
    clock.advance(1);
    await Promise.all([client.closed, closed]);
    expect(front?.connections).toBe(0);
  });

  it("answers 408 to whoever says nothing, and closes who says nothing more", async () => {
    const clock = new ManualClock();
    const port = await serve((_request, out) => out.whole(200, {}, "ok"), { clock });
    const silent = new RawClient(port);
    const idle = new RawClient(port).say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await idle.hears("ok");
    clock.advance(25_000);
    await silent.closed;
    expect(silent.heard).toMatch(/^HTTP\/1\.1 408 /);
    clock.advance(39_000);
    idle.say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await idle.hears("ok", 2);
    clock.advance(64_000);
    expect(front?.connections).toBe(1);
    clock.advance(6_000);
    await idle.closed;
  });

  it("takes a client that stops halfway through its connection for gone", async () => {
    const left = Promise.withResolvers<void>();
    const port = await serve((_request, out) => {
      out.onLeave(left.resolve);
      out.head(200, {});
    });
    const client = new RawClient(port).say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await client.hears("200");
    client.socket.end();
    await left.promise;
    await client.closed;
  });

  it("keeps a large body whole for a handler that asks for it late, and the connection with it", async () => {
    const port = await serve((request, out) => void setImmediate(() => measuring(request, out)));
    const client = new RawClient(port).say(post(`content-length: ${8 * MB}\r\n`)).say(Buffer.alloc(8 * MB));
    await client.hears(`${8 * MB} bytes`);
    client.say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await client.hears("\n0 bytes");
    client.socket.destroy();
  });

  it("keeps many idle connections and still answers", async () => {
    const port = await serve((_request, out) => out.whole(200, {}, "ok"), { maxConnections: 1_000 });
    const idle = Array.from({ length: 500 }, () => new RawClient(port));
    const last = new RawClient(port).say("GET / HTTP/1.1\r\nhost: here\r\n\r\n");
    await last.hears("ok");
    expect(front?.connections).toBe(501);
    for (const client of [...idle, last]) client.socket.destroy();
  });

  it("rejects when its port is taken", async () => {
    const port = await serve(measuring);
    await expect(frontWith(measuring, { port })).rejects.toThrow("EADDRINUSE");
  });
});
