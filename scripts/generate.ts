// npm run generate: writes the files that are derived from code. With --check it writes nothing and fails when one is stale.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { dialectModules, registrySource } from "./generate/registry.ts";

/** Generated files by path, with what they should hold. */
async function generatedFiles(root: string): Promise<ReadonlyMap<string, string>> {
  return new Map([["src/dialects/registry.generated.ts", registrySource(dialectModules(root))]]);
}

function current(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return undefined;
  }
}

/** Paths of generated files that do not hold what they should. */
export async function staleFiles(root: string): Promise<string[]> {
  return [...(await generatedFiles(root))].filter(([path, text]) => current(root, path) !== text).map(([path]) => path);
}

async function main(): Promise<void> {
  const root = join(import.meta.dirname, "..");
  const stale = await staleFiles(root);
  if (process.argv.includes("--check")) {
    for (const path of stale) process.stderr.write(`${path} is stale: run npm run generate.\n`);
    process.exitCode = stale.length > 0 ? 1 : 0;
    return;
  }
  const files = await generatedFiles(root);
  for (const path of stale) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), files.get(path) ?? "");
    process.stdout.write(`wrote ${path}\n`);
  }
}

if (process.argv[1] === import.meta.filename) await main();
