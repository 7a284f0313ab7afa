// Finds a Node that is new enough, or installs the pinned one inside the checkout. Runs on any Node >= 18, without dependencies.
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { basename, delimiter, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { Trouble } from "./trouble.mjs";

/** How long npm may take to fetch the runtime, which is about 60 MB. */
const FETCH_LIMIT_MS = 10 * 60 * 1000;
const PROBE_LIMIT_MS = 20 * 1000;
/** npm's own default waits more than a minute before it admits that there is no connection. */
export const NPM_PATIENCE = ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"];
const TAR_BLOCK_BYTES = 512;

export function readPins(root) {
  return JSON.parse(readFileSync(join(root, "bin/runtime.json"), "utf8"));
}

/** Is version `a` (such as `v24.15.0`) at least `b`? A pre-release counts as its release. */
export function atLeast(a, b) {
  const parts = (version) => version.replace(/^v/, "").split(/[.-]/).slice(0, 3).map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let place = 0; place < 3; place++) {
    if (left[place] !== right[place]) return left[place] > right[place];
  }
  return true;
}

/** Where the pinned runtime's program stands, or will stand. */
export function runtimePath(root, pins, platform = `${process.platform}-${process.arch}`) {
  const pin = pins.packages[platform];
  if (!pin) {
    throw new Trouble(
      `Gimbal needs Node ${pins.minimum} or newer; this is ${process.version}, and no prepackaged Node is known for ${platform}: install one from nodejs.org.`,
    );
  }
  return { pin, program: join(root, ".runtime", `node-${pins.version}-${platform}`, basename(pin.binary)) };
}

/** Fetches the pinned package through npm, checks its SHA-512 against the pin, and puts the program in place in one rename. */
export function installRuntime(root, pins, { pin, program }) {
  const folder = dirname(program);
  const scratch = `${folder}.${process.pid}.part`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  try {
    const archive = fetchPackage(`${pin.name}@${pins.version}`, scratch);
    const bytes = readFileSync(archive);
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    if (integrity !== pin.integrity) {
      throw new Trouble(
        `The package ${pin.name}@${pins.version} is not the one pinned in bin/runtime.json (its checksum differs): nothing was installed.`,
      );
    }
    const tar = gunzipSync(bytes);
    const file = readTarFile(tar, `package/${pin.binary}`);
    if (!file) throw new Trouble(`The package ${pin.name}@${pins.version} holds no ${pin.binary}.`);
    writeFileSync(join(scratch, basename(pin.binary)), file);
    rmSync(archive);
    chmodSync(join(scratch, basename(pin.binary)), 0o755);
    probe(join(scratch, basename(pin.binary)), pins);
    rmSync(folder, { recursive: true, force: true });
    renameSync(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function fetchPackage(spec, folder) {
  const [program, ...first] = npmCommand(process.execPath);
  const result = spawnSync(
    program,
    [...first, "pack", spec, "--pack-destination", folder, "--ignore-scripts", "--loglevel=error", ...NPM_PATIENCE],
    {
      cwd: folder,
      encoding: "utf8",
      timeout: FETCH_LIMIT_MS,
      shell: program === "npm" && process.platform === "win32",
    },
  );
  const archive = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith(".tgz")) : undefined;
  if (result.status !== 0 || !archive) {
    throw new Trouble(`npm could not fetch ${spec}: ${lastWords(result)} Check the connection, or install Node 24.15 or newer yourself.`);
  }
  return join(folder, archive);
}

/** A package can be whole and still not run here: another C library, another kernel. */
function probe(program, pins) {
  const result = spawnSync(program, ["--version"], { encoding: "utf8", timeout: PROBE_LIMIT_MS });
  if (result.stdout?.trim() !== `v${pins.version}`) {
    throw new Trouble(`The prepackaged Node ${pins.version} does not run on this system: install Node ${pins.minimum} or newer yourself.`);
  }
}

/**
 * The command that runs npm with a given Node. npm's own JavaScript is started directly where it is found, because the `npm` on the PATH
 * would use the old Node again.
 */
export function npmCommand(node, env = process.env) {
  const cli = findNpmCli(env);
  return cli ? [node, cli] : ["npm"];
}

function findNpmCli(env) {
  const candidates = [];
  if (env.npm_execpath && basename(env.npm_execpath) === "npm-cli.js") candidates.push(env.npm_execpath);
  const beside = (folder) => [join(folder, "node_modules/npm/bin/npm-cli.js"), join(folder, "../lib/node_modules/npm/bin/npm-cli.js")];
  for (const folder of (env.PATH ?? env.Path ?? "").split(delimiter)) {
    const npm = join(folder, "npm");
    if (!folder || !existsSync(npm)) continue;
    const real = realpathSync(npm);
    if (basename(real) === "npm-cli.js") candidates.push(real);
    candidates.push(...beside(folder), ...beside(dirname(real)));
  }
  candidates.push(...beside(dirname(process.execPath)));
  return candidates.find((candidate) => existsSync(candidate));
}

/** The content of one regular file of a tar archive (POSIX ustar, section "pax Interchange Format"), or undefined. */
export function readTarFile(tar, name) {
  const text = (at, length) => tar.toString("utf8", at, at + length).replace(/\0.*$/s, "");
  for (let at = 0; at + TAR_BLOCK_BYTES <= tar.length;) {
    const entry = text(at, 100);
    if (!entry) return undefined;
    const bytes = Number.parseInt(text(at + 124, 12).trim() || "0", 8);
    const start = at + TAR_BLOCK_BYTES;
    if (entry === name) return tar.subarray(start, start + bytes);
    at = start + Math.ceil(bytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
  }
  return undefined;
}

/** The one line of npm's complaint that tells most. */
export function lastWords(result) {
  if (result.error?.code === "ENOENT") return "npm was not found on the PATH.";
  if (result.error?.code === "ETIMEDOUT") return "it took too long.";
  const lines = `${result.stderr ?? ""}`
    .split("\n")
    .map((line) => line.replace(/^npm (error|ERR!)( code)?/i, "").trim())
    .filter((line) => line && !/complete log|A complete|^npm warn/i.test(line));
  const words = lines.slice(0, 2).join(", ").slice(0, 300);
  return words ? `${words}.` : `it ended with code ${result.status}.`;
}
