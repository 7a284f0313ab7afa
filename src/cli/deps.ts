import type { Clock, ModelBook, Provider, Randomness, Secret, Stores } from "../canon/index.ts";
import type { Discovered, GimbalConfig } from "../config/index.ts";
import type { Stage, StageParts } from "../rehearsal/index.ts";
import type { LearnedFacts, LocalPrices } from "../models/index.ts";
import type { Environment } from "./settings.ts";

/** Where a serving process listens and keeps its things. What is undefined is left to the configuration. */
export interface ServeSettings {
  /** Absolute path; undefined: no configuration file. */
  readonly configFile: string | undefined;
  readonly host: string | undefined;
  /** 0 picks a free one. */
  readonly port: number | undefined;
  /** Absolute path of the data folder. */
  readonly dataFolder: string;
  /** Undefined: generated and kept in the data folder. */
  readonly adminToken: Secret | undefined;
  /** Processes that serve; 1 serves in this one. */
  readonly workers: number;
}

/** Everything a command may reach. The top of the house fills it in; tests put their own things here. */
export interface CliDeps {
  readonly env: Environment;
  readonly cwd: string;
  /** The checkout. */
  readonly root: string;
  readonly version: string;
  /** `process.versions.node`. */
  readonly nodeVersion: string;
  readonly clock: Clock;
  readonly randomness: Randomness;
  out(text: string): void;
  err(text: string): void;
  /** Serves until a signal ends it; resolves with the exit code. */
  serve(settings: ServeSettings): Promise<number>;
  /** Opens the record in a data folder. @throws ProblemError with code `data_folder_in_use` while a gateway runs on it */
  openStores(folder: string): Promise<Stores>;
  /** What keys and servers the machine offers without any configuration. */
  discover(): Promise<Discovered>;
  /** The providers of a configuration, by name, ready to be asked. `learned`: what their servers tell of models. */
  openProviders(config: GimbalConfig, dataFolder?: string, learned?: LearnedFacts): Promise<ReadonlyMap<string, Provider>>;
  /** Facts and prices of models as a configuration corrects them, and a price file them. */
  book(config: GimbalConfig, prices?: LocalPrices, learned?: LearnedFacts): ModelBook;
  /** The gateway of a configuration for a rehearsal: in memory, with a stand-in for every provider. */
  openStage(config: GimbalConfig, parts: StageParts): Promise<Stage>;
  /** Is a process with this id alive? */
  isRunning(pid: number): boolean;
  readonly fetch: typeof fetch;
}
