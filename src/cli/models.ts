import { snapshotOf } from "../config/index.ts";
import { DONE, table, type Command } from "./command.ts";
import { CONFIG_FLAG, loadConfig, settingsOf } from "./settings.ts";

export const modelsCommand: Command = {
  name: "models",
  summary: "List the models that callers may name, and where their calls go.",
  operands: [],
  flags: CONFIG_FLAG,
  async run(input, deps) {
    const { config, warnings } = await loadConfig(settingsOf(input, deps).configFile, deps);
    const { aliases } = snapshotOf(config, 0, new Map());
    const models = [...aliases.values()].map((alias) => ({
      id: alias.name,
      strategy: alias.strategy,
      targets: alias.targets.map((target) => `${target.provider}/${target.model}`),
    }));
    for (const warning of warnings) deps.err(`${warning}\n`);
    if (input.json) deps.out(`${JSON.stringify({ models })}\n`);
    else
      deps.out(
        `${table(
          ["MODEL", "STRATEGY", "TARGETS"],
          models.map((model) => [model.id, model.strategy, model.targets.join(", ")]),
        )}\n`,
      );
    return DONE;
  },
};
