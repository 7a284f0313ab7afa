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
  limitMs = ANSWER_LIMIT_MS,
): Promise<unknown> {
  const work = async (signal: AbortSignal): Promise<{ readonly status: number; readonly text: string }> => {
    const response = await request(folder, deps, `${server.url}/admin/api${path}`, signal, method, body);
    return { status: response.status, text: await response.text() };
  };
  const { status, text } = await within(server, deps, work, limitMs);
  if (status >= 200 && status < 300) return parse(text);
  throw refusal(server, status, text);
}

/** The same for an answer that is read as it comes, however long that takes. */
export async function downloadFrom(server: RunningServer, folder: string, deps: CliDeps, path: string): Promise<AsyncIterable<Uint8Array>> {
  const response = await within(server, deps, (signal) =>
    request(folder, deps, `${server.url}/admin/api${path}`, signal, "GET", undefined),
  );
  if (!response.ok || !response.body) throw refusal(server, response.status, await response.text());
  return response.body;
}

/** @throws NoAnswerError when nothing comes in time */
async function within<T>(
  { pid, url }: RunningServer,
  deps: CliDeps,
  work: (signal: AbortSignal) => Promise<T>,
  limitMs = ANSWER_LIMIT_MS,
): Promise<T> {
  const limit = new AbortController();
  const cancel = deps.clock.after(limitMs, () => limit.abort());
  try {
    return await work(limit.signal);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new NoAnswerError(`The gateway with process id ${pid} holds the data folder but does not answer at ${url}.`);
  } finally {
    cancel();
  }
}

async function request(folder: string, deps: CliDeps, url: string, signal: AbortSignal, method: string, body: unknown): Promise<Response> {
  const token = setting(deps, "GIMBAL_ADMIN_TOKEN") ?? (await readToken(folder));
  return deps.fetch(url, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { "content-type": "application/json" }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    redirect: "error",
    signal,
  });
}

function refusal({ url }: RunningServer, status: number, text: string): CommandError {
  const message = (parse(text) as { error?: { message?: unknown } } | undefined)?.error?.message;
  return new CommandError(typeof message === "string" ? message : `The gateway at ${url} answered ${status}.`);
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
