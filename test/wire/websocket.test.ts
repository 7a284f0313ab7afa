import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { ManualClock } from "../../src/kit/index.ts";
import type { Front, FrontOptions, FrontSocket } from "../../src/wire/types.ts";
import { exchange, frontWith, RawClient } from "./raw.ts";

let front: Front | undefined;
afterEach(async () => {
  await front?.close(0);
  front = undefined;
});

async function serve(more: Partial<FrontOptions>): Promise<number> {
  front = await frontWith((_request, out) => out.whole(200, {}, ""), more);
  return front.port;
}

describe("a WebSocket", () => {
  it("echoes text, refuses binary and messages over the limit", async () => {
    const port = await serve({
      maxMessageBytes: 1_000,
      upgrade: (_request, answer) => answer.accept((socket) => socket.onMessage((text) => socket.send(`echo ${text}`))),
    });
    const codes: number[] = [];
    const echoes: string[] = [];
    for (const message of ["hello", Buffer.from([1]), "x".repeat(2_000)]) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/responses`);
      socket.on("open", () => socket.send(message));
      socket.on("message", (bytes: Buffer) => {
        echoes.push(bytes.toString());
        socket.close(1000);
      });
      codes.push(await new Promise<number>((resolve) => void socket.once("close", resolve)));
    }
    expect(echoes).toEqual(["echo hello"]);
    expect(codes).toEqual([1000, 1003, 1009]);
  });

  it("can be refused with a plain answer, whose headers cannot be injected into", async () => {
    const port = await serve({
      upgrade: (_request, answer) => answer.refuse(401, { "x-a": "1", "x-b": "2\r\nx-c: 3" }, "no key"),
    });
    const head = "GET /v1/realtime HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    expect(await exchange(port, head)).toBe("HTTP/1.1 401 Unauthorized\r\nx-a: 1\r\nconnection: close\r\ncontent-length: 6\r\n\r\nno key");
  });

  it("that vanished without a word is ended after two unanswered pings, and its owner is told", async () => {
    const clock = new ManualClock();
    const open = Promise.withResolvers<FrontSocket>();
    const port = await serve({ clock, upgrade: (_request, answer) => answer.accept(open.resolve) });
    const key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const client = new RawClient(port).say(`GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n${key}\r\n`);
    const closed = Promise.withResolvers<void>();
    (await open.promise).onClose(closed.resolve);
    clock.advance(59_999);
    await client.hears("101 Switching");
    expect(client.socket.destroyed).toBe(false);
    clock.advance(1);
    await closed.promise;
  });

  it("is told goodbye when the front end closes", async () => {
    const port = await serve({ upgrade: (_request, answer) => answer.accept(() => undefined) });
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    await new Promise((resolve) => socket.once("open", resolve));
    const code = new Promise((resolve) => socket.once("close", resolve));
    await front?.close(10_000);
    expect(await code).toBe(1001);
  });
});
