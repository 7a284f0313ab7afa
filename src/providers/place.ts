import { z } from "zod";

/** The name of a place. */
export const placeName = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "must be a name such as eu or eu-west-1");

/** Where something runs and keeps data: members of a provider's options, and of a target that differs from its provider. */
export const placeShape = {
  region: placeName.optional().describe("Where it runs, such as `eu` or `eu-west-1`: for aliases, keys and calls that require a region."),
  residency: placeName
    .optional()
    .describe("Where what it is sent is kept by contract, such as `eu`: for aliases, keys and calls that require it."),
} as const;
