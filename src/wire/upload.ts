import type { Socket } from "node:net";
import type { BodyFlow, BodySink, BodySource, Problem } from "../canon/index.ts";
import { LAST_CHUNK, writeChunk } from "./chunk.ts";

/** A request's body on its way to an upstream: its pieces go out as they come, and no more is asked for than the connection takes. */
export class Upload implements BodySink {
  /** All of it has been handed to the connection. */
  done = false;
  readonly #socket: Socket;
  readonly #chunked: boolean;
  #flow: BodyFlow | undefined;
  #blocked = false;
  #moved = true;
  #over = false;

  /** `head` goes before it (Latin-1). */
  constructor(socket: Socket, head: string, source: BodySource) {
    this.#socket = socket;
    this.#chunked = source.bytes === undefined;
    socket.write(head, "latin1");
    socket.on("drain", this.#onDrain);
    this.#flow = source.start(this);
    if (this.#over) this.#flow.stop();
  }

  onPiece(piece: Buffer): boolean {
    // A chunk of nothing would be the last.
    if (this.#over || piece.length === 0) return true;
    this.#moved = true;
    if (this.#chunked) writeChunk(this.#socket, "", piece, "");
    else this.#socket.write(piece);
    this.#blocked = this.#socket.writableNeedDrain;
    return !this.#blocked;
  }

  onEnd(): void {
    if (this.#over) return;
    if (this.#chunked) this.#socket.write(LAST_CHUNK, "latin1");
    this.done = true;
    this.#finish();
  }

  /** Half a body must not be taken for a whole one. Whoever gave it knows why and tells. */
  onProblem(_problem: Problem): void {
    if (this.#over) return;
    this.#finish();
    this.#socket.destroy();
  }

  /** Has anything moved since the last question, or is it the client that is being waited for? */
  moves(): boolean {
    const moves = this.#moved || (!this.done && !this.#blocked);
    this.#moved = false;
    return moves;
  }

  stop(): void {
    if (this.#over) return;
    this.#finish();
    this.#flow?.stop();
  }

  readonly #onDrain = (): void => {
    this.#moved = true;
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#flow?.resume();
  };

  #finish(): void {
    this.#over = true;
    this.#socket.off("drain", this.#onDrain);
  }
}
