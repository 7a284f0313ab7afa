import type { Alias, Provider } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import { MOST_CALLS } from "./callers.ts";
import type { Scenario } from "./options.ts";

/** What a schema cannot see: names that must fit the configuration. */
export interface ScenarioFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export interface ScenarioContext {
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly providers: ReadonlyMap<string, Pick<Provider, "id" | "credentials">>;
  readonly dialects: ReadonlyMap<string, unknown>;
}

/** Names in a scenario that the configuration does not know, and figures that lead nowhere. */
export function checkScenario(scenario: Scenario, context: ScenarioContext): readonly ScenarioFault[] {
  const faults: ScenarioFault[] = [];
  const { aliases, providers, dialects } = context;
  const targets = new Set<string>();
  for (const alias of aliases.values()) {
    for (const { provider, model } of [...alias.targets, ...(alias.rules ?? []).flatMap((rule) => rule.targets)])
      targets.add(`${provider}/${model}`);
  }
  const names = [...providers.keys(), ...targets];
  for (const [place, part] of scenario.load.mix.entries()) {
    const direct = providers.has(part.model.slice(0, Math.max(0, part.model.indexOf("/"))));
    if (!aliases.has(part.model) && !direct)
      faults.push(unknown(["load", "mix", place, "model"], "model", part.model, [...aliases.keys()]));
    if (part.dialect !== undefined && !dialects.has(part.dialect))
      faults.push(unknown(["load", "mix", place, "dialect"], "wire language", part.dialect, [...dialects.keys()]));
  }
  for (const [place, incident] of scenario.incidents.entries()) {
    const [provider = ""] = incident.target.split("/", 1);
    const known = incident.target === "*" || names.includes(incident.target);
    if (!known) faults.push(unknown(["incidents", place, "target"], "provider or target", incident.target, names));
    const keys = (providers.get(provider)?.credentials ?? []).map(({ id }) => id);
    if (incident.key !== undefined && known && !keys.includes(incident.key))
      faults.push(unknown(["incidents", place, "key"], "key", incident.key, keys));
    if (incident.at >= scenario.duration)
      faults.push({ path: ["incidents", place, "at"], message: "The incident begins when the scenario is over; make `duration` longer." });
  }
  for (const name of Object.keys(scenario.targets)) {
    const known = name === "*" || targets.has(name) || (name.endsWith("/*") && providers.has(name.slice(0, -2)));
    if (!known && !providers.has(name.split("/", 1)[0] ?? ""))
      faults.push(
        unknown(["targets", name], "target", name, [...targets, ...[...providers.keys()].map((provider) => `${provider}/*`), "*"]),
      );
  }
  const calls = (scenario.load.callsPerSecond ?? 0) * (scenario.duration / 1000);
  if (calls > MOST_CALLS)
    faults.push({
      path: ["load", "callsPerSecond"],
      message: `These are ${Math.round(calls)} calls; a rehearsal makes at most ${MOST_CALLS}. Lower callsPerSecond or duration.`,
    });
  return faults;
}

function unknown(path: ScenarioFault["path"], what: string, name: string, known: readonly string[]): ScenarioFault {
  const like = nearest(name, known);
  const hint = like ? ` Did you mean "${like}"?` : known.length > 0 ? ` There are: ${known.slice(0, 20).join(", ")}.` : " There are none.";
  return { path, message: `The configuration has no ${what} "${name}".${hint}` };
}
