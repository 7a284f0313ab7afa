import { z } from "zod";
import { targetList, targetName } from "./options.ts";

const WHOLE = 100;
const SHADOWS_AT_ONCE = 8;
const MOST_SHADOWS_AT_ONCE = 1000;
const COLD_AFTER_MINUTES = 60;
const MOST_MINUTES = 7 * 24 * 60;

const share = (meaning: string) => z.number().min(0, { error: SHARE_RANGE }).max(1, { error: SHARE_RANGE }).describe(meaning);
const SHARE_RANGE = "A share is a number from 0 to 1.";
const PERCENT_RANGE = "A percentage is a number from 0 to 100.";

const canary = z
  .strictObject({
    target: targetName.optional().describe("`provider/model` that is tried out."),
    targets: targetList.optional().describe("Instead of `target`: several, among which the alias's strategy chooses."),
    percent: z
      .number({ error: PERCENT_RANGE })
      .min(0, { error: PERCENT_RANGE })
      .max(WHOLE, { error: PERCENT_RANGE })
      .describe("Of the calls that no rule and no `warm` sends elsewhere, how many per cent go there first."),
    sticky: z
      .enum(["session", "call"], { error: "A canary is sticky by session or by call." })
      .default("session")
      .describe(
        "`session`: all calls of a session (`x-gimbal-session`, else its prompt cache key, else the answer it continues) go the same way. `call`: each call is drawn by itself.",
      ),
  })
  .refine((value) => (value.target === undefined) !== (value.targets === undefined), "A canary has either `target` or `targets`.");

/** Members of an alias under `models:` that let some of its calls go elsewhere, to try something out or to keep it warm. */
export const releaseShape = {
  canary: canary
    .optional()
    .describe(
      "A part of the calls goes to another target first; the alias's own are the fallback. `gimbal models canary` compares the two.",
    ),
  shadow: z
    .strictObject({
      target: targetName.describe("`provider/model` that gets a copy."),
      share: share("Share of the calls that are copied, 0 to 1."),
      concurrency: z
        .int()
        .positive()
        .max(MOST_SHADOWS_AT_ONCE)
        .default(SHADOWS_AT_ONCE)
        .describe("Copies that run at once in each process; beyond it none is made."),
    })
    .optional()
    .describe(
      "Answered calls are sent to another target once more, after the caller has the answer. Its answer is thrown away and compared; what it costs stands in a row of its own, of the caller `shadow`.",
    ),
  warm: z
    .strictObject({
      target: targetName.describe("`provider/model`: a model of your own to fall back on, say."),
      share: share("Share of the calls that always goes there first, 0 to 1; by session where there is one."),
      coldAfterMinutes: z
        .int()
        .positive()
        .max(MOST_MINUTES)
        .default(COLD_AFTER_MINUTES)
        .describe("Minutes without an answered call after which `gimbal doctor` calls it cold."),
    })
    .optional()
    .describe("A way out that is kept warm: some calls always go there, so that it is known to work on the day it is needed."),
} as const;
