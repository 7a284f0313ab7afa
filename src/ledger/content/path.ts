/** One step of a path: to a member by its name, to a place in a list by its number, to all of them; `deep`: at any depth below. */
export interface PathStep {
  readonly name: string | number;
  readonly deep: boolean;
}

const STEP = /\.\.|\.|\[/y;
const NAME = /[\p{L}\p{N}_$-]+|\*/uy;
const INDEX = /(\d{1,9}|\*|'[^']*'|"[^"]*")\]/y;

/**
 * A path such as `$.prompt.items[*].parts[0]['text']` or `$..input`: the child, wildcard, index and descendant parts of JSONPath (RFC 9535).
 * Throws an Error that says where it cannot be read.
 */
export function parsePath(path: string): readonly PathStep[] {
  if (!path.startsWith("$")) throw new Error("a path begins with $");
  const steps: PathStep[] = [];
  for (let at = 1; at < path.length;) {
    const opened = match(STEP, path, at);
    if (opened === undefined) throw unreadable(path, at);
    at += opened.length;
    const brackets = opened === "[" || (opened === ".." && path[at] === "[");
    if (opened === ".." && brackets) at++;
    const word = match(brackets ? INDEX : NAME, path, at);
    if (word === undefined) throw unreadable(path, at);
    at += word.length;
    steps.push({ name: brackets ? indexOf(word.slice(0, -1)) : word, deep: opened === ".." });
  }
  if (steps.length === 0) throw new Error("a path names a place below $");
  return steps;
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

function indexOf(word: string): string | number {
  if (word === "*") return word;
  return /^\d+$/.test(word) ? Number(word) : word.slice(1, -1);
}

function unreadable(path: string, at: number): Error {
  return new Error(`"${path}" cannot be read from "${path.slice(at)}" on`);
}
