import { existsSync } from "node:fs";
import type { LedgerRow, Warm } from "../canon/index.ts";
import type { GimbalConfig } from "../config/index.ts";
import { CommandError, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { ok, warning, type Finding } from "./finding.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { dataFolderOf } from "./settings.ts";

/** Rows of the target looked at for one that was answered. */
const LOOKED_AT = 200;
const MS_PER_MINUTE = 60_000;

/** Is what models keep warm warm: did it answer a call lately? Read from the ledger. */
export async function checkWarm(config: GimbalConfig, input: Input, deps: CliDeps): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { name, warm } of config.aliases.values()) if (warm) findings.push(await checkOne(name, warm, input, deps));
  return findings;
}

async function checkOne(name: string, warm: Warm, input: Input, deps: CliDeps): Promise<Finding> {
  const target = `${warm.target.provider}/${warm.target.model}`;
  const minutes = warm.coldAfterMs / MS_PER_MINUTE;
  const within = `the last ${minutes} minute${minutes === 1 ? "" : "s"}`;
  let rows: readonly LedgerRow[];
  try {
    rows = await rowsOf(target, deps.clock.now() - warm.coldAfterMs, input, deps);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return warning(`warm ${name}`, `Whether ${target} is warm cannot be told: ${error.message}`, "Correct that, then ask again.");
  }
  const answered = rows.find(({ state }) => state === "done");
  if (answered) {
    const ago = Math.max(0, Math.round((deps.clock.now() - answered.startedAt) / MS_PER_MINUTE));
    return ok(`warm ${name}`, `${target} answered a call ${ago === 0 ? "within the last minute" : `${ago} min ago`}.`);
  }
  const tried =
    rows.length === 0
      ? "no call went there"
      : `none of ${rows.length === LOOKED_AT ? `the newest ${LOOKED_AT}` : rows.length} calls was answered`;
  return warning(
    `warm ${name}`,
    `${target} is cold: in ${within} ${tried}.`,
    warm.share === 0
      ? `Its share is 0: give models.${name}.warm.share a value.`
      : "Send it a call of its own to see that it works, or raise its share.",
  );
}

async function rowsOf(target: string, since: number, input: Input, deps: CliDeps): Promise<readonly LedgerRow[]> {
  if (!existsSync(dataFolderOf(input, deps))) return [];
  const query = new URLSearchParams({ limit: String(LOOKED_AT), target, since: String(since) });
  return onRecord(input, deps, {
    server: async (server, folder) =>
      ((await askServer(server, folder, deps, "GET", `/ledger?${query.toString()}`)) as { rows: readonly LedgerRow[] }).rows,
    stores: (stores) => stores.ledger.list({ limit: LOOKED_AT, target, since }),
  });
}
