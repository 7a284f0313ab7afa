import { z } from "zod";
import { isTimeZone } from "./zones.ts";

const MOST_KEYS = 20;
const NAME_CHARACTERS = 64;
const MOST_VALUES = 100_000;

/** `reports:` of `gimbal.yaml`. */
export const reportsOptions = z.strictObject({
  metadata: z
    .array(
      z
        .string()
        .min(1)
        .max(NAME_CHARACTERS)
        .regex(/^[\w.-]+$/, { error: "A name has letters, digits and . _ - only." }),
    )
    .max(MOST_KEYS)
    .default([])
    .describe("Members of the header `x-gimbal-metadata` that reports tell calls apart by, from now on. `agent` always is one."),
  values: z
    .int()
    .min(1)
    .max(MOST_VALUES)
    .default(1000)
    .describe("How many values of one name, and how many models, are told apart on one day; the rest are counted together as `other`."),
  timeZone: z
    .string()
    .refine(isTimeZone, { error: "This is no time zone; one is written as Europe/Berlin." })
    .default("UTC")
    .describe("Whose days reports are made by, where they do not say."),
});

export type ReportsOptions = z.output<typeof reportsOptions>;
