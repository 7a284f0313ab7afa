import type { Headers } from "../canon/index.ts";
import { contentLength, readFields } from "./fields.ts";

/** Heads before the real one (103 Early Hints and the like) that an upstream may send. */
const MAX_INTERIM = 16;
/** Longest line before a chunk: its size in hexadecimal and what extensions nobody uses. */
const MAX_CHUNK_LINE_BYTES = 4_096;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const BEGINNING = "HTTP/1.";
/** Twelve hexadecimal digits are 256 TB, and still exact. */
const CHUNK_LINE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;
const NOTHING = Buffer.alloc(0);
const CR = 13;
const LF = 10;

/** Why bytes are no answer. */
export type Fault = "not_http" | "headers_too_large" | "upgraded";

export interface AnswerReaderSink {
  onHead(status: number, headers: Headers): void;
  /** False: no more until `resume`. */
  onPiece(piece: Buffer): boolean;
  /** The answer is complete. `reusable`: another request may follow on this connection. */
  onComplete(reusable: boolean): void;
}

/** `length`: so many bytes; `close`: until the connection ends; those from `chunk-line` to `trailers`: a chunked body. */
type Part = "head" | "length" | "close" | "chunk-line" | "chunk" | "chunk-end" | "trailers" | "over";

/**
 * Reads one answer from a connection (RFC 9112, sections 4 to 7), strictly: only CRLF ends a line, a length is digits and stands there
 * once, never beside a transfer coding, and the only transfer coding is `chunked`. Two readings of the same bytes are how answers get mixed up.
 */
export class AnswerReader {
  readonly #sink: AnswerReaderSink;
  readonly #isHead: boolean;
  readonly #maxHeaderBytes: number;
  #part: Part = "head";
  /** The beginning of a line or head whose end has not come, or what waits for `resume`. */
  #held: Buffer = NOTHING;
  #left = 0;
  #interim = 0;
  #persistent = true;
  #blocked = false;
  #stopped = false;

  constructor(sink: AnswerReaderSink, isHead: boolean, maxHeaderBytes: number) {
    this.#sink = sink;
    this.#isHead = isHead;
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  /** Are bytes being held back until `resume`? */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** More bytes came. */
  read(bytes: Buffer): Fault | undefined {
    const all = this.#held.length > 0 ? Buffer.concat([this.#held, bytes]) : bytes;
    this.#held = NOTHING;
    return this.#consume(all);
  }

  /** The sink has room again. */
  resume(): Fault | undefined {
    this.#blocked = false;
    return this.read(NOTHING);
  }

  /** The connection ended: true when that is the end of the answer as well. */
  ends(): boolean {
    if (this.#part !== "close") return false;
    this.#complete(false);
    return true;
  }

  /** Nobody listens any more. */
  stop(): void {
    this.#stopped = true;
    this.#held = NOTHING;
  }

  #consume(bytes: Buffer): Fault | undefined {
    for (let at = 0; at < bytes.length && !this.#stopped;) {
      const next = this.#blocked ? -1 : this.#step(bytes, at);
      if (typeof next === "string") return next;
      if (next < 0) {
        this.#held = at === 0 ? bytes : bytes.subarray(at);
        return undefined;
      }
      at = next;
    }
    return undefined;
  }

  /** Reads one part from `at`; returns where the next begins, or -1 when its end has not come. */
  #step(bytes: Buffer, at: number): number | Fault {
    switch (this.#part) {
      case "head":
        return this.#head(bytes, at);
      case "length":
      case "chunk":
      case "close":
        return this.#piece(bytes, at);
      case "chunk-line":
        return this.#chunkLine(bytes, at);
      case "chunk-end":
        return this.#chunkEnd(bytes, at);
      case "trailers":
        return this.#trailers(bytes, at);
      case "over":
        return bytes.length;
    }
  }

