import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import type { Clock } from "../canon/index.ts";
import { PRICE_FILE, type LocalPrices } from "../models/index.ts";
import { noticeChanges } from "./control.ts";
import { formatProblems, type GimbalConfig } from "./read.ts";
import { readPrices } from "./prices.ts";

/** Editors write a file in several steps; what settles within this time is one change. */
const SETTLE_MS = 150;

/** What of a configuration says where the prices are and whom they are for. */
export type PricedConfig = Pick<GimbalConfig, "pricing" | "providers">;

/** A price file that cannot be used; one problem a line, each with its place. */
export class PriceFileError extends Error {
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join("\n"));
    this.name = "PriceFileError";
    this.lines = lines;
  }
}

export interface LoadedPrices {
  /** Absolute path. */
  readonly path: string;
  /** Undefined: there is no such file, and the configuration names none. */
  readonly text: string | undefined;
  readonly prices: LocalPrices | undefined;
  readonly warnings: readonly string[];
}

/** Where a configuration's price file is. */
export function pricePath(configFile: string, { pricing }: PricedConfig): string {
  return resolve(dirname(configFile), pricing.file ?? PRICE_FILE);
}

/** Reads the price file of a configuration. @throws PriceFileError also when the configuration names a file that is not there */
export async function loadPrices(configFile: string, config: PricedConfig): Promise<LoadedPrices> {
  const path = pricePath(configFile, config);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (code === "ENOENT" && config.pricing.file === undefined) return { path, text: undefined, prices: undefined, warnings: [] };
    throw new PriceFileError([`${path} cannot be read (${code}); pricing.file names it.`]);
  }
  const outcome = readPrices(text, config.providers.keys());
  const name = basename(path);
  if (!outcome.ok) throw new PriceFileError(formatProblems(name, outcome.problems));
  return { path, text, prices: outcome.prices, warnings: formatProblems(name, outcome.warnings) };
}

export interface PriceFollowerOptions {
  readonly configFile: string;
  readonly clock: Clock;
  /** Puts prices in force, or none. */
  readonly apply: (prices: LocalPrices | undefined) => void;
  readonly report: (lines: readonly string[]) => void;
  /** As `ConfigControl`'s. */
  readonly notice?: (folder: string, changed: () => void) => () => void;
}

/**
 * Keeps the price file's content in force, as it changes and as the configuration names another file. An invalid file changes nothing.
 */
export class PriceFollower {
  readonly #options: PriceFollowerOptions;
  #config: PricedConfig;
  #loaded: LoadedPrices;
  #stopWatching: (() => void) | undefined;
  #cancelSettling: (() => void) | undefined;
  #work: Promise<unknown> = Promise.resolve();

  /** @param loaded what `loadPrices` gave for `config` */
  constructor(options: PriceFollowerOptions, config: PricedConfig, loaded: LoadedPrices, follow: boolean) {
    this.#options = options;
    this.#config = config;
    this.#loaded = loaded;
    if (follow) this.#watch();
  }

  /** Prices in force. */
  get prices(): LocalPrices | undefined {
    return this.#loaded.prices;
  }

  /** Another configuration came in force: its file's prices too, or the old ones where that cannot be used. Never rejects. */
  configure(config: PricedConfig): Promise<LocalPrices | undefined> {
    const configured = this.#work.then(() => this.#configure(config));
    this.#work = configured;
    return configured;
  }

  async #configure(config: PricedConfig): Promise<LocalPrices | undefined> {
    this.#config = config;
    try {
      const loaded = await loadPrices(this.#options.configFile, config);
      const moved = loaded.path !== this.#loaded.path;
      this.#loaded = loaded;
      if (moved && this.#stopWatching) this.#watch();
    } catch (error) {
      this.#tellRefused(error);
    }
    return this.#loaded.prices;
  }

  /** Looks at the file now; resolves when a change, if any, is in force or refused. Never rejects. */
  reload(): Promise<void> {
    const read = this.#work.then(() => this.#read());
    this.#work = read;
    return read;
  }

  close(): void {
    this.#cancelSettling?.();
    this.#stopWatching?.();
  }

  async #read(): Promise<void> {
    const { configFile, apply, report } = this.#options;
    try {
      const loaded = await loadPrices(configFile, this.#config);
      if (loaded.text === this.#loaded.text && loaded.path === this.#loaded.path) return;
      this.#loaded = loaded;
      apply(loaded.prices);
      report([
        ...loaded.warnings,
        loaded.text === undefined ? `${loaded.path} is gone: list prices are in force.` : `The prices of ${loaded.path} are in force.`,
      ]);
    } catch (error) {
      this.#tellRefused(error);
    }
  }

  #tellRefused(error: unknown): void {
    const lines = error instanceof PriceFileError ? error.lines : [String(error)];
    this.#options.report([...lines, "The price file was refused; the prices in force stay."]);
  }

  #watch(): void {
    const { notice = noticeChanges, clock } = this.#options;
    this.#stopWatching?.();
    try {
      this.#stopWatching = notice(dirname(this.#loaded.path), () => {
        this.#cancelSettling?.();
        this.#cancelSettling = clock.after(SETTLE_MS, () => void this.reload());
      });
    } catch (error) {
      this.#stopWatching = undefined;
      this.#options.report([`Changes to ${this.#loaded.path} are not noticed: ${error instanceof Error ? error.message : String(error)}.`]);
    }
  }
}
