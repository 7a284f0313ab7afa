import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Secret } from "../canon/index.ts";

const TOKEN_FILE = "admin-token";
const SERVER_FILE = "server.json";
const OWNER_ONLY = 0o600;
const TOKEN_BYTES = 32;

/** The admin token of a data folder: made at the first start, mode 0600, the same afterwards. */
export async function adminTokenOf(folder: string): Promise<Secret> {
  const file = join(folder, TOKEN_FILE);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    // Exclusive creation: of two processes that start at once, one writes and both read the same.
    const handle = await open(file, "wx", OWNER_ONLY);
    await handle.writeFile(`gka_${randomBytes(TOKEN_BYTES).toString("base64url")}\n`);
    await handle.close();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  return new Secret((await readFile(file, "utf8")).trim());
}

/** Leaves word in the data folder where its gateway is, for commands that run beside it. Resolves with how to take it back. */
export async function announce(folder: string, url: string): Promise<() => Promise<void>> {
  const file = join(folder, SERVER_FILE);
  await writeFile(file, `${JSON.stringify({ url, pid: process.pid })}\n`, { mode: OWNER_ONLY });
  return () => rm(file, { force: true });
}
