import { createServer as createTlsServer } from "node:tls";
import type { AddressInfo, LookupFunction, Socket } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { connect } from "../../src/wire/client.ts";
import type { HttpClient } from "../../src/wire/types.ts";
import { ask, CLIENT, MB, Told, upstreamSaying } from "./raw.ts";
import type { Upstream } from "./raw.ts";

const upstreams: Upstream[] = [];
afterEach(async () => {
  await Promise.all(upstreams.splice(0).map((upstream) => upstream.close()));
});

async function saying(act: (socket: Socket, request: string, nth: number) => void): Promise<Upstream> {
  const upstream = await upstreamSaying(act);
  upstreams.push(upstream);
  return upstream;
}
function answer(headers: string, body: string | Buffer = ""): Buffer {
  return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${headers}\r\n`), Buffer.from(body)]);
}
function clientOf(upstream: Upstream, more: Partial<Parameters<typeof connect>[0]> = {}): HttpClient {
  return connect({ ...CLIENT, baseUrl: `http://127.0.0.1:${upstream.port}`, ...more });
}
const POST = { method: "POST", path: "/x", headers: {}, body: "{}" };

function noSecrets(told: Told): void {
  expect(told.problem?.message).not.toMatch(/hidden|Bearer|key=/);
  expect(told.terminals).toBe(1);
}

describe("a request", () => {
  it("goes to the base URL's path with the headers given, asking for plain bytes", async () => {
    let heard = "";
    const upstream = await saying((socket, request) => {
      heard = request;
      socket.write(answer("content-length: 2\r\n", "ok"));
    });
    const told = await ask(upstream.port);
    expect(told.text).toBe("ok");
    expect(heard).toMatch(/^POST \/v1\/chat\?key=hidden-in-query HTTP\/1\.1\r\n/);
    expect(heard).toContain("authorization: Bearer hidden-key\r\n");
    expect(heard).toContain("accept-encoding: identity\r\n");
    expect(heard).toMatch(/content-length: 2\r\n\r\n\{\}$/);
  });

  it("that cannot be written as HTTP fails without being sent, and not before open has returned", async () => {
    const upstream = await saying(() => expect.unreachable());
    const client = clientOf(upstream);
    const told = new Told();
    client.open({ ...POST, headers: { "x-evil": "a\r\nx-injected: 1" } }, told);
    expect(told.problem).toBeUndefined();
    await told.over;
    expect(told.problem).toMatchObject({ kind: "internal", code: "request_unsendable" });
    await client.close();
  });

  it("needs a base URL that is one, without credentials in it", () => {
    for (const baseUrl of ["ftp://x", "nonsense", "https://user:pass@host", "https://host/v1?key=1"]) {
      expect(() => connect({ ...CLIENT, baseUrl })).toThrow(/base URL must/);
    }
  });
});

