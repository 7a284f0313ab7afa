import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { announce } from "../../src/server/admin-token.ts";
import { makeFolder, openSqlite } from "../../src/stores/index.ts";
import { temporaryFolder } from "./folders.ts";

const OWNER_ONLY = 0o700;
/** A file that is always full; Linux alone has one. */
const FULL = "/dev/full";

describe("a data folder", () => {
  it("is made with what is missing above it, for its owner alone", () => {
    const above = temporaryFolder();
    const folder = join(above, "a/b/c");
    makeFolder(folder);
    makeFolder(folder);
    expect(statSync(folder).mode & 0o777).toBe(OWNER_ONLY);
    expect(statSync(join(above, "a")).mode & 0o777).toBe(OWNER_ONLY);
  });

  it.each([
    ["below a file", (above: string) => join(above, "file/data")],
    ["that is a file", (above: string) => join(above, "file")],
    ["that is a link to nowhere", (above: string) => join(above, "link")],
  ])("%s is refused in a sentence", (_what, folderIn) => {
    const above = temporaryFolder();
    writeFileSync(join(above, "file"), "");
    symlinkSync(join(above, "nowhere/else"), join(above, "link"));
    expect(() => makeFolder(folderIn(above))).toThrow(/^The data folder .* cannot be made: .*\. Choose another with --data\.$/);
  });

  it.runIf(existsSync("/proc/self"))("where no folder can be made is refused at once", async () => {
    const folder = "/proc/gimbal/data";
    await expect(openSqlite({ folder, node: "n", clock: new ManualClock() })).rejects.toThrow(
      "The data folder /proc/gimbal/data cannot be made",
    );
  });

  it.runIf(existsSync(FULL))("on a full disk is refused in a sentence", async () => {
    const folder = join(temporaryFolder(), "data");
    mkdirSync(folder);
    symlinkSync(FULL, join(folder, "lock.json"));
    await expect(openSqlite({ folder, node: "n", clock: new ManualClock() })).rejects.toThrow(
      `The data folder ${folder} cannot be written: the disk is full. Make room, or choose another with --data.`,
    );
    symlinkSync(FULL, join(folder, "server.json"));
    await expect(announce(folder, "http://127.0.0.1:1")).rejects.toThrow(/server\.json cannot be written: the disk is full\. Make room/);
  });
});
