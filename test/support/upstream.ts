import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

/** A real HTTP server on loopback that answers as a test tells it: for what the simulator cannot do. */
export interface TestUpstream {
  readonly url: string;
  /** What came in, oldest first. */
  readonly requests: readonly UpstreamRequest[];
  /** From now on every request is answered this way. */
  answerWith(answer: UpstreamAnswer): void;
  close(): Promise<void>;
}

export type UpstreamAnswer = (response: ServerResponse, request: UpstreamRequest) => void;

/** Headers may be as large as the worst upstream makes them. */
const MAX_HEADER_BYTES = 1024 * 1024;

export async function startUpstream(answer: UpstreamAnswer = jsonAnswer({})): Promise<TestUpstream> {
  let current = answer;
  const requests: UpstreamRequest[] = [];
  const server: Server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const seen: UpstreamRequest = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: parsed(Buffer.concat(chunks).toString("utf8")),
      };
      requests.push(seen);
      current(response, seen);
    });
    response.on("error", () => {});
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    answerWith: (next) => {
      current = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

export function jsonAnswer(body: unknown, status = 200, headers: Record<string, string> = {}): UpstreamAnswer {
  return (response) => void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** A stream of server-sent events, sent whole. */
export function streamAnswer(text: string | Uint8Array): UpstreamAnswer {
  return (response) => void response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
}

/** Sends the first `bytes` of a stream with a proper head, then breaks the connection (`reset`) or ends the body early (`end`). */
export function cutAnswer(body: Buffer, bytes: number, how: "reset" | "end", contentType: string): UpstreamAnswer {
  return (response) => {
    // Without a length the body's end is the connection's: nothing but the content can tell that it is cut.
    response.writeHead(200, { "content-type": contentType });
    response.flushHeaders();
    response.write(body.subarray(0, bytes), () => {
      if (how === "end") response.end();
      else response.destroy();
    });
  };
}
