import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Provider } from "../../src/canon/index.ts";
import { systemClock } from "../../src/kit/index.ts";
import { createProvider, providerOptions } from "../../src/providers/index.ts";
import { connect } from "../../src/wire/client.ts";

/** What a path answers: text as it is, anything else as JSON; a function plays the answer itself. */
export type Answer = string | object | number | ((request: IncomingMessage & { readonly text: string }, response: ServerResponse) => void);

/** A server of models on loopback that speaks as its script says. A path without an answer is 404; a number is a status alone. */
export class ModelServerStandIn {
  answers: Record<string, Answer>;
  /** `METHOD /path body`, in the order in which they came. */
  readonly asked: string[] = [];
  readonly #server: Server;
  #port = 0;

  constructor(answers: Record<string, Answer> = {}) {
    this.answers = answers;
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => this.#reply(Object.assign(request, { text: Buffer.concat(chunks).toString("utf8") }), response));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async open(): Promise<this> {
    await new Promise<void>((listening) => this.#server.listen(this.#port, "127.0.0.1", listening));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Also a second time; it may be opened again on the same port. */
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((closed) => this.#server.close(() => closed()));
  }

  provider(kind: string, options: object = {}, path = ""): Provider {
    const parsed = providerOptions.parse({ kind, baseUrl: `${this.url}${path}`, allowPrivateNetwork: true, ...options });
    return createProvider("lab", parsed, { connect, clock: systemClock, env: {}, facts: () => undefined });
  }

  #reply(request: IncomingMessage & { readonly text: string }, response: ServerResponse): void {
    const path = request.url ?? "";
    this.asked.push(`${request.method} ${path}${request.text === "" ? "" : ` ${request.text}`}`);
    const answer = this.answers[path] ?? this.answers[path.split("?")[0] ?? ""] ?? 404;
    if (typeof answer === "function") return answer(request, response);
    if (typeof answer === "number") return void response.writeHead(answer).end();
    const isText = typeof answer === "string";
    response.writeHead(200, { "content-type": isText ? "text/plain" : "application/json" }).end(isText ? answer : JSON.stringify(answer));
  }
}

/** JSON with a status of its own. */
export function refusing(status: number, body: object): Answer {
  return (_request, response) => void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
