import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Issued } from "./certificates.ts";

/** A real forward proxy on this machine: tunnels, and whole requests passed on. */
export interface ForwardProxy {
  readonly url: string;
  readonly port: number;
  /** What it was asked, a line each: `CONNECT host:port` or `GET http://...`. */
  readonly asked: readonly string[];
  /** Every byte that clients sent through tunnels, as Latin-1. */
  readonly tunnelled: () => string;
  close(): Promise<void>;
}

export interface ForwardProxyOptions {
  /** `user:password` it asks for. */
  readonly credentials?: string;
  /** Serves over TLS itself. */
  readonly secure?: Issued;
  /** What it says to every CONNECT instead of doing it. */
  readonly says?: string;
}

/** Tunnels lead to the port asked for on this machine, whatever the name: nothing leaves it. */
export async function forwardProxy({ credentials, secure, says }: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const asked: string[] = [];
  const sockets = new Set<Duplex>();
  let bytes = "";
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString("base64")}`;
  const server = secure ? createSecureServer({ cert: secure.cert, key: secure.key }) : createHttpServer();
  server.on("connection", (socket: Socket) => void sockets.add(socket.on("error", () => {})));
  server.on("request", (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (wanted && request.headers["proxy-authorization"] !== wanted) return void response.writeHead(407).end();
    const { "proxy-authorization": _dropped, ...headers } = request.headers;
    const url = new URL(request.url ?? "");
    const onward = httpRequest(
      { host: "127.0.0.1", port: url.port, path: url.pathname + url.search, method: request.method, headers },
      (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 502, answer.headers)),
    );
    request.pipe(onward);
  });
  server.on("connect", (request, client: Duplex, head: Buffer) => {
    asked.push(`CONNECT ${request.url}`);
    client.on("error", () => {});
    if (says !== undefined) return void client.end(says);
    if (wanted && request.headers["proxy-authorization"] !== wanted)
      return void client.end("HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n");
    const upstream = connect(Number(request.url?.split(":").at(-1)), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(head);
      client.on("data", (piece: Buffer) => (bytes += piece.toString("latin1")));
      client.pipe(upstream);
      upstream.pipe(client);
    });
    upstream.on("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    client.on("close", () => upstream.destroy());
    sockets.add(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${secure ? "https" : "http"}://127.0.0.1:${port}`,
    asked,
    tunnelled: () => bytes,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
