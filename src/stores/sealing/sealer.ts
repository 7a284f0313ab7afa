import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface Sealed {
  readonly keyId: string;
  /** Nonce, tag, ciphertext. */
  readonly bytes: Uint8Array;
}

/** Keys of 32 bytes each: the first seals, all open. */
export type Keys = readonly [Buffer, ...Buffer[]];

/**
 * Seals data at rest with AES-256-GCM (NIST SP 800-38D): a fresh random 96-bit nonce each time, and the row's identity as additional
 * data, so that a row copied to another scope or id does not open. Its keys can be replaced while it is in use.
 */
export class Sealer {
  #keys: ReadonlyMap<string, Buffer>;
  #currentId: string;
  #current: Buffer;

  constructor(keys: Keys) {
    this.#keys = new Map(keys.map((key) => [keyIdOf(key), key]));
    this.#current = keys[0];
    this.#currentId = keyIdOf(keys[0]);
  }

  /** Of the key that seals. */
  get keyId(): string {
    return this.#currentId;
  }
  /** Of all that open, the one that seals first. */
  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  knows(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  get keys(): Keys {
    return [this.#current, ...[...this.#keys.values()].filter((key) => key !== this.#current)];
  }

  replaceKeys(keys: Keys): void {
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

  /** The same under the key that seals now. Undefined as `open`. */
  reseal(sealed: Sealed, identity: readonly string[]): Sealed | undefined {
    const content = this.openBytes(sealed, identity);
    return content && this.seal(content, identity);
  }
}

/** JSON keeps `["a","bc"]` and `["ab","c"]` apart. */
function bytesOf(identity: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(identity), "utf8");
}

/** Names a key without telling anything of it: the first 64 bits of its SHA-256. */
export function keyIdOf(key: Uint8Array): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 16);
}
