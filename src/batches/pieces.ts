import { PIECE_BYTES, type FileStore } from "../canon/index.ts";

/** Pieces on their way to the store at once. */
const PIECES_AT_ONCE = 4;
const NEWLINE = 10;
const RETURN = 13;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Where a file is, or is to be. */
export interface Place {
  readonly scope: string;
  readonly id: string;
  readonly expiresAt: number;
}

/** Writes a file piece by piece, without ever holding more than a few. */
export class PieceWriter {
  readonly #store: FileStore;
  readonly #place: Place;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #pieces = 0;
  #underWay: Promise<void>[] = [];
  bytes = 0;

  constructor(store: FileStore, place: Place) {
    this.#store = store;
    this.#place = place;
  }

  async write(content: Buffer): Promise<void> {
    this.bytes += content.length;
    this.#pending.push(content);
    this.#pendingBytes += content.length;
    if (this.#pendingBytes < PIECE_BYTES) return;
    const whole = this.#pending.length === 1 ? content : Buffer.concat(this.#pending);
    let at = 0;
    for (; whole.length - at >= PIECE_BYTES; at += PIECE_BYTES) await this.#keep(whole.subarray(at, at + PIECE_BYTES));
    this.#pending = [whole.subarray(at)];
    this.#pendingBytes = whole.length - at;
  }

  async end(): Promise<void> {
    if (this.#pendingBytes > 0) await this.#keep(Buffer.concat(this.#pending));
    this.#pendingBytes = 0;
    await this.#landed();
  }

  async #keep(piece: Buffer): Promise<void> {
    const { scope, id, expiresAt } = this.#place;
    const kept = this.#store.keepPiece(scope, id, this.#pieces++, expiresAt, piece);
    // Whoever waits for all of them hears of it.
    kept.catch(() => {});
    this.#underWay.push(kept);
    if (this.#underWay.length >= PIECES_AT_ONCE) await this.#landed();
  }

  async #landed(): Promise<void> {
    const underWay = this.#underWay;
    this.#underWay = [];
    await Promise.all(underWay);
  }
}

/** A file's pieces, in order, as long as there are any. */
export async function* piecesOf(store: FileStore, { scope, id }: Omit<Place, "expiresAt">): AsyncGenerator<Buffer> {
  for (let place = 0; ; place++) {
    const piece = await store.readPiece(scope, id, place);
    if (!piece) return;
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  }
}

export interface Line {
  /** From 1; empty lines do not count. */
  readonly number: number;
  /** Where it is in the file, in bytes. */
  readonly at: number;
  readonly bytes: number;
  /** Undefined: too long, or no UTF-8. */
  readonly text: string | undefined;
}

/** The lines of a file. Of one that is longer than `maxBytes` nothing is remembered. */
export async function* linesOf(pieces: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  let number = 0;
  let begun: Buffer[] = [];
  let bytes = 0;
  let at = 0;
  let before = 0;
  let isFirst = true;
  const lineFrom = (): Line | undefined => {
    const whole = bytes > maxBytes ? undefined : Buffer.concat(begun);
    const isBlank = whole !== undefined && whole.every((byte) => byte === RETURN || byte === 32 || byte === 9);
    const place = { at, bytes };
    begun = [];
    bytes = 0;
    return isBlank ? undefined : { number: ++number, ...place, text: whole && textOf(whole) };
  };
  for await (const piece of pieces) {
    let from = isFirst && piece.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
    isFirst = false;
    if (bytes === 0) at = before + from;
    for (let end = piece.indexOf(NEWLINE, from); ; end = piece.indexOf(NEWLINE, from)) {
      const part = piece.subarray(from, end < 0 ? piece.length : end);
      bytes += part.length;
      if (bytes <= maxBytes) begun.push(part);
      else begun = [];
      if (end < 0) break;
      const line = lineFrom();
      if (line) yield line;
      from = end + 1;
      at = before + from;
    }
    before += piece.length;
  }
  const last = bytes > 0 ? lineFrom() : undefined;
  if (last) yield last;
}

/** Reads stretches of a file of which all pieces but the last are whole. What is asked for in order is read from the store once. */
export class SpanReader {
  readonly #store: FileStore;
  readonly #place: Omit<Place, "expiresAt">;
  #number = -1;
  #piece: Promise<Uint8Array | undefined> = Promise.resolve(undefined);

  constructor(store: FileStore, place: Omit<Place, "expiresAt">) {
    this.#store = store;
    this.#place = place;
  }

  /** Undefined: the file is gone, or the stretch is no UTF-8. */
  async text(at: number, bytes: number): Promise<string | undefined> {
    const parts: Uint8Array[] = [];
    for (let from = at; from < at + bytes;) {
      const number = Math.floor(from / PIECE_BYTES);
      const piece = await this.#read(number);
      const within = from - number * PIECE_BYTES;
      if (!piece || piece.length <= within) return undefined;
      const part = piece.subarray(within, within + at + bytes - from);
      parts.push(part);
      from += part.length;
    }
    return textOf(Buffer.concat(parts));
  }

  #read(number: number): Promise<Uint8Array | undefined> {
    if (number !== this.#number) {
      const { scope, id } = this.#place;
      this.#number = number;
      this.#piece = this.#store.readPiece(scope, id, number);
    }
    return this.#piece;
  }
}

function textOf(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
