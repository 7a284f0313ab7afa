import { z } from "zod";

const MOST_DAYS = 3650;

/** `lineage:` of `gimbal.yaml`. */
export const lineageOptions = z.strictObject({
  record: z
    .boolean()
    .default(false)
    .describe("Are prompts, answers, tools and documents of calls recorded by hash? An alias says otherwise for its own calls."),
  days: z.number().positive().max(MOST_DAYS).default(90).describe("How long these records are kept."),
});

/** `lineage` of an alias. */
export const aliasLineageOption = z
  .union([z.boolean(), z.enum(["on", "off"]).transform((word) => word === "on")])
  .describe("`on`: what went into its calls and came out is recorded by hash, whatever `lineage.record` says; `off`: it is not.");
