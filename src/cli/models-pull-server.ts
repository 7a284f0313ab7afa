import { ProblemError, type Provider } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import { CommandError, DONE, UsageError, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { progressBar } from "./progress.ts";
import { loadConfig, settingsOf } from "./settings.ts";

const OWN_FLAGS = ["to", "sha256", "allow-private-network"];

/** Has the server of `provider/model` fetch the model. What it has of it already stays: a run that was cut is gone on with. */
export async function pullIntoServer(named: string, input: Input, deps: CliDeps): Promise<number> {
  const slash = named.indexOf("/");
  if (slash < 1 || slash === named.length - 1) throw new UsageError(`"${named}" is neither a URL nor a provider/model.`);
  const flag = OWN_FLAGS.find((name) => input.has(name) || input.text(name) !== undefined);
  if (flag !== undefined) throw new UsageError(`--${flag} is for files that are fetched by their URL.`);
  const [name, model] = [named.slice(0, slash), named.slice(slash + 1)];
  const { config } = await loadConfig(settingsOf(input, deps).configFile, deps);
  const providers = await deps.openProviders(config);
  try {
    const pull = pullOf(name, providers);
    const bar = progressBar(input, deps);
    let [bytes, completed]: (number | undefined)[] = [];
    let status = "";
    await pull(model, new AbortController().signal, (progress) => {
      bytes = progress.total;
      if (progress.completed !== undefined && progress.completed !== completed) bar.draw(progress.completed, progress.total);
      else if (progress.completed === undefined && progress.status !== status && !input.json) deps.err(`${progress.status}\n`);
      status = progress.status;
      completed = progress.completed;
    }).finally(() => bar.end());
    deps.out(input.json ? `${JSON.stringify({ model: named, ...(bytes !== undefined && { bytes }) })}\n` : `${named} is on its server.\n`);
    return DONE;
  } catch (error) {
    throw error instanceof ProblemError ? new CommandError(error.problem.message) : error;
  } finally {
    await Promise.all([...providers.values()].map((provider) => provider.close()));
  }
}

/** @throws CommandError */
function pullOf(name: string, providers: ReadonlyMap<string, Provider>): NonNullable<NonNullable<Provider["server"]>["pull"]> {
  const provider = providers.get(name);
  const able = [...providers.values()].filter(({ server }) => server?.pull).map(({ id }) => id);
  if (!provider) {
    const like = nearest(name, able);
    const hint = like === undefined ? "Start its server, or name it under providers: in the configuration." : `Did you mean "${like}"?`;
    throw new CommandError(`There is no provider "${name}". ${hint}`);
  }
  const pull = provider.server?.pull;
  if (!pull)
    throw new CommandError(
      `The provider "${name}" fetches no models${able.length > 0 ? `; these do: ${able.join(", ")}` : ""}. Files are fetched by their URL.`,
    );
  return pull;
}
