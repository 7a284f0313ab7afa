import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ProblemError, type Clock, type ConfigStore, type ConfigVersion } from "../canon/index.ts";
import { formatProblems, readConfig, type GimbalConfig } from "./read.ts";
import type { Environment } from "./variables.ts";
import { FILE_AUTHOR, newestFromFile } from "./versions.ts";

/** Editors write a file in several steps; what settles within this time is one change. */
const SETTLE_MS = 150;
/** Where something in its folder changes all the time (the record may lie there too), the file is looked at no later than this. */
const SETTLE_LIMIT_MS = 500;
/** A change made from the newest version is made anew when another one came first, so many times. */
const TRIES = 5;

export interface ControlOptions {
  /** The configuration's file, as it is called in messages and where it is read. */
  readonly file: string;
  /** Is the file to be followed for changes? */
  readonly follow: boolean;
  readonly env: Environment;
  readonly clock: Clock;
  readonly store: ConfigStore;
  /** This running gateway. */
  readonly node: string;
  /** The version in force at the start. */
  readonly version: ConfigVersion;
  /** Text of the file at the start. */
  readonly fileText: string;
  /** Puts a valid configuration in force; runs before the next change is looked at. */
  readonly apply: (config: GimbalConfig, version: number) => Promise<void> | void;
  /** Says to a person what happened: one sentence a line. */
  readonly report: (lines: readonly string[]) => void;
  /** Calls back whenever something in `folder` may have changed; returns how to stop. Defaults to the file system's own notices. */
  readonly notice?: (folder: string, changed: () => void) => () => void;
}

type FileOutcome = "applied" | "unchanged" | "refused";

/**
 * Which configuration is in force, and how it changes: by its file, by an administrator, by another process. Every change is a version in
 * the store first and in force then, one after the other; an invalid one changes nothing. A call keeps the configuration it began with.
 */
