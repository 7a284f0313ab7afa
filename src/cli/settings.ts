import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Secret } from "../canon/index.ts";
import { defaultConfig, formatProblems, readConfig, type GimbalConfig } from "../config/index.ts";
import { CommandError, UsageError, wholeNumber, type Flag, type Input } from "./command.ts";
import type { CliDeps, ServeSettings } from "./deps.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_CONFIG_FILE = "gimbal.yaml";
const DEFAULT_DATA_FOLDER = ".gimbal";
const WORKERS = 64;
const LARGEST_PORT = 65_535;

/** Flags of every command that works on a configuration or a data folder. */
export const CONFIG_FLAG: Readonly<Record<string, Flag>> = {
  config: { value: "FILE", meaning: "Configuration file. Default: GIMBAL_CONFIG, else gimbal.yaml where there is one." },
};
export const DATA_FLAG: Readonly<Record<string, Flag>> = {
  data: { value: "DIR", meaning: "Data folder. Default: GIMBAL_DATA, else .gimbal." },
};
export const LISTEN_FLAGS: Readonly<Record<string, Flag>> = {
  port: { value: "N", meaning: "Port to listen on, 0 for a free one. Default: GIMBAL_PORT, else the configuration, else 4100." },
  host: { value: "H", meaning: "Address to listen on. Default: GIMBAL_HOST, else the configuration, else 127.0.0.1." },
};
export const SERVE_FLAGS: Readonly<Record<string, Flag>> = {
  ...CONFIG_FLAG,
  ...LISTEN_FLAGS,
  ...DATA_FLAG,
  workers: { value: "N", meaning: `Processes that serve, 1 to ${WORKERS}. Default: 1.` },
};

/** What the command line and the environment say; the flag wins. @throws UsageError */
export function settingsOf(input: Input, deps: CliDeps): ServeSettings {
  const token = setting(deps, "GIMBAL_ADMIN_TOKEN");
  return {
    configFile: configFileOf(input, deps),
    host: input.text("host") ?? setting(deps, "GIMBAL_HOST"),
    port: wholeNumber(input, "port", 0, LARGEST_PORT) ?? portFromEnvironment(deps),
    dataFolder: dataFolderOf(input, deps),
    adminToken: token === undefined ? undefined : new Secret(token),
    workers: wholeNumber(input, "workers", 1, WORKERS) ?? 1,
  };
}

export function dataFolderOf(input: Input, deps: CliDeps): string {
  return resolve(deps.cwd, input.text("data") ?? setting(deps, "GIMBAL_DATA") ?? DEFAULT_DATA_FOLDER);
}

/** Where the record is, when it is not in the data folder. */
export function databaseUrlOf(deps: CliDeps): string | undefined {
  return setting(deps, "GIMBAL_DATABASE_URL");
}

/** A database has tools of its own, which know it better. @throws UsageError naming them */
export function refuseDatabase(deps: CliDeps, instead: string): void {
  if (databaseUrlOf(deps) === undefined) return;
  throw new UsageError(
    `The record is in PostgreSQL (GIMBAL_DATABASE_URL): use its own tools, for example ${instead}; see docs/running.md.`,
  );
}

/** An empty variable counts as unset. */
export function setting(deps: CliDeps, name: string): string | undefined {
  const value = deps.env[name];
  return value === "" ? undefined : value;
}

function portFromEnvironment(deps: CliDeps): number | undefined {
  const text = setting(deps, "GIMBAL_PORT");
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > LARGEST_PORT)
    throw new UsageError(`GIMBAL_PORT is a port from 0 to ${LARGEST_PORT}, not "${text}".`);
  return port;
}

/** A file that was named must be there; the default one may be absent. */
function configFileOf(input: Input, deps: CliDeps): string | undefined {
  const named = input.text("config") ?? setting(deps, "GIMBAL_CONFIG");
  const file = resolve(deps.cwd, named ?? DEFAULT_CONFIG_FILE);
  if (existsSync(file)) return file;
  if (named === undefined) return undefined;
  throw new UsageError(`There is no configuration file ${file}.`);
}

/** The configuration a command would serve with. @throws CommandError with every problem, one a line */
export async function loadConfig(
  file: string | undefined,
  deps: CliDeps,
): Promise<{ readonly config: GimbalConfig; readonly warnings: readonly string[]; readonly remedies?: readonly (string | undefined)[] }> {
  if (file === undefined) return { config: defaultConfig(await deps.discover()), warnings: [] };
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const outcome = readConfig(text, deps.env);
  if (!outcome.ok) throw new CommandError(formatProblems(file, outcome.problems).join("\n"));
  return {
    config: outcome.config,
    warnings: formatProblems(file, outcome.warnings),
    remedies: outcome.warnings.map((problem) => problem.remedy),
  };
}
