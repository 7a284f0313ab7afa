import { posix } from "node:path";
import { filesNamedIn, functionsOf, importsOf, lineAt } from "./source.ts";

/** Paths relative to the checkout, with slashes, to their text. */
export type Tree = ReadonlyMap<string, string>;

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** Every room and its floor, lowest first: see `docs/house.md`. */
export const FLOORS: Readonly<Record<string, number>> = {
  canon: 0,
  kit: 0,
  wire: 1,
  dialects: 1,
  models: 1,
  stores: 1,
  providers: 2,
  ledger: 2,
  guard: 2,
  cache: 2,
  vectors: 2,
  routing: 3,
  gateway: 4,
  tools: 5,
  batches: 5,
  agents: 5,
  evals: 5,
  rehearsal: 5,
  config: 6,
  server: 7,
  cli: 7,
};
/** Rooms that are importable alone: they may use the ground floor and nothing else. */
const STANDALONE = new Set(["sdk", "advisor"]);
/** The only files that may join rooms. */
const JOINERS = new Set(["src/house.ts", "src/in-force.ts", "src/rooms.ts", "src/stage.ts", "src/main.ts"]);
/** Rooms that must also run where there is no Node. */
const PORTABLE = new Set(["canon", "kit", "sdk"]);
const GROUND = new Set(["canon", "kit"]);

export const REPORTED_FILE_LINES = 400;
export const LONGEST_FILE_LINES = 800;
export const REPORTED_FUNCTION_LINES = 70;

/** Whose names may only stand in their own files. Case does not matter; comments count, because they age into code. */
const VENDORS =
  /open-?ai|anthropic|claude|gemini|mistral|groq|\bcohere\b|bedrock|\bazure|deepseek|\bxai\b|\bgrok\b|openrouter|cerebras|perplexity|ollama|vllm|llama[.-]?cpp|\bllama\b|lm ?studio|sglang|hugging ?face|nvidia|baseten|sambanova|moonshot|workers-ai|\bcodex\b|\bgpt\b|\bfireworks\b/i;
const MAY_NAME_VENDORS = [
  /^src\/dialects\//,
  /^src\/models\//,
  /^src\/providers\/(catalog|discover)[^/]*\.ts$/,
  /^src\/providers\/(sim|local)\//,
  // What servers of models tell of themselves: a file for each of them.
  /^src\/providers\/servers\/(kinds|metered|vllm|sglang|llamacpp|ollama|ollama-pull|lmstudio|tei|infinity|workers-ai)\.ts$/,
  /^src\/cli\/doctor[^/]*\.ts$/,
  // What other gateways call providers: a file for each of them.
  /^src\/cli\/init-(litellm|portkey)\.ts$/,
  /\.generated\.ts$/,
];

function isSource(file: string): boolean {
  return file.startsWith("src/") && file.endsWith(".ts");
}

/** The room of a file below `src/`; undefined for files that stand in no room. */
function roomOf(file: string): string | undefined {
  const parts = file.split("/");
  return parts[0] === "src" && parts.length > 2 ? parts[1] : undefined;
}

/** Resolves a relative import; undefined for packages. */
function resolve(file: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(file), specifier)) : undefined;
}

/** Imports go downward only; the ground floor is pure; only the top joins rooms. */
export function checkFloors(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [file, text] of tree) {
    if (!isSource(file)) continue;
    const room = roomOf(file);
    if (room === undefined && !JOINERS.has(file))
      findings.push({ file, line: 1, message: "stands in no room; only house.ts, in-force.ts, rooms.ts, stage.ts and main.ts may" });
    if (room !== undefined && FLOORS[room] === undefined && !STANDALONE.has(room)) {
      findings.push({ file, line: 1, message: `the room ${room} has no floor` });
    }
    for (const { specifier, line } of importsOf(text)) {
      const message = whyForbidden(file, room, specifier, tree);
      if (message !== undefined) findings.push({ file, line, message });
    }
  }
  return findings;
}

