import type { Provider } from "../../src/canon/index.ts";
import { readConfig, type GimbalConfig } from "../../src/config/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { newKey } from "../../src/gateway/keys.ts";
import { openStage } from "../../src/stage.ts";
import { SeededRandomness, systemClock } from "../../src/kit/index.ts";
import { rehearse, scenarioSchema, type RehearsalReport, type StageParts } from "../../src/rehearsal/index.ts";

export function configOf(text: string): GimbalConfig {
  const outcome = readConfig(text, {});
  if (!outcome.ok) throw new Error(outcome.problems.map(({ message }) => message).join("\n"));
  return outcome.config;
}

/** Plays a scenario with providers that may be changed once more. */
export function play(
  config: string,
  scenario: unknown,
  change: (provider: Provider, parts: StageParts) => Provider = (provider) => provider,
): Promise<RehearsalReport> {
  const read = scenarioSchema.parse(scenario);
  return rehearse(read, read.seed, {
    dialects,
    buildStage: (parts) =>
      openStage(configOf(config), {}, (line) => process.stderr.write(`${line}\n`), {
        ...parts,
        standIn: (real) => change(parts.standIn(real), parts),
      }),
    newKey: (spec) => newKey(spec, systemClock, new SeededRandomness(1)),
    rest: () => new Promise((go) => setImmediate(go)),
  });
}
