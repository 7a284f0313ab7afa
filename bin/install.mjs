// Installs the dependencies of the lock file when they are missing or belong to another lock file.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { isRunning, runningPrograms } from "./running.mjs";
import { lastWords, npmCommand, NPM_PATIENCE } from "./runtime.mjs";
import { Trouble } from "./trouble.mjs";

const INSTALL_LIMIT_MS = 15 * 60 * 1000;
/** How long a start waits for another one that is installing, and how often it looks. */
const LOCK_LIMIT_MS = 20 * 60 * 1000;
const LOCK_POLL_MS = 150;
/** Clearing an abandoned lock takes microseconds; whoever has been at it this long has died over it. */
const CLEARING_LIMIT_MS = 10 * 1000;

/** What must be installed, as text to compare with the stamp: the lock file's hash and the platform its optional packages were chosen for. */
export function wantedStamp(root) {
  const hash = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  return `${hash} ${process.platform}-${process.arch}`;
}

function stampPath(root) {
  return join(root, "node_modules/.gimbal-installed.json");
}

/** Are the dependencies in place? A full installation also serves those who need only the production part. */
export function isInstalled(root, { development }) {
  const stamp = readStamp(root);
  if (stamp?.for !== wantedStamp(root)) return adoptInstallation(root, development);
  return stamp.development || !development;
}

function readStamp(root) {
  try {
    return JSON.parse(readFileSync(stampPath(root), "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * Somebody ran npm by hand: when npm's own record of what it installed agrees with the lock file, that is as good as our installation, and
 * is stamped instead of being thrown away.
 */
function adoptInstallation(root, development) {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, "node_modules/.package-lock.json"), "utf8")).packages;
  } catch {
    return false;
  }
  const wanted = Object.entries(JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages);
  const holds = (withDevelopment) =>
    wanted.every(([path, entry]) => {
      if (path === "" || entry.optional || entry.devOptional || (entry.dev && !withDevelopment)) return true;
      return installed[path]?.version === entry.version && existsSync(join(root, path));
    });
  if (!holds(development)) return false;
  writeStamp(root, development || holds(true));
  return true;
}

function writeStamp(root, development) {
  const path = stampPath(root);
  const part = `${path}.${process.pid}`;
  writeFileSync(part, `${JSON.stringify({ for: wantedStamp(root), development })}\n`);
  renameSync(part, path);
}

/**
 * Runs `npm ci` with the given Node, so that npm chooses packages for the Node that will use them. npm begins by deleting what is there, so
 * nothing may be running that loads from it: a gateway would break at the first module it had not loaded yet. Who develops here keeps the
 * tools of development, although a start alone would not need them.
 */
export function installDependencies(root, node, { development }) {
  const running = runningPrograms(root);
  if (running.length > 0) {
    const [which, them] = running.length === 1 ? [`process ${running[0]} runs`, "it"] : [`processes ${running.join(", ")} run`, "them"];
    throw new Trouble(
      `The dependencies must be installed anew, but ${which} from this checkout, and installing would take the packages away beneath ${them}. Stop ${them} first, or use another clone.`,
    );
  }
  const [program, ...first] = npmCommand(node);
  const whole = development || readStamp(root)?.development === true;
  const selection = whole ? ["--include=dev"] : ["--omit=dev"];
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--no-progress", ...NPM_PATIENCE];
  const result = spawnSync(program, [...first, "ci", ...selection, ...quiet], {
    cwd: root,
    encoding: "utf8",
    timeout: INSTALL_LIMIT_MS,
    env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}` },
    stdio: ["ignore", "ignore", "pipe"],
    shell: program === "npm" && process.platform === "win32",
  });
  if (result.status !== 0) {
    // What is half installed must not be taken for whole at the next start.
    rmSync(stampPath(root), { force: true });
    throw new Trouble(`npm could not install the dependencies: ${lastWords(result)} Check the connection and start again.`);
  }
  writeStamp(root, whole);
}

/**
 * Runs `work` while no other start of this checkout does. The lock is a folder (made in one step) that names its owner; a lock whose owner
 * is gone is taken over.
 */
export async function alone(root, say, work) {
  const lock = join(root, ".runtime/lock");
  mkdirSync(dirname(lock), { recursive: true });
  const until = Date.now() + LOCK_LIMIT_MS;
  let told = false;
  while (!take(lock)) {
    if (Date.now() > until) throw new Trouble(`Another start has been installing for too long; if none is running, remove ${lock}.`);
    if (!told) say("Waiting for another start of Gimbal that is installing.");
    told = true;
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  const release = () => rmSync(lock, { recursive: true, force: true });
  process.once("exit", release);
  try {
    return work();
  } finally {
    process.off("exit", release);
    release();
  }
}

function take(lock) {
  const owner = join(lock, "owner");
  try {
    mkdirSync(lock);
    writeFileSync(owner, `${process.pid}`);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw new Trouble(`The checkout cannot be written to (${error.code}): ${lock}.`);
  }
  let pid;
  try {
    pid = Number(readFileSync(owner, "utf8"));
  } catch {
    return false; // its owner is just writing its name, or has just left
  }
  if (pid && isRunning(pid)) return false;
  clearAbandoned(lock, owner, pid);
  return false;
}

/**
 * Removes a lock whose owner is gone. Only one at a time may do so, and looks again first: otherwise the second of two who found the lock
 * abandoned could remove the fresh lock of a third.
 */
function clearAbandoned(lock, owner, pid) {
  const clearing = `${lock}.clearing`;
  try {
    mkdirSync(clearing);
  } catch {
    if (Date.now() - (statSync(clearing, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > CLEARING_LIMIT_MS)
      rmSync(clearing, { recursive: true, force: true });
    return;
  }
  try {
    if (Number(readFileSync(owner, "utf8")) === pid) rmSync(lock, { recursive: true, force: true });
  } catch {
    // It is gone already: that is what was wanted.
  } finally {
    rmSync(clearing, { recursive: true, force: true });
  }
}
