import type { Sealer } from "./sealer.ts";

/** Begins a text that is sealed: the key's id and the bytes in Base64 follow, each behind a colon. */
export const SEALED_MARK = "gimbal-sealed:1:";

function identity(version: number): readonly string[] {
  return ["config", String(version)];
}

/** A configuration can hold keys written out, and its versions are kept for good: at rest they are sealed like kept turns. */
export function sealConfigText(sealer: Sealer, version: number, text: string): string {
  const { keyId, bytes } = sealer.seal(text, identity(version));
  return `${SEALED_MARK}${keyId}:${Buffer.from(bytes).toString("base64")}`;
}

/** Undefined when the key is gone, or the row is not what was written. */
export function openConfigText(sealer: Sealer, version: number, stored: string): string | undefined {
  if (!stored.startsWith(SEALED_MARK)) return undefined;
  const [keyId = "", bytes = ""] = stored.slice(SEALED_MARK.length).split(":");
  return sealer.open({ keyId, bytes: Buffer.from(bytes, "base64") }, identity(version));
}
