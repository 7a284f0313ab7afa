import { createHash } from "node:crypto";
import { createServer, request, type ClientRequest, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const MIB = 1024 * 1024;
const SIZE = 24 * MIB;
const PIECE = Buffer.alloc(64 * 1024, 7);

let server: Server;
let gateway: TestGateway;
let act: (asked: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  server = createServer((asked, response) => {
    asked.on("error", () => {});
    response.on("error", () => {});
    act(asked, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  gateway = await startGateway({
    trusting: true,
    config: `providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:${(server.address() as AddressInfo).port}", apiKey: k, allowPrivateNetwork: true }
passthrough:
  lab: { paths: ["/files/*"], requestBytes: ${2 * SIZE}, answerBytes: ${2 * SIZE}, perCallUsd: 0.01 }
serve: { limits: { bodyBytes: 100000, answerBytes: 100000 } }
`,
  });
});
beforeEach(() => {
  act = (asked, response) => void asked.resume().on("end", () => response.end("{}"));
});
afterAll(async () => {
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** A request that is still to be written, and what comes of it. */
function put(headers: Record<string, string | number>): { readonly outgoing: ClientRequest; readonly answer: Promise<Answer | undefined> } {
  const outgoing = request(`${gateway.url}/passthrough/lab/files/a`, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream", ...headers },
  });
  const answer = new Promise<Answer | undefined>((resolve) => {
    outgoing.on("response", (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on("error", () => resolve(undefined));
    });
    outgoing.on("error", () => resolve(undefined));
  });
  return { outgoing, answer };
}

/** Writes so many bytes, no faster than they are taken; stops when nobody takes them any more. */
async function write(outgoing: ClientRequest, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes && !outgoing.destroyed; sent += PIECE.length)
    if (!outgoing.write(PIECE.subarray(0, Math.min(PIECE.length, bytes - sent))))
      await new Promise<void>((resolve) => {
        const go = (): void => {
          outgoing.off("drain", go).off("close", go);
          resolve();
        };
        outgoing.on("drain", go).on("close", go);
      });
}

describe("a body that is larger than the gateway would hold", () => {
  it.each([
    ["of a stated length", { "content-length": SIZE }, "content-length"],
    ["of unknown length", {}, "transfer-encoding"],
    ["for which its client waits to be asked", { "content-length": SIZE, expect: "100-continue" }, "content-length"],
  ])("%s goes through as it came, and is counted", async (_what, headers, framing) => {
    let heard: { hash: string; framing: string | undefined } | undefined;
    act = (asked, response) => {
      const hash = createHash("sha256");
      asked.on("data", (piece: Buffer) => void hash.update(piece));
      asked.on("end", () => {
        heard = { hash: hash.digest("hex"), framing: asked.headers[framing] as string | undefined };
        response.writeHead(201, { "content-type": "application/json" }).end('{"ok":true}');
      });
    };
    const { outgoing, answer } = put(headers);
    if ("expect" in headers) await new Promise<void>((resolve) => outgoing.once("continue", resolve).flushHeaders());
    await write(outgoing, SIZE);
    outgoing.end();
    expect(await answer).toMatchObject({ status: 201, text: '{"ok":true}' });
    expect(heard).toEqual({
      hash: createHash("sha256").update(Buffer.alloc(SIZE, 7)).digest("hex"),
      framing: framing === "content-length" ? String(SIZE) : "chunked",
    });
    expect(await gateway.lastRow()).toMatchObject({
      state: "done",
      costNanodollars: 10_000_000,
      plan: { method: "PUT", sentBytes: SIZE, receivedBytes: 11 },
    });
  });

  it("waits for a provider that does not read, and is held by nobody", async () => {
    let begun!: (asked: IncomingMessage) => void;
    const reading = new Promise<IncomingMessage>((resolve) => (begun = resolve));
    act = (asked, response) => {
      asked.pause();
      asked.on("end", () => response.end("{}"));
      begun(asked);
    };
    const { outgoing, answer } = put({ "content-length": SIZE });
    const written = write(outgoing, SIZE);
    const asked = await reading;
    // What the connections themselves hold, on both sides of the gateway.
    const before = process.memoryUsage().arrayBuffers;
    const stuck = await Promise.race([written.then(() => "all went out"), quiet(outgoing)]);
    expect(stuck).toBe("stands still");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(SIZE / 2);
    asked.resume();
    await written;
    outgoing.end();
    expect((await answer)?.status).toBe(200);
  });

  it("over its limit is refused: at once where its length is stated, on the way where it is not", async () => {
    const stated = put({ "content-length": 2 * SIZE + 1 });
    stated.outgoing.flushHeaders();
    expect(await stated.answer).toMatchObject({ status: 413, headers: { "x-gimbal-problem": "too_large" } });
    stated.outgoing.destroy();
    let cut = false;
    act = (asked) => void asked.resume().on("close", () => (cut = !asked.complete));
    const { outgoing, answer } = put({});
    await write(outgoing, 2 * SIZE + MIB);
    outgoing.end();
    expect((await answer)?.status).toBe(413);
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "too_large" });
    expect(cut).toBe(true);
  });

  it("whose client leaves is never taken for a whole one", async () => {
    let ended!: (complete: boolean) => void;
    const over = new Promise<boolean>((resolve) => (ended = resolve));
    act = (asked) => void asked.resume().on("close", () => ended(asked.complete));
    for (const headers of [{ "content-length": SIZE }, {}]) {
      const { outgoing, answer } = put(headers);
      await write(outgoing, 4 * MIB);
      outgoing.destroy();
      await answer;
      expect(await over).toBe(false);
      expect(await gateway.lastRow()).toMatchObject({ state: "cancelled", plan: { sentBytes: expect.any(Number) as number } });
    }
  });

  it("that its provider refuses in the middle, or drops, ends with the refusal", async () => {
    act = (asked, response) =>
      void asked.resume().once("data", () => response.writeHead(422, { "content-type": "application/json" }).end('{"no":1}'));
    const refused = put({ "content-length": SIZE });
    const written = write(refused.outgoing, SIZE);
    expect(await refused.answer).toMatchObject({ status: 422, text: '{"no":1}' });
    refused.outgoing.destroy();
    await written;
    act = (asked) => void asked.once("data", () => asked.socket.destroy());
    const dropped = put({ "content-length": SIZE });
    const rest = write(dropped.outgoing, SIZE);
    expect(await dropped.answer).toMatchObject({ status: 502 });
    dropped.outgoing.destroy();
    await rest;
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", attempts: { length: 1 } });
  });
});

describe("an answer that is larger than the gateway would hold", () => {
  const download = (): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const outgoing = request(`${gateway.url}/passthrough/lab/files/a`, resolve);
      outgoing.on("error", reject).end();
    });
  const give = (response: ServerResponse, bytes: number): void => {
    let sent = 0;
    const more = (): void => {
      while (sent < bytes) {
        sent += PIECE.length;
        if (!response.write(PIECE)) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  };

  it("goes through as it came, while the provider waits for its client", async () => {
    let waiting!: ServerResponse;
    act = (_asked, response) => {
      waiting = response;
      give(response, SIZE);
    };
    const incoming = await download();
    expect(await quiet(waiting)).toBe("stands still");
    expect(waiting.writableFinished).toBe(false);
    let bytes = 0;
    for await (const piece of incoming) bytes += (piece as Buffer).length;
    expect(bytes).toBe(SIZE);
    expect(await gateway.lastRow()).toMatchObject({ state: "done", plan: { receivedBytes: SIZE } });
  });

  it("over its limit, or cut by its provider, is no whole answer", async () => {
    act = (_asked, response) => give(response, 2 * SIZE + MIB);
    await expect(drained(await download())).rejects.toThrow(/aborted|hang up/);
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
    act = (_asked, response) => void response.write(PIECE, () => setImmediate(() => response.destroy()));
    await expect(drained(await download())).rejects.toThrow(/aborted|hang up/);
    expect((await gateway.lastRow()).state).toBe("failed");
  });
});

async function drained(incoming: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const piece of incoming) bytes += (piece as Buffer).length;
  return bytes;
}

/** Resolves when what one side writes has not moved for some turns of the event loop. */
async function quiet({ socket }: ClientRequest | ServerResponse): Promise<string> {
  const STILL = 200;
  let still = 0;
  for (let before = -1; still < STILL; still++) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = socket?.bytesWritten ?? 0;
    if (now !== before) still = 0;
    before = now;
  }
  return "stands still";
}
