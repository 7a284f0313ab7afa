import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCli, type CliDeps } from "../../src/cli/index.ts";
import { bookOf } from "../../src/in-force.ts";
import { SeededRandomness, systemClock } from "../../src/kit/index.ts";

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A running gateway, as the command line finds it. */
export interface Running {
  readonly url: string;
  readonly adminToken: string;
}

const unneeded = (): never => {
  throw new Error("not needed here");
};

/**
 * Runs a command in this process, with `folder` as its working and its data folder. It reaches `running`, and nothing else that `change`
 * does not give it: no record, no environment, no provider.
 */
export async function runCommand(
  folder: string,
  running: Running | undefined,
  argv: readonly string[],
  change: Partial<CliDeps> = {},
): Promise<Said> {
  if (running) writeFileSync(join(folder, "server.json"), JSON.stringify({ url: running.url, pid: 1 }));
  let out = "";
  let err = "";
  const code = await runCli([...argv, "--data", folder], {
    env: running ? { GIMBAL_ADMIN_TOKEN: running.adminToken } : {},
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock: systemClock,
    randomness: new SeededRandomness(1),
    book: bookOf,
    isRunning: () => running !== undefined,
    fetch: running ? fetch : unneeded,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    serve: unneeded,
    openStores: unneeded,
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    openStage: unneeded,
    ...change,
  });
  return { code, out, err };
}
