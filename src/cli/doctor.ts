import { columns, DONE, FAILED, type Command } from "./command.ts";
import { checkClock, checkDatabase, checkFolder, checkPort, checkRuntime } from "./doctor-machine.ts";
import { checkConfig, checkProviders } from "./doctor-config.ts";
import type { Finding } from "./finding.ts";
import { checkWarm } from "./doctor-warm.ts";
import { LISTEN_FLAGS, CONFIG_FLAG, DATA_FLAG, dataFolderOf } from "./settings.ts";

const MARKS: Readonly<Record<Finding["status"], string>> = { ok: "ok     ", warning: "warning", failure: "FAILURE" };

export const doctorCommand: Command = {
  name: "doctor",
  summary: "Check runtime, data folder, configuration, providers, clock and port, and say what to do.",
  operands: [],
  flags: { ...CONFIG_FLAG, ...LISTEN_FLAGS, ...DATA_FLAG },
  async run(input, deps) {
    const findings: Finding[] = [];
    const add = (found: readonly Finding[]): void => {
      findings.push(...found);
      if (!input.json) for (const finding of found) deps.out(`${lineOf(finding)}\n`);
    };
    add(checkRuntime(deps));
    add(await checkDatabase(deps));
    add(await checkFolder(input, deps));
    const { config, findings: found } = await checkConfig(input, deps);
    add(found);
    if (config) add(await checkProviders(config, dataFolderOf(input, deps), deps));
    if (config) add(await checkWarm(config, input, deps));
    add(await checkClock(input, deps));
    add(await checkPort(input, config, deps));
    const failures = findings.filter((finding) => finding.status === "failure").length;
    if (input.json) deps.out(`${JSON.stringify({ ok: failures === 0, findings })}\n`);
    else
      deps.out(
        `\n${failures === 0 ? "Nothing stands in the way of serving." : `${failures} failure${failures === 1 ? "" : "s"}: see above what to do.`}\n`,
      );
    return failures === 0 ? DONE : FAILED;
  },
};

function lineOf(finding: Finding): string {
  const line = columns([[`${MARKS[finding.status]} ${finding.check}`.padEnd(24), finding.detail]]);
  return finding.remedy === undefined ? line : `${line}\n${" ".repeat(26)}-> ${finding.remedy}`;
}
