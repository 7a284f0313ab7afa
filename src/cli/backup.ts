import { resolve } from "node:path";
import { ProblemError } from "../canon/index.ts";
import { backupFolder, type BackupManifest } from "../stores/index.ts";
import { CommandError, DONE, UsageError, type Command } from "./command.ts";
import { DATA_FLAG, dataFolderOf, refuseDatabase } from "./settings.ts";

export const backupCommand: Command = {
  name: "backup",
  summary: "Copy the record into a new folder, while the gateway runs.",
  operands: [],
  flags: {
    to: { value: "DIR", meaning: "Folder to make; needed." },
    "with-keys": {
      meaning:
        "Also copy serving.key, admin-token and audit.key: whoever has the copy can then read everything in it. Without: keep them elsewhere.",
    },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    refuseDatabase(deps, 'pg_dump --format=custom --file=gimbal.dump "$GIMBAL_DATABASE_URL", without its schema parameter');
    const to = input.text("to");
    if (to === undefined) throw new UsageError("gimbal backup needs --to DIR.");
    const target = resolve(deps.cwd, to);
    let manifest: BackupManifest;
    try {
      manifest = await backupFolder(dataFolderOf(input, deps), target, input.has("with-keys"), deps.clock.now());
    } catch (error) {
      if (error instanceof ProblemError) throw new CommandError(error.problem.message);
      throw error;
    }
    if (input.json) deps.out(`${JSON.stringify({ folder: target, ...manifest })}\n`);
    else {
      for (const { name, bytes } of manifest.files) deps.out(`${name}: ${bytes} bytes\n`);
      deps.out(`The backup is in ${target}.\n`);
      if (!manifest.keys)
        deps.out("It holds no keys: without the data folder's serving.key, kept turns and configuration versions in it cannot be read.\n");
    }
    return DONE;
  },
};
