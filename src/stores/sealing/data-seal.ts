import { Keyring, type KeyringOptions } from "./keyring.ts";

/** Seals texts with the record's key into tokens of letters, digits, `-`, `_` and `.`, for whoever sends them back. */
export interface DataSeal {
  seal(text: string, identity: readonly string[]): string;
  /** Undefined for whatever was not sealed with a key of this record and this identity. */
  open(token: string, identity: readonly string[]): string | undefined;
  /** The keys may have changed. A source that cannot be read now leaves them as they are. */
  reload(): Promise<void>;
}

/** Rejects with `storage_unavailable` when the key cannot be had. */
export async function openDataSeal(options: KeyringOptions): Promise<DataSeal> {
  const keyring = await Keyring.open(options);
  const { sealer } = keyring;
  return {
    seal(text, identity) {
      const { keyId, bytes } = sealer.seal(text, identity);
      return `${keyId}.${Buffer.from(bytes).toString("base64url")}`;
    },
    open(token, identity) {
      const [keyId = "", bytes = ""] = token.split(".");
      return sealer.open({ keyId, bytes: Buffer.from(bytes, "base64url") }, identity);
    },
    reload: () => keyring.reload().catch(() => {}),
  };
}
