import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { packedContent } from "../contracts/content.contract.ts";
import { temporaryFolder } from "./folders.ts";
import { ledgerRow, START } from "./rows.ts";

const DAY = 86_400_000;
const open = (folder: string): ReturnType<typeof openSqlite> => openSqlite({ folder, node: "node-a", clock: new ManualClock(START) });
const files = (folder: string): string[] => readdirSync(join(folder, "content")).toSorted();
const bytesOf = (folder: string): string =>
  files(folder)
    .map((name) => readFileSync(join(folder, "content", name), "latin1"))
    .join("");

it("what is stored is sealed, one owner-only file for each day and time it is kept for, and gone with its day", async () => {
  const folder = temporaryFolder();
  const stores = await open(folder);
  await stores.content.keep(JSON.stringify([packedContent("c1", 1), packedContent("c2", 14)]));
  expect(files(folder).filter((name) => name.endsWith(".db"))).toEqual(["2026-01-01_2026-01-02.db", "2026-01-01_2026-01-15.db"]);
  expect(statSync(join(folder, "content", "2026-01-01_2026-01-02.db")).mode & 0o777).toBe(0o600);
  expect(bytesOf(folder)).toContain("c1");
  expect(bytesOf(folder)).not.toContain("prompt");
  await stores.content.drop(START + 2 * DAY);
  expect(files(folder).filter((name) => name.startsWith("2026-01-01_2026-01-02"))).toEqual([]);
  await stores.close();
  // Found again by another process, and not to be opened with another key.
  const again = await open(folder);
  expect((await again.content.read("c2", START + 5, START + 6))?.callId).toBe("c2");
  await again.close();
  rmSync(join(folder, "serving.key"));
  const keyless = await open(folder);
  expect(await keyless.content.read("c2", START + 5, START + 6)).toBeUndefined();
  await keyless.close();
});

it("what is erased is overwritten on the disk", async () => {
  const folder = temporaryFolder();
  const stores = await open(folder);
  await stores.content.keep(JSON.stringify([packedContent("c1", 1, { caller: "caller-to-forget" }), packedContent("c2", 1)]));
  expect(bytesOf(folder)).toContain("caller-to-forget");
  await stores.content.erase({ kind: "caller", value: "caller-to-forget" });
  expect(bytesOf(folder)).not.toContain("caller-to-forget");
  expect(bytesOf(folder)).toContain("key_1");
  await stores.close();
});

it("a folder that cannot be written costs no row", async () => {
  const folder = temporaryFolder();
  const stores = await open(folder);
  writeFileSync(join(folder, "content"), "in the way");
  const [row, content] = await Promise.allSettled([
    stores.ledger.settle(ledgerRow("c1")),
    stores.content.keep(JSON.stringify([packedContent("c1", 1)])),
  ]);
  expect([row.status, content.status]).toEqual(["fulfilled", "rejected"]);
  expect(stores.ledger.failure()).toBeUndefined();
  rmSync(join(folder, "content"));
  mkdirSync(join(folder, "content"));
  await stores.content.keep(JSON.stringify([packedContent("c1", 1)]));
  expect((await stores.content.read("c1", START + 5, START + 6))?.callId).toBe("c1");
  await stores.close();
});
