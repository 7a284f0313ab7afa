import { z } from "zod";

export const providerOptions = z.looseObject({ kind: z.string().optional(), allowPrivateNetwork: z.boolean().optional(), models: z.record(z.string(), z.unknown()).optional() });
export const simOptions = z.looseObject({ models: z.record(z.string(), z.unknown()).default({}) });
export const providerKinds: readonly string[] = ["openai-compatible"];
export const simModels: readonly string[] = ["echo"];
