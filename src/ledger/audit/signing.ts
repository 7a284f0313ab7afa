import { ProblemError, type AuditCheckpoint, type AuditStore } from "../../canon/index.ts";
import { sha256, NO_PREVIOUS } from "../../stores/audit.ts";
import { signCheckpoint } from "./checkpoint.ts";
import { parseEntry } from "./entry.ts";
import { Frontier, leafHash } from "./merkle.ts";
import type { SignerKey } from "./signed-note.ts";

const PAGE = 1000;

/**
 * Signs what the log holds now; the newest checkpoint, when nothing has come since. Only what is new is read. A chain that does not hold
 * is not signed.
 * @throws ProblemError conflict (the chain is broken), storage_unavailable
 */
export async function checkpointNow(store: AuditStore, signer: SignerKey, now: number): Promise<AuditCheckpoint> {
  const last = await store.lastCheckpoint();
  const frontier = Frontier.fromHex(last?.size ?? 0, last?.frontier ?? []);
  if (!frontier) throw broken(last?.size ?? 0, "the newest checkpoint is damaged");
  let previous = await hashOf(store, frontier.size);
  for (;;) {
    const page = await store.read(frontier.size, PAGE);
    for (const { sequence, hash, text } of page) {
      const entry = parseEntry(text);
      if (sequence !== frontier.size + 1 || entry?.sequence !== sequence)
        throw broken(frontier.size + 1, "it is missing or out of its place");
      if (entry.previous !== previous || sha256(text) !== hash) throw broken(sequence, "it was changed after it was written");
      frontier.append(leafHash(text));
      previous = hash;
    }
    if (page.length < PAGE) break;
  }
  if (last?.size === frontier.size) return last;
  const checkpoint = { size: frontier.size, at: now, note: signCheckpoint(frontier, signer), frontier: frontier.toHex() };
  await store.keepCheckpoint(checkpoint);
  return checkpoint;
}

async function hashOf(store: AuditStore, sequence: number): Promise<string> {
  if (sequence === 0) return NO_PREVIOUS;
  const [entry] = await store.read(sequence - 1, 1);
  if (entry?.sequence !== sequence) throw broken(sequence, "it is missing");
  return entry.hash;
}

function broken(sequence: number, why: string): ProblemError {
  return new ProblemError({
    kind: "conflict",
    code: "audit_broken",
    message: `The audit is broken at entry ${sequence}: ${why}. It is not signed; \`gimbal audit verify\` says more.`,
  });
}
