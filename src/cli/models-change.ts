import { CommandError, DONE, table, UsageError, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { askServer, runningServer } from "./running.ts";
import { DATA_FLAG, settingsOf } from "./settings.ts";

/** What the admin API says of one version. */
export interface Version {
  readonly version: number;
  readonly createdAt: number;
  readonly author: string;
  readonly rollbackOf?: number;
  readonly inForce?: { readonly first: number; readonly last: number; readonly processes: number };
  readonly tookMs?: number;
  readonly stoodMs?: number;
  readonly changed?: { readonly added: number; readonly removed: number };
}

/** Asks the gateway that serves from the data folder. @throws CommandError when none runs */
export async function askRunning<T>(input: Input, deps: CliDeps, method: string, path: string, body?: unknown): Promise<T> {
  const folder = settingsOf(input, deps).dataFolder;
  const server = await runningServer(folder, deps);
  if (!server) throw new CommandError(`No gateway runs on the data folder ${folder}. Start one, or name its folder with --data.`);
  return (await askServer(server, folder, deps, method, path, body)) as T;
}

/** `a/b=3` and the like, one pair an argument, separated by commas. @throws UsageError */
function weightsOf(text: string): Record<string, number> {
  const pairs = text.split(",").map((pair): readonly [string, number] => {
    const at = pair.lastIndexOf("=");
    const weight = Number(pair.slice(at + 1));
    if (at < 1 || pair.slice(at + 1).trim() === "" || !(weight >= 0))
      throw new UsageError(`Weights are written provider/model=3,other/model=1; "${pair}" is no such pair.`);
    return [pair.slice(0, at).trim(), weight];
  });
  return Object.fromEntries(pairs);
}

/** Says that a new version is in force. */
export function changeTold(version: Version, input: Input, deps: CliDeps): number {
  if (input.json) deps.out(`${JSON.stringify(version)}\n`);
  else {
    const what = version.rollbackOf === undefined ? "" : `, which is version ${version.rollbackOf} again,`;
    deps.err(`Version ${version.version}${what} is in force${version.tookMs === undefined ? "" : ` after ${version.tookMs} ms`}.\n`);
  }
  return DONE;
}

const set: Command = {
  name: "models set",
  summary: "Change where a model's calls go: a new version of the configuration, in force at once.",
  operands: ["MODEL"],
  flags: {
    targets: { value: "LIST", meaning: "Its targets, as provider/model, separated by commas." },
    strategy: { value: "NAME", meaning: "How one of them is chosen." },
    weights: { value: "LIST", meaning: "Weights of its targets: provider/model=3,other/model=1." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const targets = input
      .text("targets")
      ?.split(",")
      .map((target) => target.trim());
    const [strategy, weights] = [input.text("strategy"), input.text("weights")];
    if (targets === undefined && strategy === undefined && weights === undefined)
      throw new UsageError("Say what to change: --targets, --strategy or --weights.");
    const [model = ""] = input.operands;
    const change = {
      ...(targets && { targets }),
      ...(strategy !== undefined && { strategy }),
      ...(weights !== undefined && { weights: weightsOf(weights) }),
    };
    return changeTold(await askRunning<Version>(input, deps, "PATCH", pathOf(model), change), input, deps);
  },
};

export function pathOf(model: string): string {
  return `/models/${model.split("/").map(encodeURIComponent).join("/")}`;
}

const versions: Command = {
  name: "models versions",
  summary: "List the versions of a running gateway's configuration, the newest first.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const answer = await askRunning<{ inForce: number; versions: readonly Version[] }>(input, deps, "GET", "/config/versions");
    if (input.json) deps.out(`${JSON.stringify(answer)}\n`);
    else {
      const rows = answer.versions.map((one) => cellsOf(one, answer.inForce));
      deps.out(`${table(["VERSION", "MADE", "AUTHOR", "LINES", "IN FORCE AFTER", ""], rows)}\n`);
    }
    return DONE;
  },
};

function cellsOf(version: Version, inForce: number): string[] {
  const { changed, tookMs, rollbackOf } = version;
  return [
    String(version.version),
    new Date(version.createdAt).toISOString(),
    version.author,
    changed ? `+${changed.added} -${changed.removed}` : "-",
    tookMs === undefined ? "-" : `${tookMs} ms`,
    [version.version === inForce ? "in force" : "", rollbackOf === undefined ? "" : `version ${rollbackOf} again`]
      .filter((part) => part !== "")
      .join(", "),
  ];
}

const show: Command = {
  name: "models diff",
  summary: "Show what a version of the configuration changed.",
  operands: ["VERSION"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const number = versionNumber(input.operands[0] ?? "");
    const answer = await askRunning<Version & { diff: string }>(input, deps, "GET", `/config/versions/${number}`);
    if (input.json) deps.out(`${JSON.stringify(answer)}\n`);
    else deps.out(answer.diff === "" ? "Nothing.\n" : answer.diff);
    return DONE;
  },
};

const rollback: Command = {
  name: "models rollback",
  summary: "Put an earlier version of the configuration in force again.",
  operands: ["VERSION"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const version = versionNumber(input.operands[0] ?? "");
    return changeTold(await askRunning<Version>(input, deps, "POST", "/config/rollback", { version }), input, deps);
  },
};

function versionNumber(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`A version is a number such as 3, not "${text}".`);
  return Number(text);
}

export const CHANGE_COMMANDS: readonly Command[] = [set, versions, show, rollback];
