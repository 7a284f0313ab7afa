import { ProblemError, type Stores } from "../canon/index.ts";
import { CommandError, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { NoAnswerError, runningServer, type RunningServer } from "./running.ts";
import { settingsOf } from "./settings.ts";

export interface Ways<T> {
  readonly server: (server: RunningServer, folder: string) => Promise<T>;
  readonly stores: (stores: Stores) => Promise<T>;
}

/** Does one thing on the record: through the gateway that holds the data folder, else directly. @throws CommandError */
export async function onRecord<T>(input: Input, deps: CliDeps, ways: Ways<T>): Promise<T> {
  const folder = settingsOf(input, deps).dataFolder;
  const server = await runningServer(folder, deps);
  if (!server) return directly(folder, deps, ways.stores);
  try {
    return await ways.server(server, folder);
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    // The gateway may have died and another program got its process id, as happens in containers. The folder's lock tells.
    return directly(folder, deps, ways.stores, error);
  }
}

async function directly<T>(folder: string, deps: CliDeps, work: (stores: Stores) => Promise<T>, otherwise?: CommandError): Promise<T> {
  let stores: Stores;
  try {
    stores = await deps.openStores(folder);
  } catch (error) {
    if (error instanceof ProblemError) throw otherwise ?? new CommandError(error.problem.message);
    throw error;
  }
  try {
    return await work(stores);
  } finally {
    await stores.close();
  }
}
