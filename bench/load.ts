import { execFile, execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { canPin, family, has, readyPort, start } from "./processes.ts";
import type { Running } from "./processes.ts";

const HERE = import.meta.dirname;

/** Figures of one run; CPU of the measured process with all its threads and descendants. Without /proc, CPU figures are 0. */
export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  /** Answers whose status was not 200. */
  readonly bad: number;
  readonly perSecond: number;
  readonly cpuUs: number;
  /** Cores kept busy. */
  readonly busy: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly firstP50Us: number;
  readonly firstP99Us: number;
  readonly rssKb: number;
}
export interface HoldResult {
  readonly asked: number;
  readonly open: number;
  readonly refused: number;
  readonly lost: number;
  readonly rssBeforeKb: number;
  readonly rssKb: number;
  readonly kbPerStream: number;
  readonly idleBusy: number;
}
export interface LoadRequest {
  readonly port: number;
  readonly path: string;
  /** A file with the body. */
  readonly body: string;
  readonly headers: readonly string[];
  /** Whose CPU and memory to read. */
  readonly pid: number;
}
export type LoadMode =
  | { readonly mode: "closed"; readonly conns: number; readonly warm: number; readonly count: number; readonly secs: number }
  | { readonly mode: "open"; readonly conns: number; readonly warm: number; readonly secs: number; readonly rate: number };

/** The two helpers, compiled where there is a C compiler; in JavaScript otherwise, which costs the other core more and blurs latencies. */
export class Helpers {
  readonly native: boolean;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.native = has("gcc") && process.platform === "linux";
    if (!this.native) return;
    for (const name of ["load", "upstream"]) execFileSync("gcc", ["-O2", "-o", join(folder, name), join(HERE, "native", `${name}.c`)]);
  }

  /** A mock upstream; see native/upstream.c for what it answers. */
  async upstream(): Promise<Running & { readonly port: number }> {
    const helper = this.native
      ? start("rest", join(this.#folder, "upstream"), [])
      : start("rest", process.execPath, [join(HERE, "fallback", "upstream.ts")]);
    return { ...helper, port: await readyPort(helper) };
  }

  load(request: LoadRequest, mode: LoadMode): LoadResult {
    return this.#run(request, mode.mode, mode) as LoadResult;
  }

  /** Loads several at the same time; each has its own load generator. */
  loadTogether(requests: readonly LoadRequest[], mode: LoadMode): Promise<readonly LoadResult[]> {
    return Promise.all(
      requests.map(async (request) => {
        const [program = "", ...args] = this.#command(request, mode.mode, mode);
        const { stdout } = await promisify(execFile)(program, args);
        return JSON.parse(stdout) as LoadResult;
      }),
    );
  }

  /** Opens streams and holds them. */
  hold(request: LoadRequest, conns: number, secs: number): HoldResult {
    return this.#run(request, "hold", { conns, secs }) as HoldResult;
  }

  #run(request: LoadRequest, mode: string, numbers: object): unknown {
    const [program = "", ...args] = this.#command(request, mode, numbers);
    const { stdout, stderr, status } = spawnSync(program, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`the load generator failed: ${stderr}`);
    return JSON.parse(stdout) as unknown;
  }

  #command(request: LoadRequest, mode: string, numbers: object): readonly string[] {
    const args = ["--port", String(request.port), "--path", request.path, "--body", request.body, "--mode", mode];
    for (const [name, value] of Object.entries(numbers)) if (name !== "mode") args.push(`--${name}`, String(value));
    for (const header of request.headers) args.push("--header", header);
    if (request.pid > 0) args.push("--pids", family(request.pid).join(","));
    const program = this.native ? [join(this.#folder, "load")] : [process.execPath, join(HERE, "fallback", "load.ts")];
    return [...(canPin ? ["taskset", "-c", "1"] : []), ...program, ...args];
  }
}
