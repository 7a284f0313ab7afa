import type { Clock, ModelServer } from "../../canon/index.ts";
import type { HttpClient } from "../../wire/types.ts";
import type { ProviderOptions } from "../options.ts";
import type { Ask } from "./read.ts";

/** What the servers of a kind have in hand to tell of themselves. */
export interface ServerParts {
  /** The provider's name in the configuration. */
  readonly provider: string;
  /** What the configuration says of its models. */
  readonly models: NonNullable<ProviderOptions["models"]>;
  /** A connection of its own, apart from those of calls, for what takes long: to the server's host, without the path of its API. */
  readonly patient: () => HttpClient;
  readonly headers: () => Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly ask: (signal: AbortSignal) => Ask;
}

export type ServerKind = (parts: ServerParts) => ModelServer;

/** Names are the same. */
export const asNamed = (model: string): string => model;
