import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Clock, Problem } from "../../../src/canon/index.ts";
import { ManualClock, systemClock } from "../../../src/kit/index.ts";
import { checkGguf, checkOnnx } from "../../../src/providers/local/files.ts";
import type { ChatJob, ModelSpec } from "../../../src/providers/local/protocol.ts";
import { Supervisor, type SupervisorOptions } from "../../../src/providers/local/supervisor.ts";

// Processes are real here, engines are not; see `engine-child.ts` for what the last turn of a conversation makes them do.

const SPEC: ModelSpec = {
  task: "chat",
  path: "/tiny.gguf",
  engine: new URL("./engine-child.ts", import.meta.url).href,
  library: "",
  sequences: 1,
  threads: 1,
  pooling: "mean",
  normalize: true,
  dtype: "fp32",
};

const made: Supervisor[] = [];
afterEach(async () => void (await Promise.all(made.splice(0).map((supervisor) => supervisor.close()))));

function supervise(more: Partial<ModelSpec> = {}, clock: Clock = systemClock, options: Partial<SupervisorOptions> = {}): Supervisor {
  const supervisor = new Supervisor({
    name: "here/tiny",
    spec: () => ({ ok: true, spec: { ...SPEC, ...more } }),
    memoryMiB: 4096,
    openTimeoutMs: 5000,
    clock,
    env: { PATH: process.env["PATH"] },
    ...options,
  });
  made.push(supervisor);
  return supervisor;
}

interface Job {
  /** Undefined: it was done. */
  readonly over: Promise<Problem | undefined>;
  readonly begun: Promise<void>;
  readonly pieces: () => number;
  cancel(): void;
}

function run(supervisor: Supervisor, order: string): Job {
  const job: ChatJob = {
    does: "chat",
    turns: [{ role: "user", text: order }],
    tools: [],
    mustCall: false,
    parallelCalls: true,
    format: { type: "text" },
    stop: [],
  };
  const over = Promise.withResolvers<Problem | undefined>();
  const begun = Promise.withResolvers<void>();
  let pieces = 0;
  const handle = supervisor.run(job, {
    onPiece: () => {
      pieces++;
      begun.resolve();
    },
    onDone: () => over.resolve(undefined),
    onProblem: (problem) => over.resolve(problem),
  });
  return { over: over.promise, begun: begun.promise, pieces: () => pieces, cancel: () => handle.cancel() };
}

/** An order that is over says that the model is open. */
async function opened(supervisor: Supervisor): Promise<void> {
  expect(await run(supervisor, "hello").over).toBeUndefined();
}

describe("a process that hangs", () => {
  it("while it opens its model is ended after its time, and the next call begins another", async () => {
    const clock = new ManualClock();
    let threads = 8;
    const supervisor = supervise({}, clock, { spec: () => ({ ok: true, spec: { ...SPEC, threads } }) });
    const { over } = run(supervisor, "hello");
    clock.advance(5000);
    expect(await over).toMatchObject({
      kind: "upstream_timeout",
      message: "The model here/tiny did not open within 5000 ms.",
      retryAfterMs: 250,
    });
    expect(supervisor.pid).toBeUndefined();
    threads = 1;
    clock.advance(250);
    await opened(supervisor);
  });

  it("in the middle of a job, and hears nothing, is ended once its caller has left, and begun anew", async () => {
    const clock = new ManualClock();
    const supervisor = supervise({}, clock);
    await opened(supervisor);
    const before = supervisor.pid;
    const stuck = run(supervisor, "spin");
    const beside = run(supervisor, "hello");
    stuck.cancel();
    clock.advance(29_999);
    expect(supervisor.pid).toBe(before);
    clock.advance(1);
    expect(await beside.over).toMatchObject({ kind: "upstream_timeout", code: "hung", retryAfterMs: 250 });
    clock.advance(250);
    await opened(supervisor);
    expect(supervisor.pid).not.toBe(before);
  });

  it("is not thought of one that leaves off when it is told", async () => {
    const clock = new ManualClock();
    const supervisor = supervise({}, clock);
    await opened(supervisor);
    const before = supervisor.pid;
    run(supervisor, "hang").cancel();
    // What comes behind it shows that the child has said so.
    await opened(supervisor);
    await opened(supervisor);
    clock.advance(60_000);
    await opened(supervisor);
    expect(supervisor.pid).toBe(before);
  });
});

