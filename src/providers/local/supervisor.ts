import { fork, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import type { Clock, Problem } from "../../canon/index.ts";
import type { FromChild, Job, ModelSpec, Opened, Outcome, Piece, ToChild } from "./protocol.ts";

const CHILD_FILE = fileURLToPath(new URL("./child.ts", import.meta.url));
const KIB_IN_MIB = 1024;
/** V8's own share of the child; a model's weights and contexts lie outside it. */
const HEAP_MIB = 512;
/** How often the child's memory is looked at. */
const WATCH_MS = 250;
/** Wait before the first restart, doubled with every further one. */
const FIRST_BACKOFF_MS = 250;
const MOST_BACKOFF_MS = 30_000;
/** A child that ran so long had nothing to do with the crash before. */
const CALM_MS = 60_000;
/** A child that was told to end and does not is killed after this. */
const END_MS = 2000;
/** A child that was told to leave off a job and says nothing for so long hears nothing any more: it hangs, and is killed. */
const DEAF_MS = 30_000;
/** The child yields to the gateway where both want the same core. */
const NICENESS = 5;
/** Jobs that wait in the child or for it. */
const MOST_JOBS = 256;
/** What a model needs of the environment; keys of providers are none of its business. */
const INHERITED = [
  "PATH",
  "HOME",
  "TMPDIR",
  "LANG",
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "CUDA_PATH",
  "CUDA_VISIBLE_DEVICES",
  "SYSTEMROOT",
];

export interface SupervisorOptions {
  /** For people: `here/tiny`. */
  readonly name: string;
  /** Asked at each start: what is missing may have come since. */
  readonly spec: () => { readonly ok: true; readonly spec: ModelSpec } | { readonly ok: false; readonly problem: Problem };
  /** Resident memory above which the child is killed. */
  readonly memoryMiB: number;
  /** Longest time that opening the model may take. */
  readonly openTimeoutMs: number;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Who asked for a job. After `onDone` or `onProblem` nothing more comes. */
export interface JobSink {
  onPiece(piece: Piece): void;
  onDone(outcome: Outcome, opened: Opened): void;
  onProblem(problem: Problem): void;
}

interface Waiting {
  readonly job: Job;
  readonly sink: JobSink;
}

/** One model in a process of its own: started with the first job, restarted after a crash, killed above its memory. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #jobs = new Map<number, Waiting>();
  #child: ChildProcess | undefined;
  #opened: Opened | undefined;
  #nextId = 1;
  /** Crashes one after the other. */
  #crashes = 0;
  #startedAt = 0;
  /** Until when nothing is started, on the monotonic clock, and why. */
  #restUntil = 0;
  #lastProblem: Problem | undefined;
  #killedFor: Problem | undefined;
  #stopTimers: (() => void)[] = [];
  /** Jobs that the child was told to leave off, until it says that it has. */
  readonly #leaving = new Map<number, () => void>();
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Process id of the child, while there is one. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  run(job: Job, sink: JobSink): { cancel(): void } {
    const id = this.#nextId++;
    const problem = this.#jobs.size >= MOST_JOBS ? this.#full() : this.#ready();
    if (problem) {
      let silent = false;
      queueMicrotask(() => {
        if (!silent) sink.onProblem(problem);
      });
      return { cancel: () => void (silent = true) };
    }
    this.#jobs.set(id, { job, sink });
    if (this.#opened) this.#tell({ tell: "run", id, job });
    return {
      cancel: () => {
        const child = this.#child;
        if (!this.#jobs.delete(id) || !this.#opened || !child) return;
        this.#tell({ tell: "cancel", id });
        this.#leaving.set(
          id,
          this.#options.clock.after(DEAF_MS, () => this.#kill(child, this.#deaf())),
        );
      },
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    this.#failAll({ kind: "upstream_unavailable", message: `The model ${this.#options.name} is being closed.` });
    if (!child) return;
    const ended = new Promise<void>((done) => child.once("exit", () => done()));
    if (child.connected) child.disconnect();
    const stopTimer = this.#options.clock.after(END_MS, () => child.kill("SIGKILL"));
    await ended;
    stopTimer();
  }

  #deaf(): Problem {
    return {
      kind: "upstream_timeout",
      code: "hung",
      message: `The process of the model ${this.#options.name} answered nothing for ${DEAF_MS} ms and was ended.`,
    };
  }

  #full(): Problem {
    return { kind: "overloaded", message: `${MOST_JOBS} calls wait for the model ${this.#options.name} already.`, retryAfterMs: 1000 };
  }

  /** Starts the child where there is none. Returns why there can be none now. */
  #ready(): Problem | undefined {
    const { clock, name } = this.#options;
    if (this.#closed) return { kind: "upstream_unavailable", message: `The model ${name} is closed.` };
    if (this.#child) return undefined;
    const restMs = this.#restUntil - clock.monotonic();
    if (restMs > 0 && this.#lastProblem) return { ...this.#lastProblem, retryAfterMs: Math.ceil(restMs) };
    return this.#start();
  }

  #start(): Problem | undefined {
    const { clock, env, openTimeoutMs, memoryMiB } = this.#options;
    const made = this.#options.spec();
    if (!made.ok) return made.problem;
    const child = fork(CHILD_FILE, {
      execArgv: [`--max-old-space-size=${Math.min(HEAP_MIB, memoryMiB)}`, "--no-warnings"],
      env: Object.fromEntries(INHERITED.flatMap((key) => (env[key] === undefined ? [] : [[key, env[key]] as const]))),
      serialization: "advanced",
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    this.#child = child;
    this.#killedFor = undefined;
    this.#startedAt = clock.monotonic();
    // Neither the child nor the channel to it keeps a gateway alive that has nothing else to do.
    child.unref();
    child.channel?.unref();
    child.on("message", (message: FromChild) => this.#hear(child, message));
    child.on("error", () => this.#ended(child, "could not be started"));
    child.on("exit", (code, signal) => this.#ended(child, signal === null ? `ended with code ${code}` : `was ended by ${signal}`));
    if (child.pid !== undefined) lower(child.pid);
    child.send({ tell: "open", spec: made.spec } satisfies ToChild);
    const stopTimer = clock.after(openTimeoutMs, () =>
      this.#kill(child, {
        kind: "upstream_timeout",
        message: `The model ${this.#options.name} did not open within ${openTimeoutMs} ms.`,
      }),
    );
    this.#stopTimers = [stopTimer];
    this.#watch(child, this.#stopTimers);
    return undefined;
  }

  #watch(child: ChildProcess, timers: (() => void)[]): void {
    const { clock, memoryMiB, name } = this.#options;
    const again = clock.after(WATCH_MS, () => {
      const resident = residentMiB(child.pid);
      if (resident > memoryMiB)
        this.#kill(child, {
          kind: "upstream_unavailable",
          code: "memory_limit",
          message: `The model ${name} used ${Math.round(resident)} MiB of memory, more than its memoryMiB of ${memoryMiB}, and was ended.`,
        });
      else if (this.#child === child) this.#watch(child, timers);
    });
    timers[1] = again;
  }

  #kill(child: ChildProcess, problem: Problem): void {
    if (this.#child !== child) return;
    this.#killedFor = problem;
    child.kill("SIGKILL");
  }

  #hear(child: ChildProcess, message: FromChild): void {
    if (this.#child !== child) return;
    switch (message.said) {
      case "opened":
        this.#opened = message.opened;
        this.#stopTimers[0]?.();
        for (const [id, { job }] of this.#jobs) this.#tell({ tell: "run", id, job });
        return;
      case "unusable":
        return this.#kill(child, message.fault);
      case "piece":
        return this.#jobs.get(message.id)?.sink.onPiece(message.piece);
      case "done":
      case "failed": {
        const waiting = this.#jobs.get(message.id);
        this.#jobs.delete(message.id);
        this.#leaving.get(message.id)?.();
        this.#leaving.delete(message.id);
        if (message.said === "failed") return waiting?.sink.onProblem(message.fault);
        return this.#opened && waiting?.sink.onDone(message.outcome, this.#opened);
      }
    }
  }

  #ended(child: ChildProcess, how: string): void {
    if (this.#child !== child) return;
    const { clock, name } = this.#options;
    for (const stop of [...this.#stopTimers, ...this.#leaving.values()]) stop();
    this.#leaving.clear();
    this.#child = undefined;
    const hadOpened = this.#opened !== undefined;
    this.#opened = undefined;
    const crashed: Problem = { kind: "upstream_unavailable", code: "crashed", message: `The process of the model ${name} ${how}.` };
    const problem = this.#killedFor ?? crashed;
    if (clock.monotonic() - this.#startedAt > CALM_MS) this.#crashes = 0;
    const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** this.#crashes, MOST_BACKOFF_MS);
    this.#crashes++;
    this.#restUntil = clock.monotonic() + backoffMs;
    this.#lastProblem = problem;
    this.#failAll({ ...problem, retryAfterMs: backoffMs });
    // One that never opened will hardly open by itself: the next call tries again.
    if (hadOpened && !this.#closed)
      clock.after(backoffMs, () => {
        if (!this.#child && !this.#closed) this.#start();
      });
  }

  #failAll(problem: Problem): void {
    const waiting = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const { sink } of waiting) sink.onProblem(problem);
  }

  #tell(message: ToChild): void {
    // A child that just died is told of by its exit.
    if (this.#child?.connected) this.#child.send(message, () => {});
  }
}

function lower(pid: number): void {
  try {
    setPriority(pid, NICENESS);
  } catch {
    // Some systems do not allow it; the model then competes as an equal.
  }
}

/** Resident memory of a process; 0 where the system does not say so, which is everywhere but on Linux. Source: proc_pid_status(5). */
function residentMiB(pid: number | undefined): number {
  if (pid === undefined) return 0;
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / KIB_IN_MIB;
  } catch {
    return 0;
  }
}
