import type { Socket } from "node:net";

/** Above this a piece is sent beside its frame, not copied into it. */
export const COPY_BYTES = 16 * 1024;
export const LAST_CHUNK = "0\r\n\r\n";

/** Several pieces as one. */
export function joined(pieces: readonly (Buffer | string)[]): Buffer | string {
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) return only;
  if (pieces.every((piece) => typeof piece === "string")) return pieces.join("");
  return Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece)));
}

/** Writes one chunk (RFC 9112, section 7.1) in one system call, with `before` (Latin-1) in front of it and `after` behind. */
export function writeChunk(socket: Socket, before: string, piece: Buffer | string, after: string): void {
  const bytes = Buffer.byteLength(piece);
  writeAround(socket, `${before}${bytes.toString(16)}\r\n`, piece, bytes, `\r\n${after}`);
}

/**
 * Writes `front`, `body` of `bytes` bytes and `back` in one system call; front and back are Latin-1. Small bodies travel as Latin-1 text,
 * in which every byte is a letter and stays itself: Node sends text without allocating.
 */
export function writeAround(socket: Socket, front: string, body: Buffer | string, bytes: number, back: string): void {
  if (typeof body === "string" && bytes === body.length) {
    socket.write(front + body + back, "latin1");
  } else if (typeof body !== "string" && bytes <= COPY_BYTES) {
    socket.write(front + body.toString("latin1") + back, "latin1");
  } else {
    socket.cork();
    socket.write(front, "latin1");
    socket.write(body);
    if (back !== "") socket.write(back, "latin1");
    socket.uncork();
  }
}
