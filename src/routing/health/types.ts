import type { Alias, Clock, Provider, Randomness, Signals } from "../../canon/index.ts";
import type { HealthOptions } from "./options.ts";

/** Something changed that an operator wants to read of. */
export interface HealthChange {
  /** `provider/model`, `provider`, or the id of a key. */
  readonly subject: string;
  readonly what: "breaker opened" | "breaker closed" | "key rests" | "set aside" | "forced";
  readonly reason: string;
}

export interface HealthDeps {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly options: HealthOptions;
  /** To and from the other processes of the record; absent: there are none. */
  readonly signals?: Signals;
  /** Told of changes as they happen; must not throw. */
  readonly onChange?: (change: HealthChange) => void;
}

/** What health must know of the configuration in force. */
export interface HealthSubjects {
  readonly providers: ReadonlyMap<string, Pick<Provider, "credentials" | "capacity">>;
  readonly aliases: ReadonlyMap<string, Pick<Alias, "targets">>;
}
