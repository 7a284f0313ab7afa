import { WRONG_USE, type Command } from "./command.ts";

const TO_COME: readonly (readonly [name: string, summary: string])[] = [
  ["eval", "Run evaluations."],
  ["bench", "Measure a running gateway of yours."],
  ["advise", "Advise on models and routes from the ledger."],
];

/** Commands that are promised and not there yet: they say so instead of doing half. */
export const NOT_BUILT_COMMANDS: readonly Command[] = TO_COME.map(([name, summary]) => ({
  name,
  summary: `${summary} Not built yet.`,
  operands: [],
  anyOperands: true,
  flags: {},
  run: (input, deps) => {
    const message = `gimbal ${name} is not built yet.`;
    if (input.json) deps.out(`${JSON.stringify({ error: { message } })}\n`);
    deps.err(`${message}\n`);
    return Promise.resolve(WRONG_USE);
  },
}));
