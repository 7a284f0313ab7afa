import type { Credential, Secret } from "../canon/index.ts";
import type { ProviderOptions } from "./options.ts";

/** One key of a provider: what everybody may know of it, and the secret, which stays in this room. */
export interface ProviderKey {
  readonly credential: Credential;
  readonly secret: Secret;
}

/**
 * A provider's keys in the order of its configuration, by ids that count from 1: `lab#1`. Empty where it has none.
 *
 * @param found the key of its environment variable; taken only where the configuration names none
 */
export function keysOf(
  name: string,
  options: Pick<ProviderOptions, "apiKey" | "apiKeys">,
  found: Secret | undefined,
): readonly ProviderKey[] {
  const single = options.apiKey ?? found;
  const written: NonNullable<ProviderOptions["apiKeys"]> = options.apiKeys ?? (single ? [{ key: single, weight: 1 }] : []);
  return written.map(({ key, weight, requestsPerMinute, concurrency }, at) => ({
    secret: key,
    credential: {
      id: `${name}#${at + 1}`,
      weight,
      ...(requestsPerMinute !== undefined && { requestsPerMinute }),
      ...(concurrency !== undefined && { concurrency }),
    },
  }));
}
