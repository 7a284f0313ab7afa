import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Secret } from "../canon/index.ts";
import { makeFolder, reasonOf, unavailable } from "../stores/index.ts";

const TOKEN_FILE = "admin-token";
const SERVER_FILE = "server.json";
const OWNER_ONLY = 0o600;
const TOKEN_BYTES = 32;

/** The admin token of a data folder: made at the first start, mode 0600, the same afterwards. */
export async function adminTokenOf(folder: string): Promise<Secret> {
  const file = join(folder, TOKEN_FILE);
  makeFolder(folder);
  const kept = await readToken(file);
  if (kept !== undefined) return kept;
  const draft = `${file}.${randomBytes(8).toString("hex")}`;
  const token = `gka_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
  try {
    // Written whole before it gets its name: a crash or a full disk must not leave half a token. The folder is ours: nobody else makes one.
    await writeFile(draft, `${token}\n`, { mode: OWNER_ONLY, flag: "wx" });
    await rename(draft, file);
  } catch (error) {
    throw unwritable(file, error);
  } finally {
    await rm(draft, { force: true });
  }
  return new Secret(token);
}

async function readToken(file: string): Promise<Secret | undefined> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.trim() === "" ? undefined : new Secret(text.trim());
}

function unwritable(file: string, error: unknown): Error {
  return unavailable(`${file} cannot be written: ${reasonOf(error)}. Make room, or choose another data folder with --data.`, {
    cause: error,
  });
}

/** Leaves word in the data folder where its gateway is, for commands that run beside it. Resolves with how to take it back. */
export async function announce(folder: string, url: string): Promise<() => Promise<void>> {
  const file = join(folder, SERVER_FILE);
  await writeFile(file, `${JSON.stringify({ url, pid: process.pid })}\n`, { mode: OWNER_ONLY }).catch((error: unknown) => {
    throw unwritable(file, error);
  });
  return () => rm(file, { force: true });
}

/** Is this the `authorization` of whoever holds the token? Compared by digest, so that the time it takes says nothing of the token. */
export function isAdmin(authorization: string | undefined, token: Secret): boolean {
  const given = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1];
  if (given === undefined) return false;
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token.reveal()));
}
