import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { BARE_ENV } from "../support/children.ts";

const ROOT = join(import.meta.dirname, "../..");

export interface Served {
  readonly url: string;
  readonly child: ChildProcess;
  /** What it has printed so far. */
  readonly output: () => string;
  /** Dies without a word, and resolves when it has. */
  kill(): Promise<void>;
}

const children: ChildProcess[] = [];

/** Ends what a test left running. */
export function endAll(): void {
  for (const child of children.splice(0)) child.kill("SIGKILL");
}

/** Starts a gateway in a process of its own and waits until it says that it is ready. */
export async function serve(
  folder: string,
  file: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const child = spawn(
    process.execPath,
    [join(ROOT, "src/main.ts"), "serve", "--config", file, "--data", folder, "--host", "127.0.0.1", "--port", "0", ...flags],
    { cwd: ROOT, env: { ...BARE_ENV, ...env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  children.push(child);
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const look = (text: Buffer): void => {
      output += text.toString();
      const ready = /gimbal ready on (http:\S+)/.exec(output)?.[1];
      if (ready) resolve(ready);
    };
    child.stdout?.on("data", look);
    child.stderr?.on("data", look);
    child.on("exit", () => reject(new Error(`the gateway did not start:\n${output}`)));
  });
  const kill = async (): Promise<void> => {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  };
  return { url, child, kill, output: () => output };
}

/** The frames of an event stream without their `id:` lines, and the numbers on those. */
export function framesOf(text: string): { readonly frames: readonly string[]; readonly ids: readonly number[] } {
  const frames = text.split("\n\n").filter((frame) => frame !== "");
  return {
    frames: frames.map((frame) => frame.replace(/^id: \d+\n/, "")),
    ids: frames.flatMap((frame) => /^id: (\d+)\n/.exec(frame)?.[1] ?? []).map(Number),
  };
}

/** A stream being read: what came so far, whole frames only. */
export interface Listening {
  readonly callId: string;
  readonly frames: () => readonly string[];
  /** Resolves when so many frames are here, or the stream is over. */
  until(count: number): Promise<void>;
  leave(): void;
}

export async function listen(url: string, body: unknown, init: RequestInit = {}): Promise<Listening> {
  const leave = new AbortController();
  const response = await fetch(url, {
    method: "POST",
    ...init,
    headers: { "content-type": "application/json", ...(init.headers as Record<string, string>) },
    body: JSON.stringify(body),
    signal: leave.signal,
  });
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let over = false;
  const frames = (): readonly string[] => text.split("\n\n").slice(0, -1);
  return {
    callId: response.headers.get("x-gimbal-call-id") ?? "",
    frames,
    leave: () => leave.abort(),
    until: async (count) => {
      while (!over && frames().length < count) {
        const piece = await reader?.read().catch(() => undefined);
        if (!piece || piece.done) over = true;
        else text += decoder.decode(piece.value, { stream: true });
      }
    },
  };
}
