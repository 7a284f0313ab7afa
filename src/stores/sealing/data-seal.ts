import type { Clock } from "../../canon/index.ts";
import { Keyring, type KeyringOptions } from "./keyring.ts";

/** Least time between two looks for a key that is not known, in milliseconds: whoever makes names of keys up costs no more. */
const LOOK_MS = 100;
/** A look may have begun before the key came: the one behind it has not. */
const LOOKS = 2;
const KEY_ID = /^[0-9a-f]{16}$/;

/** Seals texts with the record's key into tokens of letters, digits, `-`, `_` and `.`, for whoever sends them back. */
export interface DataSeal {
  seal(text: string, identity: readonly string[]): string;
  /** Undefined for whatever was not sealed with a key of this record and this identity. */
  open(token: string, identity: readonly string[]): string | undefined;
  /** The same; where the token names a key that is not known here, after a look for it: another process may have renewed them just now. */
  openFresh(token: string, identity: readonly string[]): Promise<string | undefined>;
  /** The keys may have changed. A source that cannot be read now leaves them as they are. */
  reload(): Promise<void>;
}

/** Rejects with `storage_unavailable` when the key cannot be had. */
export async function openDataSeal({ clock, ...options }: KeyringOptions & { readonly clock: Clock }): Promise<DataSeal> {
  const keyring = await Keyring.open(options);
  const { sealer } = keyring;
  const reload = (): Promise<void> => keyring.reload().catch(() => {});
  const open = (token: string, identity: readonly string[]): string | undefined => {
    const [keyId = "", bytes = ""] = token.split(".");
    return sealer.open({ keyId, bytes: Buffer.from(bytes, "base64url") }, identity);
  };
  let looking: Promise<void> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  const look = async (): Promise<void> => {
    const waitMs = lookedAt + LOOK_MS - clock.monotonic();
    if (waitMs > 0) await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    lookedAt = clock.monotonic();
    await reload();
    looking = undefined;
  };
  return {
    seal(text, identity) {
      const { keyId, bytes } = sealer.seal(text, identity);
      return `${keyId}.${Buffer.from(bytes).toString("base64url")}`;
    },
    open,
    async openFresh(token, identity) {
      const [keyId = ""] = token.split(".");
      if (KEY_ID.test(keyId)) for (let looks = 0; looks < LOOKS && !sealer.knows(keyId); looks++) await (looking ??= look());
      return open(token, identity);
    },
    reload,
  };
}
