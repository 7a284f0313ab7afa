import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type KeyEncryption, ProblemError } from "../../canon/index.ts";
import { reasonOf } from "../problems.ts";
import { keyEncryptionOf } from "./encryption.ts";
import { KEY_BYTES, type Keys, keyIdOf, Sealer } from "./sealer.ts";

/** By these variables every gateway of one record gets the same keys: the keys themselves, or a file that holds them. */
const KEY_VARIABLE = "GIMBAL_DATA_KEY";
const KEY_FILE_VARIABLE = "GIMBAL_DATA_KEY_FILE";
const FOLDER_FILE = "serving.key";
const OWNER_ONLY = 0o600;
/** Begins a key that is wrapped: the scheme by which it is, and a colon. */
const WRAPPED = /^([a-z][a-z0-9-]*):(.+)$/;
/** Keys of one source; each is tried for nothing but its own rows, but a file of thousands is something else. */
const MOST_KEYS = 100;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface KeyringOptions {
  readonly env: Environment;
  readonly folder: string;
  /** Undefined: as the environment says, which may be none. */
  readonly encryption?: KeyEncryption;
}

/** Where keys stand, one a line or separated by commas: the first seals, the others open what they sealed. */
interface Source {
  readonly name: string;
  readonly text: string;
  /** A file that is ours to write. */
  readonly path?: string;
}

/**
 * The keys under which data is sealed at rest: of the environment, of the file that it names, else of the data folder's own `serving.key`,
 * which is made at the first start. Keys of the folder open what they sealed also where the environment has others. A key stands there
 * in Base64, or wrapped by a `KeyEncryption`, so that the file alone opens nothing.
 */
export class Keyring {
  readonly sealer: Sealer;
  readonly #options: KeyringOptions;
  readonly #encryption: KeyEncryption | undefined;
  /** What was unwrapped before: a look at the same file again asks nobody. */
  readonly #known: Map<string, Buffer>;

  private constructor(options: KeyringOptions, encryption: KeyEncryption | undefined, keys: Keys, known: Map<string, Buffer>) {
    this.#options = options;
    this.#encryption = encryption;
    this.#known = known;
    this.sealer = new Sealer(keys);
  }

  /**
   * Rejects with `storage_unavailable` (code `data_key`) for a key that is none, a file that cannot be used, and a keeper of keys that
   * does not answer: going on with a new key would silently forget everything kept.
   */
  static async open(options: KeyringOptions): Promise<Keyring> {
    const encryption = options.encryption ?? keyEncryptionOf(options.env);
    const known = new Map<string, Buffer>();
    const path = folderFile(options.folder);
    if (givenSource(options.env) === undefined && !existsSync(path)) {
      const key = randomBytes(KEY_BYTES);
      const word = await wordFor(key, encryption);
      known.set(word, key);
      writeKeys(path, [word]);
    }
    return new Keyring(options, encryption, await readKeys(options, encryption, known), known);
  }

  /** The keys that are in use, for whoever seals elsewhere. */
  get keys(): Keys {
    return this.sealer.keys;
  }

