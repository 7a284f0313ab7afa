import type { TextFrame as Repeated } from "../../canon/index.ts";
import { TextFrame } from "../../kit/index.ts";
import { aroundPayload, PAYLOAD_BEHIND, payloadStart } from "./event-message.ts";
import { headersOf } from "./framing.ts";

const DELTA = "contentBlockDelta";
const SHAPES = {
  text: ['{"text":', "}}"],
  reasoning: ['{"reasoningContent":{"text":', "}}}"],
  input: ['{"toolUse":{"input":', "}}}"],
} as const;

/** A delta whose copies differ in its words alone, and in the lengths and checksums that follow from them. */
export class DeltaFrame implements Repeated {
  readonly event = DELTA;
  readonly kind: keyof typeof SHAPES;
  readonly block: number;
  readonly #json: TextFrame;

  constructor(kind: keyof typeof SHAPES, block: number) {
    const [opening, closing] = SHAPES[kind];
    this.kind = kind;
    this.block = block;
    this.#json = new TextFrame(undefined, `{"contentBlockIndex":${block},"delta":${opening}`, closing, undefined, "none");
  }

  data(text: string): string {
    return this.#json.data(text);
  }

  bytes<Bytes extends Uint8Array>(text: string, allocate: (length: number) => Bytes): Bytes | undefined {
    return aroundPayload(headersOf(DELTA), allocate, (payload) => this.#json.bytes(text, payload));
  }

  around<Bytes extends Uint8Array>(other: Uint8Array, start: number, end: number, allocate: (length: number) => Bytes): Bytes | undefined {
    return aroundPayload(headersOf(DELTA), allocate, (payload) => this.#json.around(other, start, end, payload));
  }

  textOf(frames: readonly Uint8Array[]): string {
    const start = payloadStart(headersOf(DELTA));
    return this.#json.textOf(frames.map((frame) => frame.subarray(start, frame.length - PAYLOAD_BEHIND)));
  }
}
