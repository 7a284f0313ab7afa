import type { Batch, BatchLanguage, BatchStore, FileStore, LineOutcome } from "../canon/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { hiddenInput, keptResults } from "./batches.ts";
import { PieceWriter } from "./pieces.ts";

export interface FinishDeps {
  readonly gateway: GatewayDeps;
  readonly files: FileStore;
  readonly store: BatchStore;
  readonly node: string;
  readonly language: BatchLanguage;
}

/** What the gateway makes itself counts towards nobody's bytes until it is there. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const RESULT_PURPOSE = "batch_output";

/**
 * Puts the answers together and ends the batch. Done again from the beginning after a crash: its files have their names from the batch, so
 * that nothing is left over.
 */
export async function finish(deps: FinishDeps, batch: Batch, as: NonNullable<Batch["ended"]>["as"]): Promise<void> {
  const { store, files, language, node, gateway } = deps;
  const { scope, id } = batch;
  const counts = await store.counts(scope, id);
  const isOk = (outcome: LineOutcome): boolean => outcome === "ok";
  const made = language.resultFiles
    ? {
        outputFile: await resultFile(deps, batch, "output", isOk),
        errorFile: await resultFile(deps, batch, "errors", (outcome) => !isOk(outcome)),
      }
    : {};
  const { outputFile, errorFile } = made;
  const ended: Batch = {
    ...batch,
    counts,
    // Of what was handed over the time may run out before ours does.
    ended: { at: gateway.clock.now(), as: as === "completed" && counts.expired > 0 ? "expired" : as },
    ...(outputFile !== undefined && { outputFile }),
    ...(errorFile !== undefined && { errorFile }),
  };
  const isEnded = await store.update(ended, node, language.resultFiles);
  if (isEnded && batch.inputFile === hiddenInput(id)) await files.delete(scope, batch.inputFile);
}

/** A file of all results of a kind; undefined: there are none. */
async function resultFile(
  { files, store, language, gateway }: FinishDeps,
  { scope, id, expiresAt }: Batch,
  what: "output" | "errors",
  wanted: (outcome: LineOutcome) => boolean,
): Promise<string | undefined> {
  const file = `file-${id}-${what}`;
  const writer = new PieceWriter(files, { scope, id: file, expiresAt });
  for await (const result of keptResults(store, scope, id)) {
    const told = wanted(result.outcome) ? language.encodeResult(result) : undefined;
    if (told !== undefined) await writer.write(Buffer.from(`${JSON.stringify(told)}\n`));
  }
  await writer.end();
  if (writer.bytes === 0) return undefined;
  const name = `${id}_${what === "errors" ? "error" : what}.jsonl`;
  const createdAt = gateway.clock.now();
  await files.keep({ scope, id: file, name, purpose: RESULT_PURPOSE, bytes: writer.bytes, createdAt, expiresAt }, NO_LIMIT);
  return file;
}
