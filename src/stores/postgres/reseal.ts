import { openConfigText, SEALED_MARK, sealConfigText } from "../sealing/config-text.ts";
import { placeBehind, RESEAL_ROWS, type ResealPlace, type ResealState, SEALED_TABLES } from "../sealing/rotation.ts";
import { raise } from "./admin-tables.ts";
import { statement } from "./connections.ts";
import type { BatchContext, PostgresWrites } from "./tables.ts";
import { bytesOf } from "./values.ts";

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

const TABLES = SEALED_TABLES.map(({ table, id, kind }) => ({
  kind,
  // Held until the portion is written: whoever keeps the same row anew waits for that, and then replaces it.
  read: statement(
    `reseal.read-${table}`,
    `SELECT scope, ${id} AS id, key_id, sealed FROM ${table} WHERE (scope, ${id}) > ($1, $2) ORDER BY scope, ${id} LIMIT ${RESEAL_ROWS} FOR UPDATE`,
  ),
  write: statement(`reseal.write-${table}`, `UPDATE ${table} SET key_id = $1, sealed = $2 WHERE scope = $3 AND ${id} = $4`),
}));
const READ_CONFIG = statement(
  "reseal.read-config",
  `SELECT version, text FROM config_versions WHERE version > $1 ORDER BY version LIMIT ${RESEAL_ROWS} FOR UPDATE`,
);
const WRITE_CONFIG = statement("reseal.write-config", "UPDATE config_versions SET text = $1 WHERE version = $2");

/** Rows of every kind under the key that seals now, a portion at a time. */
export const resealWrites = {
  reseal: async (batch, [place]) => {
    // Other gateways look at their keys anew when the generation rises.
    if (place.table === 0 && place.id === "") await raise(batch);
    return place.table === 0 ? resealConfig(batch, place) : resealTable(batch, place);
  },
} satisfies Partial<PostgresWrites>;

async function resealTable({ session, sealer }: BatchContext, place: ResealPlace): Promise<ResealState> {
  const table = TABLES[place.table - 1];
  if (!table) return { next: undefined, resealed: 0, lost: 0 };
  const rows = await session.rows<SealedColumns>(table.read, [place.scope, place.id]);
  let [resealed, lost] = [0, 0];
  for (const { scope, id, key_id: keyId, sealed: bytes } of rows) {
    if (keyId === null || bytes === null || keyId === sealer.keyId) continue;
    const anew = sealer.reseal({ keyId, bytes }, [table.kind, scope, id]);
    if (anew) await session.changes(table.write, [anew.keyId, bytesOf(anew.bytes), scope, id]);
    if (anew) resealed++;
    else lost++;
  }
  return { next: placeBehind(place, rows), resealed, lost };
}

async function resealConfig({ session, sealer }: BatchContext, place: ResealPlace): Promise<ResealState> {
  const rows = await session.rows<TextColumns>(READ_CONFIG, [Number(place.id)]);
  let [resealed, lost] = [0, 0];
  for (const { version, text } of rows) {
    if (text.startsWith(`${SEALED_MARK}${sealer.keyId}:`)) continue;
    const plain = openConfigText(sealer, version, text);
    if (plain !== undefined) await session.changes(WRITE_CONFIG, [sealConfigText(sealer, version, plain), version]);
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
}
