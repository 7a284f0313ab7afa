import { existsSync } from "node:fs";
import { ProblemError } from "../canon/index.ts";
import { migrateRecord, pendingUpgrade, upgradeFolder } from "../stores/index.ts";
import { CommandError, DONE, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { DATA_FLAG, databaseUrlOf, dataFolderOf } from "./settings.ts";

/** One database, and what was or would be done to it. */
interface Upgraded {
  readonly database: string;
  readonly from: number;
  readonly to: number;
  readonly steps: readonly string[];
  readonly backup?: string;
}

export const migrateCommand: Command = {
  name: "migrate",
  summary: "Bring the record's tables to this version. Of PostgreSQL make a backup first (pg_dump); of SQLite a copy is made.",
  operands: [],
  flags: {
    "dry-run": { meaning: "Say which steps are missing, and keep nothing; in PostgreSQL they are tried out and taken back." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const dry = input.has("dry-run");
    let all: readonly Upgraded[];
    try {
      all = await upgrade(input, deps, dry);
    } catch (error) {
      if (error instanceof ProblemError) throw new CommandError(error.problem.message);
      throw error;
    }
    if (input.json) deps.out(`${JSON.stringify({ dryRun: dry, databases: all })}\n`);
    else for (const one of all) deps.out(linesOf(one, dry));
    return DONE;
  },
};

async function upgrade(input: Input, deps: CliDeps, dry: boolean): Promise<readonly Upgraded[]> {
  const url = databaseUrlOf(deps);
  if (url !== undefined) {
    const { version, newest, pending } = await migrateRecord(url, deps.clock, dry);
    return [{ database: "PostgreSQL", from: version, to: newest, steps: pending.map(({ number, name }) => `${number} ${name}`) }];
  }
  const folder = dataFolderOf(input, deps);
  if (!existsSync(folder)) throw new CommandError(`There is no data folder ${folder}: the first start makes its record.`);
  const found = dry ? pendingUpgrade(folder) : upgradeFolder(folder, "cli", deps.clock.now());
  return found.map(({ file, ...rest }) => ({ database: file, ...rest }));
}

function linesOf({ database, from, to, steps, backup }: Upgraded, dry: boolean): string {
  if (steps.length === 0) return `${database}: version ${to}, nothing to do.\n`;
  const lines = [`${database}: from version ${from} to ${to}${dry ? ", not kept" : ""}`, ...steps.map((step) => `  ${step}`)];
  if (backup !== undefined) lines.push(`  The copy from before: ${backup}`);
  return `${lines.join("\n")}\n`;
}
