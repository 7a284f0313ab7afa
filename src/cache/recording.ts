import type { Json, Usage } from "../canon/index.ts";
import { isRecord } from "./canonical-json.ts";

/** Who gave an answer, and in which form. */
export interface Source {
  /** The upstream's language. */
  readonly dialect: string;
  readonly provider: string;
  readonly model: string;
  readonly contentType: string;
  /** The call that paid for it; absent where an earlier version kept the answer. */
  readonly callId?: string | undefined;
  /** Whose calls may be given the bytes as they are (see `wireKey`); undefined where the request was rewritten for the upstream. */
  readonly wire?: string | undefined;
}

/** An upstream's answer as it came, piece by piece: still growing, or whole. Readers keep their own place in it. */
export interface Track {
  readonly source: Source;
  readonly pieces: readonly Buffer[];
  /** Milliseconds from the head of the answer to each piece. */
  readonly times: readonly number[];
  readonly whole: boolean;
}

/** A track that is being made. */
export class Recording implements Track {
  readonly source: Source;
  readonly pieces: Buffer[] = [];
  readonly times: number[] = [];
  bytes = 0;
  whole = false;

  constructor(source: Source) {
    this.source = source;
  }
  add(piece: Buffer, atMs: number): void {
    this.pieces.push(piece);
    this.times.push(atMs);
    this.bytes += piece.length;
  }
}

/** A whole answer, ready to be kept and played. */
export interface Take {
  readonly source: Source;
  readonly body: Buffer;
  /** Where each piece ends and when it came; pieces of one millisecond are one. */
  readonly ends: readonly number[];
  readonly times: readonly number[];
  /** What it cost in tokens when it was made. */
  readonly usage?: Usage | undefined;
}

export function takeOf(recording: Track, usage: Usage | undefined): Take {
  const ends: number[] = [];
  const times: number[] = [];
  let end = 0;
  for (const [index, piece] of recording.pieces.entries()) {
    end += piece.length;
    const time = Math.round(recording.times[index] ?? 0);
    if (times.at(-1) === time) ends[ends.length - 1] = end;
    else {
      ends.push(end);
      times.push(time);
    }
  }
  return { source: recording.source, body: Buffer.concat(recording.pieces), ends, times, usage };
}

/** A kept answer as a track: in one piece, or in those in which it came. */
export function trackOf(take: Take, paced: boolean): Track {
  if (!paced) return { source: take.source, pieces: [take.body], times: [0], whole: true };
  let start = 0;
  const pieces = take.ends.map((end) => take.body.subarray(start, (start = end)));
  return { source: take.source, pieces, times: take.times, whole: true };
}

const FORM = 1;

/** As text for the store; undefined when the body is no UTF-8, which no language is. */
export function packTake(take: Take): string | undefined {
  const body = take.body.toString("utf8");
  if (Buffer.byteLength(body) !== take.body.length) return undefined;
  const { source, ends, times, usage } = take;
  return JSON.stringify({ form: FORM, source, ends, times, usage, body });
}

/** Undefined when it was packed by a version that wrote another form. */
export function unpackTake(text: string): Take | undefined {
  const packed = JSON.parse(text) as Json;
  if (!isRecord(packed) || packed["form"] !== FORM) return undefined;
  const { source, ends, times, usage, body } = packed as unknown as Omit<Take, "body"> & { readonly body: string };
  return { source, ends, times, usage, body: Buffer.from(body) };
}
