import type { Command } from "./command.ts";
import { SERVE_FLAGS, settingsOf } from "./settings.ts";

export const serveCommand: Command = {
  name: "serve",
  summary: "Run the gateway.",
  operands: [],
  flags: SERVE_FLAGS,
  run: (input, deps) => deps.serve(settingsOf(input, deps)),
};