describe("connections", () => {
  it("are kept and reused, the next one after a close is new", async () => {
    const upstream = await saying((socket, _request, nth) => {
      socket.write(answer(`content-length: 2\r\n${nth === 1 ? "connection: close\r\n" : ""}`, "ok"));
      if (nth === 1) socket.end();
    });
    const client = clientOf(upstream);
    for (let nth = 0; nth < 3; nth++) {
      const told = new Told();
      client.open(POST, told);
      await told.over;
      expect(told.text).toBe("ok");
      expect(upstream.sockets).toHaveLength(nth < 2 ? 1 : 2);
    }
    await client.close();
  });

  it("that the upstream closed while idle are noticed, and the next request dials anew", async () => {
    const upstream = await saying((socket) => socket.write(answer("content-length: 2\r\n", "ok")));
    const client = clientOf(upstream);
    const first = new Told();
    client.open(POST, first);
    await first.over;
    const gone = new Promise((resolve) => upstream.sockets[0]?.on("close", resolve));
    upstream.sockets[0]?.end();
    await gone;
    const second = new Told();
    client.open(POST, second);
    await second.over;
    expect(second.text).toBe("ok");
    await client.close();
  });

  it("are given up when idle too long, sooner when the server says so, and never reused when it closes at once", async () => {
    for (const [hint, idleMs] of [
      ["", 31_000],
      ["keep-alive: timeout=10\r\n", 9_000],
      ["keep-alive: timeout=1\r\n", 0],
    ] as const) {
      const clock = new ManualClock();
      const upstream = await saying((socket) => socket.write(answer(`${hint}content-length: 2\r\n`, "ok")));
      const client = clientOf(upstream, { clock });
      const told = new Told();
      client.open(POST, told);
      await told.over;
      const gone = new Promise((resolve) => upstream.sockets[0]?.on("close", resolve));
      clock.advance(idleMs);
      await gone;
      await client.close();
    }
  });

  it("that say something unasked are not used again", async () => {
    const upstream = await saying((socket) => socket.write(answer("content-length: 2\r\n", "ok")));
    const client = clientOf(upstream);
    const first = new Told();
    client.open(POST, first);
    await first.over;
    const gone = new Promise((resolve) => upstream.sockets[0]?.on("close", resolve));
    upstream.sockets[0]?.write(answer("content-length: 6\r\n", "poison"));
    await gone;
    const second = new Told();
    client.open(POST, second);
    await second.over;
    expect(second.text).toBe("ok");
    await client.close();
  });

  it("that do not come about in time are given up", async () => {
    const clock = new ManualClock();
    const lookup: LookupFunction = () => undefined;
    const client = connect({ ...CLIENT, baseUrl: "http://slow.example", lookup, clock });
    const told = new Told();
    client.open(POST, told);
    clock.advance(CLIENT.connectTimeoutMs + 2_500);
    await told.over;
    expect(told.problem).toMatchObject({ kind: "upstream_timeout", code: "connect_timeout" });
    await client.close();
  });

  it("over the cap wait for a free one, but no longer than connecting may take, and not too many", async () => {
    const clock = new ManualClock();
    const held: Socket[] = [];
    const upstream = await saying((socket) => {
      held.push(socket);
      if (held.length > 1) socket.write(answer("content-length: 2\r\n", "ok"));
    });
    const client = clientOf(upstream, { maxConnections: 1, clock });
    const [first, second, third] = [new Told(), new Told(), new Told()];
    client.open(POST, first);
    client.open(POST, second);
    client.open(POST, third);
    await third.over;
    expect(third.problem).toMatchObject({ kind: "overloaded", code: "connections" });
    clock.advance(CLIENT.connectTimeoutMs);
    await second.over;
    expect(second.problem).toMatchObject({ kind: "overloaded" });
    const fourth = new Told();
    client.open(POST, fourth);
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
    held[0]?.write(answer("content-length: 2\r\n", "ok"));
    await Promise.all([first.over, fourth.over]);
    expect([first.text, fourth.text]).toEqual(["ok", "ok"]);
    await client.close();
  });

  it("close once what runs on them has ended", async () => {
    let socket: Socket | undefined;
    const upstream = await saying((given) => {
      socket = given;
      given.write(answer("content-length: 4\r\n", "ab"));
    });
    const client = clientOf(upstream);
    const told = new Told();
    client.open(POST, told);
    await told.first;
    const closed = client.close();
    const late = new Told();
    client.open(POST, late);
    socket?.write("cd");
    await Promise.all([told.over, late.over, closed]);
    expect(told.text).toBe("abcd");
    expect(late.problem?.kind).toBe("upstream_unavailable");
  });
});

