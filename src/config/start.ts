import type { Clock, ConfigStore, ConfigVersion } from "../canon/index.ts";
import type { LocalPrices } from "../models/index.ts";
import { ConfigControl } from "./control.ts";
import { loadPrices, PriceFileError, PriceFollower } from "./price-file.ts";
import { formatProblems, readConfig, type GimbalConfig } from "./read.ts";
import type { Environment } from "./variables.ts";
import { versionAtStart } from "./versions.ts";

/** A configuration's text and where it came from. */
export interface ConfigSource {
  readonly text: string;
  readonly fileName: string;
  /** Is the file to be followed for changes? */
  readonly follow?: boolean;
}

/** What a start is made with. */
export interface StartOptions {
  readonly env: Environment;
  readonly clock: Clock;
  /** This running gateway. */
  readonly node: string;
  readonly log: (line: string) => void;
}

/** The configuration cannot be used; the message holds every problem, one a line. */
export class ConfigError extends Error {
  /** It asks for `offline: true`, and for a network. */
  readonly needsNetwork: boolean;
  constructor(lines: readonly string[], needsNetwork = false) {
    super(lines.join("\n"));
    this.name = "ConfigError";
    this.needsNetwork = needsNetwork;
  }
}

/** @throws ConfigError */
export function readSource(source: ConfigSource, { env, log }: Pick<StartOptions, "env" | "log">): GimbalConfig {
  const outcome = readConfig(source.text, env);
  if (!outcome.ok) {
    const needsNetwork = outcome.problems.some((problem) => problem.needsNetwork);
    throw new ConfigError(formatProblems(source.fileName, outcome.problems), needsNetwork);
  }
  for (const line of formatProblems(source.fileName, outcome.warnings)) log(line);
  return outcome.config;
}

/** What an administrator put in force outlives a restart, as long as it is valid and the file has not changed since. */
export async function inForceAtStart(
  source: ConfigSource | undefined,
  config: GimbalConfig,
  store: ConfigStore,
  { env, log, clock }: StartOptions,
): Promise<{ readonly config: GimbalConfig; readonly version: ConfigVersion | undefined }> {
  if (!source) return { config, version: undefined };
  const { version, kept } = await versionAtStart(store, source.text, clock.now());
  if (!kept) return { config, version };
  const read = readConfig(version.text, env);
  if (read.ok) {
    log(`Configuration version ${version.version} (by ${version.author}) stays in force: ${source.fileName} has not changed since.`);
    return { config: read.config, version };
  }
  for (const line of formatProblems(`version ${version.version}`, read.problems)) log(line);
  log(`Configuration version ${version.version} is no longer valid: ${source.fileName} is in force.`);
  return { config, version: await store.append({ createdAt: clock.now(), author: "file", text: source.text }) };
}

/** Undefined without a configuration file: then there is nothing to change. */
export function controlOf(
  source: ConfigSource | undefined,
  version: ConfigVersion | undefined,
  store: ConfigStore,
  { env, log, clock, node }: StartOptions,
  apply: (config: GimbalConfig, version: number) => Promise<void>,
): ConfigControl | undefined {
  if (!source || !version) return undefined;
  const { fileName: file, follow = false, text: fileText } = source;
  const report = (lines: readonly string[]): void => lines.forEach((line) => log(line));
  return new ConfigControl({ file, follow, env, clock, store, node, version, fileText, apply, report });
}

/** What the house pays, beside the configuration's file. @throws ConfigError */
export async function pricesOf(
  source: ConfigSource | undefined,
  config: GimbalConfig,
  { clock, log }: StartOptions,
  apply: (prices: LocalPrices | undefined) => void,
): Promise<PriceFollower | undefined> {
  if (!source) return undefined;
  try {
    const loaded = await loadPrices(source.fileName, config);
    loaded.warnings.forEach((line) => log(line));
    const report = (lines: readonly string[]): void => lines.forEach((line) => log(line));
    return new PriceFollower({ configFile: source.fileName, clock, apply, report }, config, loaded, source.follow ?? false);
  } catch (error) {
    throw error instanceof PriceFileError ? new ConfigError(error.lines) : error;
  }
}
