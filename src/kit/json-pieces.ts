/** Members (numbers, strings and the rest) of what is written in one go. */
const SMALL = 4096;
/** A string counts as one member for each so many letters. */
const LETTERS_A_MEMBER = 16;

/** Has the value more members than are written in one go? Looks at no more of it than that. */
export function isLargeJson(value: unknown): boolean {
  return membersOf(value, SMALL) > SMALL;
}

/**
 * `JSON.stringify` in pieces, for values whose text takes long to write: whoever takes the pieces may do other things between two of them. For
 * plain values, without `toJSON`. Together the pieces are what `JSON.stringify` returns.
 */
export function* jsonPieces(value: unknown): Generator<string, void> {
  if (typeof value !== "object" || value === null || !isLargeJson(value)) return yield JSON.stringify(value) ?? "null";
  let separator = "";
  if (Array.isArray(value)) {
    yield "[";
    for (let at = 0; at < value.length;) {
      const end = isLeaf(value[at]) ? endOfLeaves(value, at) : at + 1;
      yield separator;
      if (end > at + 1) yield JSON.stringify(value.slice(at, end)).slice(1, -1);
      else yield* jsonPieces(value[at]);
      separator = ",";
      at = end;
    }
    return yield "]";
  }
  yield "{";
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue;
    yield `${separator}${JSON.stringify(key)}:`;
    yield* jsonPieces(member);
    separator = ",";
  }
  yield "}";
}

function isLeaf(value: unknown): boolean {
  return typeof value !== "object" || value === null;
}

/** Leaves that stand one behind the other are written together. */
function endOfLeaves(list: readonly unknown[], from: number): number {
  let end = from;
  for (let weight = 0; end < list.length && isLeaf(list[end]) && weight <= SMALL; end++) weight += membersOf(list[end], SMALL);
  return end;
}

function membersOf(value: unknown, most: number): number {
  if (typeof value === "string") return 1 + Math.ceil(value.length / LETTERS_A_MEMBER);
  if (typeof value !== "object" || value === null) return 1;
  const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  let sum = 0;
  for (const member of members) {
    sum += membersOf(member, most - sum);
    if (sum > most) break;
  }
  return sum;
}