describe("an answer", () => {
  it("has its head in lower case, repeated headers joined, early hints skipped", async () => {
    const upstream = await saying((socket) => {
      socket.write("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
      socket.write(
        "HTTP/1.1 429 Slow Down\r\nRetry-After: 3\r\nX-A: 1\r\nx-a: 2\r\n__proto__: evil\r\nconstructor: odd\r\ncontent-length: 0\r\n\r\n",
      );
    });
    const told = await ask(upstream.port);
    expect(told.status).toBe(429);
    expect(told.headers).toMatchObject({ "retry-after": "3", "x-a": "1, 2", constructor: "odd" });
    expect(told.headers["link"]).toBeUndefined();
  });

  it("that is a redirect or a web page is passed on as it is, not followed", async () => {
    const upstream = await saying((socket, _request, nth) => {
      const page = "<html><body>Bad gateway</body></html>";
      if (nth === 0) socket.write("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n");
      else socket.write(`HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: ${page.length}\r\n\r\n${page}`);
    });
    expect((await ask(upstream.port)).status).toBe(302);
    const page = await ask(upstream.port);
    expect([page.status, page.headers["content-type"], page.text.slice(0, 6)]).toEqual([502, "text/html", "<html>"]);
  });

  it("to HEAD ends without a body", async () => {
    const upstream = await saying((socket) => socket.write(answer("content-length: 500\r\ncontent-encoding: gzip\r\n")));
    const told = await ask(upstream.port, {}, "HEAD");
    expect([told.status, told.text, told.problem]).toEqual([200, "", undefined]);
  });

  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ])("compressed with %s all the same is unpacked, byte by byte", async (encoding, compress) => {
    const text = "data: hello\n\n".repeat(100);
    const packed = compress(text);
    const upstream = await saying((socket) => {
      socket.write(answer(`content-encoding: ${encoding}\r\ncontent-length: ${packed.length}\r\n`));
      for (const byte of packed) socket.write(Buffer.from([byte]));
    });
    const told = await ask(upstream.port);
    expect(told.text).toBe(text);
    expect(told.headers["content-encoding"]).toBeUndefined();
    expect(told.headers["content-length"]).toBeUndefined();
  });

  it("that is a decompression bomb is stopped", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MB));
    const upstream = await saying((socket) => socket.write(answer(`content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n`, bomb)));
    const told = await ask(upstream.port);
    expect(told.problem).toMatchObject({ kind: "upstream_broken", code: "decompression_bomb" });
    expect(Buffer.concat(told.pieces).length).toBeLessThan(16 * MB);
  });

  it.each([
    ["not gzip at all", "gzip", Buffer.from("plain text"), "bad_encoding"],
    ["cut gzip", "gzip", gzipSync("hello hello hello").subarray(0, 12), "bad_encoding"],
    ["an unknown encoding", "rot13", Buffer.from("uryyb"), "bad_encoding"],
  ])("with %s is broken", async (_name, encoding, body, code) => {
    const upstream = await saying((socket) =>
      socket.write(answer(`content-encoding: ${encoding}\r\ncontent-length: ${body.length}\r\n`, body)),
    );
    const told = await ask(upstream.port);
    expect(told.problem).toMatchObject({ kind: "upstream_broken", code });
    noSecrets(told);
  });

  it("is held back while the sink is busy, and goes on", async () => {
    const total = 8 * MB;
    const upstream = await saying((socket) => socket.write(answer(`content-length: ${total}\r\n`, Buffer.alloc(total, "x"))));
    const client = clientOf(upstream);
    let received = 0;
    let busy = false;
    const over = new Promise<void>((resolve, reject) => {
      const handle = client.open(POST, {
        onHead: () => undefined,
        onData(piece) {
          expect(busy).toBe(false);
          received += piece.length;
          busy = true;
          setImmediate(() => {
            busy = false;
            handle.resume();
          });
          return false;
        },
        onEnd: resolve,
        onProblem: (problem) => reject(new Error(problem.message)),
      });
    });
    await over;
    expect(received).toBe(total);
    await client.close();
  });

  it("that is held back does not count as silence, and ends when it is taken", async () => {
    const clock = new ManualClock();
    const upstream = await saying((socket) => socket.end(answer("transfer-encoding: chunked\r\n", "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")));
    const client = clientOf(upstream, { clock });
    const told = new Told();
    const taken = told.onData.bind(told);
    told.onData = (piece) => !taken(piece);
    const handle = client.open(POST, told);
    await told.first;
    clock.advance(60_000);
    expect([told.text, told.terminals]).toEqual(["ab", 0]);
    handle.resume();
    while (told.pieces.length < 2) await new Promise((resolve) => setImmediate(resolve));
    handle.resume();
    await told.over;
    expect([told.text, told.problem]).toEqual(["abcd", undefined]);
    await client.close();
  });

  it("whose last piece is held back leaves a connection on which the next one is heard", async () => {
    const upstream = await saying((socket) => socket.write(answer("transfer-encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n")));
    const client = clientOf(upstream, { maxConnections: 1 });
    for (let number = 0; number < 3; number++) {
      const told = new Told();
      const taken = told.onData.bind(told);
      told.onData = (piece) => !taken(piece);
      const handle = client.open(POST, told);
      await told.first;
      await new Promise((resolve) => setImmediate(resolve));
      handle.resume();
      await told.over;
      expect([told.text, told.problem]).toEqual(["ab", undefined]);
    }
    expect(upstream.sockets).toHaveLength(1);
    await client.close();
  });

  it("may be resumed before the sink has said no", async () => {
    const upstream = await saying((socket) => {
      socket.write(answer("content-length: 4\r\n", "ab"));
      setImmediate(() => socket.write("cd"));
    });
    const client = clientOf(upstream);
    let text = "";
    await new Promise<void>((resolve) => {
      const handle = client.open(POST, {
        onHead: () => undefined,
        onData(piece) {
          text += piece.toString();
          handle.resume();
          return false;
        },
        onEnd: resolve,
        onProblem: () => expect.unreachable(),
      });
    });
    expect(text).toBe("abcd");
    await client.close();
  });
});

