import cluster, { type Worker } from "node:cluster";
import type { Clock } from "../canon/index.ts";

/** A worker that dies is replaced after this time, which doubles up to a limit while workers keep dying. */
const REVIVE_MS = 200;
const REVIVE_MAX_MS = 10_000;
/** A worker that lived this long starts the count anew. */
const HEALTHY_MS = 60_000;

export interface WorkersOptions {
  readonly count: number;
  readonly clock: Clock;
  /** Serves a worker its record; called before it can ask. */
  readonly adopt: (worker: Worker) => void;
  readonly log: (line: string) => void;
}

/** What a worker says when it listens. */
export interface ReadyMessage {
  readonly type: "gimbal.ready";
  readonly url: string;
}

function isReady(message: unknown): message is ReadyMessage {
  return typeof message === "object" && message !== null && "type" in message && message.type === "gimbal.ready";
}

export interface Workers {
  /** Resolves with the address when all of them listen; rejects when one cannot start. */
  readonly ready: Promise<string>;
  /** Tells every worker to finish, and waits until they have. */
  stop(): Promise<void>;
}

/** Serving processes under one primary. Each is a node of its own; the kernel's connections are dealt out by the primary. */
export function startWorkers(options: WorkersOptions): Workers {
  const { count, clock, log } = options;
  let stopping = false;
  let reviveMs = REVIVE_MS;
  let url = "";
  let waiting = count;
  let started!: (url: string) => void;
  let failed!: (error: Error) => void;
  const ready = new Promise<string>((resolve, reject) => {
    started = resolve;
    failed = reject;
  });

  function start(): void {
    const worker = cluster.fork();
    const since = clock.monotonic();
    options.adopt(worker);
    worker.on("message", (message: unknown) => {
      if (!isReady(message)) return;
      url = message.url;
      if (--waiting === 0) started(url);
    });
    worker.on("exit", (code, signal) => {
      if (stopping) return;
      if (waiting > 0) return failed(new Error(`A serving process ended before it was ready (${signal ?? `exit code ${code}`}).`));
      reviveMs = clock.monotonic() - since > HEALTHY_MS ? REVIVE_MS : Math.min(REVIVE_MAX_MS, reviveMs * 2);
      log(`A serving process ended (${signal ?? `exit code ${code}`}); another starts in ${reviveMs} ms.`);
      clock.after(reviveMs, () => {
        if (!stopping) start();
      });
    });
  }
  for (let index = 0; index < count; index++) start();

  return {
    ready,
    stop: async () => {
      stopping = true;
      const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
      await Promise.all(
        workers.map(
          (worker) =>
            new Promise<void>((resolve) => {
              worker.once("exit", () => resolve());
              worker.process.kill("SIGTERM");
            }),
        ),
      );
    },
  };
}
