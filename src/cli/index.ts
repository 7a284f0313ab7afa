import { nearest } from "../kit/index.ts";
import { columns, CommandError, DONE, FAILED, helpOf, readArguments, UsageError, WRONG_USE, type Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import type { CliDeps } from "./deps.ts";

export type { CliDeps, ServeSettings } from "./deps.ts";

/** Runs one command line (without program name). Resolves with the exit code: 0 done, 1 failed, 2 wrong use. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  const [first] = argv;
  if (first === "--version" || first === "-v") {
    deps.out(`gimbal ${deps.version}\n`);
    return DONE;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    deps.out(overview());
    return DONE;
  }
  if (first === undefined) {
    deps.err(overview());
    return WRONG_USE;
  }
  const json = argv.includes("--json");
  try {
    return await runCommand(argv, deps);
  } catch (error) {
    return complain(error, json, deps);
  }
}

async function runCommand(argv: readonly string[], deps: CliDeps): Promise<number> {
  const command = findCommand(argv);
  if (!command) return helpOfGroup(argv, deps);
  const input = readArguments(command, argv.slice(command.name.split(" ").length));
  if (input.help) {
    deps.out(helpOf(command));
    return DONE;
  }
  return command.run(input, deps);
}

function findCommand(argv: readonly string[]): Command | undefined {
  return COMMANDS.find((command) => command.name.split(" ").every((word, at) => argv[at] === word));
}

/** `gimbal keys`: the commands that begin so. @throws UsageError when none does */
function helpOfGroup(argv: readonly string[], deps: CliDeps): number {
  const [group = "", second] = argv;
  const members = COMMANDS.filter((command) => command.name.startsWith(`${group} `));
  if (members.length === 0) {
    const like = nearest(group, new Set(COMMANDS.map((command) => command.name.split(" ")[0] ?? "")));
    throw new UsageError(`There is no command "${group}".${like ? ` Did you mean "gimbal ${like}"?` : ""} gimbal --help lists them.`);
  }
  const help = `Commands:\n${columns(members.map((command) => [`  gimbal ${command.name}`, command.summary]))}\n`;
  if (second === "--help" || second === "-h") {
    deps.out(help);
    return DONE;
  }
  const like =
    second === undefined
      ? undefined
      : nearest(
          second,
          members.map((command) => command.name.split(" ")[1] ?? ""),
        );
  throw new UsageError(
    `gimbal ${group} needs one of: ${members.map((command) => command.name.split(" ")[1]).join(", ")}.${like ? ` Did you mean "${like}"?` : ""}`,
  );
}

function complain(error: unknown, json: boolean, deps: CliDeps): number {
  if (!(error instanceof UsageError) && !(error instanceof CommandError)) throw error;
  if (json) deps.out(`${JSON.stringify({ error: { message: error.message } })}\n`);
  deps.err(`${error.message}\n`);
  return error instanceof UsageError ? WRONG_USE : FAILED;
}

/** The list of commands. */
function overview(): string {
  const rows = COMMANDS.map((command) => [`  ${command.name}`, command.summary] as const);
  return `Gimbal: any client, any model, one pipeline.\n\nUsage: gimbal COMMAND [options]\n\nCommands:\n${columns(rows)}\n\nEach command explains itself with --help and answers programs with --json.\nExit codes: 0 done, 1 failed, 2 wrong use.\n`;
}
