import {
  ProblemError,
  type ContentPolicy,
  type Dialect,
  type LineageRecord,
  type PackedContent,
  type PackedLineage,
  type Redactor,
} from "../../canon/index.ts";
import { packedContent } from "../content/entry.ts";
import { lineageOf, linksOf } from "../lineage/record.ts";
import { taskLineage } from "../lineage/task.ts";
import { readRemnant, type Read } from "./read.ts";
import type { ReadTask } from "./read-task.ts";
import type { Unpacked } from "./pack.ts";
import { WANTS, type RemnantHead } from "./remnant.ts";

export interface MakeDeps {
  readonly dialects: ReadonlyMap<string, Dialect>;
  /** By the number that remnants name. */
  readonly policies: ReadonlyMap<number, { readonly policy: ContentPolicy; readonly redactor: Redactor | undefined }>;
}

/** What came of a batch; the texts are for the stores' `keepPacked` and `keep`, undefined: nothing to keep. */
export interface Made {
  readonly lineage: string | undefined;
  readonly content: string | undefined;
  /** Entries in them. */
  readonly records: number;
  readonly stored: number;
  /** Calls whose words were longer than their policy takes. */
  readonly tooLong: number;
  /** Calls that their own language could not read back. */
  readonly unread: readonly (readonly [callId: string, why: string])[];
}

export function make(batch: readonly Unpacked[], { dialects, policies }: MakeDeps): Made {
  const lineage: PackedLineage[] = [];
  const content: PackedContent[] = [];
  const unread: [string, string][] = [];
  let tooLong = 0;
  for (const remnant of batch) {
    const { head } = remnant;
    const [wants, callId] = head;
    try {
      const read = readRemnant(remnant, dialects);
      if (wants & WANTS.lineage) lineage.push(packedLineage(head, read));
      const chosen = policies.get(head[14]);
      if (!chosen) continue;
      const entry = packedContent(head, read, chosen.policy, chosen.redactor);
      if (entry === "too long") tooLong++;
      else content.push(entry);
    } catch (error) {
      unread.push([callId, whyOf(error)]);
    }
  }
  return {
    lineage: lineage.length === 0 ? undefined : JSON.stringify(lineage),
    content: content.length === 0 ? undefined : JSON.stringify(content),
    records: lineage.length,
    stored: content.length,
    tooLong,
    unread,
  };
}

/** Messages may quote what was said, and this goes into the log. */
function whyOf(error: unknown): string {
  if (error instanceof ProblemError) return error.problem.kind;
  return error instanceof Error ? error.name : "unknown";
}

function packedLineage(head: RemnantHead, read: Read | ReadTask): PackedLineage {
  const [, callId, callerId, at, , , , , , , turn, previous, cacheOrigin, parts] = head;
  const facts = { callId, callerId, at, turn: turn ?? undefined, previous: previous ?? undefined, cacheOrigin: cacheOrigin ?? undefined };
  const record: LineageRecord = {
    ...("task" in read ? taskLineage(facts, read.task, read.told) : lineageOf(facts, read.call, read.answer)),
    ...(read.partial && { partial: true as const }),
    ...(parts === null ? {} : (JSON.parse(parts) as Partial<LineageRecord>)),
  };
  return [callId, Math.round(at), linksOf(record).map(([role, name]) => `${role} ${name}`), JSON.stringify(record)];
}
