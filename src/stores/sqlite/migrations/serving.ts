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
  {
    number: 2,
    name: "answers for identical calls",
    // The tags and the sum of bytes follow their answers, whoever deletes those.
    sql: `
      CREATE TABLE cached_answers (
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        model TEXT NOT NULL,
        target TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        fresh_until INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        tags TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, key)
      ) STRICT;
      CREATE INDEX cached_answers_by_expiry ON cached_answers (expires_at);
      CREATE TABLE cache_tags (
        tag TEXT NOT NULL,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (tag, scope, key)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX cache_tags_by_key ON cache_tags (scope, key);
      CREATE TABLE cache_state (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
      INSERT INTO cache_state VALUES (1, 0, 0);
      CREATE TRIGGER cached_answer_gone AFTER DELETE ON cached_answers BEGIN
        UPDATE cache_state SET bytes = bytes - OLD.bytes;
        DELETE FROM cache_tags WHERE scope = OLD.scope AND key = OLD.key;
      END;
    `,
  },
  {
    number: 3,
    name: "idempotency keys",
    sql: `
      CREATE TABLE idempotency (
        scope TEXT NOT NULL,
        key_hash TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        call_id TEXT NOT NULL,
        node TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        key_id TEXT,
        sealed BLOB,
        UNIQUE (scope, key_hash)
      ) STRICT;
      CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
    `,
  },
  {
    number: 4,
    name: "files and batches",
    sql: `
      CREATE TABLE kept_files (
        scope TEXT NOT NULL,
        id TEXT NOT NULL,
        purpose TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, id)
      ) STRICT;
      CREATE INDEX kept_files_by_age ON kept_files (scope, created_at, id);
      CREATE INDEX kept_files_by_expiry ON kept_files (expires_at);
      CREATE TABLE file_pieces (
        scope TEXT NOT NULL,
        id TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, id)
      ) STRICT;
      CREATE INDEX file_pieces_by_expiry ON file_pieces (expires_at);
      CREATE TABLE batches (
        scope TEXT NOT NULL,
        id TEXT NOT NULL,
        dialect TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        over INTEGER NOT NULL,
        cancelled_at INTEGER,
        node TEXT,
        leased_until INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, id)
      ) STRICT;
      CREATE INDEX batches_by_age ON batches (scope, dialect, created_at, id);
      CREATE INDEX batches_open ON batches (created_at) WHERE over = 0;
      CREATE INDEX batches_by_expiry ON batches (expires_at);
      CREATE TABLE batch_lines (
        scope TEXT NOT NULL,
        id TEXT NOT NULL,
        outcome TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (scope, id)
      ) STRICT;
      CREATE INDEX batch_lines_by_expiry ON batch_lines (expires_at);
    `,
  },
];
