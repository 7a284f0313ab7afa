import { hash } from "node:crypto";

/** Bytes of a hash. */
const HASH_BYTES = 32;
const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** RFC 6962, section 2.1: the hash of one entry. */
export function leafHash(entry: string): Buffer {
  return hash("sha256", Buffer.concat([LEAF, Buffer.from(entry)]), "buffer");
}

function nodeHash(left: Buffer, right: Buffer): Buffer {
  return hash("sha256", Buffer.concat([NODE, left, right]), "buffer");
}

/**
 * A Merkle tree (RFC 6962, section 2.1) that is only appended to: the roots of its complete subtrees, largest first, one for every bit of
 * its size. They are all it takes to go on, so that a checkpoint costs what is new and not the whole log.
 */
export class Frontier {
  readonly #roots: Buffer[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  append(leaf: Buffer): void {
    let right = leaf;
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      const left = this.#roots.pop();
      if (left) right = nodeHash(left, right);
    }
    this.#roots.push(right);
    this.#size++;
  }

  /** Of an empty tree: the hash of nothing. */
  root(): Buffer {
    let root: Buffer | undefined;
    for (const left of this.#roots.toReversed()) root = root ? nodeHash(left, root) : left;
    return root ?? hash("sha256", "", "buffer");
  }

  /** Lower-case hex. */
  toHex(): string[] {
    return this.#roots.map((root) => root.toString("hex"));
  }

  /** Undefined when they are not the roots of a tree of this size. */
  static fromHex(size: number, roots: readonly string[]): Frontier | undefined {
    const buffers = roots.map((root) => Buffer.from(root, "hex"));
    if (buffers.length !== bitsOf(size) || buffers.some(({ length }) => length !== HASH_BYTES)) return undefined;
    const frontier = new Frontier();
    frontier.#roots.push(...buffers);
    frontier.#size = size;
    return frontier;
  }
}

function bitsOf(size: number): number {
  let bits = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2;
  return bits;
}
