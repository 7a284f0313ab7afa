import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair } from "yaml";
import type { Json } from "../canon/index.ts";
import { unveil, veil, type Path } from "./variables.ts";

/** A configuration is written by hand; what is longer is something else. */
export const CONFIG_LIMIT_CHARACTERS = 1024 * 1024;
/** How often anchors may be repeated: a few nested ones would otherwise grow into gigabytes. */
const ALIAS_LIMIT = 100;

/** What is wrong with a configuration, and where. Lines and columns count from 1. */
export interface ConfigProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** `offline: true` does not hold. */
  readonly needsNetwork?: true;
  /** What to do, where the message is not enough for it. */
  readonly remedy?: string;
}

/** A YAML text that can say where each of its values stands. */
export class ConfigDocument {
  readonly value: Json;
  readonly problems: readonly ConfigProblem[];
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();

  constructor(text: string) {
    this.#document = parseDocument(veil(text.slice(0, CONFIG_LIMIT_CHARACTERS)), {
      lineCounter: this.#lines,
      uniqueKeys: true,
      prettyErrors: false,
    });
    const problems = this.#document.errors.map((error) => ({ ...this.#at(error.pos[0]), message: firstLine(unveil(error.message)) }));
    if (text.length > CONFIG_LIMIT_CHARACTERS)
      problems.push({ line: 1, column: 1, message: `The file is longer than ${CONFIG_LIMIT_CHARACTERS} characters.` });
    let value: Json = null;
    if (problems.length === 0) {
      try {
        value = this.#document.toJS({ maxAliasCount: ALIAS_LIMIT }) as Json;
      } catch (error) {
        problems.push({ line: 1, column: 1, message: firstLine(String(error instanceof Error ? error.message : error)) });
      }
    }
    this.value = value;
    this.problems = problems;
  }

  /** A problem at the value of `path`, or as near to it as the text goes; at the key when `atKey`. */
  problem(path: Path, message: string, atKey = false): ConfigProblem {
    let node: Node | null = this.#document.contents;
    let offset = node?.range?.[0] ?? 0;
    for (const [depth, segment] of path.entries()) {
      const found = childOf(node, segment);
      if (!found) break;
      const last = depth === path.length - 1;
      offset = (last && atKey ? found.key : (found.node ?? found.key))?.range?.[0] ?? offset;
      node = found.node;
    }
    return { ...this.#at(offset), message };
  }

  /** Where the value of `path` stands in the text, from and to; undefined where there is none. */
  rangeOf(path: Path): readonly [number, number] | undefined {
    let node: Node | null = this.#document.contents;
    for (const segment of path) node = childOf(node, segment)?.node ?? null;
    return node?.range ? [node.range[0], node.range[1]] : undefined;
  }

  #at(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }
}

function childOf(node: Node | null, segment: string | number): { readonly key: Node | null; readonly node: Node | null } | undefined {
  if (isSeq(node)) {
    const item = (node.items as (Node | null)[])[Number(segment)];
    return item === undefined ? undefined : { key: item, node: item };
  }
  if (!isMap(node)) return undefined;
  const pair = (node.items as Pair<Node, Node | null>[]).find(({ key }) => isScalar(key) && unveil(String(key.value)) === String(segment));
  return pair && { key: pair.key, node: pair.value };
}

function firstLine(message: string): string {
  const line = (message.split("\n")[0] ?? "").trim();
  return line.endsWith(".") ? line : `${line}.`;
}
