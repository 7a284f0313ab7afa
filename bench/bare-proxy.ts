/**
 * The yardstick: the least a Node proxy can do with the same parts. No key, no limits, no ledger, no address check, no timeouts of its
 * own, no care for slow or vanished clients. Usage: node bench/bare-proxy.ts http://127.0.0.1:UPSTREAM
 */
import { createServer } from "node:http";
import { Pool } from "undici";

const pool = new Pool(process.argv[2] ?? "http://127.0.0.1:9999", { headersTimeout: 0, bodyTimeout: 0 });

const server = createServer((message, response) => {
  const pieces: Buffer[] = [];
  message.on("data", (piece: Buffer) => pieces.push(piece));
  message.on("end", () => {
    pool.dispatch(
      {
        method: message.method ?? "GET",
        path: message.url ?? "/",
        headers: ["content-type", "application/json", "authorization", "Bearer upstream-key", "accept", "*/*"],
        body: pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces),
      },
      {
        onConnect() {},
        onHeaders(status, raw) {
          const list: string[] = [];
          for (let at = 0; at + 1 < raw.length; at += 2) {
            const name = String(raw[at]).toLowerCase();
            if (name !== "transfer-encoding" && name !== "connection" && name !== "keep-alive") list.push(name, String(raw[at + 1]));
          }
          response.writeHead(status, list);
          return true;
        },
        onData(piece) {
          response.write(piece);
          return true;
        },
        onComplete() {
          response.end();
        },
        onError() {
          if (!response.headersSent) response.writeHead(502);
          response.end();
        },
      },
    );
  });
});

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  process.stdout.write(`ready on http://127.0.0.1:${port}\n`);
});
