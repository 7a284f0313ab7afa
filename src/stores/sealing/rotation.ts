import type { DataKeyRotation } from "../../canon/index.ts";
import type { Keyring } from "./keyring.ts";
import { keyIdOf } from "./sealer.ts";

/** Rows sealed anew in one write: other writes wait no longer for it than for any batch. */
export const RESEAL_ROWS = 50;

/** A table whose rows are sealed, each bound to `[kind, scope, id]`; `id` is the column's name. */
export interface SealedTable {
  readonly table: string;
  readonly id: string;
  readonly kind: string;
}

/** Everything that outlives a day, and kept answers. Journals and stored content are let run out under the key that they began with. */
export const SEALED_TABLES: readonly SealedTable[] = [
  { table: "turns", id: "id", kind: "turn" },
  { table: "natives", id: "anchor", kind: "native" },
  { table: "idempotency", id: "key_hash", kind: "idempotency" },
  { table: "cached_answers", id: "key", kind: "answer" },
  { table: "kept_files", id: "id", kind: "file" },
  { table: "file_pieces", id: "id", kind: "piece" },
  { table: "batches", id: "id", kind: "batch" },
  { table: "batch_lines", id: "id", kind: "line" },
];

/** Where sealing anew goes on: behind this row of this table. Table 0 is the configuration, whose `id` is a version. */
export interface ResealPlace {
  readonly table: number;
  readonly scope: string;
  readonly id: string;
}
export const FIRST_PLACE: ResealPlace = { table: 0, scope: "", id: "" };

export interface ResealState {
  /** Undefined: nothing is left. */
  readonly next: ResealPlace | undefined;
  readonly resealed: number;
  /** No key that is known opens them: they are as good as deleted. */
  readonly lost: number;
}

/** Behind a portion of a table's rows. */
export function placeBehind(place: ResealPlace, rows: readonly { readonly scope: string; readonly id: string }[]): ResealPlace | undefined {
  const last = rows.at(-1);
  if (last && rows.length === RESEAL_ROWS) return { table: place.table, scope: last.scope, id: last.id };
  return place.table >= SEALED_TABLES.length ? undefined : { table: place.table + 1, scope: "", id: "" };
}

export interface RotationOptions {
  readonly keyring: Keyring;
  /** Makes a new key, or looks whether one was given. True when it made one. */
  readonly renew: () => Promise<boolean>;
  /** The keys are other ones now. */
  readonly apply: () => Promise<void> | void;
  readonly reseal: (place: ResealPlace) => Promise<ResealState>;
}

/** Seals everything under the newest key, portion by portion, while reads and writes go on: both keys open meanwhile. */
export class Rotation {
  readonly #options: RotationOptions;
  #underWay: Promise<DataKeyRotation> | undefined;

  constructor(options: RotationOptions) {
    this.#options = options;
  }

  /** Whoever asks while one is under way gets the end of that one. Rejects with `storage_unavailable`; what was done stays done. */
  run(): Promise<DataKeyRotation> {
    return (this.#underWay ??= this.#run().finally(() => (this.#underWay = undefined)));
  }

  async #run(): Promise<DataKeyRotation> {
    const { keyring, renew, apply, reseal } = this.#options;
    const made = await renew();
    await apply();
    let [resealed, lost] = [0, 0];
    for (let place: ResealPlace | undefined = FIRST_PLACE; place;) {
      const state: ResealState = await reseal(place);
      resealed += state.resealed;
      lost += state.lost;
      place = state.next;
    }
    return { keyId: keyIdOf(keyring.keys[0]), keys: keyring.keys.length, made, resealed, lost };
  }
}
