import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SeededRandomness } from "../../src/kit/index.ts";

// Writes tiny ONNX models with a tokenizer: every word has a random vector; an embedder gives those back, a classifier adds them up to two
// labels. Source: `onnx.proto` of ONNX 1.15 (opset 17) and the `tokenizer.json` of Hugging Face's tokenizers.

const WIDTH = 32;
const LENGTH = 64;
const FLOAT = 1;
const INT64 = 7;
const MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const WORDS = "hello world the weather in paris is good bad capital of france what who cat dog refund order".split(" ");
const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789".split("");

/** Protocol Buffers, as far as they are needed: numbers and lengths. */
function varint(value: number): Buffer {
  const groups: number[] = [];
  let left = BigInt(value);
  do {
    const low = Number(left & 127n);
    left >>= 7n;
    groups.push(left > 0n ? low | 128 : low);
  } while (left > 0n);
  return Buffer.from(groups);
}
function count(tag: number, value: number): Buffer {
  return Buffer.concat([varint(tag * 8), varint(value)]);
}
function bytes(tag: number, value: Buffer | string): Buffer {
  const content = Buffer.from(value);
  return Buffer.concat([varint(tag * 8 + 2), varint(content.length), content]);
}

function node(kind: string, inputs: readonly string[], output: string, attributes: readonly Buffer[] = []): Buffer {
  const parts = [...inputs.map((name) => bytes(1, name)), bytes(2, output), bytes(3, output), bytes(4, kind)];
  return bytes(1, Buffer.concat([...parts, ...attributes.map((attribute) => bytes(5, attribute))]));
}
function whole(name: string, value: number): Buffer {
  return Buffer.concat([bytes(1, name), count(3, value), count(20, 2)]);
}
function wholes(name: string, values: readonly number[]): Buffer {
  return Buffer.concat([bytes(1, name), ...values.map((value) => count(8, value)), count(20, 7)]);
}
function floats(name: string, shape: readonly number[], values: Float32Array): Buffer {
  return bytes(
    5,
    Buffer.concat([...shape.map((size) => count(1, size)), count(2, FLOAT), bytes(8, name), bytes(9, Buffer.from(values.buffer))]),
  );
}
function int64s(name: string, values: readonly bigint[]): Buffer {
  return bytes(
    5,
    Buffer.concat([count(1, values.length), count(2, INT64), bytes(8, name), bytes(9, Buffer.from(BigInt64Array.from(values).buffer))]),
  );
}
function port(tag: number, name: string, kind: number, shape: readonly (string | number)[]): Buffer {
  const sizes = shape.map((size) => bytes(1, typeof size === "string" ? bytes(2, size) : count(1, size)));
  const type = bytes(1, Buffer.concat([count(1, kind), bytes(2, Buffer.concat(sizes))]));
  return bytes(tag, Buffer.concat([bytes(1, name), bytes(2, type)]));
}

function model(graph: readonly Buffer[]): Buffer {
  return Buffer.concat([
    count(1, 8),
    bytes(7, Buffer.concat([bytes(2, "tiny"), ...graph])),
    bytes(8, Buffer.concat([bytes(1, ""), count(2, 17)])),
  ]);
}

const INPUTS = ["input_ids", "attention_mask", "token_type_ids"].map((name) => port(11, name, INT64, ["texts", "tokens"]));
/** Every input must be read by something; the kinds of token add nothing. */
const WORD_VECTORS = [
  node("Gather", ["words", "input_ids"], "found"),
  node("Cast", ["attention_mask"], "mask", [whole("to", FLOAT)]),
  node("Unsqueeze", ["mask", "last"], "column"),
  node("Cast", ["token_type_ids"], "kinds", [whole("to", FLOAT)]),
  node("Unsqueeze", ["kinds", "last"], "kind_column"),
  node("Mul", ["kind_column", "nothing"], "no_kinds"),
  node("Mul", ["found", "column"], "masked"),
];

function embedder(words: Buffer): Buffer {
  return model([
    ...WORD_VECTORS,
    node("Add", ["masked", "no_kinds"], "last_hidden_state"),
    words,
    int64s("last", [2n]),
    floats("nothing", [1], Float32Array.of(0)),
    ...INPUTS,
    port(12, "last_hidden_state", FLOAT, ["texts", "tokens", WIDTH]),
  ]);
}

function classifier(words: Buffer, random: SeededRandomness): Buffer {
  return model([
    ...WORD_VECTORS,
    node("Add", ["masked", "no_kinds"], "ready"),
    node("ReduceMean", ["ready"], "mean", [wholes("axes", [1]), whole("keepdims", 0)]),
    node("MatMul", ["mean", "labels"], "logits"),
    words,
    floats("labels", [WIDTH, 2], drawn(WIDTH * 2, random)),
    int64s("last", [2n]),
    floats("nothing", [1], Float32Array.of(0)),
    ...INPUTS,
    port(12, "logits", FLOAT, ["texts", 2]),
  ]);
}

function drawn(length: number, random: SeededRandomness): Float32Array {
  return Float32Array.from({ length }, () => random.number() * 4 - 2);
}

/** Writes a model's folder: `embed`, or two labels for reranking and classifying. */
export async function writeTinyOnnx(folder: string, kind: "embed" | "labels"): Promise<void> {
  const vocab = Object.fromEntries(
    [...MARKS, ...WORDS, ...LETTERS, ...LETTERS.map((letter) => `##${letter}`)].map((word, at) => [word, at]),
  );
  const size = Object.keys(vocab).length;
  const random = new SeededRandomness(5);
  const words = floats("words", [size, WIDTH], drawn(size * WIDTH, random));
  await mkdir(join(folder, "onnx"), { recursive: true });
  await writeFile(join(folder, "onnx", "model.onnx"), kind === "embed" ? embedder(words) : classifier(words, random));
  await writeFile(join(folder, "config.json"), JSON.stringify(configuration(kind, size)));
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer(vocab)));
  await writeFile(
    join(folder, "tokenizer_config.json"),
    JSON.stringify({
      tokenizer_class: "BertTokenizer",
      model_max_length: LENGTH,
      pad_token: "[PAD]",
      unk_token: "[UNK]",
      do_lower_case: true,
    }),
  );
}

function configuration(kind: "embed" | "labels", size: number) {
  return {
    model_type: "bert",
    architectures: [kind === "embed" ? "BertModel" : "BertForSequenceClassification"],
    hidden_size: WIDTH,
    vocab_size: size,
    max_position_embeddings: LENGTH,
    id2label: { 0: "SAFE", 1: "INJECTION" },
    label2id: { SAFE: 0, INJECTION: 1 },
  };
}

function tokenizer(vocab: Readonly<Record<string, number>>) {
  const [cls, sep] = [{ SpecialToken: { id: "[CLS]", type_id: 0 } }, { SpecialToken: { id: "[SEP]", type_id: 0 } }];
  const special = (id: string) => ({ id, ids: [vocab[id]], tokens: [id] });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: MARKS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [cls, { Sequence: { id: "A", type_id: 0 } }, sep],
      pair: [cls, { Sequence: { id: "A", type_id: 0 } }, sep, { Sequence: { id: "B", type_id: 1 } }, sep],
      special_tokens: { "[CLS]": special("[CLS]"), "[SEP]": special("[SEP]") },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: { type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100, vocab },
  };
}
