import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Headers, UpstreamSink } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { SeededRandomness, systemClock } from "../../src/kit/index.ts";
import { createSimulator, simOptions } from "../../src/providers/sim/index.ts";
import { loremOf } from "../../src/providers/sim/words.ts";

const TOKENS = 80;
const SEED = 1;
/** What every whole answer says. */
export const WHOLE = loremOf(TOKENS, SEED);

/** What happens to one request: a refusal, a break or a silence after so many bytes, or nothing. */
export type Fate =
  | { readonly does: "answer" }
  | { readonly does: "refuse"; readonly status: number }
  | { readonly does: "drop" }
  | { readonly does: "break"; readonly afterBytes: number; readonly how: "reset" | "end" | "stall" };

export interface ShakyUpstream {
  readonly url: string;
  /** Requests that are being answered now. */
  readonly open: number;
  readonly requests: number;
  close(): Promise<void>;
}

const PATHS: readonly (readonly [end: string, dialect: string])[] = [
  ["/messages", "anthropic-messages"],
  ["/responses", "openai-responses"],
  ["/chat/completions", "openai-chat"],
];

/** A real HTTP server that answers like a model in whatever language it is asked, and lets each request run into its fate. */
export async function startShaky(fateOf: (number: number) => Fate, tokensPerSecond = 2000, model: object = {}): Promise<ShakyUpstream> {
  const deps = { dialects, clock: systemClock, randomness: new SeededRandomness(SEED) };
  const models = { m: { length: TOKENS, ttftMs: 2, tokensPerSecond, seed: SEED, ...model } };
  const simulator = createSimulator("sim", simOptions.parse({ models }), deps);
  let requests = 0;
  let open = 0;
  const answer = (request: IncomingMessage, response: ServerResponse, body: string): void => {
    const fate = fateOf(requests++);
    if (fate.does === "drop") return void request.socket.destroy();
    if (fate.does === "refuse") return void response.writeHead(fate.status, { "content-type": "application/json" }).end("{}");
    open++;
    let over = false;
    const finish = (): void => {
      if (!over) open--;
      over = true;
    };
    const left = { bytes: fate.does === "break" ? fate.afterBytes : Number.POSITIVE_INFINITY };
    const sink: UpstreamSink = {
      onHead: (status, headers) => void response.writeHead(status, withoutLength(headers)),
      onData: (chunk) => {
        const piece = chunk.subarray(0, Math.min(chunk.length, left.bytes));
        left.bytes -= piece.length;
        response.write(piece);
        if (piece.length === chunk.length || fate.does !== "break") return true;
        handle.cancel();
        if (fate.how === "reset") response.destroy();
        else if (fate.how === "end") response.end();
        return true;
      },
      onEnd: () => void response.end(),
      onProblem: () => void response.destroy(),
    };
    const dialect = PATHS.find(([end]) => request.url?.split("?")[0]?.endsWith(end))?.[1] ?? "openai-chat";
    const { stream } = JSON.parse(body) as { stream?: boolean };
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const wire = { method: "POST", path: request.url ?? "/", headers, body } as const;
    const call = { dialect, operation: "generate", model: "m", stream: stream === true, request: wire, attempt: 0 } as const;
    const handle = simulator.open(call, sink);
    response.on("close", () => {
      handle.cancel();
      finish();
    });
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    response.on("error", () => {});
    request.on("end", () => answer(request, response, Buffer.concat(chunks).toString("utf8")));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get open() {
      return open;
    },
    get requests() {
      return requests;
    },
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

/** The connection's end is the body's, so that an early one is no breach of a promised length. */
function withoutLength(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined || name === "content-length" ? [] : [[name, value]])),
  );
}
