// npm run generate: writes the files that are derived from code. With --check it writes nothing and fails when one is stale.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { providersDoc } from "./generate-providers-doc.ts";
import { cliDoc } from "./generate/cli.ts";
import { configurationDoc } from "./generate/configuration.ts";
import { lossTable } from "./generate/loss-table.ts";
import { modelsDoc } from "./generate/models.ts";
import { rehearsalDoc } from "./generate/rehearsal.ts";
import { openApiFile } from "./generate/openapi.ts";
import { dialectModules, registrySource } from "./generate/registry.ts";

/** Generated files by path, with what they should hold. */
function generatedFiles(root: string): ReadonlyMap<string, string> {
  return new Map([
    ["src/dialects/registry.generated.ts", registrySource(root, dialectModules(root))],
    ["docs/configuration.md", configurationDoc()],
    ["docs/cli.md", cliDoc()],
    ["docs/rehearsal.md", rehearsalDoc()],
    ["docs/providers.md", providersDoc()],
    ["docs/models.md", modelsDoc()],
    ["docs/dialects.md", lossTable()],
    ["docs/openapi.json", openApiFile()],
  ]);
}

function current(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return undefined;
  }
}

/** Paths of generated files that do not hold what they should. */
export function staleFiles(root: string): string[] {
  return [...generatedFiles(root)].filter(([path, text]) => current(root, path) !== text).map(([path]) => path);
}

function main(): void {
  const root = join(import.meta.dirname, "..");
  const stale = staleFiles(root);
  if (process.argv.includes("--check")) {
    for (const path of stale) process.stderr.write(`${path} is stale: run npm run generate.\n`);
    process.exitCode = stale.length > 0 ? 1 : 0;
    return;
  }
  const files = generatedFiles(root);
  for (const path of stale) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), files.get(path) ?? "");
    process.stdout.write(`wrote ${path}\n`);
  }
}

if (process.argv[1] === import.meta.filename) main();
