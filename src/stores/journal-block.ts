import type { JournalHead, JournalPart, RepeatableAnswer } from "../canon/index.ts";

/** Bytes of frames after which a block is closed and the next begun: whoever reads one call has to open whole blocks. */
const BLOCK_BYTES = 128 * 1024;
const WORD = 4;

/** Where one call's part lies in a block: id, offset and length in bytes, number of its first frame, count of frames. */
export type BlockEntry = readonly [callId: string, offset: number, length: number, first: number, count: number];

export interface Block {
  /** `BlockEntry[]` as JSON. */
  readonly index: string;
  /** Its own memory, so that it can be handed to another thread. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What one append does, flat and plain: it travels to another thread or process. */
export interface Spill {
  readonly at: number;
  readonly blocks: readonly Block[];
  /** `block`: place of the call's first part among `blocks`. */
  readonly born: readonly (readonly [
    callId: string,
    scope: string,
    dialect: string,
    node: string,
    answerId: string | null,
    block: number,
  ])[];
  readonly ended: readonly (readonly [callId: string, lastFrame: number, until: number])[];
}

/** Packs the parts into blocks: lengths first, then the frames one behind the other. */
export function packSpill(parts: readonly JournalPart[], at: number): Spill {
  const blocks: Block[] = [];
  const born: Spill["born"][number][] = [];
  const ended: Spill["ended"][number][] = [];
  let group: JournalPart[] = [];
  let bytes = 0;
  const close = (): void => {
    if (group.length === 0) return;
    blocks.push(packBlock(group, bytes));
    group = [];
    bytes = 0;
  };
  for (const part of parts) {
    const { callId, head, until } = part;
    // A head needs its block to be known, even where no frame has followed it yet.
    if (head) born.push([callId, part.scope, part.dialect, part.node, (head.findable && head.answerId) || null, blocks.length]);
    if (until !== undefined) ended.push([callId, part.first + part.frames.length - 1, until]);
    if (part.frames.length === 0 && !head) continue;
    group.push(part);
    bytes += sizeOfFrames(part.frames);
    if (bytes >= BLOCK_BYTES) close();
  }
  close();
  return { at, blocks, born, ended };
}

function sizeOfFrames(frames: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const frame of frames) bytes += frame.length;
  return bytes;
}

function packBlock(parts: readonly JournalPart[], frameBytes: number): Block {
  const heads = parts.map((part) => (part.head ? Buffer.from(JSON.stringify(part.head)) : undefined));
  let total = frameBytes;
  for (const [place, part] of parts.entries()) total += WORD * (2 + part.frames.length) + (heads[place]?.length ?? 0);
  // Memory of its own, not of Node's pool: it is given away whole.
  const bytes = new Uint8Array(new ArrayBuffer(total));
  const view = new DataView(bytes.buffer);
  const entries: BlockEntry[] = [];
  let at = 0;
  for (const [place, part] of parts.entries()) {
    const offset = at;
    at = packPart(bytes, view, at, heads[place], part.frames);
    entries.push([part.callId, offset, at - offset, part.first, part.frames.length]);
  }
  return { index: JSON.stringify(entries), bytes };
}

function packPart(bytes: Uint8Array, view: DataView, start: number, head: Uint8Array | undefined, frames: readonly Uint8Array[]): number {
  let at = start;
  view.setUint32(at, head?.length ?? 0);
  view.setUint32(at + WORD, frames.length);
  at += 2 * WORD;
  if (head) {
    bytes.set(head, at);
    at += head.length;
  }
  for (const frame of frames) {
    view.setUint32(at, frame.length);
    at += WORD;
  }
  for (const frame of frames) {
    bytes.set(frame, at);
    at += frame.length;
  }
  return at;
}

/** Reads one part back; undefined when the bytes are no part. */
export function unpackPart(bytes: Buffer): { readonly head: JournalHead | undefined; readonly frames: readonly Buffer[] } | undefined {
  try {
    const headLength = bytes.readUInt32BE(0);
    const count = bytes.readUInt32BE(WORD);
    let at = 2 * WORD + headLength;
    const head = headLength === 0 ? undefined : (JSON.parse(bytes.toString("utf8", 2 * WORD, at)) as JournalHead);
    const lengths = Array.from({ length: count }, (_, place) => bytes.readUInt32BE(at + place * WORD));
    at += count * WORD;
    const frames = lengths.map((length) => bytes.subarray(at, (at += length)));
    return at === bytes.length ? { head, frames } : undefined;
  } catch {
    return undefined;
  }
}

/** A whole answer in the same form, for keeping it under a key. */
export function packAnswer({ head, frames }: RepeatableAnswer): Uint8Array<ArrayBuffer> {
  const headBytes = Buffer.from(JSON.stringify(head));
  const bytes = new Uint8Array(new ArrayBuffer(WORD * (2 + frames.length) + headBytes.length + sizeOfFrames(frames)));
  packPart(bytes, new DataView(bytes.buffer), 0, headBytes, frames);
  return bytes;
}

export function unpackAnswer(bytes: Uint8Array): RepeatableAnswer | undefined {
  const part = unpackPart(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return part?.head && { head: part.head, frames: part.frames };
}
