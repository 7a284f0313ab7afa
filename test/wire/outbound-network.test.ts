import { createServer as createSecureServer } from "node:https";
import type { ServerOptions } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Secret } from "../../src/canon/index.ts";
import { connect } from "../../src/wire/client.ts";
import type { ClientOptions } from "../../src/wire/types.ts";
import { canIssue, newAuthority } from "../support/certificates.ts";
import type { Authority, Issued } from "../support/certificates.ts";
import { forwardProxy } from "../support/connect-proxy.ts";
import { CLIENT, Told, upstreamSaying } from "./raw.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});
function kept<T extends { close(): Promise<void> }>(each: T): T {
  open.push(each);
  return each;
}

async function ask(baseUrl: string, more: Partial<ClientOptions> = {}, times = 1): Promise<Told> {
  const client = connect({ ...CLIENT, baseUrl, ...more });
  let told = new Told();
  for (let nth = 0; nth < times; nth++) {
    told = new Told();
    client.open({ method: "POST", path: "/chat", headers: { authorization: "Bearer hidden-key" }, body: '{"a":1}' }, told);
    await told.over;
  }
  await client.close();
  return told;
}

/** An HTTPS server that repeats what it got, and counts its connections. */
async function secureUpstream(issued: Issued, more: ServerOptions = {}): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const server = createSecureServer({ cert: issued.cert, key: issued.key, ...more }, (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => response.end(`${request.headers.authorization ?? "none"} ${Buffer.concat(pieces).toString()}`));
  });
  server.on("connection", () => connections++);
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  kept({
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

async function tcpServer(act: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    act(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  kept({
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  });
  return (server.address() as AddressInfo).port;
}

describe("a proxy in front of an upstream in the clear", () => {
  it("gets whole requests, with credentials that the upstream never sees", async () => {
    let heard = "";
    const upstream = kept(
      await upstreamSaying((socket, request) => {
        heard = request;
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      }),
    );
    const proxy = kept(await forwardProxy({ credentials: "me:secret word" }));
    const authorization = new Secret(`Basic ${Buffer.from("me:secret word").toString("base64")}`);
    const told = await ask(`http://lab.test:${upstream.port}/v1`, { proxy: { url: proxy.url, authorization } });
    expect(told.text).toBe("ok");
    expect(proxy.asked).toEqual([`POST http://lab.test:${upstream.port}/v1/chat`]);
    expect(heard).toContain(`host: lab.test:${upstream.port}`);
    expect(heard).not.toContain("proxy-authorization");
  });

  it("that wants other credentials is a problem of its own, not the upstream's answer", async () => {
    const proxy = kept(await forwardProxy({ credentials: "me:right" }));
    const told = await ask("http://lab.test:9/v1", { proxy: { url: proxy.url, authorization: new Secret("Basic d3Jvbmc=") } });
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", code: "proxy_credentials" });
    expect(told.problem?.message).toContain("http://user:password@host:port");
    expect(told.problem?.message).not.toContain("d3Jvbmc");
  });
});

describe("addresses", () => {
  it("in a private network stay refused behind a proxy, and the proxy's own is allowed because it was configured", async () => {
    const proxy = kept(await forwardProxy());
    const refused = await ask("http://10.0.0.1/v1", { proxy: { url: proxy.url }, allowPrivateNetwork: false });
    expect(refused.problem).toMatchObject({ code: "address_refused" });
    expect(proxy.asked).toEqual([]);
    const upstream = kept(await upstreamSaying((socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")));
    const told = await ask(`http://lab.test:${upstream.port}`, { proxy: { url: proxy.url }, allowPrivateNetwork: false });
    expect(told.text).toBe("ok");
  });
});

describe.skipIf(!canIssue)("over TLS (needs openssl)", () => {
  let authority: Authority;
  let server: Issued;
  beforeAll(() => {
    authority = newAuthority();
    server = authority.issue("server", { names: "DNS:localhost,DNS:lab.test,IP:127.0.0.1" });
  });
  afterAll(() => authority.remove());

  it("a tunnel carries what its proxy cannot read, on one connection for several requests", async () => {
    const upstream = await secureUpstream(server);
    const proxy = kept(await forwardProxy({ credentials: "me:pw" }));
    const authorization = new Secret(`Basic ${Buffer.from("me:pw").toString("base64")}`);
    const told = await ask(
      `https://lab.test:${upstream.port}/v1`,
      { proxy: { url: proxy.url, authorization }, tls: { ca: authority.ca }, allowPrivateNetwork: false },
      3,
    );
    expect(told.problem).toBeUndefined();
    expect(told.text).toBe('Bearer hidden-key {"a":1}');
    expect(proxy.asked).toEqual([`CONNECT lab.test:${upstream.port}`]);
    expect(upstream.connections()).toBe(1);
    expect(proxy.tunnelled().length).toBeGreaterThan(100);
    expect(proxy.tunnelled()).not.toMatch(/hidden-key|chat/);
  });

  it("the proxy itself may speak TLS", async () => {
    const upstream = await secureUpstream(server);
    const proxy = kept(await forwardProxy({ secure: server }));
    const told = await ask(`https://lab.test:${upstream.port}`, { proxy: { url: proxy.url }, tls: { ca: authority.caFile } });
    expect(told.text).toContain("Bearer hidden-key");
    const stranger = await ask(`https://lab.test:${upstream.port}`, { proxy: { url: proxy.url } });
    expect(stranger.problem).toMatchObject({ code: "proxy_unreachable" });
  });

  it.each([
    ["wrong credentials", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy_credentials", "HTTP 407"],
    ["no way", "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "proxy_refused", "HTTP 502"],
    ["nonsense", "220 mail.example ESMTP\r\n\r\n", "proxy_garbled", "no HTTP"],
    ["silence", "", "proxy_garbled", "no answer"],
    ["endless headers", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(5000)}`, "proxy_garbled", "no HTTP"],
  ])("a proxy that says %s", async (_what, says, code, detail) => {
    const proxy = kept(await forwardProxy({ says }));
    const told = await ask("https://lab.test:9/v1", { proxy: { url: proxy.url }, tls: { ca: authority.ca } });
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", code });
    expect(told.problem?.message).toContain(`its proxy 127.0.0.1:${proxy.port}`);
    expect(told.problem?.message).toContain(detail);
    expect(told.terminals).toBe(1);
  });

  it("a proxy that is not there, or never answers, is told apart from the upstream", async () => {
    const proxy = await forwardProxy();
    await proxy.close();
    const gone = await ask("https://lab.test:9/v1", { proxy: { url: proxy.url } });
    expect(gone.problem).toMatchObject({ code: "proxy_unreachable" });
    expect(gone.problem?.message).toContain("ECONNREFUSED");
    const port = await tcpServer((socket) => void socket.resume());
    const silent = await ask("https://lab.test:9/v1", { proxy: { url: `http://127.0.0.1:${port}` }, connectTimeoutMs: 60 });
    expect(silent.problem).toMatchObject({ kind: "upstream_timeout", code: "connect_timeout" });
  });

  it("shows its own certificate where the upstream asks for one", async () => {
    const upstream = await secureUpstream(server, { ca: authority.ca, requestCert: true, rejectUnauthorized: true });
    const mine = authority.issue("gateway", { passphrase: "open sesame" });
    const url = `https://localhost:${upstream.port}`;
    const tls = { ca: authority.ca, cert: mine.certFile, key: new Secret(mine.keyFile), passphrase: new Secret("open sesame") };
    expect((await ask(url, { tls })).text).toContain("Bearer hidden-key");
    const nameless = await ask(url, { tls: { ca: authority.ca } });
    expect(nameless.problem).toMatchObject({ code: "tls" });
    expect(nameless.problem?.message).toContain("set tls.cert and tls.key");
  });

  it.each([
    ["nobody known has signed", {}, {}, "set tls.ca"],
    ["is for another name", { names: "DNS:other.test" }, { ca: true }, "tls.servername"],
    ["has expired", { expired: true as const }, { ca: true }, "expired"],
  ])("a certificate that %s is refused with what to configure", async (_what, issue, trust, says) => {
    const upstream = await secureUpstream(authority.issue(`bad-${says}`.replaceAll(/\W/g, ""), issue));
    const told = await ask(`https://localhost:${upstream.port}`, "ca" in trust ? { tls: { ca: authority.ca } } : {});
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", code: "tls" });
    expect(told.problem?.message).toContain(says);
    expect(told.text).toBe("");
  });

  it("servername says which name the certificate must be for", async () => {
    const upstream = await secureUpstream(authority.issue("renamed", { names: "DNS:other.test" }));
    const url = `https://127.0.0.1:${upstream.port}`;
    expect((await ask(url, { tls: { ca: authority.ca, servername: "other.test" } })).text).toContain("Bearer");
    expect((await ask(url, { tls: { ca: authority.ca, servername: "third.test" } })).problem).toMatchObject({ code: "tls" });
  });

  it("an upstream that speaks no TLS is told as that", async () => {
    const port = await tcpServer((socket) => void socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const told = await ask(`https://localhost:${port}`);
    expect(told.problem?.message).toContain("does not speak TLS at this port");
  });

  it("keys and certificates that cannot be used are refused at once, without a word of them", () => {
    const other = authority.issue("other");
    const make = (tls: NonNullable<ClientOptions["tls"]>) => () => connect({ ...CLIENT, baseUrl: "https://localhost", tls });
    expect(make({ cert: server.cert, key: new Secret(other.key) })).toThrow(/key belongs to another certificate/);
    expect(make({ cert: server.cert })).toThrow(/belong together/);
    expect(make({ ca: "/nowhere/ca.pem" })).toThrow(/tls\.ca cannot be read at \/nowhere\/ca\.pem \(ENOENT\)/);
    const sealed = authority.issue("sealed", { passphrase: "right" });
    const wrong = { cert: sealed.cert, key: new Secret(sealed.key), passphrase: new Secret("wrong-word") };
    expect(make(wrong)).toThrow(/passphrase is wrong/);
    expect(make(wrong)).not.toThrow(/wrong-word/);
    expect(make({ cert: sealed.cert, key: new Secret(sealed.key) })).toThrow(/needs a passphrase/);
  });
});
