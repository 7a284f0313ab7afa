import { readFileSync } from "node:fs";
import { ProblemError } from "../../canon/index.ts";
import { reasonOf } from "../problems.ts";
import { type FolderSeal, sealWith } from "../sqlite/folder-seal.ts";
import { keyIdOf, openSealer, Sealer } from "../sqlite/serving-key.ts";
import { type Connections, statement } from "./connections.ts";

/** By these variables every gateway of one record gets the same key: the key itself, or a file that holds it. */
const KEY_VARIABLE = "GIMBAL_DATA_KEY";
const KEY_FILE_VARIABLE = "GIMBAL_DATA_KEY_FILE";
const KEY_BYTES = 32;

export interface DataKeys {
  readonly sealer: Sealer;
  /** The first seals, all open. */
  readonly ids: readonly string[];
}

/**
 * The key that seals serving data and configuration: from the environment, from the file it names, else the data folder's own. One key a
 * line, or separated by commas: the first seals, the others still open.
 *
 * Throws `storage_unavailable` for a key that is none.
 */
export function openDataKeys(env: Readonly<Record<string, string | undefined>>, folder: string): DataKeys {
  const text = env[KEY_VARIABLE];
  if (text !== undefined && text !== "") return keysIn(text, KEY_VARIABLE);
  const file = env[KEY_FILE_VARIABLE];
  if (file === undefined || file === "") {
    const sealer = openSealer(folder);
    return { sealer, ids: [sealer.seal("", []).keyId] };
  }
  try {
    return keysIn(readFileSync(file, "utf8"), `${file} (${KEY_FILE_VARIABLE})`);
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw refusal(`${file} (${KEY_FILE_VARIABLE}) cannot be read: ${reasonOf(error)}.`);
  }
}

/** Seals what clients carry, so that every gateway of the record opens it. Throws as `openDataKeys`. */
export function sharedSeal(env: Readonly<Record<string, string | undefined>>, folder: string): FolderSeal {
  return sealWith(openDataKeys(env, folder).sealer);
}

function keysIn(text: string, source: string): DataKeys {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  const [first, ...rest] = words.map((word) => Buffer.from(word, "base64"));
  if (!first || [first, ...rest].some((key) => key.length !== KEY_BYTES))
    throw refusal(`${source} must hold keys of ${KEY_BYTES} bytes in Base64; make one with: openssl rand -base64 ${KEY_BYTES}`);
  return { sealer: new Sealer([first, ...rest]), ids: [first, ...rest].map(keyIdOf) };
}

const NEWEST = statement("data_keys.newest", "SELECT key_id FROM data_keys ORDER BY registered_at DESC, key_id LIMIT 1");
const REGISTER = statement(
  "data_keys.register",
  `INSERT INTO data_keys VALUES ($1, clock_timestamp()) ON CONFLICT (key_id) DO UPDATE SET registered_at = excluded.registered_at`,
);

/**
 * Every gateway of a record must open what the others seal, so the record remembers the id of the key that seals it.
 * Throws `storage_unavailable` when this gateway does not have that key.
 */
export async function registerDataKey(connections: Connections, { ids }: DataKeys): Promise<void> {
  const [current = ""] = ids;
  await connections.transaction(async (session) => {
    await session.run("LOCK TABLE data_keys IN SHARE ROW EXCLUSIVE MODE");
    const newest = (await session.rows<{ readonly key_id: string }>(NEWEST))[0]?.key_id;
    if (newest !== undefined && !ids.includes(newest)) {
      throw refusal(
        `The record is sealed with key ${newest}, which this gateway does not have (it has ${ids.join(", ")}). Set ${KEY_VARIABLE} or ${KEY_FILE_VARIABLE} to the same key on every gateway of the record; without them each data folder makes a serving.key of its own, and the first gateway's is the one to give to the others.`,
      );
    }
    if (newest !== current) await session.changes(REGISTER, [current]);
  });
}

function refusal(message: string): ProblemError {
  return new ProblemError({ kind: "storage_unavailable", message, code: "data_key" });
}
