import { z } from "zod";

export const simOptions = z.looseObject({ models: z.record(z.string(), z.unknown()).default({}) });
export const simModels: readonly string[] = ["echo"];
