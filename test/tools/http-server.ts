import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createMcpHandler, type McpServer } from "@modelcontextprotocol/server";

export interface HttpServer {
  readonly url: string;
  readonly handler: ReturnType<typeof createMcpHandler>;
  /** Headers of every request, oldest first. */
  readonly heard: readonly Headers[];
  close(): Promise<void>;
}

/** A real MCP server of the official SDK over streamable HTTP, on loopback. */
export async function httpServer(make: () => McpServer): Promise<HttpServer> {
  const handler = createMcpHandler(make);
  const heard: Headers[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      void (async () => {
        const headers = new Headers(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
        heard.push(headers);
        const body = pieces.length > 0 ? Buffer.concat(pieces) : undefined;
        const left = new AbortController();
        response.on("close", () => left.abort());
        const method = request.method ?? "GET";
        const answer = await handler.fetch(
          new Request(`http://127.0.0.1${request.url ?? "/"}`, { method, headers, signal: left.signal, ...(body && { body }) }),
        );
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        if (answer.body)
          for await (const piece of answer.body)
            if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve));
        response.end();
      })().catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    handler,
    heard,
    close: async () => {
      await handler.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
