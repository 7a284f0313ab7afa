import type { Dialect, Framing } from "../canon/index.ts";
import { eventStream, formatFrame, mediaType } from "../kit/index.ts";

/** Frames of most languages; written into memory that is a Buffer at once. */
const EVENTS: Framing = { ...eventStream, format: (event, data) => Buffer.from(formatFrame(event, data)) };

/** How the streams of a language travel. */
export function framingOf(dialect: Dialect): Framing {
  return dialect.framing ?? EVENTS;
}

/** Writes the frames of a language. */
export function frameWriter(dialect: Dialect): (event: string | undefined, data: string) => Buffer {
  const framing = framingOf(dialect);
  return (event, data) => asBuffer(framing.format(event, data));
}

/** A frame as a Buffer over the same memory. */
export function asBuffer(frame: Uint8Array): Buffer {
  return Buffer.isBuffer(frame) ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
}

/** Headers of an answer that is a stream in this language; undefined: in one that is not known. */
export function streamHeaders(dialect: Dialect | undefined): Record<string, string> {
  return { "content-type": (dialect?.framing ?? EVENTS).contentType, "cache-control": "no-cache" };
}

/** Is a body of this type a stream in this language? */
export function isStreamOf(dialect: Dialect, contentType: string | undefined): boolean {
  return contentType !== undefined && mediaType(contentType) === mediaType(framingOf(dialect).contentType);
}
