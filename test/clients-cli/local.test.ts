import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { writeTinyGguf } from "../support/gguf.ts";
import { writeTinyOnnx } from "../support/onnx.ts";
import { fetchPackage } from "./fetch-agent.ts";

// The real engines, with models that were made a moment ago. They are fetched at run time, because they are heavy and no dependency of ours.
// LOCAL_ENGINES: folders of `node_modules` that have them already.

/** Of sixty conversations: ten seconds or so of a processor. The model never ends by itself, so every one is as long. */
const SOME_TOKENS = 150;
const PACKAGES = ["node-llama-cpp@3.22.1", "@huggingface/transformers@4.3.1"];

let folder: string;
let gateway: TestGateway | undefined;
let unreachable: string | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-engines-"));
  const places = process.env["LOCAL_ENGINES"] ?? (await fetched());
  if (places === undefined) return;
  await writeTinyGguf(join(folder, "tiny.gguf"));
  await writeTinyOnnx(join(folder, "embed"), "embed");
  await writeTinyOnnx(join(folder, "labels"), "labels");
  await writeFile(join(folder, "cut.gguf"), "GGUF, and then nothing of use");
  await mkdir(join(folder, "broken", "onnx"), { recursive: true });
  await writeTinyOnnx(join(folder, "broken"), "embed");
  await writeFile(join(folder, "broken", "onnx", "model.onnx"), "no such thing");
  const at = (name: string): string => JSON.stringify(join(folder, name));
  gateway = await startGateway({
    trusting: true,
    env: { PATH: process.env["PATH"] ?? "", NODE_PATH: places },
    config: `
offline: true
providers:
  here:
    kind: local
    models:
      tiny: { file: ${at("tiny.gguf")}, gpuLayers: 0, contextTokens: 1024, sequences: 2 }
      vector: { file: ${at("tiny.gguf")}, gpuLayers: 0, task: embed }
      cut: { file: ${at("cut.gguf")}, gpuLayers: 0 }
      embed: { folder: ${at("embed")} }
      broken: { folder: ${at("broken")} }
      rank: { folder: ${at("labels")}, task: rerank }
      guard: { folder: ${at("labels")}, task: classify }
`,
  });
});
afterAll(async () => {
  await gateway?.close();
  await rm(folder, { recursive: true, force: true });
});

async function fetched(): Promise<string | undefined> {
  const places: string[] = [];
  for (const name of PACKAGES) {
    const place = join(folder, name.replaceAll("/", "-"));
    const outcome = await fetchPackage(name, place);
    if (!outcome.ok) {
      if (process.env["CI"]) throw new Error(outcome.reason);
      unreachable = outcome.reason;
      return undefined;
    }
    places.push(join(place, "node_modules"));
  }
  return places.join(delimiter);
}

type Skip = (note: string) => never;

async function post(skip: Skip, path: string, body: Readonly<Record<string, unknown>>): Promise<{ status: number; text: string }> {
  if (!gateway) return skip(unreachable ?? "no engines");
  const headers = { "content-type": "application/json" };
  const response = await fetch(gateway.url + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, text: await response.text() };
}

interface Completion {
  readonly choices: readonly [
    {
      readonly message: {
        readonly content: string;
        readonly tool_calls?: readonly [{ readonly function: { readonly arguments: string } }];
      };
      readonly finish_reason: string;
    },
  ];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
}

async function chat(skip: Skip, more: Readonly<Record<string, unknown>>): Promise<Completion> {
  const messages = [{ role: "user", content: "hello there" }];
  const { status, text } = await post(skip, "/v1/chat/completions", { model: "here/tiny", messages, seed: 3, max_tokens: 24, ...more });
  expect(status, text).toBe(200);
  return JSON.parse(text) as Completion;
}

const SCHEMA = {
  type: "object",
  required: ["yes", "which"],
  additionalProperties: false,
  properties: { yes: { type: "boolean" }, which: { enum: ["left", "right"] } },
};

