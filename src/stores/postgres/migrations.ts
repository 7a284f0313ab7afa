/** One step forward. Steps are numbered from 1 without gaps and never change once released; there is no way back but the backup. */
export interface PostgresMigration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/**
 * The tables, in the schema the connection looks in. Times are milliseconds since 1970 and money is nanodollars, both `bigint`; `sealed` is
 * nonce, tag and ciphertext of AES-256-GCM under the key that `key_id` names. The ledger's `seq` rises with time, over all gateways about.
 */
export const postgresMigrations: readonly PostgresMigration[] = [
  {
    number: 1,
    name: "the record and the serving data",
    sql: `
      CREATE TABLE ledger (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        call_id text NOT NULL UNIQUE,
        state text NOT NULL,
        started_at bigint NOT NULL,
        caller_id text NOT NULL,
        caller_name text NOT NULL,
        team text,
        project text,
        dialect text NOT NULL,
        operation text NOT NULL,
        model text NOT NULL,
        target text,
        stream smallint NOT NULL,
        fast_path smallint NOT NULL,
        input_uncached bigint NOT NULL,
        cache_read bigint NOT NULL,
        cache_write_5m bigint NOT NULL,
        cache_write_1h bigint NOT NULL,
        output bigint NOT NULL,
        reasoning bigint NOT NULL,
        usage_estimated smallint NOT NULL,
        cost_nanodollars bigint,
        price_version text NOT NULL,
        ready_ms double precision NOT NULL,
        first_output_ms double precision,
        total_ms double precision NOT NULL,
        problem text,
        session text,
        config_version bigint NOT NULL,
        detail text NOT NULL
      );
      CREATE TABLE open_calls (
        call_id text PRIMARY KEY,
        started_at bigint NOT NULL,
        caller_id text NOT NULL,
        model text NOT NULL,
        dialect text NOT NULL,
        input_estimate bigint NOT NULL,
        node text NOT NULL,
        holds text
      );
      CREATE TABLE counters (
        key text NOT NULL,
        begins bigint NOT NULL,
        ends bigint NOT NULL,
        refill_ms bigint NOT NULL,
        spent bigint NOT NULL,
        leased bigint NOT NULL,
        at double precision NOT NULL,
        contended_until bigint NOT NULL,
        PRIMARY KEY (key, begins)
      );
      CREATE INDEX counters_by_end ON counters (ends);
      CREATE TABLE leases (
        key text NOT NULL,
        begins bigint NOT NULL,
        node text NOT NULL,
        leased bigint NOT NULL,
        turn bigint NOT NULL,
        granted bigint NOT NULL,
        asked smallint NOT NULL,
        PRIMARY KEY (key, begins, node)
      );
      CREATE INDEX leases_by_node ON leases (node);
      CREATE TABLE nodes (node text PRIMARY KEY, seen_at timestamptz NOT NULL);
      CREATE TABLE keys (
        id text PRIMARY KEY,
        hash text NOT NULL UNIQUE,
        prefix text NOT NULL,
        name text NOT NULL,
        team text,
        project text,
        tags text,
        scopes text NOT NULL,
        limits text NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint,
        revoked_at bigint,
        budgets text
      );
      CREATE TABLE key_generation (one smallint PRIMARY KEY CHECK (one = 1), generation bigint NOT NULL);
      INSERT INTO key_generation VALUES (1, 0);
      CREATE TABLE config_versions (
        version bigint PRIMARY KEY,
        created_at bigint NOT NULL,
        author text NOT NULL,
        text text NOT NULL,
        rollback_of bigint
      );
      CREATE TABLE config_in_force (version bigint NOT NULL, node text NOT NULL, at bigint NOT NULL, PRIMARY KEY (version, node));
      CREATE TABLE switches (
        id text PRIMARY KEY,
        kind text NOT NULL,
        scope text NOT NULL,
        value text NOT NULL,
        author text NOT NULL,
        reason text,
        created_at bigint NOT NULL
      );
      CREATE TABLE audit (sequence bigint PRIMARY KEY, id text NOT NULL UNIQUE, hash text NOT NULL, text text NOT NULL);
      CREATE TABLE audit_turn (one smallint PRIMARY KEY CHECK (one = 1));
      INSERT INTO audit_turn VALUES (1);
      CREATE FUNCTION audit_unchanged() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit is only appended to'; END $$;
      CREATE TRIGGER audit_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION audit_unchanged();
      CREATE TABLE audit_checkpoints (size bigint PRIMARY KEY, at bigint NOT NULL, note text NOT NULL, frontier text NOT NULL);
      CREATE TABLE data_keys (key_id text PRIMARY KEY, registered_at timestamptz NOT NULL);

      CREATE TABLE turns (
        scope text NOT NULL,
        id text NOT NULL,
        previous_id text,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, id)
      );
      CREATE INDEX turns_by_expiry ON turns (expires_at);
      CREATE TABLE natives (
        scope text NOT NULL,
        anchor text NOT NULL,
        expires_at bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, anchor)
      );
      CREATE INDEX natives_by_expiry ON natives (expires_at);
      CREATE TABLE idempotency (
        scope text NOT NULL,
        key_hash text NOT NULL,
        fingerprint text NOT NULL,
        call_id text NOT NULL,
        node text NOT NULL,
        expires_at bigint NOT NULL,
        key_id text,
        sealed bytea,
        PRIMARY KEY (scope, key_hash)
      );
      CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

      CREATE TABLE cached_answers (
        scope text NOT NULL,
        key text NOT NULL,
        model text NOT NULL,
        target text NOT NULL,
        created_at bigint NOT NULL,
        fresh_until bigint NOT NULL,
        expires_at bigint NOT NULL,
        tags text NOT NULL,
        bytes bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, key)
      );
      CREATE INDEX cached_answers_by_expiry ON cached_answers (expires_at);
      CREATE TABLE cache_tags (
        tag text NOT NULL,
        scope text NOT NULL,
        key text NOT NULL,
        PRIMARY KEY (tag, scope, key),
        FOREIGN KEY (scope, key) REFERENCES cached_answers ON DELETE CASCADE
      );
      CREATE INDEX cache_tags_by_key ON cache_tags (scope, key);
      CREATE TABLE cache_generation (one smallint PRIMARY KEY CHECK (one = 1), generation bigint NOT NULL);
      INSERT INTO cache_generation VALUES (1, 0);
      -- The sum of bytes in parts, so that gateways do not wait for each other at one row.
      CREATE TABLE cache_bytes (part smallint PRIMARY KEY, bytes bigint NOT NULL);
      INSERT INTO cache_bytes SELECT part, 0 FROM generate_series(0, 15) AS part;

      CREATE SEQUENCE journal_writers;
      CREATE TABLE journal_blocks (
        writer bigint NOT NULL,
        id bigint NOT NULL,
        calls text NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (writer, id)
      );
      -- Sealed bytes cannot be compressed: trying costs and gains nothing.
      ALTER TABLE journal_blocks ALTER COLUMN sealed SET STORAGE EXTERNAL;
      ALTER TABLE turns ALTER COLUMN sealed SET STORAGE EXTERNAL;
      ALTER TABLE natives ALTER COLUMN sealed SET STORAGE EXTERNAL;
      ALTER TABLE cached_answers ALTER COLUMN sealed SET STORAGE EXTERNAL;
      ALTER TABLE idempotency ALTER COLUMN sealed SET STORAGE EXTERNAL;
      CREATE TABLE journal_calls (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        call_id text NOT NULL UNIQUE,
        scope text NOT NULL,
        dialect text NOT NULL,
        node text NOT NULL,
        answer_id text,
        began_at bigint NOT NULL,
        writer bigint NOT NULL,
        first_block bigint NOT NULL,
        last_block bigint,
        last_frame bigint,
        state text NOT NULL,
        expires_at bigint
      );
      CREATE INDEX journal_calls_by_expiry ON journal_calls (expires_at) WHERE expires_at IS NOT NULL;
      CREATE INDEX journal_calls_by_answer ON journal_calls (scope, answer_id) WHERE answer_id IS NOT NULL;
      CREATE INDEX journal_calls_by_writer ON journal_calls (writer, first_block);
      CREATE INDEX journal_calls_open ON journal_calls (node) WHERE state = 'open';
    `,
  },
  {
    number: 2,
    name: "repricings",
    sql: `
      CREATE TABLE repricings (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        call_id text NOT NULL,
        run_id text NOT NULL,
        at bigint NOT NULL,
        price_version text NOT NULL,
        cost_nanodollars bigint,
        previous_nanodollars bigint,
        previous_version text NOT NULL,
        UNIQUE (call_id, run_id)
      );
      CREATE FUNCTION repricings_unchanged() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'repricings are only appended to'; END $$;
      CREATE TRIGGER repricings_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON repricings EXECUTE FUNCTION repricings_unchanged();
    `,
  },
  {
    number: 3,
    name: "lineage",
    sql: `
      CREATE TABLE lineage (call_id text PRIMARY KEY, at bigint NOT NULL, content text NOT NULL);
      CREATE INDEX lineage_by_age ON lineage (at);
      CREATE TABLE lineage_links (
        name text NOT NULL,
        at bigint NOT NULL,
        call_id text NOT NULL REFERENCES lineage ON DELETE CASCADE,
        PRIMARY KEY (name, at, call_id)
      );
      CREATE INDEX lineage_links_by_call ON lineage_links (call_id);
    `,
  },
  {
    number: 4,
    name: "accounts",
    sql: "ALTER TABLE keys ADD COLUMN account text;",
  },
  {
    number: 5,
    name: "sums over the ledger",
    // Which rows wait is noted by triggers, in the rows' own transactions: with several gateways a row's number says nothing about when it was committed.
    sql: `
      CREATE TABLE rollup_state (metadata text NOT NULL, day_values bigint NOT NULL);
      INSERT INTO rollup_state VALUES ('[]', 1000);
      CREATE TABLE rollup_series (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        dimension text NOT NULL,
        value text NOT NULL,
        caller_id text NOT NULL,
        team text NOT NULL,
        project text NOT NULL,
        model text NOT NULL,
        target text NOT NULL,
        UNIQUE (dimension, value, caller_id, team, project, model, target)
      );
      CREATE TABLE rollup_cells (
        level smallint NOT NULL,
        series bigint NOT NULL,
        at bigint NOT NULL,
        latency bytea NOT NULL,
        calls bigint NOT NULL,
        failed bigint NOT NULL,
        cancelled bigint NOT NULL,
        cache_hits bigint NOT NULL,
        cost bigint NOT NULL,
        unknown_costs bigint NOT NULL,
        input bigint NOT NULL,
        cache_read bigint NOT NULL,
        cache_write bigint NOT NULL,
        output bigint NOT NULL,
        reasoning bigint NOT NULL,
        estimated bigint NOT NULL,
        saved bigint NOT NULL,
        PRIMARY KEY (level, series, at)
      );
      CREATE TABLE rollup_waiting (seq bigint PRIMARY KEY);
      CREATE TABLE rollup_waiting_repricings (seq bigint PRIMARY KEY);
      INSERT INTO rollup_waiting SELECT seq FROM ledger;
      INSERT INTO rollup_waiting_repricings SELECT seq FROM repricings;
      CREATE FUNCTION rollup_wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO rollup_waiting SELECT seq FROM added; RETURN NULL; END $$;
      CREATE TRIGGER ledger_waits AFTER INSERT ON ledger REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rollup_wait();
      CREATE FUNCTION rollup_wait_repricings() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO rollup_waiting_repricings SELECT seq FROM added; RETURN NULL; END $$;
      CREATE TRIGGER repricings_wait AFTER INSERT ON repricings REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rollup_wait_repricings();
    `,
  },
  {
    number: 6,
    name: "bounds of teams and projects, denials",
    sql: `
      CREATE TABLE group_bounds (kind text NOT NULL, name text NOT NULL, scopes text NOT NULL, PRIMARY KEY (kind, name));
      CREATE TABLE denials (
        id text PRIMARY KEY,
        kind text NOT NULL,
        issuer text NOT NULL,
        value text NOT NULL,
        author text NOT NULL,
        reason text,
        created_at bigint NOT NULL,
        expires_at bigint
      );
    `,
  },
  {
    number: 7,
    name: "stored prompts and answers",
    // A partition for each day on which something expires, made when it is first needed and dropped when the day is over.
    sql: `
      CREATE TABLE content (
        day integer NOT NULL,
        call_id text NOT NULL,
        caller_id text NOT NULL,
        end_user text,
        at bigint NOT NULL,
        expires_at bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (day, call_id)
      ) PARTITION BY LIST (day);
      CREATE INDEX content_by_call ON content (call_id);
      CREATE INDEX content_by_caller ON content (caller_id);
      CREATE INDEX content_by_end_user ON content (end_user) WHERE end_user IS NOT NULL;
    `,
  },
  {
    number: 8,
    name: "pins of tools",
    sql: `
      CREATE TABLE tool_pins (
        server text NOT NULL,
        tool text NOT NULL,
        hash text NOT NULL,
        author text NOT NULL,
        created_at bigint NOT NULL,
        PRIMARY KEY (server, tool)
      );
    `,
  },
  {
    number: 9,
    name: "files and batches",
    sql: `
      CREATE TABLE kept_files (
        scope text NOT NULL,
        id text COLLATE "C" NOT NULL,
        purpose text NOT NULL,
        bytes bigint NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, id)
      );
      CREATE INDEX kept_files_by_age ON kept_files (scope, created_at, id);
      CREATE INDEX kept_files_by_expiry ON kept_files (expires_at);
      CREATE TABLE file_pieces (
        scope text NOT NULL,
        id text COLLATE "C" NOT NULL,
        expires_at bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, id)
      );
      CREATE INDEX file_pieces_by_expiry ON file_pieces (expires_at);
      CREATE TABLE batches (
        scope text NOT NULL,
        id text COLLATE "C" NOT NULL,
        dialect text NOT NULL,
        created_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        over smallint NOT NULL,
        cancelled_at bigint,
        node text,
        leased_until bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, id)
      );
      CREATE INDEX batches_by_age ON batches (scope, dialect, created_at, id);
      CREATE INDEX batches_open ON batches (created_at) WHERE over = 0;
      CREATE INDEX batches_by_expiry ON batches (expires_at);
      CREATE TABLE batch_lines (
        scope text NOT NULL,
        id text COLLATE "C" NOT NULL,
        outcome text NOT NULL,
        expires_at bigint NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (scope, id)
      );
      CREATE INDEX batch_lines_by_expiry ON batch_lines (expires_at);
    `,
  },
];
