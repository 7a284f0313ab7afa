import { z } from "zod";
import type { Match } from "../canon/index.ts";

const MOST_LETTERS = 300;

const pattern = (meaning: string) => z.string().min(1).max(MOST_LETTERS).optional().describe(meaning);

/** Whom a budget or a limit is for. */
export const matchOptions = z.strictObject({
  key: pattern("Name or id of a key. Here and below: a beginning and `*` is all that begin so, together; `*` alone is each by itself."),
  team: pattern("The key's team."),
  project: pattern("The key's project."),
  tag: pattern("One of the key's tags."),
  session: pattern("The header `x-gimbal-session`."),
  agent: pattern("`agent` of the header `x-gimbal-metadata`."),
  turn: pattern("`turn` of the header `x-gimbal-metadata`."),
  model: pattern("The model as the caller names it."),
  provider: pattern("The provider that an attempt goes to; of limits only."),
});

/** Without the members that say nothing. */
export function tidyMatch(match: Match): Match {
  return Object.fromEntries(Object.entries(match).filter(([, value]) => value !== undefined));
}
