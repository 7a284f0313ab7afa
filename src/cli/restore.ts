import { resolve } from "node:path";
import { ProblemError } from "../canon/index.ts";
import { restoreFolder } from "../stores/index.ts";
import { CommandError, DONE, UsageError, type Command } from "./command.ts";
import { DATA_FLAG, dataFolderOf, refuseDatabase } from "./settings.ts";

export const restoreCommand: Command = {
  name: "restore",
  summary: "Put a backup in place of the record; the gateway must be stopped.",
  operands: [],
  flags: { from: { value: "DIR", meaning: "Folder that gimbal backup made; needed." }, ...DATA_FLAG },
  async run(input, deps) {
    refuseDatabase(deps, 'pg_restore --clean --if-exists --dbname="$GIMBAL_DATABASE_URL" gimbal.dump, with every gateway stopped');
    const from = input.text("from");
    if (from === undefined) throw new UsageError("gimbal restore needs --from DIR.");
    const folder = dataFolderOf(input, deps);
    try {
      const { manifest, aside } = await restoreFolder(resolve(deps.cwd, from), folder, "cli", deps.clock.now());
      const names = manifest.files.map(({ name }) => name);
      if (input.json) deps.out(`${JSON.stringify({ folder, files: names, ...(aside !== undefined && { aside }) })}\n`);
      else {
        deps.out(`${names.join(", ")} of ${new Date(manifest.createdAt).toISOString()} are in ${folder}.\n`);
        if (aside !== undefined) deps.out(`What was there is in ${aside}.\n`);
      }
      return DONE;
    } catch (error) {
      if (error instanceof ProblemError) throw new CommandError(error.problem.message);
      throw error;
    }
  },
};
