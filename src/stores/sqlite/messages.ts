import type { Problem } from "../../canon/index.ts";
import type { BatchOutcome, JournalWrite, ReadName } from "../backend.ts";
import type { PackedBatch } from "../pack.ts";

/** What the writer's thread is told. */
export type ToWriter =
  | { readonly kind: "batch"; readonly parts: readonly PackedBatch[] }
  | { readonly kind: "read"; readonly id: number; readonly name: ReadName; readonly args: readonly unknown[] }
  | { readonly kind: "journal"; readonly id: number; readonly write: JournalWrite }
  | { readonly kind: "keys"; readonly keys: readonly Uint8Array[] }
  | { readonly kind: "close" };

/** What it says. Batches are answered in order, one at a time; a journal's write is answered like a read. */
export type FromWriter =
  | { readonly kind: "ready"; readonly generation: number }
  | { readonly kind: "batch"; readonly outcome: BatchOutcome }
  | { readonly kind: "read"; readonly id: number; readonly value?: unknown; readonly problem?: Problem };
