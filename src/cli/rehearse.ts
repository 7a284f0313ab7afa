import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  ConfigDocument,
  defaultConfig,
  describeIssues,
  formatProblems,
  loadPrices,
  PriceFileError,
  readConfig,
  snapshotOf,
  type GimbalConfig,
} from "../config/index.ts";
import { dialects } from "../dialects/registry.generated.ts";
import { newKey } from "../gateway/keys.ts";
import type { LocalPrices } from "../models/index.ts";
import { checkScenario, describeReport, rehearse, scenarioSchema, type Scenario } from "../rehearsal/index.ts";
import { CommandError, DONE, FAILED, table, wholeNumber, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { CONFIG_FLAG, settingsOf, type Environment } from "./settings.ts";

const LARGEST_SEED = 0xffffffff;
/** What stands for a variable of the configuration that is not set here: no key is used, and no address is asked. */
const STAND_IN_VALUE = "http://rehearsal.invalid";

export const rehearseCommand: Command = {
  name: "rehearse",
  summary: "Play an incident against a configuration: simulated providers, scenario time, and what callers would see.",
  operands: ["SCENARIO"],
  flags: {
    ...CONFIG_FLAG,
    seed: { value: "N", meaning: "Another run of the same scenario. Default: the scenario's own seed." },
  },
  async run(input, deps) {
    const seedWanted = wholeNumber(input, "seed", 0, LARGEST_SEED);
    const { config, local } = await configOf(input, deps);
    const scenario = await readScenario(input, config, deps);
    const seed = seedWanted ?? scenario.seed;
    const report = await rehearse(scenario, seed, {
      dialects,
      buildStage: (parts) => deps.openStage(config, { ...parts, local }),
      newKey: (spec) => newKey(spec, deps.clock, deps.randomness),
      rest: everythingReady,
      onProgress: (share) => deps.err(`rehearsed ${Math.round(share * 100)} %\n`),
    });
    deps.out(input.json ? `${JSON.stringify(report)}\n` : describeReport(report, table));
    return report.met ? DONE : FAILED;
  },
};

/** Resolves when the promises that could go on have gone on. */
function everythingReady(): Promise<void> {
  return new Promise((go) => setImmediate(go));
}

interface Plan {
  readonly config: GimbalConfig;
  readonly local: LocalPrices | undefined;
}

/** The configuration with all its providers: one whose key is not set on this machine is rehearsed all the same. */
async function configOf(input: Input, deps: CliDeps): Promise<Plan> {
  const file = settingsOf(input, deps).configFile;
  if (file === undefined) return { config: defaultConfig({ providers: {}, models: {} }), local: undefined };
  const text = await textOf(file);
  const outcome = readConfig(text, withStandIns(text, deps.env));
  if (!outcome.ok) throw new CommandError(formatProblems(file, outcome.problems).join("\n"));
  try {
    return { config: outcome.config, local: (await loadPrices(file, outcome.config)).prices };
  } catch (error) {
    throw error instanceof PriceFileError ? new CommandError(error.message) : error;
  }
}

/** A reference without a default, as in `${KEY}`. */
const REFERENCE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

function withStandIns(text: string, env: Environment): Environment {
  const unset = [...text.matchAll(REFERENCE)].flatMap(([, name = ""]) => (env[name] ? [] : [name]));
  return { ...env, ...Object.fromEntries(unset.map((name) => [name, STAND_IN_VALUE])) };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

/** @throws CommandError with every fault, each with its line */
async function readScenario(input: Input, config: GimbalConfig, deps: CliDeps): Promise<Scenario> {
  const [name = ""] = input.operands;
  const document = new ConfigDocument(await textOf(resolve(deps.cwd, name)));
  if (document.problems.length > 0) throw new CommandError(formatProblems(name, document.problems).join("\n"));
  const parsed = scenarioSchema.safeParse(document.value);
  if (!parsed.success)
    throw new CommandError(formatProblems(name, describeIssues(parsed.error.issues, document, scenarioSchema)).join("\n"));
  const providers = await deps.openProviders(config);
  try {
    const { aliases } = snapshotOf(config, 0, providers);
    const faults = checkScenario(parsed.data, { aliases, providers, dialects });
    if (faults.length === 0) return parsed.data;
    const problems = faults.map(({ path, message }) => document.problem(path, `${path.join(".")}: ${message}`));
    throw new CommandError(formatProblems(name, problems).join("\n"));
  } finally {
    await Promise.all([...providers.values()].map((provider) => provider.close()));
  }
}
