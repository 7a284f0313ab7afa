import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CommandError } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { setting } from "./settings.ts";

/** Written by a serving process into its data folder: where it is, and who it is. */
export const SERVER_FILE = "server.json";
/** The admin token of a data folder, mode 0600. */
export const TOKEN_FILE = "admin-token";
const ANSWER_LIMIT_MS = 10_000;

/** Nobody answers where a gateway said it was. */
export class NoAnswerError extends CommandError {}

export interface RunningServer {
  readonly url: string;
  readonly pid: number;
}

/** The gateway that serves from a data folder, if one does. */
export async function runningServer(folder: string, deps: CliDeps): Promise<RunningServer | undefined> {
  try {
    const { url, pid } = JSON.parse(await readFile(join(folder, SERVER_FILE), "utf8")) as Partial<RunningServer>;
    if (typeof url !== "string" || typeof pid !== "number" || !deps.isRunning(pid)) return undefined;
    return { url: reachable(url), pid };
  } catch {
    return undefined;
  }
}

/** A server that listens on every address is asked on the loopback one. */
function reachable(url: string): string {
  return url.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]").replace(/\/+$/, "");
}

/** Asks a running gateway's admin API. @throws CommandError in the server's own words */
export async function askServer(
  server: RunningServer,
  folder: string,
  deps: CliDeps,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const token = setting(deps, "GIMBAL_ADMIN_TOKEN") ?? (await readToken(folder));
  const limit = new AbortController();
  const cancel = deps.clock.after(ANSWER_LIMIT_MS, () => limit.abort());
  let status: number;
  let text: string;
  try {
    const response = await deps.fetch(`${server.url}/admin/api${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: "error",
      signal: limit.signal,
    });
    status = response.status;
    text = await response.text();
  } catch {
    throw new NoAnswerError(`The gateway with process id ${server.pid} holds the data folder but does not answer at ${server.url}.`);
  } finally {
    cancel();
  }
  const answer = parse(text);
  if (status >= 200 && status < 300) return answer;
  const message = (answer as { error?: { message?: unknown } } | undefined)?.error?.message;
  throw new CommandError(typeof message === "string" ? message : `The gateway at ${server.url} answered ${status}.`);
}

async function readToken(folder: string): Promise<string> {
  try {
    return (await readFile(join(folder, TOKEN_FILE), "utf8")).trim();
  } catch {
    throw new CommandError(`A gateway is running on ${folder}, and its admin token cannot be read there; set GIMBAL_ADMIN_TOKEN.`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
