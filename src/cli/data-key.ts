import { ProblemError, type DataKeyRotation } from "../canon/index.ts";
import { CommandError, DONE, type Command } from "./command.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

/** Every kept turn and answer is read and written once: minutes for millions. */
const LONGEST_MS = 3_600_000;

export const rotateDataKeyCommand: Command = {
  name: "keys rotate-data-key",
  summary: "Seal everything at rest under a new key, while calls go on; the old one still opens what it sealed.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const done = await onRecord(input, deps, {
      server: async (server, folder) =>
        (await askServer(server, folder, deps, "POST", "/data-key/rotate", undefined, LONGEST_MS)) as DataKeyRotation,
      stores: async ({ dataKeys }) => {
        try {
          return await dataKeys.rotate();
        } catch (error) {
          throw error instanceof ProblemError ? new CommandError(error.problem.message) : error;
        }
      },
    });
    deps.out(input.json ? `${JSON.stringify(done)}\n` : sentence(done));
    return DONE;
  },
};

function sentence({ keyId, keys, made, resealed, lost }: DataKeyRotation): string {
  const key = made ? `A new key ${keyId} seals from now on` : `The keys are given from outside; the first of them, ${keyId}, seals`;
  const old = keys === 1 ? "" : ` ${keys - 1} older ${keys === 2 ? "key still opens" : "keys still open"} what was not sealed anew.`;
  const gone = lost === 0 ? "" : ` ${lost} rows are opened by no key and were left as they are.`;
  return `${key}; ${resealed} rows were sealed anew.${old}${gone}\n`;
}
