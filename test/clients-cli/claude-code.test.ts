import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES } from "../support/gateway.ts";
import { runAgent, type AgentRelease } from "./fetch-agent.ts";
import { COMMAND, fetchedOrSkip, openSetting, type Setting } from "./setting.ts";

const RELEASE: AgentRelease = {
  title: "Claude Code",
  package: `@anthropic-ai/claude-code-${process.platform}-${process.arch}@2.1.330`,
  binary: ["claude"],
};

const SIM = `
sim:
  models:
    agent:
      toolCalls: [{ name: Bash, arguments: { command: "${COMMAND}", description: "Prints a word" } }]
`;

let setting: Setting;
beforeAll(async () => {
  setting = await openSetting(RELEASE, SIM);
});
afterAll(() => setting.close());

/** What `--output-format stream-json` prints, one object a line. */
interface Line {
  readonly type: string;
  readonly result?: string;
  readonly is_error?: boolean;
  readonly message?: { readonly content?: readonly { readonly type: string; readonly content?: unknown }[] };
}

describe("Claude Code completes a tool loop", () => {
  it.for(ROUTES)("through %s", async (route, { skip }) => {
    const binary = fetchedOrSkip(setting.agent, skip);
    const { rows, lines } = await loop(binary, route, { ANTHROPIC_API_KEY: "sk-fake-for-a-simulator" });
    const results = lines.flatMap((line) => line.message?.content ?? []).filter((part) => part.type === "tool_result");
    expect(JSON.stringify(results)).toContain("gimbal-ok");
    expect(lines.at(-1)).toMatchObject({
      type: "result",
      is_error: false,
      result: expect.stringContaining("The tool answered: gimbal-ok") as string,
    });
    expect(rows.length).toBeGreaterThanOrEqual(2);
    expect(rows.map((row) => row.state)).toEqual(rows.map(() => "done"));
    expect(rows.every((row) => row.usage.output > 0)).toBe(true);
    expect(rows.map((row) => row.fastPath)).toEqual(rows.map(() => route === "sim/" || route === "labclaude/sim/"));
  });

  it("with a key of ours as its token", async ({ skip }) => {
    const binary = fetchedOrSkip(setting.agent, skip);
    const key = await setting.pair.front.key({ name: "claude-code" });
    const { rows, lines } = await loop(binary, "sim/", { ANTHROPIC_AUTH_TOKEN: key });
    expect(lines.at(-1)).toMatchObject({ type: "result", is_error: false });
    expect(new Set(rows.map((row) => row.callerName))).toEqual(new Set(["claude-code"]));
  });
});

async function loop(binary: string, route: string, credentials: NodeJS.ProcessEnv) {
  const { front } = setting.pair;
  const place = await setting.workplace();
  const before = (await front.rows()).length;
  const args = ["-p", "Run the tool.", "--model", `${route}agent`, "--allowedTools", "Bash", "--output-format", "stream-json", "--verbose"];
  const finished = await runAgent(binary, args, {
    cwd: place.project,
    home: place.home,
    proxy: setting.tripwire.url,
    env: {
      ANTHROPIC_BASE_URL: front.url,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_TELEMETRY: "1",
      DISABLE_ERROR_REPORTING: "1",
      DISABLE_AUTOUPDATER: "1",
      ...credentials,
    },
  });
  expect(finished, finished.stderr).toMatchObject({ code: 0 });
  expect(await place.proof()).toBe("gimbal-ok\n");
  expect(setting.tripwire.attempts).toEqual([]);
  const lines = finished.stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line);
  return { lines, rows: (await front.rows()).slice(before).filter((row) => row.operation === "generate") };
}
