import type { ServerHealth } from "../providers/servers/watch.ts";
import { loadInWords } from "../providers/servers/words.ts";
import { keepForced, type Force, type Health, type TargetHealth } from "../routing/health/index.ts";
import { CommandError, DONE, table, UsageError, type Command } from "./command.ts";
import { onRecord } from "./record.ts";
import { askServer, runningServer } from "./running.ts";
import { DATA_FLAG, settingsOf } from "./settings.ts";

const FORCES: readonly Force[] = ["open", "shut", "auto"];

const list: Command = {
  name: "health list",
  summary: "Show how the targets and keys of a running gateway are.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const folder = settingsOf(input, deps).dataFolder;
    const server = await runningServer(folder, deps);
    if (!server) throw new CommandError(`No gateway runs on the data folder ${folder}: health is known to a running one only.`);
    const health = (await askServer(server, folder, deps, "GET", "/health/targets")) as ReturnType<Health["describe"]> & {
      readonly servers?: readonly ServerHealth[];
    };
    if (input.json) deps.out(`${JSON.stringify(health)}\n`);
    else if (health.targets.length === 0) deps.out("No target was asked yet.\n");
    else
      deps.out(
        `${table(["TARGET", "STATE", "FAILED", "RUNNING", "WAITING", "FIRST MS", "TOKENS/S", "WHY"], health.targets.map(cellsOf))}\n`,
      );
    const { servers = [] } = health;
    if (!input.json && servers.length > 0)
      deps.out(
        `\n${table(
          ["SERVER", "STATE", "MODELS", "LOAD", "WHY"],
          servers.map(({ provider, state, models, load, detail }) => [
            provider,
            state,
            String(models.length),
            load ? loadInWords(load) : "-",
            state === "up" ? "" : detail,
          ]),
        )}\n`,
      );
    const keys = health.providers.flatMap((provider) => provider.keys).filter((key) => key.state !== "ready");
    if (!input.json && keys.length > 0)
      deps.out(
        `\n${table(
          ["KEY", "STATE", "REST MS"],
          keys.map((key) => [key.key, key.state, String(key.restMs ?? "-")]),
        )}\n`,
      );
    return DONE;
  },
};

function cellsOf(target: TargetHealth): string[] {
  const { latency } = target;
  return [
    target.target,
    target.state,
    `${target.failures} of ${target.attempts}`,
    String(target.inFlight),
    String(target.queued),
    latency === undefined ? "-" : String(Math.round(latency.ttftMs)),
    latency?.tokensPerSecond === undefined ? "-" : String(Math.round(latency.tokensPerSecond)),
    target.reason ?? "",
  ];
}

const force: Command = {
  name: "health force",
  summary: "Ask a target always (open), never (shut), or as its health says (auto).",
  operands: ["TARGET", "FORCE"],
  flags: {
    provider: { meaning: "TARGET names a provider: the word is on all of its targets." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const [value = "", word = ""] = input.operands;
    const chosen = FORCES.find((each) => each === word);
    if (!chosen) throw new UsageError(`A target is forced open, shut or auto, not "${word}".`);
    const scope = input.has("provider") ? "provider" : "target";
    if (scope === "target" && !/^[^/]+\/.+$/.test(value))
      throw new UsageError(`A target is provider/model, not "${value}"; or give --provider.`);
    await onRecord<unknown>(input, deps, {
      server: (server, folder) => askServer(server, folder, deps, "POST", "/health/targets", { [scope]: value, force: chosen }),
      stores: (stores) => keepForced(stores.switches, { scope, value, force: chosen, author: "cli", now: deps.clock.now() }),
    });
    if (input.json) deps.out(`${JSON.stringify({ [scope]: value, force: chosen })}\n`);
    else
      deps.err(`${value} is now ${chosen === "auto" ? "asked as its health says" : chosen === "open" ? "always asked" : "never asked"}.\n`);
    return DONE;
  },
};

export const HEALTH_COMMANDS: readonly Command[] = [list, force];
