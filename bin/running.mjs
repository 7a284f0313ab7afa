// Which programs of this checkout are running: nobody may replace the packages that they load from. Runs on any Node >= 18.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folderOf = (root) => join(root, ".runtime/running");

/** Leaves word that this process runs a program of the checkout, until it ends. A folder that cannot be written is no trouble. */
export function noteRunning(root) {
  const file = join(folderOf(root), `${process.pid}`);
  try {
    mkdirSync(folderOf(root), { recursive: true });
    writeFileSync(file, startOf(process.pid));
  } catch {
    return;
  }
  process.once("exit", () => rmSync(file, { force: true }));
}

/** Ids of the processes, besides this one, that run a program of the checkout. What those that were killed left behind is cleared. */
export function runningPrograms(root) {
  let names;
  try {
    names = readdirSync(folderOf(root));
  } catch {
    return [];
  }
  return names.map(Number).filter((pid) => {
    if (pid === process.pid || !Number.isInteger(pid)) return false;
    const file = join(folderOf(root), `${pid}`);
    if (isRunning(pid) && isTheSame(file, pid)) return true;
    rmSync(file, { force: true });
    return false;
  });
}

/** Process ids are given out again, in containers soon: where the system tells when a process began, that must agree. */
function isTheSame(file, pid) {
  try {
    const noted = readFileSync(file, "utf8");
    return noted === "" || noted === startOf(pid);
  } catch {
    return false;
  }
}

/** Clock ticks from boot to the process's start (proc_pid_stat(5), field 22); empty on systems that do not tell. */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, and may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

export function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
