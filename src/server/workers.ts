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
  /** A worker is gone: what it left open is to be settled. */
  readonly bury: (node: string) => void;
  /** Name of this machine's gateway; each worker's is made from it. */
  readonly node: string;
  readonly log: (line: string) => void;
}

/** By this variable a worker is told its name in the ledger. */
export const NODE_VARIABLE = "GIMBAL_NODE";

/**
 * By this one a worker is told the port where its siblings no longer hold it. As long as one of them lives, whoever is born asks for what they
 * asked for ("any"), because processes share a port under the name by which the first one asked.
 */
export const PORT_VARIABLE = "GIMBAL_WORKER_PORT";

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
  /** Tells every worker to finish, and waits until they have. False when one of them ended badly. */
  stop(): Promise<boolean>;
}

/** Serving processes under one primary. Each is a node of its own; the kernel's connections are dealt out by the primary. */
export function startWorkers(options: WorkersOptions): Workers {
  const { count, clock, log } = options;
  let stopping = false;
  let reviveMs = REVIVE_MS;
  let url = "";
  let born = 0;
  const listening = new Set<Worker>();
  let byNumber = false;
  let waiting = count;
  let started!: (url: string) => void;
  let failed!: (error: Error) => void;
  const ready = new Promise<string>((resolve, reject) => {
    started = resolve;
    failed = reject;
  });

  // Ledger rows are many and small: the binary form costs less than JSON.
  cluster.setupPrimary({ serialization: "advanced" });

  function start(): void {
    const node = `${options.node}.${++born}`;
    if (url !== "" && listening.size === 0) byNumber = true;
    const worker = cluster.fork({ [NODE_VARIABLE]: node, ...(byNumber && { [PORT_VARIABLE]: new URL(url).port }) });
    const since = clock.monotonic();
    options.adopt(worker);
    worker.on("message", (message: unknown) => {
      if (!isReady(message)) return;
      // The last sibling died while this one was on its way to the port: "any" has become another one, where nobody looks for it.
      if (url !== "" && message.url !== url) return void worker.process.kill("SIGKILL");
      url = message.url;
      listening.add(worker);
      if (--waiting === 0) started(url);
    });
    worker.on("exit", (code, signal) => {
      listening.delete(worker);
      options.bury(node);
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
      const ended = await Promise.all(
        workers.map(
          (worker) =>
            new Promise<boolean>((resolve) => {
              if (worker.isDead()) return resolve(true);
              worker.once("exit", (code) => resolve(code === 0));
              worker.process.kill("SIGTERM");
            }),
        ),
      );
      return ended.every(Boolean);
    },
  };
}
