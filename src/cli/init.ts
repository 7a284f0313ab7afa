import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CommandError, DONE, type Command } from "./command.ts";

/** The annotated example of the checkout is also the starter: one file to keep right. */
const STARTER = "gimbal.example.yaml";

export const initCommand: Command = {
  name: "init",
  summary: "Write a starter gimbal.yaml with every section explained.",
  operands: [],
  flags: {
    config: { value: "FILE", meaning: "File to write. Default: gimbal.yaml." },
    force: { meaning: "Overwrite a file that is there." },
  },
  async run(input, deps) {
    const file = resolve(deps.cwd, input.text("config") ?? "gimbal.yaml");
    if (existsSync(file) && !input.has("force")) throw new CommandError(`${file} is there already; --force overwrites it.`);
    const starter = await readFile(join(deps.root, STARTER), "utf8");
    try {
      await writeFile(file, starter, { flag: input.has("force") ? "w" : "wx" });
    } catch (error) {
      throw new CommandError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
    }
    deps.out(input.json ? `${JSON.stringify({ file })}\n` : `Wrote ${file}. Start with: gimbal serve --config ${file}\n`);
    return DONE;
  },
};
