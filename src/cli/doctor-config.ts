import type { Provider } from "../canon/index.ts";
import { SIM, type GimbalConfig } from "../config/index.ts";
import { CommandError, UsageError, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { failure, ok, warning, type Finding } from "./finding.ts";
import { loadConfig, setting } from "./settings.ts";
import { resolve } from "node:path";
import { existsSync } from "node:fs";

const PROVIDER_LIMIT_MS = 10_000;

/** Reads the configuration as `serve` would. */
export async function checkConfig(
  input: Input,
  deps: CliDeps,
): Promise<{ readonly config: GimbalConfig | undefined; readonly findings: readonly Finding[] }> {
  const named = input.text("config") ?? setting(deps, "GIMBAL_CONFIG");
  const path = resolve(deps.cwd, named ?? "gimbal.yaml");
  if (named !== undefined && !existsSync(path)) {
    return {
      config: undefined,
      findings: [failure("config", `There is no file ${path}.`, "Correct --config or GIMBAL_CONFIG, or write one with gimbal init.")],
    };
  }
  const file = existsSync(path) ? path : undefined;
  try {
    const { config, warnings, remedies = [] } = await loadConfig(file, deps);
    const summary =
      file === undefined
        ? `No file; found ${config.providers.size === 0 ? "no providers, only the simulator" : [...config.providers.keys()].join(", ")}.`
        : `${file} is valid: ${count(config.providers.size, "provider")}, ${count(config.aliases.size, "model")}.`;
    return {
      config,
      findings: [
        ok("config", summary),
        ...warnings.map((line, at) => warning("config", line, remedies[at] ?? "Set what is missing, or take the entry out.")),
      ],
    };
  } catch (error) {
    if (!(error instanceof CommandError) && !(error instanceof UsageError)) throw error;
    return {
      config: undefined,
      findings: error.message
        .split("\n")
        .map((line) => failure("config", line, "Correct this line; docs/configuration.md explains every key.")),
    };
  }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Asks every provider whether it is there and takes the credentials; all at once, each within a bound. */
export async function checkProviders(config: GimbalConfig, dataFolder: string, deps: CliDeps): Promise<readonly Finding[]> {
  let providers: ReadonlyMap<string, Provider>;
  try {
    providers = await deps.openProviders(config, dataFolder);
  } catch (error) {
    return [failure("providers", sentence(error), "Correct the provider's options in the configuration.")];
  }
  const asked = [...providers].filter(([name]) => name !== SIM);
  const findings = await Promise.all(asked.map(([name, provider]) => checkProvider(name, provider, deps)));
  await Promise.all([...providers.values()].map((provider) => provider.close()));
  return findings.length > 0
    ? findings
    : [
        warning(
          "providers",
          "Only the simulator is configured.",
          "Set a provider's key in the environment (.env.example lists them), or name one under providers:.",
        ),
      ];
}

async function checkProvider(name: string, provider: Provider, deps: CliDeps): Promise<Finding> {
  const limit = new AbortController();
  const cancel = deps.clock.after(PROVIDER_LIMIT_MS, () => limit.abort());
  // A provider that ignores the signal must not hold up the others' findings.
  const late = new Promise<{ ok: boolean; detail: string }>((answer) => {
    limit.signal.addEventListener("abort", () => answer({ ok: false, detail: `no answer within ${PROVIDER_LIMIT_MS / 1000} s` }));
  });
  try {
    const { ok: fine, detail } = await Promise.race([provider.check(limit.signal), late]);
    if (fine) return ok(`provider ${name}`, detail);
    return failure(
      `provider ${name}`,
      detail,
      "Check its key, its baseUrl and this machine's way to it; or take it out of the configuration.",
    );
  } catch (error) {
    return failure(`provider ${name}`, sentence(error), "Check its options in the configuration.");
  } finally {
    cancel();
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
