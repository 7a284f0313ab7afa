import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Reads a small file of the system; undefined when it is not there. */
export type ReadText = (path: string) => string | undefined;

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

/**
 * Threads for one model: one less than the cores this process may use, because two busy threads on two busy cores wait for each other in
 * every layer.
 */
export function defaultThreads(cores: number = availableParallelism(), read: ReadText = readText): number {
  return Math.max(1, Math.floor(Math.min(cores, quotaOf(read))) - 1);
}

/** Cores that the control group may use, fractions included; Infinity where nothing limits it. Source: cgroups(7), v2 and v1. */
function quotaOf(read: ReadText): number {
  const groups = read("/proc/self/cgroup") ?? "";
  let least = Infinity;
  for (const line of groups.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    if (controllers === "") for (const folder of upwards("/sys/fs/cgroup", path)) least = Math.min(least, unified(read, folder));
    else if (controllers.split(",").includes("cpu"))
      for (const folder of upwards("/sys/fs/cgroup/cpu", path)) least = Math.min(least, legacy(read, folder));
  }
  // Within a container the group's own path is often not mounted, only its root.
  return Math.min(least, unified(read, "/sys/fs/cgroup"), legacy(read, "/sys/fs/cgroup/cpu"));
}

/** A group and all above it: the tightest of them holds. */
function upwards(root: string, path: string): readonly string[] {
  const steps = path.split("/").filter((step) => step !== "");
  return steps.map((_, at) => `${root}/${steps.slice(0, at + 1).join("/")}`);
}

function unified(read: ReadText, folder: string): number {
  const [quota, period] = (read(`${folder}/cpu.max`) ?? "").trim().split(" ").map(Number);
  return share(quota, period);
}

function legacy(read: ReadText, folder: string): number {
  return share(Number(read(`${folder}/cpu.cfs_quota_us`) ?? NaN), Number(read(`${folder}/cpu.cfs_period_us`) ?? NaN));
}

/** `max` and -1 stand for no limit. */
function share(quota: number | undefined, period: number | undefined): number {
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return Infinity;
  return quota / period;
}
