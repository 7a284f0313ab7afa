// The launcher: any Node >= 18 runs it; it sees to a Node that is new enough and to the dependencies, then starts the program.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { enter } from "./enter.mjs";
import { alone, installDependencies, isInstalled } from "./install.mjs";
import { atLeast, installRuntime, readPins, runtimePath } from "./runtime.mjs";
import { Trouble } from "./trouble.mjs";

const FORWARDED = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"];

const say = (sentence) => process.stderr.write(`gimbal: ${sentence}\n`);

/** Runs `entry` (a TypeScript file of this checkout) with `args`; the process ends with its exit code. */
export async function launch(entry, args, { development }) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  try {
    const node = await prepare(root, development);
    const program = join(root, entry);
    // In this very process where that is possible: signals, exit code and process id need no care then.
    if (node === process.execPath) await enter(program, args);
    else runThere(node, program, args);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

/** Sees to runtime and dependencies; returns the Node to use. The lock is only asked for when something is missing. */
async function prepare(root, development) {
  const pins = readPins(root);
  const fits = atLeast(process.version, pins.minimum);
  const runtime = fits ? undefined : runtimePath(root, pins);
  const node = runtime ? runtime.program : process.execPath;
  if ((runtime && !existsSync(node)) || !isInstalled(root, { development })) {
    await alone(root, say, () => {
      if (runtime && !existsSync(node)) {
        say(
          `This is Node ${process.version}; Gimbal needs ${pins.minimum} or newer, so Node ${pins.version} is being installed inside the checkout (.runtime/), once.`,
        );
        installRuntime(root, pins, runtime);
      }
      if (!isInstalled(root, { development })) {
        say(`Installing the ${development ? "" : "production "}dependencies named in package-lock.json.`);
        installDependencies(root, node, { development });
      }
    });
  }
  return node;
}

function runThere(node, program, args) {
  const child = spawn(node, [fileURLToPath(new URL("tethered.mjs", import.meta.url)), program, ...args], {
    stdio: ["inherit", "inherit", "inherit", "pipe"],
  });
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the child as well; sent twice it would mean "at once".
      if (!(signal === "SIGINT" && process.stdin.isTTY)) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    say(`${node} could not be started (${error.code}).`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? "SIGKILL"] ?? 0)));
}
