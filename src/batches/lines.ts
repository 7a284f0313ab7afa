import { problemFrom, ProblemError, type Batch, type FileStore, type JsonObject, type LineOrder, type Problem } from "../canon/index.ts";
import { openJsonText } from "../kit/index.ts";
import type { BatchDialect } from "./batches.ts";
import { linesOf, piecesOf, SpanReader, type Line } from "./pieces.ts";

export interface LineLimits {
  readonly bodyBytes: number;
  readonly jsonDepth: number;
}

/** What is remembered of a line; what it asks is read again when it is needed. */
export interface LineEntry {
  readonly at: number;
  readonly bytes: number;
  readonly customId: string | null;
  /** Why it cannot be asked. */
  readonly problem: Problem | undefined;
}

/** The lines of one batch, in any order. */
export class LineBook {
  readonly #batch: Batch;
  readonly #dialect: BatchDialect;
  readonly #limits: LineLimits;
  readonly #files: FileStore;
  readonly #reader: SpanReader;
  readonly #entries: LineEntry[] = [];

  constructor(files: FileStore, batch: Batch, dialect: BatchDialect, limits: LineLimits) {
    this.#files = files;
    this.#batch = batch;
    this.#dialect = dialect;
    this.#limits = limits;
    this.#reader = new SpanReader(files, { scope: batch.scope, id: batch.inputFile });
  }

  /** How many there are. */
  get size(): number {
    return this.#entries.length;
  }

  /** Looks at every line once, until `isOver`: which are bad, which have a name that another one has. */
  async open(isOver: () => boolean): Promise<void> {
    const { scope, inputFile } = this.#batch;
    const names = new Set<string>();
    for await (const line of linesOf(piecesOf(this.#files, { scope, id: inputFile }), this.#limits.bodyBytes)) {
      if (isOver()) return;
      this.#entries.push(this.#entryOf(line, names));
    }
  }

  /** `line`: from 1. */
  entry(line: number): LineEntry | undefined {
    return this.#entries[line - 1];
  }

  /** What a line asks; undefined: the file is gone. */
  async order(line: number): Promise<LineOrder | undefined> {
    const entry = this.entry(line);
    const text = entry && (await this.#reader.text(entry.at, entry.bytes));
    return text === undefined ? undefined : this.#dialect.batches.decodeLine(this.#opened(text), this.#batch.endpoint);
  }

  #entryOf({ at, bytes, text }: Line, names: Set<string>): LineEntry {
    let customId: string | null = null;
    try {
      if (text === undefined) throw refused(`The line is no UTF-8, or longer than ${this.#limits.bodyBytes} bytes.`);
      const value = this.#opened(text);
      customId = this.#dialect.batches.customId(value);
      const order = this.#dialect.batches.decodeLine(value, this.#batch.endpoint);
      if (names.has(order.customId))
        throw refused(`Another line has the custom_id "${order.customId.slice(0, 100)}".`, "duplicate_custom_id");
      names.add(order.customId);
      return { at, bytes, customId, problem: undefined };
    } catch (error) {
      return { at, bytes, customId, problem: problemFrom(error) };
    }
  }

  #opened(text: string): JsonObject {
    const opened = openJsonText(text, { depth: this.#limits.jsonDepth });
    if (!opened.ok) throw refused(opened.message.replace("The body", "The line"));
    return opened.document.value;
  }
}

export function refused(message: string, code = "invalid_line"): ProblemError {
  return new ProblemError({ kind: "invalid_request", message, code });
}
