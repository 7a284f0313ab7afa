/** Our own transport with nothing between its two ends: what `wire/` costs above the bare proxy. Usage as bare-proxy.ts. */
import { connect } from "../src/wire/client.ts";
import { listen } from "../src/wire/front.ts";
import type { ClientHandle, FrontOut } from "../src/wire/types.ts";

const MAX_BODY_BYTES = 32 * 1024 * 1024;

const client = connect({
  baseUrl: process.argv[2] ?? "http://127.0.0.1:9999",
  allowPrivateNetwork: true,
  connectTimeoutMs: 10_000,
  headTimeoutMs: 60_000,
  dataTimeoutMs: 60_000,
  maxConnections: 20_000,
  maxHeaderBytes: 65_536,
});

const front = await listen({
  host: "127.0.0.1",
  port: 0,
  maxConnections: 20_000,
  maxHeaderBytes: 65_536,
  maxMessageBytes: MAX_BODY_BYTES,
  handler(request, out) {
    request.readBody({ maxBytes: MAX_BODY_BYTES, timeoutMs: 30_000 }, (outcome) => {
      if (!outcome.ok) return out.whole(400, {}, outcome.problem.message);
      const headers = { "content-type": "application/json", authorization: "Bearer upstream-key", accept: "*/*" };
      forward(request.method, request.path, headers, outcome.bytes, out);
    });
  },
  upgrade: (_request, answer) => answer.refuse(400, {}, "no"),
});

function forward(method: string, path: string, headers: Record<string, string>, body: Buffer, out: FrontOut): void {
  let status = 0;
  let kept: Record<string, string> = {};
  let streamed = false;
  const pieces: Buffer[] = [];
  const handle: ClientHandle = client.open(
    { method, path, headers, body },
    {
      onHead(code, found) {
        status = code;
        kept = found as Record<string, string>;
        streamed = found["content-length"] === undefined;
        if (streamed) out.head(code, kept);
      },
      onData(piece) {
        if (streamed) {
          if (out.write(piece)) return true;
          out.onDrain(() => handle.resume());
          return false;
        }
        pieces.push(piece);
        return true;
      },
      onEnd() {
        const [only] = pieces;
        if (streamed) out.end();
        else out.whole(status, kept, pieces.length === 1 && only ? only : Buffer.concat(pieces));
      },
      onProblem(problem) {
        if (streamed) out.end();
        else out.whole(502, {}, problem.message);
      },
    },
  );
  out.onLeave(() => handle.cancel());
}

process.stdout.write(`ready on http://127.0.0.1:${front.port}\n`);
