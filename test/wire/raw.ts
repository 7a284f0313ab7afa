import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { listen } from "../../src/wire/front.ts";
import { connect as connectUpstream } from "../../src/wire/client.ts";
import type { Headers, Problem } from "../../src/canon/index.ts";
import type { ClientOptions, ClientSink, Front, FrontHandler, FrontOptions } from "../../src/wire/types.ts";

export const MB = 1024 * 1024;

export function frontWith(handler: FrontHandler, more: Partial<FrontOptions> = {}): Promise<Front> {
  return listen({
    host: "127.0.0.1",
    port: 0,
    maxConnections: 100,
    maxHeaderBytes: 16 * 1024,
    maxMessageBytes: MB,
    handler,
    upgrade: (_request, answer) => answer.refuse(404, {}, "no WebSocket here"),
    ...more,
  });
}

/** A TCP client that says exactly what it is told, and remembers what it heard. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  heard = "";
  #waiting: { found: (heard: string) => boolean; resolve: () => void }[] = [];

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => undefined);
    this.socket.on("data", (bytes) => {
      this.heard += bytes.toString("latin1");
      this.#waiting = this.#waiting.filter(({ found, resolve }) => !found(this.heard) || resolve() !== undefined);
    });
    this.closed = new Promise((resolve) => this.socket.on("close", () => resolve()));
  }
  say(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }
  /** Resolves when what was heard contains `text`, `times` over. */
  hears(text: string, times = 1): Promise<void> {
    const found = (heard: string): boolean => heard.split(text).length > times;
    if (found(this.heard)) return Promise.resolve();
    return new Promise((resolve) => void this.#waiting.push({ found, resolve }));
  }
}

/** What comes back for one raw request, once the server has closed the connection. */
export async function exchange(port: number, text: string | Buffer): Promise<string> {
  const client = new RawClient(port).say(text);
  await client.closed;
  return client.heard;
}

export interface Upstream {
  readonly port: number;
  readonly sockets: readonly Socket[];
  close(): Promise<void>;
}

/** A TCP server that calls back with each connection and what it has heard so far, once the request is complete. */
export async function upstreamSaying(answer: (socket: Socket, request: string, nth: number) => void): Promise<Upstream> {
  const sockets: Socket[] = [];
  let requests = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    let heard = "";
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1");
      const end = heard.indexOf("\r\n\r\n");
      const length = Number(/content-length: (\d+)/i.exec(heard)?.[1] ?? 0);
      if (end < 0 || heard.length < end + 4 + length) return;
      const request = heard;
      heard = "";
      answer(socket, request, requests++);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export const CLIENT: Omit<ClientOptions, "baseUrl"> = {
  allowPrivateNetwork: true,
  connectTimeoutMs: 5_000,
  headTimeoutMs: 5_000,
  dataTimeoutMs: 5_000,
  maxConnections: 10,
  maxHeaderBytes: 16 * 1024,
};

/** Everything a sink was told, in order. */
export class Told implements ClientSink {
  status: number | undefined;
  headers: Headers = {};
  readonly pieces: Buffer[] = [];
  problem: Problem | undefined;
  terminals = 0;
  readonly over: Promise<void>;
  #end: () => void = () => undefined;
  readonly first: Promise<void>;
  #began: () => void = () => undefined;

  constructor() {
    this.over = new Promise((resolve) => (this.#end = resolve));
    this.first = new Promise((resolve) => (this.#began = resolve));
  }
  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }
  onHead(status: number, headers: Headers): void {
    this.status = status;
    this.headers = headers;
  }
  onData(piece: Buffer): boolean {
    this.pieces.push(piece);
    this.#began();
    return true;
  }
  onEnd(): void {
    this.terminals++;
    this.#end();
  }
  onProblem(problem: Problem): void {
    this.problem = problem;
    this.terminals++;
    this.#end();
  }
}

/** One POST to an upstream on this machine; resolves when the sink has its terminal call. */
export async function ask(port: number, more: Partial<ClientOptions> = {}, method = "POST"): Promise<Told> {
  const client = connectUpstream({ ...CLIENT, baseUrl: `http://127.0.0.1:${port}/v1`, ...more });
  const told = new Told();
  client.open({ method, path: "/chat?key=hidden-in-query", headers: { authorization: "Bearer hidden-key" }, body: "{}" }, told);
  await told.over;
  await client.close();
  return told;
}
