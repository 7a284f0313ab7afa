import type { Json } from "../../canon/index.ts";
import { isObject, text, type Draft } from "./shape.ts";

/** Text in these fields comes in pieces; every other field comes whole. */
const GROWING = ["text", "summary", "data"] as const;

/** Adds the pieces of one chunk's `reasoning_details` to what came before: same index and type is the same entry. */
export function mergeDetails(whole: Draft[], pieces: readonly Json[]): void {
  for (const piece of pieces) {
    if (!isObject(piece)) continue;
    const open = whole.findLast((entry) => entry["index"] === piece["index"] && entry["type"] === piece["type"]);
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
