import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Clock, Provider } from "../../../src/canon/index.ts";
import { dialects } from "../../../src/dialects/registry.generated.ts";
import { ManualClock, SeededRandomness, systemClock } from "../../../src/kit/index.ts";
import { providerOptions } from "../../../src/providers/index.ts";
import { createLocalProvider } from "../../../src/providers/local/index.ts";
import { open, type Opened } from "../support.ts";
import { promisedMs } from "../../support/promised.ts";

// Processes are real here, engines are not: no real one crashes or fills its memory when it is told to.

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-local-"));
  await writeFile(join(folder, "tiny.gguf"), "GGUF and nothing else");
  await writeFile(join(folder, "text.gguf"), "no such thing");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let made: Provider | undefined;
afterEach(() => made?.close());

function provider(model: Readonly<Record<string, unknown>> = {}, clock: Clock = systemClock): Provider {
  made = createLocalProvider("here", providerOptions.parse({ kind: "local", models: { tiny: { file: "tiny.gguf", ...model } } }), {
    dialects,
    clock,
    randomness: new SeededRandomness(1),
    env: { PATH: process.env["PATH"], OPENAI_API_KEY: "secret" },
    dataFolder: undefined,
    folder,
    engine: new URL("./engine-child.ts", import.meta.url).href,
  });
  return made;
}

let attempt = 0;
function ask(to: Provider, text: string, stream = false, take?: () => boolean): Opened {
  const body = JSON.stringify({ model: "tiny", stream, messages: [{ role: "user", content: text }], tools: [TOOL] });
  const request = { method: "POST" as const, path: "/chat/completions", headers: {}, body };
  return open(to, { dialect: "openai-chat", operation: "generate", model: "tiny", stream, request, attempt: ++attempt }, take);
}
const TOOL = { type: "function", function: { name: "look", parameters: { type: "object", properties: { at: { type: "integer" } } } } };

async function textOf(call: Opened): Promise<string> {
  const { chunks, problem } = await call.over;
  return problem ? `problem: ${problem.kind}` : Buffer.concat(chunks).toString("utf8");
}

/** Resolves once something came of a call. */
function begun(to: Provider, text: string): Promise<{ readonly call: Opened; readonly at: number }> {
  return new Promise((go) => {
    const call = ask(to, text, true, () => {
      if (call.seen.chunks.length > 0) go({ call, at: performance.now() });
      return true;
    });
  });
}

describe("a model in a process of its own", () => {
  it("answers, with usage, as a whole and as a stream", async () => {
    const to = provider();
    const whole = JSON.parse(await textOf(ask(to, "hello"))) as { choices: unknown; usage: unknown };
    expect(whole).toMatchObject({
      model: "tiny",
      choices: [{ message: { content: "one two" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } },
    });
    const stream = await textOf(ask(to, "hello", true));
    expect(stream).toContain('"content":"one "');
    expect(stream).toContain('"content":"two"');
    expect(stream.trimEnd().endsWith("data: [DONE]")).toBe(true);
  });

  it("tells tool calls", async () => {
    expect(JSON.parse(await textOf(ask(provider(), "call")))).toMatchObject({
      choices: [{ message: { tool_calls: [{ function: { name: "look", arguments: '{"at":1}' } }] }, finish_reason: "tool_calls" }],
    });
  });

  it("gives the sink no more than it takes", async () => {
    let takes = false;
    const call = ask(provider(), "hello", true, () => takes);
    await new Promise<void>((go) => {
      const look = (): void => (call.seen.chunks.length > 0 ? go() : void setImmediate(look));
      look();
    });
    const { length } = call.seen.chunks;
    expect(length).toBe(1);
    takes = true;
    call.resume();
    expect(await textOf(call)).toContain("[DONE]");
  });

  it("inherits no secret", async () => {
    const answer = await textOf(ask(provider(), "environment"));
    expect(answer).toContain("PATH");
    expect(answer).not.toContain("OPENAI_API_KEY");
  });
});

describe("a process that crashes", () => {
  it("ends its calls with a problem that may be tried again, at once, and is begun anew after a rest", async () => {
    const clock = new ManualClock();
    const to = provider({}, clock);
    const beside = ask(to, "hang");
    const { call, at } = await begun(to, "crash");
    const { problem } = await call.over;
    expect(performance.now() - at).toBeLessThan(promisedMs(2000));
    expect(problem).toMatchObject({ kind: "upstream_unavailable", code: "crashed", retryAfterMs: 250 });
    expect((await beside.over).problem).toMatchObject({ code: "crashed" });
    // While it rests a call is answered at once, with the time that is left.
    expect((await ask(to, "hello").over).problem).toMatchObject({ kind: "upstream_unavailable", retryAfterMs: 250 });
    clock.advance(250);
    expect(await textOf(ask(to, "hello"))).toContain("one two");
    const again = await begun(to, "crash");
    expect((await again.call.over).problem).toMatchObject({ retryAfterMs: 500 });
  });

  it("is ended above its memory, and says so", async () => {
    const { problem } = await ask(provider({ memoryMiB: 300 }), "fill").over;
    expect(problem).toMatchObject({ kind: "upstream_unavailable", code: "memory_limit" });
    expect(problem?.message).toMatch(/^The model here\/tiny used \d+ MiB of memory, more than its memoryMiB of 300/);
  });
});

describe("a caller that leaves", () => {
  it("stops its generation and nobody else's", async () => {
    const to = provider();
    const gone = ask(to, "hang", true);
    expect(await textOf(ask(to, "hello"))).toContain("one two");
    gone.cancel();
    expect(await textOf(ask(to, "hello"))).toContain("one two");
    expect(gone.seen.order).toEqual([]);
  });
});

describe("what cannot be opened", () => {
  it("is said with its path, at the call and to doctor, without a process", async () => {
    const missing = provider({ file: "nowhere.gguf" });
    expect((await ask(missing, "hello").over).problem).toMatchObject({
      kind: "upstream_unavailable",
      message: `The model file ${join(folder, "nowhere.gguf")} is not there.`,
    });
    expect(await missing.check(AbortSignal.timeout(1000))).toMatchObject({
      ok: false,
      detail: expect.stringContaining("nowhere.gguf") as string,
    });
    const corrupt = provider({ file: "text.gguf" });
    expect((await ask(corrupt, "hello").over).problem).toMatchObject({ kind: "unsupported", code: "model_file_corrupt" });
  });
  it("is said in the engine's words when only the engine can tell", async () => {
    const { problem } = await ask(provider({ threads: 7 }), "hello").over;
    expect(problem).toMatchObject({ kind: "unsupported", message: `${join(folder, "tiny.gguf")} cannot be read as a GGUF model.` });
  });
  it("says which package is missing and how to install it", async () => {
    made = createLocalProvider("here", providerOptions.parse({ kind: "local", models: { tiny: { file: "tiny.gguf" } } }), {
      dialects,
      clock: systemClock,
      randomness: new SeededRandomness(1),
      env: {},
      dataFolder: "/data",
      folder,
    });
    expect((await ask(made, "hello").over).problem).toMatchObject({
      kind: "unsupported",
      message:
        "The optional package node-llama-cpp is not installed; install it with: npm install --ignore-scripts --prefix /data/packages node-llama-cpp@3",
    });
  });
  it("refuses what the options contradict", () => {
    for (const model of [{ folder: "x" }, { task: "rerank" }, { file: undefined, hub: "a/b" }])
      expect(() => provider(model)).toThrow(/The model "tiny" of the provider "here"/);
  });
});
