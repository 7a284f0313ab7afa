import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ProblemError } from "../../canon/index.ts";
import { reasonOf, unavailable } from "../problems.ts";

const KEY_FILE = "serving.key";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const OWNER_ONLY = 0o600;

export interface Sealed {
  readonly keyId: string;
  /** Nonce, tag, ciphertext. */
  readonly bytes: Uint8Array;
}

/**
 * Seals serving data with AES-256-GCM (NIST SP 800-38D): a fresh random 96-bit nonce each time, and the row's identity as additional
 * data, so that a row copied to another scope or id does not open.
 */
export class Sealer {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #currentId: string;
  readonly #current: Buffer;

  /** 32 bytes each; the first seals, all open. */
  constructor(keys: readonly [Buffer, ...Buffer[]]) {
    this.#keys = new Map(keys.map((key) => [keyIdOf(key), key]));
    this.#current = keys[0];
    this.#currentId = keyIdOf(keys[0]);
  }

  seal(content: string | Uint8Array, identity: readonly string[]): Sealed {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#current, nonce);
    cipher.setAAD(bytesOf(identity));
    const body = typeof content === "string" ? cipher.update(content, "utf8") : cipher.update(content);
    const rest = cipher.final();
    return { keyId: this.#currentId, bytes: Buffer.concat([nonce, cipher.getAuthTag(), body, rest]) };
  }

  /** Undefined when the key is gone or the row was tampered with: the data is then as good as deleted. */
  open(sealed: Sealed, identity: readonly string[]): string | undefined {
    return this.openBytes(sealed, identity)?.toString("utf8");
  }

  /** The same of content that is no text. */
  openBytes(sealed: Sealed, identity: readonly string[]): Buffer | undefined {
    const key = this.#keys.get(sealed.keyId);
    if (!key || sealed.bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const nonce = sealed.bytes.subarray(0, NONCE_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(bytesOf(identity));
    decipher.setAuthTag(sealed.bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(sealed.bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
    } catch {
      return undefined;
    }
  }
}

/** JSON keeps `["a","bc"]` and `["ab","c"]` apart. */
function bytesOf(identity: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(identity), "utf8");
}

/** Names a key without telling anything of it: the first 64 bits of its SHA-256. */
export function keyIdOf(key: Buffer): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 16);
}

/**
 * The folder's key, made at the first start. `serving.key` holds one key a line in Base64: the first seals, older ones below it still
 * open, so that a key is changed by putting a new line on top.
 *
 * Throws `storage_unavailable` when the file is damaged: going on with a new key would silently forget every kept turn.
 */
export function openSealer(folder: string): Sealer {
  const path = join(folder, KEY_FILE);
  try {
    if (!existsSync(path)) writeWhole(path, `${randomBytes(KEY_BYTES).toString("base64")}\n`);
    return new Sealer(readKeys(path));
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw unavailable(`${path} cannot be used: ${reasonOf(error)}. Check the disk and the folder's permissions.`, { cause: error });
  }
}

/** By way of a second name, so that a crash leaves the whole file or none. The folder's lock keeps others away meanwhile. */
function writeWhole(path: string, text: string): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  const file = openSync(draft, "wx", OWNER_ONLY);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}

function readKeys(path: string): [Buffer, ...Buffer[]] {
  // A copied or restored file may have become readable for others.
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, OWNER_ONLY);
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "");
  const [first, ...rest] = lines.map((line) => Buffer.from(line.trim(), "base64"));
  if (!first || [first, ...rest].some((key) => key.length !== KEY_BYTES)) {
    throw unavailable(
      `${path} is damaged: each line must be a key of ${KEY_BYTES} bytes in Base64. Restore it from a backup, or delete it to give up all kept turns.`,
    );
  }
  return [first, ...rest];
}
