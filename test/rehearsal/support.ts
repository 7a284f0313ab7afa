import { readConfig, type GimbalConfig } from "../../src/config/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { newKey } from "../../src/gateway/keys.ts";
import { openStage } from "../../src/stage.ts";
import { SeededRandomness, systemClock } from "../../src/kit/index.ts";
import { rehearse, scenarioSchema, type RehearsalReport } from "../../src/rehearsal/index.ts";

/** Two providers of different languages, with prices; addresses that nobody answers. */
export const CONFIG = `version: 1
providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKeys: [key-one, key-two], allowPrivateNetwork: true,
         models: { small: { price: { inputUsd: 1, outputUsd: 4 } } } }
  labclaude: { kind: anthropic, baseUrl: "http://127.0.0.1:9", apiKey: x, allowPrivateNetwork: true,
         models: { large: { price: { inputUsd: 2, outputUsd: 8 } } } }
models:
  fast: { targets: [lab/small, labclaude/large], retries: 1, timeoutMs: 30000, continue: always }
  alone: { targets: [lab/small], retries: 0, continue: never }
  other: { targets: [labclaude/large] }
  kept: { targets: [lab/small], cache: { ttlSeconds: 600 } }
  cheap: { targets: [labclaude/large, lab/small], strategy: cost }
`;

export function configOf(text: string): GimbalConfig {
  const outcome = readConfig(text, {});
  if (!outcome.ok) throw new Error(outcome.problems.map(({ message }) => message).join("\n"));
  return outcome.config;
}

/** Plays a scenario as YAML would give it. */
export async function play(scenario: unknown, { seed = 1, config = CONFIG } = {}): Promise<RehearsalReport> {
  const logs: string[] = [];
  const report = await rehearse(scenarioSchema.parse(scenario), seed, {
    dialects,
    buildStage: (parts) => openStage(configOf(config), {}, (line) => logs.push(line), parts),
    newKey: (spec) => newKey(spec, systemClock, new SeededRandomness(1)),
    rest: () => new Promise((go) => setImmediate(go)),
  });
  if (logs.some((line) => line.startsWith("defect"))) throw new Error(logs.join("\n"));
  return report;
}