  #head(bytes: Buffer, at: number): number | Fault {
    const end = bytes.indexOf("\r\n\r\n", at, "latin1");
    if (end < 0 && !BEGINNING.startsWith(bytes.toString("latin1", at, at + BEGINNING.length))) return "not_http";
    if ((end < 0 ? bytes.length : end) - at > this.#maxHeaderBytes) return "headers_too_large";
    if (end < 0) return -1;
    const text = bytes.toString("latin1", at, end + 2);
    const lineEnd = text.indexOf("\r\n");
    const line = STATUS_LINE.exec(text.slice(0, lineEnd));
    const headers: Record<string, string | undefined> = {};
    if (!line || readFields(text, lineEnd + 2, headers) === "invalid") return "not_http";
    const status = Number(line[2]);
    if (status === 101) return "upgraded";
    if (status < 200) return ++this.#interim > MAX_INTERIM ? "not_http" : end + 4;
    return this.#frame(status, headers, line[1] === "1", end + 4 < bytes.length) ?? end + 4;
  }

  /** Decides how the body is framed (RFC 9112, section 6.3) and tells the head. */
  #frame(status: number, headers: Record<string, string | undefined>, is11: boolean, more: boolean): Fault | undefined {
    const { "transfer-encoding": coding, "content-length": stated, connection } = headers;
    const length = stated === undefined ? undefined : contentLength(stated);
    if (stated !== undefined && length === undefined) return "not_http";
    if (coding !== undefined && (stated !== undefined || !is11 || coding.toLowerCase() !== "chunked")) return "not_http";
    // An older server that would keep the connection says so in words not worth reading.
    this.#persistent = is11 && (connection === undefined || !/\bclose\b/i.test(connection));
    this.#left = length ?? 0;
    if (this.#isHead || status === 204 || status === 304 || length === 0) this.#part = "over";
    else if (coding !== undefined) this.#part = "chunk-line";
    else this.#part = length === undefined ? "close" : "length";
    this.#sink.onHead(status, headers);
    if (this.#part === "over" && !this.#stopped) this.#complete(this.#persistent && !more);
    return undefined;
  }

  #piece(bytes: Buffer, at: number): number {
    const available = bytes.length - at;
    const size = this.#part === "close" ? available : Math.min(available, this.#left);
    this.#left -= size;
    const end = at + size;
    const isLast = this.#part === "length" && this.#left === 0;
    if (this.#part === "chunk" && this.#left === 0) this.#part = "chunk-end";
    const piece = size === bytes.length ? bytes : bytes.subarray(at, end);
    if (!this.#sink.onPiece(piece) && !isLast) this.#blocked = true;
    if (isLast && !this.#stopped) this.#complete(this.#persistent && end === bytes.length);
    return end;
  }

  #chunkLine(bytes: Buffer, at: number): number | Fault {
    const end = bytes.indexOf("\r\n", at, "latin1");
    if ((end < 0 ? bytes.length : end) - at > MAX_CHUNK_LINE_BYTES) return "not_http";
    if (end < 0) return -1;
    const size = CHUNK_LINE.exec(bytes.toString("latin1", at, end))?.[1];
    if (size === undefined) return "not_http";
    this.#left = Number.parseInt(size, 16);
    this.#part = this.#left === 0 ? "trailers" : "chunk";
    return end + 2;
  }

  #chunkEnd(bytes: Buffer, at: number): number | Fault {
    if (bytes[at] !== CR) return "not_http";
    if (at + 1 === bytes.length) return -1;
    if (bytes[at + 1] !== LF) return "not_http";
    this.#part = "chunk-line";
    return at + 2;
  }

  /** What stands behind the last chunk is checked and forgotten. */
  #trailers(bytes: Buffer, at: number): number | Fault {
    const none = bytes[at] === CR && bytes[at + 1] === LF;
    const end = none ? at : bytes.indexOf("\r\n\r\n", at, "latin1");
    if ((end < 0 ? bytes.length : end) - at > this.#maxHeaderBytes) return "headers_too_large";
    if (end < 0) return -1;
    if (!none && readFields(bytes.toString("latin1", at, end + 2), 0, {}) === "invalid") return "not_http";
    const next = none ? at + 2 : end + 4;
    this.#complete(this.#persistent && next === bytes.length);
    return next;
  }

  #complete(reusable: boolean): void {
    this.#part = "over";
    this.#sink.onComplete(reusable);
  }
}
