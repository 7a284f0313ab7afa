import type { DatabaseSync } from "node:sqlite";
import type { WriteTable } from "../backend.ts";
import { openConfigText, SEALED_MARK, sealConfigText } from "../sealing/config-text.ts";
import { placeBehind, RESEAL_ROWS, type ResealPlace, type ResealState, SEALED_TABLES, type SealedTable } from "../sealing/rotation.ts";
import type { Sealer } from "../sealing/sealer.ts";

interface SealedColumns {
  readonly scope: string;
  readonly id: string;
  readonly key_id: string | null;
  readonly sealed: Uint8Array | null;
}
interface TextColumns {
  readonly version: number;
  readonly text: string;
}

/** Rows of every kind under the key that seals now, a portion at a time. */
export function resealWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, "reseal"> {
  const bump = database.prepare("UPDATE key_generation SET generation = generation + 1");
  const tables = SEALED_TABLES.map((table) => resealTable(database, sealer, table));
  const config = resealConfig(database, sealer);
  return {
    reseal: ([place]) => {
      // Other processes look at their keys anew when the generation rises.
      if (place.table === 0 && place.id === "") bump.run();
      return place.table === 0 ? config(place) : (tables[place.table - 1] ?? nothing)(place);
    },
  };
}

const nothing = (): ResealState => ({ next: undefined, resealed: 0, lost: 0 });

function resealTable(database: DatabaseSync, sealer: Sealer, { table, id, kind }: SealedTable): (place: ResealPlace) => ResealState {
  const read = database.prepare(
    `SELECT scope, ${id} AS id, key_id, sealed FROM serving.${table} WHERE (scope, ${id}) > (?, ?) ORDER BY scope, ${id} LIMIT ${RESEAL_ROWS}`,
  );
  const write = database.prepare(`UPDATE serving.${table} SET key_id = ?, sealed = ? WHERE scope = ? AND ${id} = ?`);
  return (place) => {
    const rows = read.all(place.scope, place.id) as unknown as SealedColumns[];
    let [resealed, lost] = [0, 0];
    for (const { scope, id: rowId, key_id: keyId, sealed: bytes } of rows) {
      if (keyId === null || bytes === null || keyId === sealer.keyId) continue;
      const anew = sealer.reseal({ keyId, bytes }, [kind, scope, rowId]);
      if (anew) write.run(anew.keyId, anew.bytes, scope, rowId);
      if (anew) resealed++;
      else lost++;
    }
    return { next: placeBehind(place, rows), resealed, lost };
  };
}

function resealConfig(database: DatabaseSync, sealer: Sealer): (place: ResealPlace) => ResealState {
  const read = database.prepare(`SELECT version, text FROM config_versions WHERE version > ? ORDER BY version LIMIT ${RESEAL_ROWS}`);
  const write = database.prepare("UPDATE config_versions SET text = ? WHERE version = ?");
  return (place) => {
    const rows = read.all(Number(place.id)) as unknown as TextColumns[];
    let [resealed, lost] = [0, 0];
    for (const { version, text } of rows) {
      if (text.startsWith(`${SEALED_MARK}${sealer.keyId}:`)) continue;
      const plain = openConfigText(sealer, version, text);
      if (plain !== undefined) write.run(sealConfigText(sealer, version, plain), version);
      if (plain === undefined) lost++;
      else resealed++;
    }
    return {
      next: placeBehind(
        place,
        rows.map(({ version }) => ({ scope: "", id: String(version) })),
      ),
      resealed,
      lost,
    };
  };
}
