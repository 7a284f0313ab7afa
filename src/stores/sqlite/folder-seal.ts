import { openSealer, type Sealer } from "./serving-key.ts";

/** Seals texts with the data folder's key into tokens of letters, digits, `-`, `_` and `.`, for whoever sends them back. */
export interface FolderSeal {
  seal(text: string, identity: readonly string[]): string;
  /** Undefined for whatever was not sealed with a key of this folder and this identity. */
  open(token: string, identity: readonly string[]): string | undefined;
}

/** Throws `storage_unavailable` when the key cannot be read. */
export function folderSeal(folder: string): FolderSeal {
  return sealWith(openSealer(folder));
}

export function sealWith(sealer: Sealer): FolderSeal {
  return {
    seal(text, identity) {
      const { keyId, bytes } = sealer.seal(text, identity);
      return `${keyId}.${Buffer.from(bytes).toString("base64url")}`;
    },
    open(token, identity) {
      const [keyId = "", bytes = ""] = token.split(".");
      return sealer.open({ keyId, bytes: Buffer.from(bytes, "base64url") }, identity);
    },
  };
}
