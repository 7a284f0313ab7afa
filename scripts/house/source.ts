/** One TypeScript file's text with comments blanked out, so that what is matched in it is code. Strings stay; line numbers stay. */
export function withoutComments(text: string): string {
  let out = "";
  let at = 0;
  let before = "";
  while (at < text.length) {
    const end = endOfToken(text, at, before);
    const token = text.slice(at, end);
    const isComment = token.startsWith("//") || token.startsWith("/*");
    out += isComment ? token.replace(/[^\n]/g, " ") : token;
    if (!isComment && token.trim() !== "") before = `${before}${token}`.slice(-12);
    at = end;
  }
  return out;
}

/** What may stand before a slash that begins a regular expression; after anything else a slash divides. */
const BEFORE_EXPRESSION = /(^|[(,=:[!&|?{};+\-*%<>~^]|\b(return|typeof|case|in|of|void|delete|throw|await|yield))$/;

function endOfToken(text: string, at: number, before: string): number {
  const letter = text[at];
  const next = text[at + 1];
  if (letter === "/" && next === "/") return indexOr(text.indexOf("\n", at), text.length);
  if (letter === "/" && next === "*") return indexOr(text.indexOf("*/", at + 2), text.length - 2) + 2;
  if (letter === '"' || letter === "'") return endOfQuoted(text, at, letter);
  if (letter === "`") return endOfTemplate(text, at);
  if (letter === "/" && BEFORE_EXPRESSION.test(before)) return endOfExpression(text, at);
  return at + 1;
}

function indexOr(index: number, otherwise: number): number {
  return index < 0 ? otherwise : index;
}

function endOfQuoted(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote || text[at] === "\n") return at + 1;
  }
  return text.length;
}

function endOfTemplate(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`") return at + 1;
    else if (text[at] === "$" && text[at + 1] === "{") at = endOfHole(text, at + 2) - 1;
  }
  return text.length;
}

function endOfHole(text: string, start: number): number {
  let depth = 1;
  let before = "(";
  let at = start;
  while (at < text.length) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return at + 1;
    const end = endOfToken(text, at, before);
    if (text.slice(at, end).trim() !== "") before = `${before}${text.slice(at, end)}`.slice(-12);
    at = end;
  }
  return text.length;
}

function endOfExpression(text: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "\n") return at;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if (text[at] === "/" && !inClass) return at + 1;
  }
  return text.length;
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

const IMPORTS = [
  /\b(?:import|export)\s+(?:type\s+)?[\w$*{}\s,]*?\bfrom\s*["']([^"'\n]+)["']/g,
  /\bimport\s*["']([^"'\n]+)["']/g,
  /\bimport\s*\(\s*["']([^"'\n]+)["']/g,
  /\bimport\.meta\.resolve\(\s*["']([^"'\n]+)["']/g,
  /\bnew\s+URL\(\s*["']([^"'\n]+)["']\s*,\s*import\.meta\.url/g,
];
/** A file named in a string, as a worker's is: `join(import.meta.dirname, "worker.ts")`. */
const NAMED_FILE = /["']((?:\.{1,2}\/)?[\w./-]+\.(?:ts|mjs))["']/g;

/** Everything a file imports, statically or not, types included. */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  for (const pattern of IMPORTS) {
    for (const match of code.matchAll(pattern)) {
      const specifier = match[1];
      if (specifier !== undefined) found.push({ specifier, line: lineAt(code, match.index) });
    }
  }
  return found;
}

/** Relative file names that stand in strings; some of them are no imports, so they only keep a file alive. */
export function filesNamedIn(text: string): string[] {
  return [...withoutComments(text).matchAll(NAMED_FILE)].flatMap((match) => (match[1] === undefined ? [] : [match[1]]));
}

export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < index; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

/** Functions of a formatted file with the number of their lines. A block ends at the first line that closes at its own indentation. */
export function functionsOf(text: string): { readonly name: string; readonly line: number; readonly lines: number }[] {
  const lines = withoutComments(text).split("\n");
  const found: { name: string; line: number; lines: number }[] = [];
  for (const [index, line] of lines.entries()) {
    const name = nameOfFunction(line);
    if (name === undefined) continue;
    const indentation = line.slice(0, line.length - line.trimStart().length);
    const closes = lines.findIndex((other, at) => at > index && other.startsWith(`${indentation}}`));
    if (closes > 0) found.push({ name, line: index + 1, lines: closes - index + 1 });
  }
  return found;
}

function nameOfFunction(line: string): string | undefined {
  const declared = /^\s*(?:export\s+)?(?:default\s+)?(?:async\s+)?function\s*\*?\s*([\w$]*)/.exec(line);
  if (declared) return declared[1] || "(unnamed)";
  if (!/[{(]\s*$/.test(line)) return undefined;
  const arrow = /^\s*(?:export\s+)?const\s+([\w$]+)\b.*=>\s*\{$/.exec(line);
  if (arrow) return arrow[1];
  const method = /^\s+(?:(?:public|private|static|async|get|set)\s+)*(#?[\w$]+)(?:<.*>)?\(.*\)\s*(?::.*)?\{$/.exec(line);
  if (method && !/^(if|for|while|switch|catch|with)$/.test(method[1] ?? "")) return method[1];
  return undefined;
}