describe("a GGUF model", () => {
  it("answers with exact usage, and again from what its context holds", async ({ skip }) => {
    const messages = [{ role: "user", content: "tell me of the weather" }];
    const first = await chat(skip, { messages });
    const second = await chat(skip, { messages });
    expect(first.usage).toMatchObject({ completion_tokens: 24, prompt_tokens_details: { cached_tokens: expect.any(Number) as number } });
    expect(first.choices[0].finish_reason).toBe("length");
    expect(second.usage.prompt_tokens).toBe(first.usage.prompt_tokens);
    expect(second.usage.prompt_tokens_details.cached_tokens).toBe(first.usage.prompt_tokens - 1);
    expect(second.choices[0].message.content).toBe(first.choices[0].message.content);
  });
  it("streams", async ({ skip }) => {
    const messages = [{ role: "user", content: "hello" }];
    const { text } = await post(skip, "/v1/chat/completions", { model: "here/tiny", messages, max_tokens: 16, stream: true });
    expect(text.split("\n").filter((line) => line.startsWith("data: {")).length).toBeGreaterThan(5);
    expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true);
  });
  it("answers in other languages, too", async ({ skip }) => {
    const messages = [{ role: "user", content: "hello" }];
    const { status, text } = await post(skip, "/v1/messages", { model: "here/tiny", max_tokens: 8, messages });
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ type: "message", stop_reason: "max_tokens", usage: { output_tokens: 8 } });
  });
  it("is held to a schema", async ({ skip }) => {
    const format = { type: "json_schema", json_schema: { name: "it", strict: true, schema: SCHEMA } };
    const { choices } = await chat(skip, { response_format: format, max_tokens: 200 });
    // The grammar ends it: nothing else could.
    expect(choices[0].finish_reason).toBe("stop");
    const value = JSON.parse(choices[0].message.content) as { yes: unknown; which: unknown };
    expect(Object.keys(value)).toEqual(["yes", "which"]);
    expect(typeof value.yes).toBe("boolean");
    expect(["left", "right"]).toContain(value.which);
  });
  it("calls a tool that it must call, and goes on from a result", async ({ skip }) => {
    const tools = [{ type: "function", function: { name: "turn", parameters: SCHEMA } }];
    const { choices } = await chat(skip, { tools, tool_choice: "required", max_tokens: 300 });
    expect(choices[0].finish_reason).toBe("tool_calls");
    const [call] = choices[0].message.tool_calls ?? [];
    expect(["left", "right"]).toContain((JSON.parse(call?.function.arguments ?? "{}") as { which: string }).which);
    const messages = [
      { role: "user", content: "turn" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c", type: "function", function: { name: "turn", arguments: '{"yes":true}' } }],
      },
      { role: "tool", tool_call_id: "c", content: "done" },
    ];
    expect((await chat(skip, { messages, max_tokens: 4 })).usage.completion_tokens).toBe(4);
  });
  it("says how long a conversation is that is too long", async ({ skip }) => {
    const messages = [{ role: "user", content: "weather ".repeat(300) }];
    const { status, text } = await post(skip, "/v1/chat/completions", { model: "here/tiny", messages });
    expect(status).toBe(400);
    expect(text).toMatch(/The conversation has \d{4} tokens; this model takes 1015\./);
  });
  it("says which file it cannot read", async ({ skip }) => {
    const messages = [{ role: "user", content: "hello" }];
    const { status, text } = await post(skip, "/v1/chat/completions", { model: "here/cut", messages });
    expect(status).toBe(501);
    expect(text).toContain("cut.gguf cannot be read as a GGUF model");
  });
  it("makes embeddings of length 1", async ({ skip }) => {
    const { text } = await post(skip, "/v1/embeddings", { model: "here/vector", input: ["hello", "there"] });
    const { data } = JSON.parse(text) as { data: readonly { embedding: readonly number[] }[] };
    expect(data.map(({ embedding }) => embedding.length)).toEqual([64, 64]);
    expect(Math.hypot(...(data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
  });
  it("leaves the gateway's event loop free", async ({ skip }) => {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await Promise.all(
      Array.from({ length: 60 }, (_, seed) => chat(skip, { seed, max_tokens: SOME_TOKENS, messages: [{ role: "user", content: "go" }] })),
    );
    delay.disable();
    const p99Ms = delay.percentile(99) / 1e6;
    process.stderr.write(`event loop delay while sixty conversations run two by two: p99 ${p99Ms.toFixed(1)} ms\n`);
    expect(p99Ms).toBeLessThan(20);
  });
});

describe("ONNX models", () => {
  it("make embeddings in both encodings", async ({ skip }) => {
    const { text } = await post(skip, "/v1/embeddings", { model: "here/embed", input: ["hello world", "hello world", "paris"] });
    const { data, usage } = JSON.parse(text) as { data: readonly { embedding: readonly number[] }[]; usage: { prompt_tokens: number } };
    expect(data[0]?.embedding).toEqual(data[1]?.embedding);
    expect(data[0]?.embedding).not.toEqual(data[2]?.embedding);
    expect(usage.prompt_tokens).toBe(4 + 4 + 3);
    const packed = await post(skip, "/v1/embeddings", { model: "here/embed", input: "paris", encoding_format: "base64" });
    const [one] = (JSON.parse(packed.text) as { data: readonly [{ embedding: string }] }).data;
    const floats = new Float32Array(Uint8Array.from(Buffer.from(one.embedding, "base64")).buffer);
    expect([...floats].map((value) => value.toFixed(5))).toEqual(data[2]?.embedding.map((value) => value.toFixed(5)));
  });
  it("rerank and classify", async ({ skip }) => {
    const ranked = await post(skip, "/v1/rerank", { model: "here/rank", query: "capital of france", documents: ["paris", "dog", "cat"] });
    const { results } = JSON.parse(ranked.text) as { results: readonly { index: number; relevance_score: number }[] };
    expect(results.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
    expect(results.map(({ relevance_score: score }) => score)).toEqual(
      results.map(({ relevance_score: score }) => score).toSorted((a, b) => b - a),
    );
    const judged = await post(skip, "/v1/moderations", { model: "here/guard", input: "hello" });
    expect(JSON.parse(judged.text)).toMatchObject({ results: [{ categories: { INJECTION: expect.any(Boolean) as boolean } }] });
  });
  it("say what is wrong: a text that is too long, a file that is none, a model for something else", async ({ skip }) => {
    const long = await post(skip, "/v1/embeddings", { model: "here/embed", input: "dog ".repeat(200) });
    expect(long).toMatchObject({ status: 400, text: expect.stringContaining("Input 0 has 202 tokens; this model takes 64.") as string });
    const broken = await post(skip, "/v1/embeddings", { model: "here/broken", input: "dog" });
    expect(broken).toMatchObject({ status: 501, text: expect.stringMatching(/broken cannot be read as an ONNX model/) as string });
    const other = await post(skip, "/v1/embeddings", { model: "here/guard", input: "dog" });
    expect(other).toMatchObject({ status: 501, text: expect.stringContaining("is for classify, not for embed") as string });
  });
});
