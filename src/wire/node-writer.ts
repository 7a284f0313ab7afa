import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { headerList, reasonOf } from "./answer-head.ts";
import type { AnswerHead } from "./answer-head.ts";
import { COPY_BYTES, writeChunk } from "./chunk.ts";
import type { AnswerWriter, Outbound } from "./outbound.ts";

/** What one connection needs to know of its answers. */
export interface NodeWriterOwner {
  readonly closing: boolean;
  finished(out: Outbound): void;
}

/**
 * An answer through Node's own response, which knows whose turn it is. The pieces of a streamed one are framed here and written to the
 * socket directly, in one system call: Node's framing makes four writes of every piece.
 */
export class NodeWriter implements AnswerWriter {
  readonly #owner: NodeWriterOwner;
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  #corked = false;

  constructor(owner: NodeWriterOwner, response: ServerResponse, socket: Socket) {
    this.#owner = owner;
    this.#response = response;
    this.#socket = socket;
  }

  get closing(): boolean {
    return this.#owner.closing;
  }

  whole(head: AnswerHead, body: Buffer | string, last: boolean): void {
    this.#writeHead(head);
    const response = this.#response;
    if (!last) response.write(body);
    else if (head.bodiless) response.end();
    else if (typeof body === "string") response.end(body);
    // Node joins head and text to one write, head and bytes it writes apart; in Latin-1 every byte is a letter and stays itself.
    else if (body.length <= COPY_BYTES) response.end(body.toString("latin1"), "latin1");
    else response.end(body);
  }

  head(head: AnswerHead): void {
    this.#writeHead(head);
    this.#socket.cork();
    this.#corked = true;
    this.#response.flushHeaders();
  }

  piece(piece: Buffer | string): void {
    const response = this.#response;
    // A pipelined answer behind another one has no socket yet: Node keeps its pieces.
    if (response.socket === null) response.write(piece);
    else if (!response.chunkedEncoding) this.#socket.write(piece);
    else writeChunk(this.#socket, "", piece, "");
  }

  flush(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }

  end(piece: Buffer | string | undefined): void {
    this.#socket.cork();
    if (piece !== undefined) this.piece(piece);
    this.#response.end();
    this.flush();
    this.#socket.uncork();
  }

  finished(out: Outbound): void {
    this.#owner.finished(out);
  }

  #writeHead(head: AnswerHead): void {
    this.#response.sendDate = false;
    this.#response.writeHead(head.status, reasonOf(head.status), headerList(head));
  }
}
