import { readFile, stat, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "yaml";
import type { Json, JsonObject } from "../canon/index.ts";
import { providerKinds } from "../providers/catalog.ts";
import { CommandError, DONE, UsageError, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import type { Draft } from "./init-draft.ts";
import { fromLitellm } from "./init-litellm.ts";
import { fromPortkey } from "./init-portkey.ts";

const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** Whose configurations can be read. */
const READERS: Readonly<Record<string, (config: JsonObject, kinds: readonly string[]) => Draft>> = {
  litellm: fromLitellm,
  portkey: fromPortkey,
};
export const RIVALS = Object.keys(READERS).join(", ");

/** Turns another gateway's configuration into ours, and lists what it could not carry. */
export async function initFrom(input: Input, deps: CliDeps, from: string): Promise<number> {
  const reader = Object.hasOwn(READERS, from) ? READERS[from] : undefined;
  if (!reader) throw new UsageError(`--from takes ${RIVALS}, not "${from}".`);
  const [operand, ...more] = input.operands;
  if (operand === undefined || more.length > 0) throw new UsageError(`gimbal init --from ${from} needs FILE, and nothing else.`);
  const draft = reader(await objectOf(resolve(deps.cwd, operand)), providerKinds);
  const text = draft.text(`a ${from} configuration`);
  const out = input.text("out");
  const file = out === undefined ? undefined : resolve(deps.cwd, out);
  if (file !== undefined) await write(file, text, input.has("force"));
  const variables = [...draft.variables].toSorted();
  if (input.json) {
    deps.out(`${JSON.stringify({ ...(file === undefined ? { config: text } : { file }), variables, notCarried: draft.left })}\n`);
    return DONE;
  }
  deps.out(file === undefined ? text : `Wrote ${file}.\n`);
  const told = draft.left.map(({ path, reason }) => `  ${path}: ${reason}\n`);
  if (told.length > 0) deps.err(`Not carried:\n${told.join("")}`);
  if (variables.length > 0) deps.err(`To be set in the environment: ${variables.join(", ")}\n`);
  return DONE;
}

async function objectOf(file: string): Promise<JsonObject> {
  let value: unknown;
  try {
    if ((await stat(file)).size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    // JSON is YAML as well.
    value = parse(await readFile(file, "utf8"), { maxAliasCount: 100 }) as Json;
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${(error instanceof Error ? error.message : String(error)).split("\n", 1)[0]}.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new CommandError(`${file} holds no configuration: it is no mapping.`);
  return value as JsonObject;
}

async function write(file: string, text: string, force: boolean): Promise<void> {
  if (existsSync(file) && !force) throw new CommandError(`${file} is there already; --force overwrites it.`);
  try {
    await writeFile(file, text, { flag: force ? "w" : "wx" });
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
  }
}
