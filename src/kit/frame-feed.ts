import { FrameTemplate } from "./frame-template.ts";
import { parseFrame } from "./sse.ts";

/** A frame that did nothing but tell one string, as whoever read it describes it. */
export interface RepeatableFrame {
  /** The string it told, which stands in the frame as a JSON string, word for word. */
  readonly text: string;
  /** Names of members whose value, a string or a whole number, means nothing to the reader: padding, counters. */
  readonly ignored: readonly string[];
  /** Does what the frame would do if it came once more, at once, with this string in place of its own. */
  readonly tell: (text: string) => void;
}

/** A frame in another language that is made around the JSON string of one that was read. */
export interface SurroundingFrame {
  around<Bytes extends Uint8Array>(
    other: Uint8Array,
    start: number,
    end: number,
    allocate: (length: number) => Bytes,
    number?: number,
  ): Bytes | undefined;
}

/** Whoever reads the frames. */
export interface FrameReader {
  frame(frame: { readonly event?: string | undefined; readonly data: string }): void;
  /** The frame read last, when it can be repeated. */
  readonly repeatable?: RepeatableFrame | undefined;
}

/** After so many templates in a row that no frame fitted, the stream is one whose every frame differs, and learning stops. */
const MAX_UNUSED = 16;

/**
 * Hands the frames of a stream to their reader. Most frames of a stream equal the one before but for a piece of text: such a frame is
 * compared byte by byte, its string is cut out, and nothing is parsed. Only the frame read last is compared with, so that what its other
 * members told is still the newest that is known; whatever does not fit in every byte is parsed like any frame.
 */
export class FrameFeed {
  readonly #reader: FrameReader;
  readonly #parse: (bytes: Uint8Array) => { event?: string | undefined; data: string } | undefined;
  readonly #payload: ((bytes: Uint8Array) => Uint8Array | undefined) | undefined;
  #template: FrameTemplate | undefined;
  #tell: ((text: string) => void) | undefined;
  #unused = 0;
  /** The string that the frame read last told, when the next may do the same; otherwise empty. */
  told = "";

  /**
   * `parse`: name and data of a whole frame, where the stream is not one of server-sent events. `payload`: the bytes that are compared,
   * where those around them differ from frame to frame; undefined for a frame that is to be read.
   */
  constructor(
    reader: FrameReader,
    parse: (bytes: Uint8Array) => { event?: string | undefined; data: string } | undefined = parseFrame,
    payload?: (bytes: Uint8Array) => Uint8Array | undefined,
  ) {
    this.#reader = reader;
    this.#parse = parse;
    this.#payload = payload;
  }

  /** `bytes` is one frame; its blank line may be missing at the end of a stream. */
  frame(bytes: Uint8Array): void {
    this.told = "";
    const compared = this.#template && this.#tell && this.#compared(bytes);
    if (compared && this.#template && this.#tell) {
      const text = this.#template.text(compared);
      if (text !== "") {
        this.#unused = 0;
        this.told = text;
        return this.#tell(text);
      }
    }
    const frame = this.#parse(bytes);
    if (!frame) return;
    this.#reader.frame(frame);
    const { repeatable } = this.#reader;
    this.#template = undefined;
    if (!repeatable || this.#unused >= MAX_UNUSED) return;
    const learnt = this.#compared(bytes);
    this.#template = learnt && FrameTemplate.of(learnt, repeatable.text, repeatable.ignored);
    this.#tell = repeatable.tell;
    this.#unused++;
    if (this.#template) this.told = repeatable.text;
  }

  /**
   * The frame `to` around the string that this one tells, without reading it; undefined: it is to be read. Whoever takes it makes up for
   * the reading by `retell`, before the next frame is read.
   */
  relayed<Bytes extends Uint8Array>(
    bytes: Uint8Array,
    to: SurroundingFrame,
    allocate: (length: number) => Bytes,
    number: number,
  ): Bytes | undefined {
    const template = this.#template;
    const compared = template && this.#compared(bytes);
    if (!compared || !template.fits(compared) || template.start === template.end) return undefined;
    const frame = to.around(compared, template.start, template.end, allocate, number);
    if (frame) this.#unused = 0;
    return frame;
  }

  #compared(bytes: Uint8Array): Uint8Array | undefined {
    return this.#payload ? this.#payload(bytes) : bytes;
  }

  /** Reads as one what several frames told that were relayed. */
  retell(text: string): void {
    this.#tell?.(text);
  }
}
