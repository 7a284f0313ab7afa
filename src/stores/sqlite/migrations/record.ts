import type { Migration } from "../migrate.ts";

/**
 * The record: ledger, keys, configuration versions. Append only: a released step is never changed.
 * `ledger` has no index besides its key: one on a column that jumps (caller, model) makes every commit write as many pages as it has
 * rows, which doubled the cost of a row.
 */
export const recordMigrations: readonly Migration[] = [
  {
    number: 1,
    name: "ledger, keys, configuration",
    sql: `
      CREATE TABLE ledger (
        seq INTEGER PRIMARY KEY,
        call_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        caller_id TEXT NOT NULL,
        caller_name TEXT NOT NULL,
        team TEXT,
        project TEXT,
        dialect TEXT NOT NULL,
        operation TEXT NOT NULL,
        model TEXT NOT NULL,
        target TEXT,
        stream INTEGER NOT NULL,
        fast_path INTEGER NOT NULL,
        input_uncached INTEGER NOT NULL,
        cache_read INTEGER NOT NULL,
        cache_write_5m INTEGER NOT NULL,
        cache_write_1h INTEGER NOT NULL,
        output INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        usage_estimated INTEGER NOT NULL,
        cost_nanodollars INTEGER,
        price_version TEXT NOT NULL,
        ready_ms REAL NOT NULL,
        first_output_ms REAL,
        total_ms REAL NOT NULL,
        problem TEXT,
        session TEXT,
        config_version INTEGER NOT NULL,
        detail TEXT NOT NULL
      ) STRICT;
      CREATE TABLE open_calls (
        call_id TEXT PRIMARY KEY,
        started_at INTEGER NOT NULL,
        caller_id TEXT NOT NULL,
        model TEXT NOT NULL,
        dialect TEXT NOT NULL,
        input_estimate INTEGER NOT NULL,
        node TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        prefix TEXT NOT NULL,
        name TEXT NOT NULL,
        team TEXT,
        project TEXT,
        tags TEXT,
        scopes TEXT NOT NULL,
        limits TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE key_generation (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL) STRICT;
      INSERT INTO key_generation VALUES (1, 0);
      CREATE TABLE config_versions (version INTEGER PRIMARY KEY, created_at INTEGER NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL) STRICT;
      CREATE TABLE probe (one INTEGER PRIMARY KEY CHECK (one = 1), writes INTEGER NOT NULL) STRICT;
      INSERT INTO probe VALUES (1, 0);
    `,
  },
  {
    number: 2,
    name: "rollbacks and switches",
    sql: `
      ALTER TABLE config_versions ADD COLUMN rollback_of INTEGER;
      CREATE TABLE config_in_force (
        version INTEGER NOT NULL,
        node TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (version, node)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE switches (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        scope TEXT NOT NULL,
        value TEXT NOT NULL,
        author TEXT NOT NULL,
        reason TEXT,
        created_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    number: 3,
    name: "audit",
    sql: `
      CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL,
        text TEXT NOT NULL
      ) STRICT;
      CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only appended to'); END;
      CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only appended to'); END;
      CREATE TABLE audit_checkpoints (size INTEGER PRIMARY KEY, at INTEGER NOT NULL, note TEXT NOT NULL, frontier TEXT NOT NULL) STRICT;
    `,
  },
  {
    number: 4,
    name: "budgets",
    sql: `
      ALTER TABLE keys ADD COLUMN budgets TEXT;
      ALTER TABLE open_calls ADD COLUMN holds TEXT;
      CREATE TABLE counters (
        key TEXT NOT NULL,
        begins INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        refill_ms INTEGER NOT NULL,
        spent INTEGER NOT NULL,
        leased INTEGER NOT NULL,
        at REAL NOT NULL,
        contended_until INTEGER NOT NULL,
        PRIMARY KEY (key, begins)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX counters_by_end ON counters (ends);
      CREATE TABLE leases (
        key TEXT NOT NULL,
        begins INTEGER NOT NULL,
        node TEXT NOT NULL,
        leased INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        granted INTEGER NOT NULL,
        asked INTEGER NOT NULL,
        PRIMARY KEY (key, begins, node)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX leases_by_node ON leases (node);
    `,
  },
  {
    number: 5,
    name: "repricings",
    sql: `
      CREATE TABLE repricings (
        seq INTEGER PRIMARY KEY,
        call_id TEXT NOT NULL,
        run_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        price_version TEXT NOT NULL,
        cost_nanodollars INTEGER,
        previous_nanodollars INTEGER,
        previous_version TEXT NOT NULL,
        UNIQUE (call_id, run_id)
      ) STRICT;
      CREATE TRIGGER repricings_unchanged BEFORE UPDATE ON repricings BEGIN SELECT RAISE(ABORT, 'repricings are only appended to'); END;
      CREATE TRIGGER repricings_kept BEFORE DELETE ON repricings BEGIN SELECT RAISE(ABORT, 'repricings are only appended to'); END;
    `,
  },
  {
    number: 6,
    name: "lineage",
    sql: `
      CREATE TABLE lineage (call_id TEXT PRIMARY KEY, at INTEGER NOT NULL, content TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE INDEX lineage_by_age ON lineage (at);
      CREATE TABLE lineage_links (
        name TEXT NOT NULL,
        at INTEGER NOT NULL,
        call_id TEXT NOT NULL,
        PRIMARY KEY (name, at, call_id)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX lineage_links_by_call ON lineage_links (call_id);
      CREATE TRIGGER lineage_forgotten AFTER DELETE ON lineage BEGIN DELETE FROM lineage_links WHERE call_id = old.call_id; END;
    `,
  },
  {
    number: 7,
    name: "accounts",
    sql: "ALTER TABLE keys ADD COLUMN account TEXT;",
  },
  {
    number: 8,
    name: "sums over the ledger",
    sql: `
      CREATE TABLE rollup_state (
        ledger_seq INTEGER NOT NULL,
        repricing_seq INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        day_values INTEGER NOT NULL
      ) STRICT;
      INSERT INTO rollup_state VALUES (0, 0, '[]', 1000);
      CREATE TABLE rollup_series (
        id INTEGER PRIMARY KEY,
        dimension TEXT NOT NULL,
        value TEXT NOT NULL,
        caller_id TEXT NOT NULL,
        team TEXT NOT NULL,
        project TEXT NOT NULL,
        model TEXT NOT NULL,
        target TEXT NOT NULL,
        UNIQUE (dimension, value, caller_id, team, project, model, target)
      ) STRICT;
      CREATE TABLE rollup_cells (
        level INTEGER NOT NULL,
        series INTEGER NOT NULL,
        at INTEGER NOT NULL,
        latency BLOB NOT NULL,
        calls INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        cancelled INTEGER NOT NULL,
        cache_hits INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        unknown_costs INTEGER NOT NULL,
        input INTEGER NOT NULL,
        cache_read INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        output INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        estimated INTEGER NOT NULL,
        saved INTEGER NOT NULL,
        PRIMARY KEY (level, series, at)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    number: 9,
    name: "bounds of teams and projects, denials",
    sql: `
      CREATE TABLE group_bounds (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        PRIMARY KEY (kind, name)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE denials (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        issuer TEXT NOT NULL,
        value TEXT NOT NULL,
        author TEXT NOT NULL,
        reason TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    number: 10,
    name: "pins of tools",
    sql: `
      CREATE TABLE tool_pins (
        server TEXT NOT NULL,
        tool TEXT NOT NULL,
        hash TEXT NOT NULL,
        author TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (server, tool)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];
