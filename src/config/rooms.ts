import { z } from "zod";

export { limitOptions as callerLimitOptions } from "../ledger/options.ts";
export { providerKinds, providerOptions } from "../providers/index.ts";

export const simOptions = z.looseObject({ models: z.record(z.string(), z.unknown()).default({}) });
export const simModels: readonly string[] = ["echo"];
