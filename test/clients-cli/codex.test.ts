import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES } from "../support/gateway.ts";
import { runAgent, type AgentRelease } from "./fetch-agent.ts";
import { COMMAND, fetchedOrSkip, openSetting, type Setting } from "./setting.ts";

const RELEASE: AgentRelease = {
  title: "Codex",
  package: `@openai/codex@0.169.0-${process.platform}-${process.arch}`,
  binary: ["vendor", "*", "bin", "codex"],
};

const SIM = `
sim:
  models:
    agent:
      toolCalls: [{ name: exec_command, arguments: { cmd: "${COMMAND}" } }]
`;

let setting: Setting;
beforeAll(async () => {
  setting = await openSetting(RELEASE, SIM);
});
afterAll(() => setting.close());

/** What `--json` prints, one object a line. */
interface Line {
  readonly type: string;
  readonly item?: { readonly type: string; readonly text?: string; readonly aggregated_output?: string; readonly exit_code?: number };
}

describe("Codex completes a tool loop", () => {
  it.for(ROUTES)("over server-sent events through %s", (route, { skip }) => loop(fetchedOrSkip(setting.agent, skip), route, false));

  it.for(ROUTES)("over a WebSocket through %s", (route, { skip }) => loop(fetchedOrSkip(setting.agent, skip), route, true));
});

async function loop(binary: string, route: string, webSocket: boolean): Promise<void> {
  const { pair, tripwire } = setting;
  const place = await setting.workplace();
  const codexHome = join(place.home, ".codex");
  await mkdir(codexHome, { recursive: true });
  await writeFile(join(codexHome, "config.toml"), configuration(`${pair.front.url}/v1`, `${route}agent`, webSocket));
  const key = await pair.front.key({ name: `codex ${route} ${webSocket}` });
  const before = (await pair.front.rows()).length;
  const finished = await runAgent(binary, ["exec", "--strict-config", "--skip-git-repo-check", "--json", "Run the tool."], {
    cwd: place.project,
    home: place.home,
    proxy: tripwire.url,
    env: { CODEX_HOME: codexHome, GIMBAL_KEY: key },
  });
  expect(finished, finished.stderr).toMatchObject({ code: 0 });
  const items = finished.stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => line.type === "item.completed")
    .map((line) => line.item);
  expect(items).toContainEqual(expect.objectContaining({ type: "command_execution", aggregated_output: "gimbal-ok\n", exit_code: 0 }));
  expect(items.at(-1)).toMatchObject({ type: "agent_message", text: expect.stringMatching(/The tool answered:[^]*gimbal-ok/) as string });
  expect(await place.proof()).toBe("gimbal-ok\n");
  expect(tripwire.attempts).toEqual([]);
  const rows = (await pair.front.rows()).slice(before);
  expect(rows.length).toBeGreaterThanOrEqual(2);
  expect(rows.map((row) => row.state)).toEqual(rows.map(() => "done"));
  expect(rows.filter((row) => row.usage.output > 0).length).toBeGreaterThanOrEqual(2);
}

/** Telemetry, update checks and everything that would call home is off; the model lives behind the gateway alone. */
function configuration(baseUrl: string, model: string, webSocket: boolean): string {
  return `model = "${model}"
model_provider = "gimbal"
check_for_update_on_startup = false
approval_policy = "never"
# The only command there will be is the one the simulator was told to ask for.
sandbox_mode = "danger-full-access"

[analytics]
enabled = false

[otel]
exporter = "none"

[features]
plugins = false
apps = false
remote_plugin = false

[model_providers.gimbal]
name = "Gimbal"
base_url = "${baseUrl}"
wire_api = "responses"
env_key = "GIMBAL_KEY"
supports_websockets = ${webSocket}
`;
}
