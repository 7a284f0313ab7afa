import { describe, expect, it } from "vitest";
import type { ModelServer, Provider, ServerReport } from "../../../src/canon/index.ts";
import { ManualClock } from "../../../src/kit/index.ts";
import { createModelBook } from "../../../src/models/index.ts";
import { serversOptions, type ServersOptions } from "../../../src/providers/servers/options.ts";
import { ServerWatch } from "../../../src/providers/servers/watch.ts";

const UP: ServerReport = { up: true, detail: "it answers", models: [{ name: "q", contextTokens: 4096 }], load: { running: 1, waiting: 0 } };
const DOWN: ServerReport = { up: false, detail: "refused" };
/** Lets what was asked be told. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

function stage(options: Partial<ServersOptions> = {}) {
  const clock = new ManualClock();
  const logs: string[] = [];
  const parsed = serversOptions.parse(options);
  const watch = new ServerWatch({ clock, options: parsed, log: (line) => logs.push(line) });
  const asked: string[] = [];
  const warmed: string[] = [];
  const say = new Map<string, ServerReport | "nothing">();
  const provider = (name: string, rest: Partial<ModelServer> = {}): [string, Provider] => {
    const server: ModelServer = {
      listedAs: (model) => model,
      wantsWarm: [],
      survey: (what, signal) => {
        asked.push(`${name} ${what} ${clock.monotonic()}`);
        const report = say.get(name) ?? UP;
        const { models, ...told } = report === "nothing" ? DOWN : report;
        if (report !== "nothing") return Promise.resolve({ ...told, ...(what === "models" && models && { models }) });
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve({ up: false, detail: "withdrawn" })));
      },
      warmUp: (model) => {
        warmed.push(`${name}/${model}`);
        return model === "huge" ? Promise.reject(new Error("no room")) : Promise.resolve();
      },
      ...rest,
    };
    return [name, { id: name, server } as Provider];
  };
  const configure = (providers: readonly [string, Provider][], warm: readonly string[] = []) =>
    watch.configure(new Map([...providers, ["plain", { id: "plain" } as Provider]]), parsed, warm);
  const pass = async (ms: number, step = 100) => {
    await settled();
    for (let left = ms; left > 0; left -= step) {
      clock.advance(Math.min(step, left));
      await settled();
    }
  };
  return { clock, watch, logs, asked, warmed, say, provider, configure, pass };
}

describe("the watch of servers", () => {
  it("asks at a named rate, seldom for models, and never while an answer is owed", async () => {
    const { asked, provider, configure, pass, say } = stage({ loadMs: 1000, modelsMs: 3000 });
    configure([provider("a")]);
    await pass(4500);
    expect(asked).toEqual(["a models 0", "a load 1000", "a load 2000", "a models 3000", "a load 4000"]);
    say.set("a", "nothing");
    await pass(1900);
    expect(asked.slice(5)).toEqual(["a load 5000"]);
  });

  it("asks a server that is not there less and less often, and tells once that it went and once that it came", async () => {
    const { asked, provider, configure, pass, say, logs, watch } = stage({ loadMs: 1000, deadMs: 8000 });
    say.set("a", DOWN);
    configure([provider("a")]);
    await pass(24_500);
    expect(asked.map((line) => Number(line.split(" ")[2]))).toEqual([0, 1000, 3000, 7000, 15_000, 23_000]);
    expect(watch.describe()).toMatchObject([{ provider: "a", state: "down", detail: "refused", models: [] }]);
    expect(watch.blocked("a", "q")).toBe("is on a server that is down: refused");
    say.set("a", UP);
    await pass(8000);
    expect(logs).toEqual(["a: its server is down (refused)", "a: its server is there again"]);
    expect(watch.blocked("a", "q")).toBeUndefined();
  });

  it("gives up an answer that does not come in time", async () => {
    const { provider, configure, pass, say, watch } = stage({ answerMs: 500 });
    say.set("a", "nothing");
    configure([provider("a")]);
    await pass(400);
    expect(watch.describe()).toMatchObject([{ state: "unknown", detail: "it has not answered yet" }]);
    await pass(200);
    expect(watch.describe()).toMatchObject([{ state: "down", detail: "no answer within 500 ms" }]);
  });

  it("does not go by a load that was told too long ago", async () => {
    const { clock, provider, configure, watch } = stage({ loadMs: 1000, answerMs: 500 });
    configure([provider("a", { everyMs: 3_600_000 })]);
    await settled();
    expect(watch.load("a")).toEqual({ load: UP.load, at: 0 });
    clock.advance(3400);
    expect(watch.load("a")).toBeDefined();
    clock.advance(200);
    expect(watch.load("a")).toBeUndefined();
  });

  it("knows what a complete list lacks, and what a server runs under every name", async () => {
    const { provider, configure, say, watch } = stage();
    const bare: ServerReport = { up: true, detail: "" };
    say.set("whole", { ...bare, complete: true, models: [{ name: "q:latest" }] });
    say.set("one", { ...bare, anyName: true, models: [{ name: "x.gguf", contextTokens: 2048 }] });
    say.set("some", { ...bare, models: [{ name: "q" }] });
    configure([
      provider("whole", { listedAs: (model) => (model.includes(":") ? model : `${model}:latest`), missing: (model) => `lacks ${model}` }),
      provider("one"),
      provider("some"),
    ]);
    expect(watch.blocked("whole", "other")).toBeUndefined();
    await settled();
    expect([watch.blocked("whole", "q"), watch.blocked("whole", "other")]).toEqual([undefined, "lacks other"]);
    expect([watch.blocked("one", "any"), watch.blocked("some", "any"), watch.blocked("plain", "any")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect([watch.facts("one", "any")?.contextTokens, watch.facts("some", "any"), watch.facts("whole", "q")?.name]).toEqual([
      2048,
      undefined,
      "q:latest",
    ]);
  });

  it("loads what is wanted when the server is there, again when it came back, and tells of what could not be loaded", async () => {
    const { provider, configure, pass, say, warmed, logs } = stage({ loadMs: 1000 });
    say.set("a", DOWN);
    configure([provider("a", { wantsWarm: ["q", "huge"] }), provider("b")], ["a/extra", "b/q"]);
    await pass(200);
    expect(warmed).toEqual(["b/q"]);
    say.set("a", UP);
    await pass(1000);
    expect(warmed.slice(1)).toEqual(["a/q", "a/huge", "a/extra"]);
    expect(logs).toContain("a: The gateway failed while handling this call.");
    say.set("a", DOWN);
    await pass(1000);
    say.set("a", UP);
    await pass(1000);
    expect(warmed.slice(4)).toEqual(["a/q", "a/huge"]);
  });

  it("keeps what was told over a change of the configuration, asks anew, and forgets providers that are gone", async () => {
    const { asked, provider, configure, pass, watch } = stage({ loadMs: 1000 });
    configure([provider("a"), provider("b")]);
    await settled();
    const { version } = watch;
    configure([provider("a")]);
    expect(watch.facts("a", "q")?.contextTokens).toBe(4096);
    expect(watch.facts("b", "q")).toBeUndefined();
    expect(watch.version).toBeGreaterThan(version);
    asked.length = 0;
    await pass(1500);
    expect(asked).toEqual(["a load 1000"]);
    watch.close();
    await pass(5000);
    expect(asked).toHaveLength(1);
  });

  it("asks nobody where it is told not to", async () => {
    const { asked, provider, configure, pass, watch } = stage({ watch: false });
    configure([provider("a")]);
    await pass(5000);
    expect([asked, watch.describe()]).toEqual([[], []]);
  });
});

describe("the model book", () => {
  it("believes a server before its tables, and the configuration before a server; what changes is believed at once", () => {
    let contextTokens = 8192;
    const learned = {
      version: 1,
      facts: (provider: string, model: string) =>
        provider === "lab" ? { name: model, contextTokens, capabilities: { vision: false }, operations: ["generate"] as const } : undefined,
    };
    const book = createModelBook({ kinds: { lab: "vllm" }, models: { "lab/ours": { contextTokens: 1000 } }, learned });
    const asked = (model: string) => book.facts("lab", model)?.contextTokens;
    expect([asked("gpt-oss-20b"), asked("unheard-of"), asked("ours")]).toEqual([8192, 8192, 1000]);
    expect(book.facts("openai", "gpt-5-mini")?.contextTokens).toBe(400_000);
    expect(book.facts("lab", "ours")).toMatchObject({ operations: ["generate"], capabilities: { vision: false } });
    contextTokens = 16_384;
    expect(asked("unheard-of")).toBe(8192);
    learned.version++;
    expect(asked("unheard-of")).toBe(16_384);
  });
});
