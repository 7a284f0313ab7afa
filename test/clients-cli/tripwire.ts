import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** A proxy on loopback that lets nothing through and remembers who wanted out. */
export interface Tripwire {
  readonly url: string;
  /** `host:port` or URL of every attempt. */
  readonly attempts: readonly string[];
  close(): Promise<void>;
}

/** Agents are given it as their proxy: whatever they want from anywhere but the gateway becomes visible, and fails. */
export async function startTripwire(): Promise<Tripwire> {
  const attempts: string[] = [];
  const server = createServer((request, response) => {
    attempts.push(request.url ?? "");
    response.writeHead(403).end();
  });
  server.on("connect", (request: IncomingMessage, socket: Duplex) => {
    attempts.push(request.url ?? "");
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    attempts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