export class ConfigControl {
  readonly #options: ControlOptions;
  readonly #stops: (() => void)[] = [];
  #work: Promise<unknown> = Promise.resolve();
  #version: ConfigVersion;
  /** What the file said when it was looked at last. */
  #fileText: string;
  #cancelSettling: (() => void) | undefined;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#version = options.version;
    this.#fileText = options.fileText;
    this.#stops.push(options.store.watch(() => void this.catchUp()));
    if (options.follow) this.#stops.push(this.#followFile());
    void this.#mark(options.version.version);
  }

  /** The version in force in this process. */
  get version(): ConfigVersion {
    return this.#version;
  }

  /** Looks at the file now; resolves when a change, if any, is in force or refused. Never rejects. */
  reload(): Promise<FileOutcome> {
    return this.#inTurn(() => this.#readFile()).catch((error: unknown) => {
      this.#options.report([`The change could not be applied (${messageOf(error)}); the configuration in force stays.`]);
      return "refused" as const;
    });
  }

  /** Puts the newest version of the store in force, if it is not. Never rejects. */
  catchUp(): Promise<void> {
    return this.#inTurn(() => this.#readStore()).catch((error: unknown) =>
      this.#options.report([`A new version could not be put in force (${messageOf(error)}); the configuration in force stays.`]),
    );
  }

  /**
   * Makes a new version from the newest and puts it in force.
   * @param base refuse when the newest is another one
   * @throws ProblemError conflict, invalid_request (with every problem and its line), and whatever `edit` throws
   */
  change(author: string, edit: (text: string) => string, base?: number): Promise<ConfigVersion> {
    return this.#inTurn(async () => {
      for (let left = TRIES; ; left--) {
        const newest = await this.#newest();
        try {
          return await this.#append({ author, text: edit(newest.text) }, base ?? newest.version);
        } catch (error) {
          const overtaken = error instanceof ProblemError && error.problem.code === "config_changed";
          if (!overtaken || base !== undefined || left === 1) throw error;
        }
      }
    });
  }

  /**
   * Puts an earlier version's text in force again, as a new version.
   * @throws ProblemError not_found, or invalid_request when the text is no longer valid
   */
  rollback(version: number, author: string, base?: number): Promise<ConfigVersion> {
    return this.#inTurn(async () => {
      const newest = await this.#newest();
      const old = await this.#options.store.read(version);
      if (!old)
        throw new ProblemError({
          kind: "not_found",
          message: `There is no version ${version} of the configuration; the newest is ${newest.version}.`,
          param: "version",
        });
      return this.#append({ author, text: old.text, rollbackOf: version }, base);
    });
  }

  close(): void {
    this.#cancelSettling?.();
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** One thing after the other: what is read from the store is true until it is written. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work);
    this.#work = next.catch(() => {});
    return next;
  }

  async #newest(): Promise<ConfigVersion> {
    return (await this.#options.store.list(1))[0] ?? this.#version;
  }

  async #append(entry: Pick<ConfigVersion, "author" | "text" | "rollbackOf">, base: number | undefined): Promise<ConfigVersion> {
    const { store, clock, file, env } = this.#options;
    const read = readConfig(entry.text, env);
    if (!read.ok)
      throw new ProblemError({
        kind: "invalid_request",
        message: `The configuration would be invalid, so nothing was changed. ${formatProblems(file, read.problems).join(" ")}`,
      });
    const version = await store.append({ createdAt: clock.now(), ...entry }, base);
    if (version.version !== this.#version.version) await this.#putInForce(version, read.config);
    return version;
  }

  async #putInForce(version: ConfigVersion, config: GimbalConfig): Promise<void> {
    await this.#options.apply(config, version.version);
    this.#version = version;
    await this.#mark(version.version);
    const { author, rollbackOf } = version;
    const how = rollbackOf === undefined ? "" : `, which is version ${rollbackOf} again`;
    this.#options.report([`Configuration version ${version.version}${how} (by ${author}) is in force.`]);
  }

  /** For the figures only: a record that cannot be written now costs no change. */
  async #mark(version: number): Promise<void> {
    const { store, node, clock, report } = this.#options;
    await store
      .markInForce(version, node, clock.now())
      .catch((error: unknown) => report([`That version ${version} is in force could not be recorded (${messageOf(error)}).`]));
  }

  async #readStore(): Promise<void> {
    const [newest] = await this.#options.store.list(1);
    if (!newest || newest.version <= this.#version.version) return;
    const read = readConfig(newest.text, this.#options.env);
    if (read.ok) await this.#putInForce(newest, read.config);
    else this.#tellRefused(`version ${newest.version}`, read.problems);
  }

  async #readFile(): Promise<FileOutcome> {
    const { file, env, store, clock, report } = this.#options;
    let found: string;
    try {
      found = await readFile(file, "utf8");
    } catch (error) {
      report([`${file} cannot be read (${codeOf(error)}); the configuration in force stays.`]);
      return "refused";
    }
    if (found === this.#fileText) return "unchanged";
    const read = readConfig(found, env);
    if (!read.ok) {
      this.#fileText = found;
      this.#tellRefused(file, read.problems);
      return "refused";
    }
    report(formatProblems(file, read.warnings));
    // Another process that follows the same file was here first; what an administrator has made of it since is newer.
    const known = (await newestFromFile(store))?.text === found;
    const version = known ? undefined : await store.append({ createdAt: clock.now(), author: FILE_AUTHOR, text: found });
    const before = this.#version;
    if (!version) await this.#readStore();
    else if (version.version !== before.version) await this.#putInForce(version, read.config);
    // Only now: whoever saves the same text again after a failure means to try again.
    this.#fileText = found;
    return this.#version === before ? "unchanged" : "applied";
  }

  #tellRefused(source: string, problems: Parameters<typeof formatProblems>[1]): void {
    this.#options.report([...formatProblems(source, problems), "The change was refused; the configuration in force stays."]);
  }

  /** The folder is watched, not the file: editors and mounted volumes replace the file, and a watch on the old one would never speak again. */
  #followFile(): () => void {
    const { notice = noticeChanges, file, clock } = this.#options;
    let since: number | undefined;
    return notice(dirname(file), () => {
      const now = clock.monotonic();
      since ??= now;
      this.#cancelSettling?.();
      this.#cancelSettling = clock.after(Math.max(0, Math.min(SETTLE_MS, since + SETTLE_LIMIT_MS - now)), () => {
        since = undefined;
        void this.reload();
      });
    });
  }
}

/** Calls back whenever something in `folder` may have changed; returns how to stop. */
export function noticeChanges(folder: string, changed: () => void): () => void {
  const watcher = watch(folder, { persistent: false }, changed);
  watcher.on("error", () => watcher.close());
  return () => watcher.close();
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
