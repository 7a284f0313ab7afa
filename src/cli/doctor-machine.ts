import { existsSync } from "node:fs";
import { readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { ProblemError } from "../canon/index.ts";
import { DEFAULT_HOST, DEFAULT_PORT, type GimbalConfig } from "../config/index.ts";
import { migrateRecord } from "../stores/index.ts";
import { UsageError, type Input } from "./command.ts";
import type { CliDeps, ServeSettings } from "./deps.ts";
import { failure, ok, warning, type Finding } from "./finding.ts";
import { runningServer, TOKEN_FILE } from "./running.ts";
import { databaseUrlOf, dataFolderOf, settingsOf } from "./settings.ts";

const OLDEST_NODE = [24, 15] as const;
const MEBIBYTE = 1024 * 1024;
const LEAST_FREE_BYTES = 100 * MEBIBYTE;
const LITTLE_FREE_BYTES = 1024 * MEBIBYTE;
/** A file just written is this old at most, in milliseconds, unless clock and file system disagree. */
const SKEW_MS = 5000;
/** This program was not yet written then; a clock that says so is wrong. */
const EPOCH = Date.UTC(2026, 0, 1);
/** Files that others of this machine must not read. */
const SECRET_FILES = [TOKEN_FILE, "serving.key", "audit.key"];

export function checkRuntime(deps: CliDeps): readonly Finding[] {
  const [major = 0, minor = 0] = deps.nodeVersion.split(".").map(Number);
  const fits = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return fits
    ? [ok("runtime", `Node ${deps.nodeVersion}.`)]
    : [
        failure(
          "runtime",
          `Node ${deps.nodeVersion} is too old.`,
          `Start with ./bin/gimbal or npm start, which bring their own Node, or install ${OLDEST_NODE.join(".")} or newer.`,
        ),
      ];
}

/** Does the database answer, and are its tables this version's? */
export async function checkDatabase(deps: CliDeps): Promise<readonly Finding[]> {
  const url = databaseUrlOf(deps);
  if (url === undefined) return [];
  try {
    const { version, pending } = await migrateRecord(url, deps.clock, true);
    if (pending.length === 0) return [ok("database", "PostgreSQL answers, and its tables are this version's.")];
    if (version === 0) return [ok("database", "PostgreSQL answers; the first start makes the tables.")];
    return [
      failure("database", "PostgreSQL answers, and its tables are an older version's.", "Back it up (pg_dump), then run: gimbal migrate"),
    ];
  } catch (error) {
    const message = error instanceof ProblemError ? error.problem.message : messageOf(error);
    return [failure("database", message, "Correct GIMBAL_DATABASE_URL, or unset it to keep the record in the data folder.")];
  }
}

/** Can it be written, is there room, is it held by one gateway only, are its secrets kept? */
export async function checkFolder(input: Input, deps: CliDeps): Promise<readonly Finding[]> {
  const folder = dataFolderOf(input, deps);
  const isNew = !existsSync(folder);
  const probe = isNew ? nearestFolder(folder) : folder;
  const findings: Finding[] = [];
  try {
    await writeProbe(probe, deps);
  } catch (error) {
    return [
      failure(
        "data folder",
        `${probe} cannot be written: ${messageOf(error)}.`,
        "Give this user the right to write there, or choose another folder with --data.",
      ),
    ];
  }
  findings.push(
    ok("data folder", isNew ? `${folder} does not exist yet and can be made.` : `${folder} can be written.`),
    await checkSpace(probe),
  );
  if (!isNew) findings.push(...(await checkSecrets(folder)), ...(await checkLock(folder, deps)));
  return findings;
}

function nearestFolder(folder: string): string {
  let at = folder;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

async function writeProbe(folder: string, deps: CliDeps): Promise<{ readonly writtenAt: number; readonly fileTime: number }> {
  const file = join(folder, deps.randomness.id(".gimbal-probe-"));
  const writtenAt = deps.clock.now();
  await writeFile(file, "", { flag: "wx" });
  try {
    return { writtenAt, fileTime: (await stat(file)).mtimeMs };
  } finally {
    await rm(file, { force: true });
  }
}

async function checkSpace(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const detail = `${Math.floor(free / MEBIBYTE)} MiB are free.`;
  if (free < LEAST_FREE_BYTES) return failure("disk", detail, "Make room: calls are refused when their rows cannot be written.");
  return free < LITTLE_FREE_BYTES ? warning("disk", detail, "Make room soon: the ledger grows with every call.") : ok("disk", detail);
}

async function checkSecrets(folder: string): Promise<readonly Finding[]> {
  if (process.platform === "win32") return [];
  const findings: Finding[] = [];
  for (const name of SECRET_FILES) {
    const file = join(folder, name);
    const mode = existsSync(file) ? (await stat(file)).mode & 0o077 : 0;
    if (mode !== 0)
      findings.push(failure("secrets", `Others on this machine can read ${file}.`, `Run: chmod 600 ${file}; then replace what it holds.`));
  }
  return findings;
}

async function checkLock(folder: string, deps: CliDeps): Promise<readonly Finding[]> {
  const server = await runningServer(folder, deps);
  if (server) return [ok("lock", `A gateway serves from it at ${server.url} (process ${server.pid}).`)];
  if ((await readdir(folder)).length === 0) return [];
  try {
    await (await deps.openStores(folder)).close();
    return [ok("record", "The record opens, and nobody else holds it.")];
  } catch (error) {
    const message = error instanceof ProblemError ? error.problem.message : messageOf(error);
    return [failure("record", message, "Stop the process that holds it, or choose another folder with --data.")];
  }
}

/** Keys expire and limits refill by the clock, and logins break when it is wrong. */
export async function checkClock(input: Input, deps: CliDeps): Promise<readonly Finding[]> {
  const now = deps.clock.now();
  const shown = new Date(now).toISOString();
  if (now < EPOCH) return [failure("clock", `The clock says ${shown}.`, "Set the clock, or let a time service do it.")];
  try {
    const { writtenAt, fileTime } = await writeProbe(nearestFolder(dataFolderOf(input, deps)), deps);
    const skew = Math.abs(fileTime - writtenAt);
    if (skew > SKEW_MS)
      return [
        warning(
          "clock",
          `Clock and file system differ by ${Math.round(skew / 1000)} s.`,
          "Let one time service set both; a network drive has a clock of its own.",
        ),
      ];
  } catch {
    // That the folder cannot be written has its own finding.
  }
  return [ok("clock", `${shown}.`)];
}

export async function checkPort(input: Input, config: GimbalConfig | undefined, deps: CliDeps): Promise<readonly Finding[]> {
  let settings: ServeSettings;
  try {
    settings = settingsOf(withoutConfig(input), {
      ...deps,
      env: { ...deps.env, GIMBAL_CONFIG: undefined },
    });
  } catch (error) {
    if (error instanceof UsageError) return [failure("port", error.message, "Correct it.")];
    throw error;
  }
  const port = settings.port ?? config?.serve.port ?? DEFAULT_PORT;
  const host = settings.host ?? config?.serve.host ?? DEFAULT_HOST;
  if (port === 0) return [ok("port", "Any free port.")];
  const fault = await tryListen(host, port);
  if (fault === undefined) return [ok("port", `${host}:${port} is free.`)];
  const server = await runningServer(settings.dataFolder, deps);
  if (fault === "EADDRINUSE" && server?.url.endsWith(`:${port}`))
    return [ok("port", `${host}:${port} is served by the gateway of this data folder.`)];
  if (fault === "EADDRINUSE")
    return [
      failure("port", `${host}:${port} is taken by another program.`, "Stop it, or choose another port with --port (0 picks a free one)."),
    ];
  return [
    failure("port", `${host}:${port} cannot be listened on (${fault}).`, "Choose an address of this machine, and a port above 1023."),
  ];
}

/** A missing file has its own finding. */
function withoutConfig(input: Input): Input {
  return { ...input, text: (flag) => (flag === "config" ? undefined : input.text(flag)) };
}

function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((answer) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => answer(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => answer(undefined)));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
