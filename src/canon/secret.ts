/**
 * Wraps the keys under which data is sealed at rest by a key that stays with its keeper (a key management service), so that a copy of the
 * data folder opens nothing. One implementation a keeper, in `stores/sealing/`.
 */
export interface KeyEncryption {
  /** Stands before what it wrapped: lower-case letters, digits and `-`. */
  readonly scheme: string;
  /** Resolves with printable text without white space and commas, to be kept beside the data. Rejects with `storage_unavailable`. */
  wrap(key: Uint8Array): Promise<string>;
  /** The key again. Rejects with `storage_unavailable`. */
  unwrap(wrapped: string): Promise<Uint8Array>;
}

const REDACTED = "[secret]";

/** A value that must never be printed, logged or serialised. `reveal` is the only way out; grep for it to audit. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return REDACTED;
  }
  toJSON(): string {
    return REDACTED;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return REDACTED;
  }
}