function whyForbidden(file: string, room: string | undefined, specifier: string, tree: Tree): string | undefined {
  const target = resolve(file, specifier);
  if (target === undefined) return whyPackageForbidden(room, specifier);
  if (!tree.has(target) && !target.endsWith(".json")) return `imports ${target}, which does not exist`;
  if (room === undefined) return undefined;
  if (!target.startsWith("src/")) return `imports ${target}: source may not depend on what is outside src/`;
  const other = roomOf(target);
  if (other === room) return undefined;
  if (other === undefined) return `imports ${target}: only the top of the house joins rooms`;
  if (STANDALONE.has(room)) return GROUND.has(other) ? undefined : `${room} may use canon and kit only, not ${other}`;
  const [own, its] = [FLOORS[room] ?? 0, FLOORS[other] ?? Number.POSITIVE_INFINITY];
  if (its < own) return undefined;
  return its === own
    ? `${room} and ${other} are on one floor and may not know each other`
    : `${room} (floor ${own}) imports upward: ${other} (floor ${its})`;
}

function whyPackageForbidden(room: string | undefined, specifier: string): string | undefined {
  if (room === undefined) return undefined;
  if (room === "canon") return `canon imports nothing, not even ${specifier}`;
  if (PORTABLE.has(room) && (specifier.startsWith("node:") || specifier === "ws" || specifier === "undici")) {
    return `${room} must run where there is no Node: ${specifier}`;
  }
  return undefined;
}

/** A vendor's name lives in its own file. */
export function checkVendors(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [file, text] of tree) {
    if (!isSource(file) || MAY_NAME_VENDORS.some((pattern) => pattern.test(file))) continue;
    for (const [index, line] of text.split("\n").entries()) {
      const name = VENDORS.exec(line)?.[0];
      if (name !== undefined) findings.push({ file, line: index + 1, message: `names a vendor: ${name}` });
    }
  }
  return findings;
}

/** Every source file is reached from a program: the gateway, a script, a bench. A test does not keep a file alive. */
export function checkDeadFiles(tree: Tree): Finding[] {
  const alive = new Set<string>();
  const open = [...tree.keys()].filter((file) => file === "src/main.ts" || /^(bin|scripts|bench)\/[^/]+$/.test(file));
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (alive.has(file)) continue;
    alive.add(file);
    const text = tree.get(file) ?? "";
    const targets = importsOf(text).map((found) => resolve(file, found.specifier));
    const named = filesNamedIn(text).map((name) => posix.normalize(posix.join(posix.dirname(file), name)));
    for (const target of [...targets, ...named]) if (target !== undefined && tree.has(target)) open.push(target);
  }
  return [...tree.keys()]
    .filter((file) => isSource(file) && !alive.has(file))
    .map((file) => ({ file, line: 1, message: "is reached from no program: dead" }));
}

/** Files that are too long to read; `fails` where even patience ends. */
export function checkLengths(tree: Tree): { readonly fails: Finding[]; readonly reports: Finding[] } {
  const fails: Finding[] = [];
  const reports: Finding[] = [];
  for (const [file, text] of tree) {
    if (!file.endsWith(".ts") || file.endsWith(".generated.ts")) continue;
    const lines = text.split("\n").length - 1;
    if (lines > LONGEST_FILE_LINES) fails.push({ file, line: lines, message: `has ${lines} lines; the most is ${LONGEST_FILE_LINES}` });
    else if (lines > REPORTED_FILE_LINES && isSource(file))
      reports.push({ file, line: lines, message: `has ${lines} lines: does it still hold one idea?` });
    if (!isSource(file)) continue;
    for (const found of functionsOf(text)) {
      if (found.lines > REPORTED_FUNCTION_LINES)
        reports.push({ file, line: found.line, message: `${found.name} has ${found.lines} lines` });
    }
  }
  return { fails, reports };
}

/** Hosts in a lock file bind everybody to the registry of whoever wrote it. */
export function checkLockFile(tree: Tree): Finding[] {
  const file = "package-lock.json";
  const text = tree.get(file) ?? "";
  const at = text.indexOf('"resolved"');
  return at < 0 ? [] : [{ file, line: lineAt(text, at), message: "names a registry host (run npm with the project's .npmrc)" }];
}
