import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { ConfigStore, ConfigVersion } from "../../src/canon/index.ts";
import { defaultConfig, snapshotOf, watchConfig, type ConfigWatch } from "../../src/config/index.ts";
import { ManualClock } from "../../src/kit/index.ts";

class MemoryVersions implements ConfigStore {
  readonly kept: ConfigVersion[] = [];
  append(entry: Omit<ConfigVersion, "version">): Promise<ConfigVersion> {
    const version = { ...entry, version: this.kept.length + 1 };
    this.kept.push(version);
    return Promise.resolve(version);
  }
  read(version: number): Promise<ConfigVersion | undefined> {
    return Promise.resolve(this.kept[version - 1]);
  }
  list(limit: number): Promise<readonly ConfigVersion[]> {
    return Promise.resolve(this.kept.slice(-limit));
  }
}

const FIRST = "version: 1\nmodels: { a: sim/echo }\n";
const SECOND = "version: 1\nmodels: { b: sim/echo }\n";

describe("watchConfig", () => {
  const folder = mkdtempSync(join(tmpdir(), "gimbal-config-"));
  const file = join(folder, "gimbal.yaml");
  let watching: ConfigWatch | undefined;
  let touch = (): void => {};
  const said: string[] = [];
  const applied: { names: string[]; version: number }[] = [];
  const versions = new MemoryVersions();
  const clock = new ManualClock();

  afterEach(() => {
    watching?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("applies what is valid, refuses what is not, and keeps every version", async () => {
    writeFileSync(file, FIRST);
    watching = watchConfig({
      file,
      env: {},
      clock,
      versions,
      text: FIRST,
      apply: (config, version) => void applied.push({ names: [...config.aliases.keys()], version }),
      report: (lines) => void said.push(...lines),
      notice: (_folder, changed) => {
        touch = changed;
        return () => {};
      },
    });
    expect(await watching.reload()).toBe("unchanged");
    writeFileSync(file, SECOND);
    touch();
    touch();
    clock.advance(1000);
    expect(await watching.reload()).toBe("unchanged");
    expect(applied).toEqual([{ names: ["b"], version: 1 }]);
    writeFileSync(file, "version: 1\nmodles: {}\n");
    expect(await watching.reload()).toBe("refused");
    expect(said.at(-2)).toBe(`${file}:2:1 Unknown key "modles". Did you mean "models"?`);
    rmSync(file);
    expect(await watching.reload()).toBe("refused");
    expect(said.at(-1)).toContain("cannot be read (ENOENT)");
    expect(applied).toHaveLength(1);
    expect(versions.kept.map((version) => version.text)).toEqual([SECOND]);
    writeFileSync(file, FIRST);
    expect(await watching.reload()).toBe("applied");
    expect(applied.at(-1)).toEqual({ names: ["a"], version: 2 });
  });

  it("tries again what could not be kept, when the same text is saved again", async () => {
    const other = mkdtempSync(join(tmpdir(), "gimbal-config-"));
    const path = join(other, "gimbal.yaml");
    const fragile = new MemoryVersions();
    const works = fragile.append.bind(fragile);
    writeFileSync(path, FIRST);
    watching = watchConfig({
      file: path,
      env: {},
      clock,
      versions: fragile,
      text: FIRST,
      apply: () => {},
      report: (lines) => void said.push(...lines),
      notice: () => () => {},
    });
    fragile.append = () => Promise.reject(new Error("disk is full"));
    writeFileSync(path, SECOND);
    expect(await watching.reload()).toBe("refused");
    expect(said.at(-1)).toContain("disk is full");
    fragile.append = works;
    expect(await watching.reload()).toBe("applied");
    rmSync(other, { recursive: true, force: true });
  });
});

describe("snapshotOf", () => {
  it("lists what was found and always the simulator", () => {
    const snapshot = snapshotOf(defaultConfig({ providers: {}, models: { found: ["m/1"] } }), 7, new Map());
    expect([...snapshot.aliases.keys()].slice(0, 2)).toEqual(["found/m/1", "sim/echo"]);
    expect(snapshot.aliases.get("found/m/1")?.targets).toEqual([{ provider: "found", model: "m/1", weight: 1 }]);
    expect(snapshot.version).toBe(7);
  });
});