  /** Looks at the source again: keys that came are used from now on. Rejects as `open`, and then keeps what it has. */
  async reload(): Promise<void> {
    this.sealer.replaceKeys(await readKeys(this.#options, this.#encryption, this.#known));
  }

  /**
   * Puts a new key before the others, where the keys are in the data folder's own file. False where they are given from outside: then
   * whoever gives them puts a new one first.
   */
  async renew(): Promise<boolean> {
    const { env, folder } = this.#options;
    if (givenSource(env) !== undefined) {
      await this.reload();
      return false;
    }
    const path = folderFile(folder);
    const key = randomBytes(KEY_BYTES);
    const word = await wordFor(key, this.#encryption);
    const words = wordsOf(fileSource(path));
    if (words.length >= MOST_KEYS)
      throw refusal(`${path} holds ${words.length} keys, which is the limit. Remove those that open nothing any more.`);
    this.#known.set(word, key);
    writeKeys(path, [word, ...words]);
    await this.reload();
    return true;
  }
}

function folderFile(folder: string): string {
  return join(folder, FOLDER_FILE);
}

function givenSource(env: Environment): Source | undefined {
  const text = env[KEY_VARIABLE];
  if (text !== undefined && text !== "") return { name: KEY_VARIABLE, text };
  const path = env[KEY_FILE_VARIABLE];
  if (path === undefined || path === "") return undefined;
  return { ...fileSource(path), name: `${path} (${KEY_FILE_VARIABLE})` };
}

function fileSource(path: string): Source {
  try {
    return { name: path, path, text: readFileSync(path, "utf8") };
  } catch (error) {
    throw refusal(`${path} cannot be read: ${reasonOf(error)}. Check the disk and the folder's permissions.`, error);
  }
}

async function readKeys({ env, folder }: KeyringOptions, encryption: KeyEncryption | undefined, known: Map<string, Buffer>): Promise<Keys> {
  const path = folderFile(folder);
  const given = givenSource(env);
  const sources = [...(given ? [given] : []), ...(existsSync(path) ? [ownSource(path)] : [])];
  const found: Buffer[] = [];
  for (const source of sources) {
    const words = wordsOf(source);
    if (words.length === 0 || words.length > MOST_KEYS) throw damaged(source);
    for (const word of words) found.push(await keyOf(word, source, encryption, known));
  }
  const [first, ...rest] = new Map(found.map((key) => [keyIdOf(key), key])).values();
  if (!first) throw refusal(`There is no key to seal data with: ${path} is gone.`);
  return [first, ...rest];
}

function ownSource(path: string): Source {
  // A copied or restored file may have become readable for others.
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, OWNER_ONLY);
  return fileSource(path);
}

function wordsOf({ text }: Source): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

async function keyOf(word: string, source: Source, encryption: KeyEncryption | undefined, known: Map<string, Buffer>): Promise<Buffer> {
  const before = known.get(word);
  if (before) return before;
  const [, scheme, wrapped = ""] = WRAPPED.exec(word) ?? [];
  if (scheme === undefined) {
    const key = Buffer.from(word, "base64");
    if (key.length !== KEY_BYTES) throw damaged(source);
    return key;
  }
  if (encryption?.scheme !== scheme)
    throw refusal(
      `A key in ${source.name} is wrapped by "${scheme}", and GIMBAL_KEY_ENCRYPTION names ${encryption ? `"${encryption.scheme}"` : "none"}.`,
    );
  const key = Buffer.from(await encryption.unwrap(wrapped));
  if (key.length !== KEY_BYTES) throw damaged(source);
  known.set(word, key);
  return key;
}

async function wordFor(key: Buffer, encryption: KeyEncryption | undefined): Promise<string> {
  return encryption ? `${encryption.scheme}:${await encryption.wrap(key)}` : key.toString("base64");
}

/** By way of a second name, so that a crash leaves the whole file or the one before. The folder's lock keeps others away meanwhile. */
function writeKeys(path: string, words: readonly string[]): void {
  const draft = `${path}.new`;
  try {
    rmSync(draft, { force: true });
    const file = openSync(draft, "wx", OWNER_ONLY);
    try {
      writeSync(file, `${words.join("\n")}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
  } catch (error) {
    throw refusal(`${path} cannot be written: ${reasonOf(error)}. Check the disk and the folder's permissions.`, error);
  }
}

function damaged({ name, path }: Source): ProblemError {
  if (path === undefined || name !== path)
    return refusal(`${name} must hold keys of ${KEY_BYTES} bytes in Base64; make one with: openssl rand -base64 ${KEY_BYTES}`);
  return refusal(
    `${path} is damaged: each line must be a key of ${KEY_BYTES} bytes in Base64, or a wrapped one. Restore it from a backup, or delete it to give up all kept turns.`,
  );
}

export function refusal(message: string, cause?: unknown): ProblemError {
  return new ProblemError({ kind: "storage_unavailable", message, code: "data_key" }, { cause });
}