describe("cancelling", () => {
  it("closes the upstream's connection at once and says nothing more", async () => {
    const told = new Told();
    const upstream = await saying((socket) => {
      socket.write(answer("transfer-encoding: chunked\r\n", "2\r\nab\r\n"));
    });
    const client = clientOf(upstream);
    const handle = client.open(POST, told);
    await told.first;
    const closed = new Promise((resolve) => upstream.sockets[0]?.on("close", resolve));
    handle.cancel();
    handle.cancel();
    handle.resume();
    await closed;
    await client.close();
    expect(told.terminals).toBe(0);
  });

  it("works before the connection stands, and frees its place", async () => {
    const upstream = await saying((socket) => socket.write(answer("content-length: 2\r\n", "ok")));
    const client = clientOf(upstream, { maxConnections: 1 });
    const [first, waiting, last] = [new Told(), new Told(), new Told()];
    const running = client.open(POST, first);
    client.open(POST, waiting).cancel();
    client.open(POST, last);
    running.cancel();
    await last.over;
    expect([first.terminals, waiting.terminals, last.text]).toEqual([0, 0, "ok"]);
    await client.close();
  });

  it("works from inside the sink", async () => {
    const upstream = await saying((socket) => socket.write(answer("content-length: 4\r\n", "abcd")));
    const client = clientOf(upstream);
    let calls = 0;
    await new Promise<void>((resolve) => {
      const handle = client.open(POST, {
        onHead: () => calls++,
        onData() {
          calls++;
          handle.cancel();
          setImmediate(resolve);
          return true;
        },
        onEnd: () => expect.unreachable(),
        onProblem: () => expect.unreachable(),
      });
    });
    await client.close();
    expect(calls).toBe(2);
  });
});

describe("an upstream that fails", () => {
  const cases: readonly [string, (socket: Socket) => void, string, string][] = [
    ["closes without a word", (socket) => socket.end(), "upstream_unavailable", "closed"],
    ["resets", (socket) => socket.resetAndDestroy(), "upstream_unavailable", "closed"],
    ["does not speak HTTP", (socket) => socket.write("220 smtp ready\r\n"), "upstream_broken", "not_http"],
    [
      "sends huge headers",
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${"a".repeat(20_000)}\r\n\r\n`),
      "upstream_broken",
      "headers_too_large",
    ],
    ["ends within a sized body", (socket) => socket.end(answer("content-length: 10\r\n", "half")), "upstream_broken", "cut"],
    ["ends within a chunk", (socket) => socket.end(answer("transfer-encoding: chunked\r\n", "a\r\nhalf")), "upstream_broken", "cut"],
    [
      "resets within a body",
      (socket) => socket.write(answer("content-length: 10\r\n", "half"), () => socket.resetAndDestroy()),
      "upstream_broken",
      "cut",
    ],
    [
      "garbles its chunks",
      (socket) => socket.write(answer("transfer-encoding: chunked\r\n", "4\r\nfull\r\nzzz\r\n")),
      "upstream_broken",
      "not_http",
    ],
    [
      "switches protocols unasked",
      (socket) => socket.write("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
      "upstream_unavailable",
      "closed",
    ],
    ["never answers", () => undefined, "upstream_timeout", "head_timeout"],
    ["falls silent", (socket) => socket.write(answer("content-length: 10\r\n", "half")), "upstream_timeout", "data_timeout"],
  ];
  it.each(cases)("because it %s is a problem of the right kind", async (_name, act, kind, code) => {
    const upstream = await saying(act);
    const told = await ask(upstream.port, { headTimeoutMs: 60, dataTimeoutMs: 60 });
    expect(told.problem).toMatchObject({ kind, code });
    expect(told.problem?.message).toContain(`127.0.0.1:${upstream.port}`);
    noSecrets(told);
  });

  it("because nobody listens is unavailable", async () => {
    const upstream = await saying(() => undefined);
    await upstreams.pop()?.close();
    const told = await ask(upstream.port);
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", code: "connection_refused" });
    noSecrets(told);
  });

  it("because its name does not resolve is unavailable", async () => {
    const lookup: LookupFunction = (_name, _options, callback) => callback(Object.assign(new Error("no"), { code: "ENOTFOUND" }), []);
    const told = await ask(80, { baseUrl: "http://nowhere.invalid/v1", lookup });
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", code: "name_unknown" });
    expect(told.problem?.message).toContain("nowhere.invalid");
    noSecrets(told);
  });

  it("because it does not speak TLS, or cannot agree on it, is unavailable", async () => {
    const plain = await saying((socket) => socket.write(answer("content-length: 0\r\n")));
    plain.sockets.forEach((socket) => socket.destroy());
    const tls = createTlsServer({});
    tls.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => tls.listen(0, "127.0.0.1", resolve));
    const told = await ask(0, { baseUrl: `https://127.0.0.1:${(tls.address() as AddressInfo).port}` });
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", code: "tls" });
    noSecrets(told);
    await new Promise((resolve) => tls.close(resolve));
  });
});
