import {
  invalid,
  ProblemError,
  type Batch,
  type BatchLanguage,
  type BatchOrder,
  type BatchStore,
  type Caller,
  type Dialect,
  type FileStore,
  type Headers,
  type Json,
  type JsonObject,
  type LineCounts,
  type LineResult,
  type Page,
  type PageQuery,
} from "../canon/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { entranceOf } from "./call.ts";
import type { BatchesOptions } from "./options.ts";
import { linesOf, piecesOf, PieceWriter } from "./pieces.ts";
import type { BatchQueue } from "./queue.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Results read from the store at once; each may have megabytes. */
const RESULT_PAGE = 20;
/** Milliseconds after which a caller with too many batches may ask again. */
const FULL_RETRY_MS = 60_000;
const NOTHING: LineCounts = { ok: 0, failed: 0, cancelled: 0, expired: 0 };

export interface BatchesDeps {
  readonly gateway: GatewayDeps;
  readonly files: FileStore;
  readonly store: BatchStore;
  readonly queue: BatchQueue;
  readonly options: () => BatchesOptions;
}

export type Counted = readonly [Batch, LineCounts];

/** A dialect that has batches. */
export type BatchDialect = Dialect & { readonly batches: BatchLanguage };

/** What callers do with batches; each sees its own only. */
export class Batches {
  readonly #deps: BatchesDeps;

  constructor(deps: BatchesDeps) {
    this.#deps = deps;
  }

  /** @throws ProblemError invalid_request, not_found, rate_limited */
  async create(dialect: BatchDialect, caller: Caller, body: JsonObject, headers: Headers): Promise<Counted> {
    const { gateway, store, queue, options } = this.#deps;
    const { clock, randomness } = gateway;
    const language = dialect.batches;
    const order = language.decode(body);
    if (order.endpoint !== undefined && !entranceOf(gateway.dialects, order.endpoint))
      throw invalid(`Batches cannot go to ${order.endpoint.slice(0, 100)}.`, "endpoint");
    const { hours, keepDays, open } = options();
    const id = randomness.id(language.prefix);
    const createdAt = clock.now();
    const expiresAt = createdAt + hours * HOUR_MS + keepDays * DAY_MS;
    const { scope } = caller;
    const inputFile = order.inputFile ?? hiddenInput(id);
    if (order.inputFile === undefined) await this.#keepLines({ scope, id: inputFile, expiresAt }, order.lines ?? []);
    try {
      const batch: Batch = {
        scope,
        id,
        dialect: dialect.id,
        createdAt,
        deadline: createdAt + hours * HOUR_MS,
        expiresAt,
        caller,
        inputFile,
        total: await this.#countLines(language, scope, order, inputFile),
        ...(order.endpoint !== undefined && { endpoint: order.endpoint }),
        ...(order.metadata !== undefined && { metadata: order.metadata }),
        headers: language.headers(headers),
      };
      if (!(await store.create(batch, open)))
        throw new ProblemError({
          kind: "rate_limited",
          message: `You have ${open} batches that have not ended. Wait for one of them, or cancel it.`,
          retryAfterMs: FULL_RETRY_MS,
        });
      queue.nudge();
      return [batch, NOTHING];
    } catch (error) {
      if (order.inputFile === undefined) await this.#deps.files.delete(scope, inputFile);
      throw error;
    }
  }

  async #keepLines(
    place: { readonly scope: string; readonly id: string; readonly expiresAt: number },
    lines: readonly Json[],
  ): Promise<void> {
    const writer = new PieceWriter(this.#deps.files, place);
    for (const line of lines) await writer.write(Buffer.from(`${JSON.stringify(line)}\n`));
    await writer.end();
  }

  async #countLines({ filePurpose }: BatchLanguage, scope: string, order: BatchOrder, inputFile: string): Promise<number> {
    const { files, gateway, options } = this.#deps;
    if (order.inputFile !== undefined) {
      const file = await files.read(scope, inputFile, gateway.clock.now());
      if (!file)
        throw new ProblemError({ kind: "not_found", message: `There is no file "${inputFile.slice(0, 100)}".`, param: "input_file_id" });
      if (filePurpose !== undefined && file.purpose !== filePurpose)
        throw invalid(`The file was given for "${file.purpose}": one of lines is given for "${filePurpose}".`, "input_file_id");
    }
    const most = options().lines;
    let total = 0;
    for await (const { number } of linesOf(piecesOf(files, { scope, id: inputFile }), gateway.snapshot().limits.bodyBytes)) {
      if (number > most) throw invalid(`A batch has at most ${most} lines.`);
      total = number;
    }
    if (total === 0) throw invalid("The batch has no lines.");
    return total;
  }

  /** @throws ProblemError not_found */
  async read(dialect: BatchDialect, caller: Caller, id: string): Promise<Counted> {
    const batch = await this.#deps.store.read(caller.scope, id, this.#deps.gateway.clock.now());
    if (!batch || batch.dialect !== dialect.id) throw missing(id);
    return this.#counted(batch);
  }

  async list(dialect: BatchDialect, { scope }: Caller, query: PageQuery): Promise<Page<Counted>> {
    const { entries, more } = await this.#deps.store.list(scope, dialect.id, query, this.#deps.gateway.clock.now());
    return { entries: await Promise.all(entries.map((batch) => this.#counted(batch))), more };
  }

  /** One that has ended stays as it is. @throws ProblemError not_found */
  async cancel(dialect: BatchDialect, caller: Caller, id: string): Promise<Counted> {
    await this.read(dialect, caller, id);
    if (await this.#deps.store.cancel(caller.scope, id, this.#deps.gateway.clock.now())) this.#deps.queue.nudge();
    return this.read(dialect, caller, id);
  }

  /** @throws ProblemError not_found, conflict */
  async delete(dialect: BatchDialect, caller: Caller, id: string): Promise<void> {
    const [{ ended }] = await this.read(dialect, caller, id);
    if (ended && (await this.#deps.store.delete(caller.scope, id))) return;
    throw new ProblemError({ kind: "conflict", message: "The batch has not ended. Cancel it first." });
  }

  /** One JSON text a line. @throws ProblemError conflict, not_found */
  async results(dialect: BatchDialect, caller: Caller, id: string): Promise<AsyncGenerator<string>> {
    const [batch] = await this.read(dialect, caller, id);
    if (!batch.ended) throw new ProblemError({ kind: "conflict", message: "The batch has not ended yet." });
    return resultsOf(this.#deps.store, dialect.batches, batch);
  }

  async #counted(batch: Batch): Promise<Counted> {
    return [batch, batch.counts ?? (await this.#deps.store.counts(batch.scope, batch.id))];
  }
}

/** Lines that came with the order; nobody sees them as a file. */
export function hiddenInput(id: string): string {
  return `${id}-input`;
}

async function* resultsOf(store: BatchStore, language: BatchLanguage, { scope, id }: Batch): AsyncGenerator<string> {
  for await (const result of keptResults(store, scope, id)) {
    const told = language.encodeResult(result);
    if (told !== undefined) yield `${JSON.stringify(told)}\n`;
  }
}

/** What is kept of a batch's lines, in their order. */
export async function* keptResults(store: BatchStore, scope: string, id: string): AsyncGenerator<LineResult> {
  for (let after = 0; ;) {
    const page = await store.lines(scope, id, after, RESULT_PAGE);
    for (const { text } of page) yield JSON.parse(text) as LineResult;
    const last = page.at(-1);
    if (!last || page.length < RESULT_PAGE) return;
    after = last.line;
  }
}

function missing(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no batch "${id.slice(0, 100)}".` });
}
