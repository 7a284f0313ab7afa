import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ProblemError, type ConfigStore } from "../../src/canon/index.ts";
import { ConfigControl, patchModel, versionAtStart } from "../../src/config/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";

const FIRST = "version: 1\nmodels: { a: sim/echo }\n";
const SECOND = "version: 1\nmodels: { b: sim/echo }\n";
const THIRD = "version: 1\nmodels: { c: sim/echo }\n";

async function problemOf(work: Promise<unknown>): Promise<{ kind: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
    throw error;
  }
  return { kind: "none", message: "" };
}

describe("the configuration in force", () => {
  const clock = new ManualClock();
  let folder = "";
  let file = "";
  let store: ConfigStore;
  let said: string[] = [];
  let touch = (): void => {};
  const open: ConfigControl[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "gimbal-config-"));
    file = join(folder, "gimbal.yaml");
    writeFileSync(file, FIRST);
    store = memoryStores(clock).config;
    said = [];
  });
  afterEach(() => {
    for (const control of open.splice(0)) control.close();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Started {
    readonly control: ConfigControl;
    /** Model names and version numbers, in the order in which they came into force. */
    readonly applied: string[];
  }

  async function start(over: { store?: ConfigStore; node?: string; apply?: () => void } = {}): Promise<Started> {
    const applied: string[] = [];
    const { version } = await versionAtStart(over.store ?? store, FIRST, clock.now());
    const control = new ConfigControl({
      file,
      follow: true,
      env: {},
      clock,
      store: over.store ?? store,
      node: over.node ?? "node_a",
      version,
      fileText: FIRST,
      apply: (config, number) => {
        over.apply?.();
        applied.push(`${[...config.aliases.keys()].join()} ${number}`);
      },
      report: (lines) => void said.push(...lines),
      notice: (_folder, changed) => {
        touch = changed;
        return () => {};
      },
    });
    open.push(control);
    return { control, applied };
  }

  it("follows its file: what is valid is applied, what is not is refused, every version is kept", async () => {
    const { control, applied } = await start();
    expect(await control.reload()).toBe("unchanged");
    writeFileSync(file, SECOND);
    touch();
    touch();
    clock.advance(1000);
    expect(await control.reload()).toBe("unchanged");
    expect(applied).toEqual(["b 2"]);
    writeFileSync(file, "version: 1\nmodles: {}\n");
    expect(await control.reload()).toBe("refused");
    expect(said.at(-2)).toBe(`${file}:2:1 Unknown key "modles". Did you mean "models"?`);
    rmSync(file);
    expect(await control.reload()).toBe("refused");
    expect(said.at(-1)).toContain("cannot be read (ENOENT)");
    writeFileSync(file, FIRST);
    expect(await control.reload()).toBe("applied");
    expect(applied).toEqual(["b 2", "a 3"]);
  });

  it("looks at its file in time where something beside it changes all the time", async () => {
    const { control, applied } = await start();
    writeFileSync(file, SECOND);
    for (let ms = 0; ms < 600; ms += 100) {
      touch();
      clock.advance(100);
    }
    await control.catchUp();
    expect(applied).toEqual(["b 2"]);
  });

  it("tries again what could not be kept, when the same text is saved again", async () => {
    let full = false;
    const append: ConfigStore["append"] = (...entry) => (full ? Promise.reject(new Error("disk is full")) : store.append(...entry));
    const { control } = await start({ store: { ...store, append } });
    full = true;
    writeFileSync(file, SECOND);
    expect(await control.reload()).toBe("refused");
    expect(said.at(-1)).toContain("disk is full");
    full = false;
    expect(await control.reload()).toBe("applied");
  });

  it("goes back to any version, which is a new version and in force at once", async () => {
    const { control, applied } = await start();
    writeFileSync(file, SECOND);
    await control.reload();
    const back = await control.rollback(1, "admin");
    expect(back).toMatchObject({ version: 3, rollbackOf: 1, text: FIRST, author: "admin" });
    expect(applied).toEqual(["b 2", "a 3"]);
    expect(said.at(-1)).toBe("Configuration version 3, which is version 1 again (by admin) is in force.");
    expect(await control.reload()).toBe("unchanged");
    expect((await store.read(3))?.inForce?.processes).toBe(1);
    expect((await problemOf(control.rollback(9, "admin"))).message).toBe("There is no version 9 of the configuration; the newest is 3.");
  });

  it("refuses what would be invalid, and what was made from a version that is no longer the newest", async () => {
    const { control, applied } = await start();
    const invalid = await problemOf(control.change("admin", (text) => text.replace("sim/echo", "nowhere/x")));
    expect(invalid.kind).toBe("invalid_request");
    expect(invalid.message).toContain('There is no provider "nowhere"');
    await control.change("admin", () => SECOND, 1);
    expect((await problemOf(control.change("admin", () => THIRD, 1))).kind).toBe("conflict");
    expect((await problemOf(control.rollback(1, "admin", 1))).kind).toBe("conflict");
    expect(applied).toEqual(["b 2"]);
  });

  it("loses none of many changes made at once in two processes", async () => {
    const text = `version: 1\nmodels:\n  a: { targets: [${Array.from({ length: 8 }, (_, n) => `sim/m${n}`).join(", ")}] }\n`;
    await store.append({ createdAt: 0, author: "file", text: FIRST });
    await store.append({ createdAt: 0, author: "admin", text });
    const [one, two] = [await start(), await start({ node: "node_b" })];
    await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        (n % 2 ? one : two).control.change("admin", (before) => patchModel(before, "a", { weights: { [`sim/m${n}`]: n + 2 } })),
      ),
    );
    await Promise.all([one.control.catchUp(), two.control.catchUp()]);
    const newest = (await store.list(1))[0]?.text ?? "";
    for (let n = 0; n < 8; n++) expect(newest).toContain(`weight: ${n + 2}`);
    expect(one.control.version.version).toBe(two.control.version.version);
    expect((await store.read(one.control.version.version))?.inForce?.processes).toBe(2);
  });

  it("comes into force in another process as soon as the store tells of it", async () => {
    const one = await start();
    const two = await start({ node: "node_b" });
    await one.control.change("admin", () => SECOND);
    await two.control.catchUp();
    expect(two.applied).toEqual(["b 2"]);
  });

  it("a process that sees the file's change late does not undo what an administrator made of it since", async () => {
    const early = await start();
    const late = await start({ node: "node_b" });
    writeFileSync(file, SECOND);
    await early.control.reload();
    await early.control.change("admin", () => THIRD);
    await late.control.reload();
    await early.control.catchUp();
    expect((await store.list(9)).map(({ version }) => version)).toEqual([3, 2, 1]);
    expect(late.applied.at(-1)).toBe("c 3");
  });

  it("an edit of the file in the middle of an administrator's change comes after it, and neither is lost", async () => {
    const { control, applied } = await start();
    const change = control.change("admin", () => SECOND);
    writeFileSync(file, THIRD);
    expect(await control.reload()).toBe("applied");
    await change;
    expect(applied).toEqual(["b 2", "c 3"]);
    expect((await store.list(9)).map(({ text }) => text)).toEqual([THIRD, SECOND, FIRST]);
  });

  it("what cannot be put in force leaves the one before, and says so", async () => {
    let broken = true;
    const { control } = await start({
      apply: () => {
        if (broken) throw new Error("no such socket");
      },
    });
    writeFileSync(file, SECOND);
    expect(await control.reload()).toBe("refused");
    expect(said.at(-1)).toContain("no such socket");
    expect(control.version.version).toBe(1);
    broken = false;
    await control.reload();
    expect(control.version.version).toBe(2);
  });
});
