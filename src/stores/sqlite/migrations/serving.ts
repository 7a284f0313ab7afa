import type { Migration } from "../migrate.ts";

/**
 * Serving data, in a file of its own: it is erasable (deleting the file erases it all), and what is deleted is overwritten. `sealed` is
 * nonce, tag and ciphertext of AES-256-GCM under the key that `key_id` names.
 */
export const servingMigrations: readonly Migration[] = [
  {
    number: 1,
    name: "kept turns and native items",
    sql: `
      CREATE TABLE turns (
        scope TEXT NOT NULL,
        id TEXT NOT NULL,
        previous_id TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, id)
      ) STRICT;
      CREATE INDEX turns_by_expiry ON turns (expires_at);
      CREATE TABLE natives (
        scope TEXT NOT NULL,
        anchor TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, anchor)
      ) STRICT;
      CREATE INDEX natives_by_expiry ON natives (expires_at);
    `,
  },
];
