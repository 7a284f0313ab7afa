import type { BatchService } from "../canon/index.ts";
import { anthropicBatches } from "./catalog-batches-anthropic.ts";
import { geminiBatches } from "./catalog-batches-gemini.ts";
import { mistralBatches } from "./catalog-batches-mistral.ts";
import { openaiBatches } from "./catalog-batches-openai.ts";

/** Batch services by the kinds of provider that have them. */
const SERVICES = {
  openai: openaiBatches,
  anthropic: anthropicBatches,
  mistral: mistralBatches,
  gemini: geminiBatches,
} as const satisfies Readonly<Record<string, BatchService>>;

export type ServiceName = keyof typeof SERVICES;
export const SERVICE_NAMES = Object.keys(SERVICES) as [ServiceName, ...ServiceName[]];

/** The batch service of a kind of provider; undefined: it has none. `named`: what the configuration says of it. */
export function batchServiceOf(kind: string, named: ServiceName | false | undefined): BatchService | undefined {
  if (named === false) return undefined;
  const name = named ?? kind;
  return Object.hasOwn(SERVICES, name) ? SERVICES[name as ServiceName] : undefined;
}
