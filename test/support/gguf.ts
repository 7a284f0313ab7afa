import { writeFile } from "node:fs/promises";
import { SeededRandomness } from "../../src/kit/index.ts";

// Writes a tiny GGUF file: a llama of two layers with random weights. It talks nonsense, but by all the rules. Source: the GGUF
// specification, version 3.

const WIDTH = 64;
const HEADS = 4;
const KEY_HEADS = 2;
const HIDDEN = 128;
const LAYERS = 2;
const ALIGNMENT = 32;
const KINDS = { uint32: 4, float32: 6, bool: 7, string: 8, array: 9, int32: 5 } as const;
/** What the file's tokens are. Source: `llama_token_type`. */
const UNKNOWN = 2;
const CONTROL = 3;
const NORMAL = 1;
const BYTE = 6;
/**
 * What is said must not depend on the processor: its arithmetic decides which token is drawn, and a mark of the end or half a character
 * would be drawn on one machine and not on another. So the first place of every vector stays as it is from the first layer to the last, and
 * in it all tokens but letters are told off so strongly that none is drawn where another is allowed.
 */
const STEADY = 1;
const TOLD_OFF = -10_000;

const TEMPLATE =
  "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

export interface TinyModel {
  readonly contextTokens?: number;
  readonly seed?: number;
}

/** Writes the file; equal options write equal bytes. */
export async function writeTinyGguf(path: string, { contextTokens = 2048, seed = 11 }: TinyModel = {}): Promise<void> {
  const { names, kinds, scores } = vocabulary();
  const fields = [
    text("general.architecture", "llama"),
    text("general.name", "tiny"),
    number("general.alignment", ALIGNMENT),
    number("llama.context_length", contextTokens),
    number("llama.embedding_length", WIDTH),
    number("llama.block_count", LAYERS),
    number("llama.feed_forward_length", HIDDEN),
    number("llama.attention.head_count", HEADS),
    number("llama.attention.head_count_kv", KEY_HEADS),
    number("llama.rope.dimension_count", WIDTH / HEADS),
    number("llama.vocab_size", names.length),
    field("llama.attention.layer_norm_rms_epsilon", KINDS.float32, float(1e-5)),
    text("tokenizer.ggml.model", "llama"),
    list("tokenizer.ggml.tokens", KINDS.string, names.map(string)),
    list("tokenizer.ggml.scores", KINDS.float32, scores.map(float)),
    list("tokenizer.ggml.token_type", KINDS.int32, kinds.map(uint32)),
    number("tokenizer.ggml.unknown_token_id", 0),
    number("tokenizer.ggml.bos_token_id", 1),
    number("tokenizer.ggml.eos_token_id", 2),
    field("tokenizer.ggml.add_bos_token", KINDS.bool, Buffer.from([1])),
    text("tokenizer.chat_template", TEMPLATE),
  ];
  const random = new SeededRandomness(seed);
  const heads: Buffer[] = [];
  const bodies: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, ones, fixed } of tensors(kinds)) {
    const [width = 0] = shape;
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: count }, () => (ones ? 1 : random.number() - 0.5));
    if (fixed) for (let at = 0; at < count; at++) values[at] = fixed(at % width, Math.floor(at / width)) ?? values[at] ?? 0;
    const body = padded(Buffer.from(values.buffer));
    heads.push(Buffer.concat([string(name), uint32(shape.length), ...shape.map(uint64), uint32(0), uint64(offset)]));
    bodies.push(body);
    offset += body.length;
  }
  const head = Buffer.concat([Buffer.from("GGUF"), uint32(3), uint64(heads.length), uint64(fields.length), ...fields, ...heads]);
  await writeFile(path, Buffer.concat([padded(head), ...bodies]));
}

/** Three marks, every byte, and the letters by themselves. */
function vocabulary() {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["\u2581", ...'abcdefghijklmnopqrstuvwxyz0123456789.,:{}[]"-_ETAOIN'.split("")];
  return {
    names: ["<unk>", "<s>", "</s>", ...bytes, ...pieces],
    kinds: [UNKNOWN, CONTROL, CONTROL, ...bytes.map(() => BYTE), ...pieces.map(() => NORMAL)],
    scores: [0, 0, 0, ...bytes.map(() => 0), ...pieces.map((_, at) => -1 - at)],
  };
}

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly ones?: boolean;
  /** What stands in a column of a row by design; undefined: what chance put there. */
  readonly fixed?: (column: number, row: number) => number | undefined;
}

function tensors(kinds: readonly number[]): readonly Tensor[] {
  const words = kinds.length;
  const narrow = (WIDTH / HEADS) * KEY_HEADS;
  const keepsFirst = (_column: number, row: number): number | undefined => (row === 0 ? 0 : undefined);
  const layers = Array.from({ length: LAYERS }, (_, layer): readonly Tensor[] => [
    { name: `blk.${layer}.attn_norm.weight`, shape: [WIDTH], ones: true },
    { name: `blk.${layer}.attn_q.weight`, shape: [WIDTH, WIDTH] },
    { name: `blk.${layer}.attn_k.weight`, shape: [WIDTH, narrow] },
    { name: `blk.${layer}.attn_v.weight`, shape: [WIDTH, narrow] },
    { name: `blk.${layer}.attn_output.weight`, shape: [WIDTH, WIDTH], fixed: keepsFirst },
    { name: `blk.${layer}.ffn_norm.weight`, shape: [WIDTH], ones: true },
    { name: `blk.${layer}.ffn_gate.weight`, shape: [WIDTH, HIDDEN] },
    { name: `blk.${layer}.ffn_up.weight`, shape: [WIDTH, HIDDEN] },
    { name: `blk.${layer}.ffn_down.weight`, shape: [HIDDEN, WIDTH], fixed: keepsFirst },
  ]);
  const toldOff = (column: number, word: number): number | undefined =>
    column === 0 ? Number(kinds[word] !== NORMAL) * TOLD_OFF : undefined;
  return [
    { name: "token_embd.weight", shape: [WIDTH, words], fixed: (column) => (column === 0 ? STEADY : undefined) },
    ...layers.flat(),
    { name: "output_norm.weight", shape: [WIDTH], ones: true },
    { name: "output.weight", shape: [WIDTH, words], fixed: toldOff },
  ];
}

function field(name: string, kind: number, value: Buffer): Buffer {
  return Buffer.concat([string(name), uint32(kind), value]);
}
function text(name: string, value: string): Buffer {
  return field(name, KINDS.string, string(value));
}
function number(name: string, value: number): Buffer {
  return field(name, KINDS.uint32, uint32(value));
}
function list(name: string, kind: number, values: readonly Buffer[]): Buffer {
  return field(name, KINDS.array, Buffer.concat([uint32(kind), uint64(values.length), ...values]));
}
function string(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(bytes.length), bytes]);
}
function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
function float(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]);
}
