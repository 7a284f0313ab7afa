import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { staleFiles } from "../scripts/generate.ts";
import { checkDeadFiles, checkFloors, checkLengths, checkLockFile, checkVendors, type Finding, type Tree } from "../scripts/house/rules.ts";
import { functionsOf, importsOf, withoutComments } from "../scripts/house/source.ts";
import { readTree } from "../scripts/house/tree.ts";

const root = join(import.meta.dirname, "..");
const tree = readTree(root);

const lines = (findings: readonly Finding[]): string[] => findings.map((found) => `${found.file}:${found.line} ${found.message}`);
const files = (entries: Readonly<Record<string, string>>): Tree => new Map(Object.entries(entries));

describe("the house", () => {
  it("imports downward only", () => expect(lines(checkFloors(tree))).toEqual([]));
  it("names vendors in their own files only", () => expect(lines(checkVendors(tree))).toEqual([]));
  it("has no dead source file", () => expect(lines(checkDeadFiles(tree))).toEqual([]));
  it("has no registry host in the lock file", () => expect(lines(checkLockFile(tree))).toEqual([]));
  it("has fresh generated files", () => expect(staleFiles(root)).toEqual([]));
  it("has no file beyond reading", () => {
    const { fails, reports } = checkLengths(tree);
    if (reports.length > 0) process.stdout.write(`Long, but allowed:\n${lines(reports).join("\n")}\n`);
    expect(lines(fails)).toEqual([]);
  });
});

describe("the house's own checks", () => {
  const only = (entries: Readonly<Record<string, string>>): string[] => checkFloors(files(entries)).map((found) => found.message);
  const empty = { "src/canon/index.ts": "", "src/kit/index.ts": "", "src/wire/a.ts": "", "src/dialects/a.ts": "", "src/gateway/a.ts": "" };

  it("catch an import upward", () => {
    expect(only({ ...empty, "src/wire/b.ts": `import { x } from "../gateway/a.ts";` })).toEqual([
      "wire (floor 1) imports upward: gateway (floor 4)",
    ]);
    expect(only({ ...empty, "src/wire/b.ts": `const x = await import("../gateway/a.ts");` })).toHaveLength(1);
    expect(only({ ...empty, "src/wire/b.ts": `export * from "../gateway/a.ts";` })).toHaveLength(1);
    expect(only({ ...empty, "src/wire/b.ts": `import type {\n  X,\n  Y,\n} from "../gateway/a.ts";` })).toHaveLength(1);
    expect(only({ ...empty, "src/gateway/b.ts": `import { x } from "../wire/a.ts";` })).toEqual([]);
  });
  it("catch neighbours on one floor", () => {
    expect(only({ ...empty, "src/wire/b.ts": `import "../dialects/a.ts";` })).toEqual([
      "wire and dialects are on one floor and may not know each other",
    ]);
    expect(only({ ...empty, "src/kit/b.ts": `import type { A } from "../canon/index.ts";` })).toHaveLength(1);
  });
  it("keep the ground floor pure", () => {
    expect(only({ ...empty, "src/canon/b.ts": `import { z } from "zod";` })).toHaveLength(1);
    expect(only({ ...empty, "src/kit/b.ts": `import { join } from "node:path";` })).toHaveLength(1);
    expect(only({ ...empty, "src/sdk/b.ts": `import "node:fs";\nimport "../wire/a.ts";\nimport "../kit/index.ts";` })).toHaveLength(2);
  });
  it("let only the top join rooms", () => {
    expect(only({ ...empty, "src/house.ts": `import "./wire/a.ts"; import "./gateway/a.ts";` })).toEqual([]);
    expect(only({ ...empty, "src/other.ts": "" })).toHaveLength(1);
    expect(only({ ...empty, "src/house.ts": "", "src/gateway/b.ts": `import "../house.ts";` })).toHaveLength(1);
    expect(only({ ...empty, "src/attic/b.ts": "" })).toEqual(["the room attic has no floor"]);
    expect(only({ ...empty, "test/a.ts": "", "src/wire/b.ts": `import "../../test/a.ts";` })).toHaveLength(1);
    expect(only({ ...empty, "src/wire/b.ts": `import "./missing.ts";` })).toHaveLength(1);
  });
  it("catch a vendor's name, in a comment too", () => {
    const text = "// as OpenAI does\nconst x = 'llama';\n";
    expect(checkVendors(files({ "src/gateway/a.ts": text }))).toHaveLength(2);
    expect(checkVendors(files({ "src/dialects/openai-chat/a.ts": text, "src/providers/catalog.ts": text, "test/a.ts": text }))).toEqual([]);
    expect(checkVendors(files({ "src/gateway/a.ts": "// all together, coherent" }))).toEqual([]);
  });
  it("catch a dead file that only a test keeps", () => {
    const dead = files({
      "src/main.ts": `import "./wire/a.ts";`,
      "src/wire/a.ts": `new Worker(new URL("./worker.ts", import.meta.url)); join(import.meta.dirname, "named.ts")`,
      "src/wire/worker.ts": "",
      "src/wire/named.ts": "",
      "src/wire/dead.ts": "",
      "test/wire/a.test.ts": `import "../../src/wire/dead.ts";`,
    });
    expect(checkDeadFiles(dead).map((found) => found.file)).toEqual(["src/wire/dead.ts"]);
  });
  it("catch a long file, a long function and a bound lock file", () => {
    const long = checkLengths(files({ "src/wire/a.ts": "x\n".repeat(801), "src/wire/b.ts": "x\n".repeat(401) }));
    expect([long.fails.length, long.reports.length]).toEqual([1, 1]);
    const body = `export function big(): void {\n${"  x();\n".repeat(80)}}\n`;
    expect(checkLengths(files({ "src/wire/a.ts": body })).reports.map((found) => found.message)).toEqual(["big has 82 lines"]);
    expect(checkLockFile(files({ "package-lock.json": '{\n"resolved": "https://example.test/x"}' }))).toHaveLength(1);
  });
  it("read source as the compiler does", () => {
    const tricky = `const a = "// no"; const r = /["'\`]/; // import "x"\nconst t = \`\${b("}")} /* \`; /* import "y" */ import "z";`;
    expect(importsOf(tricky)).toEqual([{ specifier: "z", line: 2 }]);
    expect(withoutComments(tricky).length).toBe(tricky.length);
    expect(functionsOf("class A {\n  run(x: number): void {\n    y();\n  }\n}\n").map((found) => found.name)).toEqual(["run"]);
  });
});
