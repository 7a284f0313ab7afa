import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CommandError, DONE, UsageError, type Command } from "./command.ts";
import { initFrom, RIVALS } from "./init-from.ts";

/** The annotated example of the checkout is also the starter: one file to keep right. */
const STARTER = "gimbal.example.yaml";

export const initCommand: Command = {
  name: "init",
  summary: "Write a starter gimbal.yaml with every section explained, or turn another gateway's configuration into one: --from KIND FILE.",
  operands: [],
  // `FILE` belongs to `--from`.
  anyOperands: true,
  flags: {
    config: { value: "FILE", meaning: "File to write. Default: gimbal.yaml." },
    from: { value: "KIND", meaning: `Turn the configuration in FILE into ours, and list what it cannot carry: ${RIVALS}.` },
    out: { value: "FILE", meaning: "With --from: file to write. Default: standard output." },
    force: { meaning: "Overwrite a file that is there." },
  },
  async run(input, deps) {
    const from = input.text("from");
    if (from !== undefined) return initFrom(input, deps, from);
    if (input.operands.length > 0) throw new UsageError(`gimbal init takes no argument "${input.operands[0]}" without --from.`);
    if (input.text("out") !== undefined) throw new UsageError("--out goes with --from; the starter is written to --config.");
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
