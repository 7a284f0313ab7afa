import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";

/** A stream that is expanded this much beyond the grace below is taken for a bomb: deflate's own maximum is 1032 to 1. */
const MAX_EXPANSION = 200;
const EXPANSION_GRACE_BYTES = 1024 * 1024;

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  "x-gzip": () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
  zstd: () => createZstdDecompress(),
};

export function isEncoded(encoding: string | undefined): encoding is string {
  return encoding !== undefined && encoding !== "" && encoding.toLowerCase() !== "identity";
}

export interface BodyDecoder {
  /** False: wait for `onRoom` before the next piece. */
  write(piece: Buffer): boolean;
  /** No more pieces come. */
  end(): void;
  pause(): void;
  resume(): void;
  destroy(): void;
}

export interface DecoderSink {
  onData(piece: Buffer): void;
  onEnd(): void;
  /** Not what the encoding promises, cut short, or a bomb. */
  onFault(code: "bad_encoding" | "decompression_bomb"): void;
  onRoom(): void;
}

/** We ask for plain bytes; some upstreams and the proxies before them compress all the same. Undefined: an encoding we do not know. */
export function bodyDecoder(encoding: string, sink: DecoderSink): BodyDecoder | undefined {
  const transform = DECODERS[encoding.trim().toLowerCase()]?.();
  if (!transform) return undefined;
  let bytesIn = 0;
  let bytesOut = 0;
  transform.on("data", (piece: Buffer) => {
    bytesOut += piece.length;
    if (bytesOut > EXPANSION_GRACE_BYTES && bytesOut > bytesIn * MAX_EXPANSION) {
      transform.destroy();
      sink.onFault("decompression_bomb");
    } else sink.onData(piece);
  });
  transform.on("end", () => sink.onEnd());
  transform.on("error", () => sink.onFault("bad_encoding"));
  transform.on("drain", () => sink.onRoom());
  return {
    write(piece) {
      bytesIn += piece.length;
      return transform.write(piece);
    },
    end() {
      // An answer without a body (to HEAD, say) may still name an encoding; an empty stream is then no fault.
      if (bytesIn === 0) {
        transform.destroy();
        sink.onEnd();
      } else transform.end();
    },
    pause: () => void transform.pause(),
    resume: () => void transform.resume(),
    destroy: () => void transform.destroy(),
  };
}
