import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { setImmediate as afterTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { atEndOfTurn } from "../../src/wire/turn.ts";
import type { Dialler } from "../../src/wire/upstream-dial.ts";
import { UpstreamConnection } from "../../src/wire/upstream.ts";

describe("the end of a turn", () => {
  it("comes once for all who have something to send, in their order, and anew for what is made in it", async () => {
    const order: string[] = [];
    const second = { endOfTurn: () => void order.push("second") };
    atEndOfTurn({
      endOfTurn: () => {
        order.push("first");
        atEndOfTurn({ endOfTurn: () => void order.push("third") });
      },
    });
    atEndOfTurn(second);
    expect(order).toEqual([]);
    await afterTurn();
    expect(order).toEqual(["first", "second"]);
    await afterTurn();
    expect(order).toEqual(["first", "second", "third"]);
  });

  it("comes for the others too when one of them fails", async () => {
    const failures: unknown[] = [];
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => failures.push(error));
    const sent: string[] = [];
    atEndOfTurn({
      endOfTurn: () => {
        throw new Error("no");
      },
    });
    atEndOfTurn({ endOfTurn: () => void sent.push("other") });
    await expect.poll(() => sent).toEqual(["other"]);
    for (const listener of others) process.on("uncaughtException", listener);
    expect(failures).toHaveLength(1);
  });
});

describe("a request that has not left yet", () => {
  function connection(): { readonly socket: EventEmitter; readonly written: string[]; readonly broken: unknown[] } {
    const written: string[] = [];
    const broken: unknown[] = [];
    const socket = Object.assign(new EventEmitter(), {
      destroyed: false,
      writable: true,
      readable: true,
      writableLength: 0,
      write: (text: string) => written.push(text) > 0,
      destroy() {
        this.destroyed = true;
      },
    });
    const upstream = new UpstreamConnection(
      {
        limits: { connectTimeoutMs: 1000, headTimeoutMs: 1000, dataTimeoutMs: 1000, maxHeaderBytes: 1024 },
        sweepMs: 100,
        closed: () => {},
      },
      // Only what a connection uses of a socket.
      { ready: "connect", dial: () => socket as unknown as Socket } as unknown as Dialler,
    );
    upstream.send(
      {
        onHead: () => void broken.push("was answered"),
        onPiece: () => true,
        onComplete: () => void broken.push("was answered"),
        onBroken: (error) => void broken.push(error),
      },
      false,
      "GET / HTTP/1.1\r\n\r\n",
      "",
      0,
    );
    return { socket, written, broken };
  }

  it("leaves at the end of the turn", async () => {
    const { written, broken } = connection();
    expect(written).toEqual([]);
    await afterTurn();
    expect([written, broken]).toEqual([["GET / HTTP/1.1\r\n\r\n"], []]);
  });

  it("is not answered by what comes before it has, and is not sent then", async () => {
    const { socket, written, broken } = connection();
    socket.emit("data", Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    await afterTurn();
    expect([written, broken]).toEqual([[], [undefined]]);
  });
});