describe("a process that is killed", () => {
  it("ends every call with a problem that may be tried again, soon, and is there again without being asked", async () => {
    const clock = new ManualClock();
    const supervisor = supervise({}, clock);
    await opened(supervisor);
    const { pid } = supervisor;
    const calls = [run(supervisor, "hang"), run(supervisor, "hang"), run(supervisor, "hang")];
    const at = performance.now();
    process.kill(pid ?? 0, "SIGKILL");
    for (const { over } of calls)
      expect(await over).toMatchObject({
        kind: "upstream_unavailable",
        code: "crashed",
        retryAfterMs: 250,
        message: expect.stringContaining("SIGKILL") as string,
      });
    expect(performance.now() - at).toBeLessThan(1000);
    clock.advance(250);
    expect(supervisor.pid).toBeGreaterThan(0);
    expect(supervisor.pid).not.toBe(pid);
    await opened(supervisor);
  });

  it("is none of another gateway's business, which has a process of its own", async () => {
    const [one, other] = [supervise(), supervise()];
    await Promise.all([opened(one), opened(other)]);
    expect(one.pid).not.toBe(other.pid);
    const call = run(one, "hang");
    process.kill(one.pid ?? 0, "SIGKILL");
    expect(await call.over).toMatchObject({ code: "crashed" });
    await opened(other);
  });
});

describe("more calls than a model takes", () => {
  it("wait, up to a bound, and the next is refused until one has left", async () => {
    const supervisor = supervise();
    await opened(supervisor);
    const waiting = Array.from({ length: 256 }, () => run(supervisor, "hang"));
    expect(await run(supervisor, "hello").over).toMatchObject({ kind: "overloaded", retryAfterMs: 1000 });
    waiting[0]?.cancel();
    expect(await run(supervisor, "hello").over).toBeUndefined();
    for (const call of waiting) call.cancel();
    await opened(supervisor);
  });

  it("that left while the model was opened are never begun", async () => {
    const supervisor = supervise();
    const gone = run(supervisor, "fill");
    gone.cancel();
    await opened(supervisor);
    expect(gone.pieces()).toBe(0);
  });
});

describe("files of models", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "gimbal-files-"));
    await mkdir(join(folder, "onnx-model", "onnx"), { recursive: true });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("that are no GGUF are known before a process is begun", async () => {
    const file = async (text: string): Promise<string> => {
      await writeFile(join(folder, "x.gguf"), text);
      return join(folder, "x.gguf");
    };
    expect(checkGguf(join(folder, "none"))).toMatchObject({ code: "model_file_missing" });
    expect(checkGguf(folder)).toMatchObject({ code: "model_file_corrupt", message: expect.stringContaining("is a folder") as string });
    for (const text of ["", "GG", "gguf----", "<!doctype html>"])
      expect(checkGguf(await file(text)), text).toMatchObject({ code: "model_file_corrupt" });
    expect(checkGguf(await file("GGUF"))).toBeUndefined();
  });

  it("that are no ONNX model are named one by one", async () => {
    const model = join(folder, "onnx-model");
    for (const name of ["config.json", "tokenizer.json", join("onnx", "model.onnx")]) {
      expect(checkOnnx(model, "fp32")).toMatchObject({ code: "model_file_missing", message: expect.stringContaining(name) as string });
      await writeFile(join(model, name), "");
      expect(checkOnnx(model, "fp32")).toMatchObject({ code: "model_file_corrupt", message: expect.stringContaining("empty") as string });
      await writeFile(join(model, name), "{}");
    }
    expect(checkOnnx(model, "fp32")).toBeUndefined();
    expect(checkOnnx(model, "q8")).toMatchObject({ message: expect.stringContaining("model_quantized.onnx") as string });
  });
});
