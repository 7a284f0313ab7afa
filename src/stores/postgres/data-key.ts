import { refusal } from "../sealing/keyring.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { type Connections, statement } from "./connections.ts";

const NEWEST = statement("data_keys.newest", "SELECT key_id FROM data_keys ORDER BY registered_at DESC, key_id LIMIT 1");
const REGISTER = statement(
  "data_keys.register",
  `INSERT INTO data_keys VALUES ($1, clock_timestamp()) ON CONFLICT (key_id) DO UPDATE SET registered_at = excluded.registered_at`,
);

/**
 * Every gateway of a record must open what the others seal, so the record remembers the id of the key that seals it.
 * Throws `storage_unavailable` when this gateway does not have that key.
 */
export async function registerDataKey(connections: Connections, { keyId, keyIds }: Sealer): Promise<void> {
  await connections.transaction(async (session) => {
    await session.run("LOCK TABLE data_keys IN SHARE ROW EXCLUSIVE MODE");
    const newest = (await session.rows<{ readonly key_id: string }>(NEWEST))[0]?.key_id;
    if (newest !== undefined && !keyIds.includes(newest)) {
      throw refusal(
        `The record is sealed with key ${newest}, which this gateway does not have (it has ${keyIds.join(", ")}). Set GIMBAL_DATA_KEY or GIMBAL_DATA_KEY_FILE to the same key on every gateway of the record; without them each data folder makes a serving.key of its own, and the first gateway's is the one to give to the others.`,
      );
    }
    if (newest !== keyId) await session.changes(REGISTER, [keyId]);
  });
}
