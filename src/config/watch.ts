import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock, ConfigStore } from "../canon/index.ts";
import { formatProblems, readConfig, type GimbalConfig } from "./read.ts";
import type { Environment } from "./variables.ts";

/** Editors write a file in several steps; what settles within this time is one change. */
const SETTLE_MS = 150;

export interface WatchOptions {
  readonly file: string;
  readonly env: Environment;
  readonly clock: Clock;
  readonly versions: ConfigStore;
  /** The text in force: an event that leaves it as it is means nothing. */
  readonly text: string;
  /** Puts a valid change in force; runs before the next one is looked at. */
  apply(config: GimbalConfig, version: number): Promise<void> | void;
  /** Says to a person what happened: one sentence a line. */
  report(lines: readonly string[]): void;
  /** Calls back whenever something in `folder` may have changed; returns how to stop. Defaults to the file system's own notices. */
  readonly notice?: (folder: string, changed: () => void) => () => void;
}

export interface ConfigWatch {
  /** Looks at the file now; resolves when a change, if any, is in force or refused. */
  reload(): Promise<"applied" | "unchanged" | "refused">;
  close(): void;
}

/** Follows a configuration file. A valid change is kept as a version and applied; an invalid one is reported and the old one stays. */
export function watchConfig(options: WatchOptions): ConfigWatch {
  let text = options.text;
  let cancel: (() => void) | undefined;
  let work: Promise<unknown> = Promise.resolve();

  const look = async (): Promise<"applied" | "unchanged" | "refused"> => {
    let found: string;
    try {
      found = await readFile(options.file, "utf8");
    } catch (error) {
      options.report([`${options.file} cannot be read (${codeOf(error)}); the configuration in force stays.`]);
      return "refused";
    }
    if (found === text) return "unchanged";
    const before = text;
    text = found;
    const outcome = readConfig(found, options.env);
    if (!outcome.ok) {
      options.report([...formatProblems(options.file, outcome.problems), "The change was refused; the configuration in force stays."]);
      return "refused";
    }
    try {
      const { version } = await options.versions.append({ createdAt: options.clock.now(), author: "file", text: found });
      await options.apply(outcome.config, version);
      options.report([...formatProblems(options.file, outcome.warnings), `Configuration version ${version} is in force.`]);
      return "applied";
    } catch (error) {
      // It is not in force: whoever saves the same text again means to try again.
      text = before;
      throw error;
    }
  };
  const reload = (): ReturnType<typeof look> => {
    const next = work.then(look).catch((error: unknown) => {
      options.report([
        `The change could not be applied (${error instanceof Error ? error.message : String(error)}); the configuration in force stays.`,
      ]);
      return "refused" as const;
    });
    work = next;
    return next;
  };
  // The folder is watched, not the file: editors and mounted volumes replace the file, and a watch on the old one would never speak again.
  const stop = (options.notice ?? noticeChanges)(dirname(options.file), () => {
    cancel?.();
    cancel = options.clock.after(SETTLE_MS, () => void reload());
  });
  return {
    reload,
    close: () => {
      cancel?.();
      stop();
    },
  };
}

function noticeChanges(folder: string, changed: () => void): () => void {
  const watcher = watch(folder, { persistent: false }, changed);
  watcher.on("error", () => watcher.close());
  return () => watcher.close();
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
