import { parseArgs } from "node:util";
import { nearest } from "../kit/index.ts";
import type { CliDeps } from "./deps.ts";

/** Exit codes of every command. */
export const DONE = 0;
export const FAILED = 1;
export const WRONG_USE = 2;

export interface Flag {
  /** Name of the value for the help text; absent for a switch. */
  readonly value?: string;
  readonly meaning: string;
  readonly short?: string;
}

export interface Command {
  /** `keys create`: one or two words. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Names of positional arguments; all are required. */
  readonly operands: readonly string[];
  /** Further arguments are taken without a word: of a command that is not built, nobody can know them. */
  readonly anyOperands?: boolean;
  readonly flags: Readonly<Record<string, Flag>>;
  run(input: Input, deps: CliDeps): Promise<number>;
}

/** A command line that was understood. */
export interface Input {
  readonly operands: readonly string[];
  readonly json: boolean;
  text(flag: string): string | undefined;
  has(flag: string): boolean;
}

/** What a user got wrong: told in one sentence, exit code 2. */
export class UsageError extends Error {}
/** What could not be done: told in one sentence, exit code 1. */
export class CommandError extends Error {}

export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  json: { meaning: "Answer in JSON, for programs." },
  help: { meaning: "Explain this command.", short: "h" },
};

/** Reads the arguments behind a command's name. @throws UsageError, naming the nearest flag */
export function readArguments(command: Command, args: readonly string[]): Input & { readonly help: boolean } {
  const flags = { ...command.flags, ...COMMON_FLAGS };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [
      name,
      {
        type: flag.value === undefined ? ("boolean" as const) : ("string" as const),
        ...(flag.short !== undefined && { short: flag.short }),
      },
    ]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(complaint(command, error, Object.keys(flags)));
  }
  const { values, positionals } = parsed;
  const help = values["help"] === true;
  if (!help && !command.anyOperands && positionals.length !== command.operands.length) {
    const surplus = positionals[command.operands.length];
    const missing = command.operands[positionals.length] ?? "";
    throw new UsageError(
      surplus === undefined ? `gimbal ${command.name} needs ${missing}.` : `gimbal ${command.name} takes no argument "${surplus}".`,
    );
  }
  return {
    help,
    operands: positionals,
    json: values["json"] === true,
    text: (flag) => (typeof values[flag] === "string" ? values[flag] : undefined),
    has: (flag) => values[flag] === true,
  };
}

function complaint(command: Command, error: unknown, known: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  const unknown = /Unknown option '(-{1,2}[^']*)'/.exec(message)?.[1];
  if (unknown === undefined) return `${message.split("\n")[0] ?? ""}${message.endsWith(".") ? "" : "."}`;
  const like = nearest(unknown.replace(/^-+/, ""), known);
  return `gimbal ${command.name} has no option ${unknown}.${like ? ` Did you mean --${like}?` : ""}`;
}

/** A whole number within bounds from a flag. @throws UsageError */
export function wholeNumber(input: Input, flag: string, least: number, most: number): number | undefined {
  const text = input.text(flag);
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most || text.trim() === "") {
    throw new UsageError(`--${flag} is a whole number from ${least} to ${most}, not "${text}".`);
  }
  return number;
}

/** Comma-separated words, at least one. @throws UsageError */
export function wordList(input: Input, flag: string): string[] | undefined {
  const words = input
    .text(flag)
    ?.split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  // An unset variable of a script, most likely: read as "not given", it would lift a restriction.
  if (words?.length === 0) throw new UsageError(`--${flag} names nothing.`);
  return words;
}

/** The help text of one command. */
export function helpOf(command: Command): string {
  const operands = command.operands.map((operand) => ` ${operand}`).join("");
  const rows = Object.entries({ ...command.flags, ...COMMON_FLAGS }).map(
    ([name, flag]) =>
      [
        `  --${name}${flag.value === undefined ? "" : ` ${flag.value}`}${flag.short === undefined ? "" : `, -${flag.short}`}`,
        flag.meaning,
      ] as const,
  );
  return `${command.summary}\n\nUsage: gimbal ${command.name}${operands} [options]\n\nOptions:\n${columns(rows)}\n`;
}

/** Two columns, the left one as wide as it must be. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`.trimEnd()).join("\n");
}

/** Rows under headings, each column as wide as it must be. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, at) => Math.max(heading.length, ...rows.map((row) => row[at]?.length ?? 0)));
  return [headings, ...rows]
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
