import { existsSync } from "node:fs";
import { type AuditCheckpoint, type AuditRecord, ProblemError, type Stores } from "../canon/index.ts";
import {
  checkpointNow,
  type Entry,
  type KeyPlace,
  openAuditKey,
  parseEntry,
  readAuditKey,
  readVerifierKey,
} from "../ledger/audit/index.ts";
import type { VerifierKey } from "../ledger/audit/index.ts";
import { CommandError, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { onRecord } from "./record.ts";
import { askServer, type RunningServer } from "./running.ts";
import { databaseUrlOf, loadConfig, settingsOf } from "./settings.ts";

const PAGE = 1000;

export type SignedSize = Pick<AuditCheckpoint, "size" | "at" | "note">;

/** An audit, wherever it is: in a data folder, or at the gateway that holds it. */
export interface AuditSource {
  entries(after: number, limit: number): Promise<readonly AuditRecord[]>;
  /** Newest first. */
  newest(query: Readonly<Record<string, string>>): Promise<readonly Entry[]>;
  checkpoints(after: number): Promise<readonly SignedSize[]>;
  checkpoint(): Promise<SignedSize>;
  /** @param make make one where there is none yet */
  key(make: boolean): Promise<VerifierKey | undefined>;
}

/** Does one thing on the audit: through the gateway that holds the data folder, else directly. @throws CommandError */
export async function onAudit<T>(input: Input, deps: CliDeps, work: (source: AuditSource) => Promise<T>): Promise<T> {
  const folder = settingsOf(input, deps).dataFolder;
  if (databaseUrlOf(deps) === undefined && !existsSync(folder))
    throw new CommandError(`There is no data folder ${folder}: nothing has been recorded yet.`);
  const place = await placeOf(input, deps);
  try {
    return await onRecord(input, deps, {
      server: (server, held) => work(served(server, held, deps)),
      stores: (stores) => work(stored(stores, place, deps)),
    });
  } catch (error) {
    if (error instanceof ProblemError) throw new CommandError(error.problem.message);
    throw error;
  }
}

/** Every entry in order, up to number `last`. */
export async function* allEntries(source: AuditSource, last = Number.MAX_SAFE_INTEGER): AsyncGenerator<AuditRecord> {
  for (let after = 0; after < last;) {
    const asked = Math.min(PAGE, last - after);
    const page = await source.entries(after, asked);
    yield* page;
    // Not until there are none: reading leaves an entry itself.
    if (page.length < asked) return;
    // By place and not by count: where entries are missing, those behind them are still to be seen.
    after = page.at(-1)?.sequence ?? last;
  }
}

export async function allCheckpoints(source: AuditSource): Promise<readonly SignedSize[]> {
  const all: SignedSize[] = [];
  for (;;) {
    const page = await source.checkpoints(all.at(-1)?.size ?? 0);
    all.push(...page);
    if (page.length < PAGE) return all;
  }
}

async function placeOf(input: Input, deps: CliDeps): Promise<KeyPlace> {
  const { configFile, dataFolder: folder } = settingsOf(input, deps);
  if (configFile === undefined) return { folder };
  const { audit } = (await loadConfig(configFile, deps)).config;
  return { folder, file: audit.keyFile, name: audit.keyName };
}

function served(server: RunningServer, folder: string, deps: CliDeps): AuditSource {
  const ask = (method: string, path: string, query: Readonly<Record<string, string>> = {}): Promise<unknown> =>
    askServer(server, folder, deps, method, `/audit${path}?${new URLSearchParams(query).toString()}`);
  return {
    entries: async (after, limit) =>
      ((await ask("GET", "/entries", { after: String(after), limit: String(limit) })) as { entries: AuditRecord[] }).entries,
    newest: async (query) => ((await ask("GET", "", query)) as { entries: Entry[] }).entries,
    checkpoints: async (after) =>
      ((await ask("GET", "/checkpoints", { after: String(after), limit: String(PAGE) })) as { checkpoints: SignedSize[] }).checkpoints,
    checkpoint: async () => (await ask("POST", "/checkpoint")) as SignedSize,
    key: async () => readVerifierKey(((await ask("GET", "/key")) as { key: string }).key),
  };
}

function stored({ audit }: Stores, place: KeyPlace, deps: CliDeps): AuditSource {
  return {
    entries: (after, limit) => audit.read(after, limit),
    async newest({ limit = "50" }) {
      const head = (await audit.head())?.sequence ?? 0;
      const page = await audit.read(Math.max(0, head - Number(limit)), Number(limit));
      return page.flatMap(({ text }) => parseEntry(text) ?? []).toReversed();
    },
    checkpoints: (after) => audit.checkpoints(after, PAGE),
    checkpoint: () => checkpointNow(audit, openAuditKey(place, deps.randomness), deps.clock.now()),
    key: async (make) => (make ? openAuditKey(place, deps.randomness) : readAuditKey(place))?.verifier,
  };
}
