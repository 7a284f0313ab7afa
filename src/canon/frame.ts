import type { Event, StopReason } from "./event.ts";
import type { Problem } from "./problem.ts";
import type { Usage } from "./usage.ts";

/** One server-sent event, or one WebSocket message with `event` undefined. */
export interface WireFrame {
  readonly event?: string | undefined;
  readonly data: string;
}

/** Cuts the bytes of a stream into whole frames. */
export interface FrameCutter {
  /** Calls `emit` for each complete frame. Returns false when a frame grew beyond the limit; the stream is then unusable. */
  push(chunk: Uint8Array, emit: (frame: Uint8Array) => void): boolean;
  /** What came after the last complete frame; empty when the stream ended cleanly. */
  rest(): Uint8Array;
}

/** How a stream's frames travel as bytes, in languages that do not use server-sent events. */
export interface Framing {
  /** Content type of a stream: of an answer, and what a request for one accepts. */
  readonly contentType: string;
  readonly cutter: (maxBytes: number) => FrameCutter;
  /**
   * Name and data of one whole frame; undefined when it says nothing, as a keep-alive. Also asked for what was left at the end of a stream,
   * which may be cut short: it never throws.
   */
  readonly parse: (frame: Uint8Array) => WireFrame | undefined;
  /**
   * The JSON of a frame of the kind that tells pieces of text, where what stands around it differs from frame to frame; undefined for every
   * other frame. Without this member a frame is compared as it stands.
   */
  readonly payload?: (frame: Uint8Array) => Uint8Array | undefined;
  /** A frame on the wire. `data` is one line, as JSON is. */
  readonly format: (event: string | undefined, data: string) => Uint8Array;
}

export type EmitEvent = (event: Event) => void;
/** `data` is what follows `data: `; one line. */
export type EmitFrame = (event: string | undefined, data: string) => void;

/** A frame whose copies differ in nothing but one string and, in languages that number their frames, a number. */
export interface TextFrame {
  readonly event: string | undefined;
  /** What follows `data: ` with this text; one line. */
  data(text: string, number?: number): string;
  /** The whole frame on the wire, which costs less than to put it together of strings; undefined for a text that has to be escaped. */
  bytes<Bytes extends Uint8Array>(text: string, allocate: (length: number) => Bytes, number?: number): Bytes | undefined;
  /**
   * The same with the JSON string that stands in other bytes from `start` to `end`, without its quotes; undefined when it is not written
   * there as this frame would write it.
   */
  around<Bytes extends Uint8Array>(
    other: Uint8Array,
    start: number,
    end: number,
    allocate: (length: number) => Bytes,
    number?: number,
  ): Bytes | undefined;
  /** The text of several of its copies, one behind the other; `number` is that of the first. */
  textOf(frames: readonly Uint8Array[], number?: number): string;
}
export type EmitText = (frame: TextFrame, text: string, number?: number) => void;

/** A frame that did nothing but tell one string: another that differs from it in that string alone need not be parsed. */
export interface RepeatableFrame {
  /** The string it told, which stands in the frame as a JSON string, word for word. */
  readonly text: string;
  /** Names of members whose value, a string or a whole number, means nothing: padding, counters. */
  readonly ignored: readonly string[];
  /**
   * Emits what the frame would if it came once more, at once, with this string in place of its own: where that was one event with the text
   * alone, it is so for every string, and two told one after the other are the same as both in one.
   */
  readonly tell: (text: string) => void;
}

/** Turns an upstream's frames into canonical events. Never throws: what cannot be understood becomes one `problem`. */
export interface EventDecoder {
  frame(frame: WireFrame): void;
  /** The frame read last, when it can be repeated. */
  readonly repeatable?: RepeatableFrame | undefined;
  /** The upstream closed. Emits `problem` (upstream_broken) unless a terminal event was emitted before. */
  end(): void;
}

/** Turns canonical events into a client's frames. */
export interface EventEncoder {
  event(event: Event): void;
  /**
   * The frame by which the event told last was told, when that was all: its text, word for word. Another event that differs in its text alone
   * may then be told by a copy of the frame; the encoder learns of it later, of several such in one, and what it emits then is not used.
   */
  readonly repeats?: TextFrame | undefined;
  /** The client has so many frames already; for languages that number their frames. */
  goOnFrom?(frames: number): void;
}

/** What one frame of an upstream stream means to somebody who does not decode it. */
export type FrameRole =
  /** Carries output: from here on the stream cannot fail over silently. */
  | "output"
  /** Neither output nor end (`ping`, the opening frame). */
  | "quiet"
  /** Only usage that we asked for and the client did not: withheld from the client. */
  | "withhold"
  /** The regular end. Nothing follows that the client needs. */
  | "done"
  /** An error event inside the stream. */
  | "problem";

/** Reads usage and the end from raw frames on the fast path, in as few cycles as possible. */
export interface FrameMeter {
  /** `frame` is one complete server-sent event including its blank line, or one WebSocket message. */
  frame(frame: Buffer): FrameRole;
  /** The frame that `frame` was just given, without what was only asked for on the client's behalf; absent: as it is. */
  shown?(frame: Buffer): Buffer;
  /** The newest usage seen; undefined when the stream named none. */
  usage(): Usage | undefined;
  id(): string | undefined;
  model(): string | undefined;
  stop(): StopReason | undefined;
  /** Of a language that has no last frame: may what came so far be the whole answer, if nothing follows? */
  complete?(): boolean;
  /** Characters of output seen so far, for an estimate when usage never came. */
  outputCharacters(): number;
  problem(): Problem | undefined;
  /** Has a frame begun anything but the text and reasoning of one answer: a tool call, a result of a hosted tool, another choice? */
  called(): boolean;
}
