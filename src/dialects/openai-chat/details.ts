import type { Json } from "../../canon/index.ts";
import { isObject, text, type Draft } from "./shape.ts";

/** Text in these fields comes in pieces; every other field comes whole. */
const GROWING = ["text", "summary", "data"] as const;

/** Adds the pieces of one chunk's `reasoning_details` to what came before: same index and type is the same entry, unless it bears another id. */
export function mergeDetails(whole: Draft[], pieces: readonly Json[]): void {
  for (const piece of pieces) {
    if (!isObject(piece)) continue;
    const open = whole.findLast((entry) => entry["index"] === piece["index"] && entry["type"] === piece["type"] && isSame(entry, piece));
    if (!open) {
      whole.push({ ...piece });
      continue;
    }
    for (const [key, value] of Object.entries(piece)) {
      const grows = GROWING.some((name) => name === key) && typeof value === "string";
      if (grows) open[key] = (text(open[key]) ?? "") + value;
      else if (value !== null) open[key] = value;
    }
  }
}

/** Some vendors leave the index out: two sealed thoughts in a row must not become one that opens to nothing. */
function isSame(entry: Draft, piece: Draft): boolean {
  const [before, next] = [text(entry["id"]), text(piece["id"])];
  return before === undefined || next === undefined || before === next;
}
