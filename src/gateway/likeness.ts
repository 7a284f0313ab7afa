/** Of longer texts only so much of the beginning is compared, in characters. */
const COMPARED_CHARACTERS = 50_000;
const SHOWN_DIGITS = 4;

/**
 * How much two texts share, 0 to 1: the Sørensen-Dice coefficient over their pairs of neighbouring words, letter case aside. Cheap, and
 * unlike a count of equal words it sees their order.
 */
export function likeness(one: string, other: string): number {
  const [a, b] = [pairsOf(one), pairsOf(other)];
  if (a.length === 0 && b.length === 0) return 1;
  const left = new Map<string, number>();
  for (const pair of a) left.set(pair, (left.get(pair) ?? 0) + 1);
  let shared = 0;
  for (const pair of b) {
    const times = left.get(pair) ?? 0;
    if (times === 0) continue;
    left.set(pair, times - 1);
    shared++;
  }
  return Number(((2 * shared) / (a.length + b.length)).toPrecision(SHOWN_DIGITS));
}

/** Each word with the one before it; the first has nothing before it. */
function pairsOf(text: string): readonly string[] {
  const words =
    text
      .slice(0, COMPARED_CHARACTERS)
      .toLowerCase()
      .match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
  return words.map((word, place) => `${place === 0 ? "" : words[place - 1]} ${word}`);
}
