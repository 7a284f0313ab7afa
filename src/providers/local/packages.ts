import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** Where optional packages are looked for, first found wins. Each is a folder that may hold `node_modules`, or is one. */
export interface PackagePlaces {
  /** The data folder; undefined where there is none. */
  readonly dataFolder: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Versions that were tried. */
const VERSIONS: Readonly<Record<string, string>> = { "node-llama-cpp": "3", "@huggingface/transformers": "4" };

export type FoundPackage = { readonly ok: true; readonly url: string } | { readonly ok: false; readonly message: string };

/** The entry of an optional package, from the checkout, the data folder's `packages`, or NODE_PATH. */
export function findPackage(name: string, { dataFolder, env }: PackagePlaces): FoundPackage {
  const own = dataFolder === undefined ? undefined : join(dataFolder, "packages");
  const folders = [
    ...checkouts(),
    ...(own === undefined ? [] : [join(own, "node_modules")]),
    ...(env["NODE_PATH"] ?? "").split(delimiter).filter((path) => path !== ""),
  ];
  for (const folder of folders) {
    const entry = entryOf(join(folder, name));
    if (entry !== undefined) return { ok: true, url: pathToFileURL(entry).href };
  }
  const where = own === undefined ? "" : ` --prefix ${own}`;
  return {
    ok: false,
    message: `The optional package ${name} is not installed; install it with: npm install --ignore-scripts${where} ${name}@${VERSIONS[name] ?? "latest"}`,
  };
}

/** The `node_modules` of this program's folder and of all above it. */
function checkouts(): readonly string[] {
  const folders: string[] = [];
  for (let at = import.meta.dirname; ; at = dirname(at)) {
    folders.push(join(at, "node_modules"));
    if (dirname(at) === at) return folders;
  }
}

function entryOf(folder: string): string | undefined {
  let described: { readonly exports?: unknown; readonly main?: unknown };
  try {
    described = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as typeof described;
  } catch {
    return undefined;
  }
  const { exports: offered, main } = described;
  const root = typeof offered === "object" && offered !== null && "." in offered ? offered["."] : offered;
  const path = join(folder, conditional(root) ?? (typeof main === "string" ? main : "index.js"));
  return existsSync(path) ? path : undefined;
}

/** The first file whose conditions hold here, in the order in which the package names them. Source: Node's packages, "Conditional exports". */
function conditional(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [condition, target] of Object.entries(value)) {
    if (condition !== "node" && condition !== "import" && condition !== "default") continue;
    const found = conditional(target);
    if (found !== undefined) return found;
  }
  return undefined;
}
