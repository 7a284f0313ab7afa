import { GoogleGenAI } from "@google/genai";
import { Mistral } from "@mistralai/mistralai";
import { CohereClientV2 } from "cohere-ai";
import { Ollama } from "ollama";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unitVector } from "../../src/providers/sim/tasks.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** Released clients against the simulator, in their own language and through every other. */
let front: TestGateway;
let back: TestGateway;

beforeAll(async () => {
  back = await startGateway();
  const lab = (name: string, path: string, dialect: string, task = "embed"): string =>
    `  ${name}: { kind: openai-compatible, baseUrl: "${back.url}${path}", apiKey: x, allowPrivateNetwork: true, tasks: { ${task}: { dialects: [${dialect}] } } }\n`;
  front = await startGateway({
    config: `providers:
${lab("o", "/v1", "openai-tasks")}${lab("c", "", "cohere-tasks")}${lab("g", "/v1beta", "gemini-tasks")}${lab("l", "", "ollama-tasks")}${lab("t", "/tei/sim/echo", "tei")}${lab("j", "/v1", "jina", "rerank")}${lab("cr", "", "cohere-tasks", "rerank")}
models:
  own: sim/echo
  by-openai: o/sim/echo
  by-cohere: c/sim/echo
  by-gemini: g/sim/echo
  by-ollama: l/sim/echo
  by-tei: t/any
  rank-jina: j/sim/echo
  rank-cohere: cr/sim/echo
`,
  });
});
afterAll(async () => {
  await front.close();
  await back.close();
});

const MODELS = ["own", "by-openai", "by-cohere", "by-gemini", "by-ollama", "by-tei"];
const RANKERS = ["own", "rank-jina", "rank-cohere"];
const TEXTS = ["first text", "second text"];
const wanted = (dimensions?: number): readonly (readonly number[])[] => TEXTS.map((text) => unitVector(text, dimensions ?? 256));

describe.each(MODELS)("embeddings of %s", (model) => {
  it("openai: base64 by itself, floats when asked", async () => {
    const client = new OpenAI({ apiKey: "x", baseURL: `${front.url}/v1`, maxRetries: 0 });
    const plain = await client.embeddings.create({ model, input: TEXTS });
    expect(plain.data.map(({ embedding }) => embedding)).toEqual(wanted());
    const floats = await client.embeddings.create({ model, input: TEXTS, encoding_format: "float", dimensions: 8 });
    expect(floats.data.map(({ embedding }) => embedding)).toEqual(wanted(8));
    expect(plain.usage.prompt_tokens).toBeGreaterThan(0);
  });
  it("cohere-ai", async () => {
    const client = new CohereClientV2({ token: "x", environment: front.url });
    const answer = await client.embed({ model, texts: TEXTS, inputType: "search_document", embeddingTypes: ["float"], outputDimension: 8 });
    expect(answer.embeddings.float).toEqual(wanted(8));
  });
  it("@google/genai", async () => {
    const client = new GoogleGenAI({ apiKey: "x", httpOptions: { baseUrl: front.url } });
    const answer = await client.models.embedContent({
      model,
      contents: TEXTS,
      config: { outputDimensionality: 8, taskType: "RETRIEVAL_QUERY" },
    });
    expect(answer.embeddings?.map(({ values }) => values)).toEqual(wanted(8));
  });
  it("@mistralai/mistralai", async () => {
    const client = new Mistral({ apiKey: "x", serverURL: front.url });
    const answer = await client.embeddings.create({ model, inputs: TEXTS, outputDimension: 8 });
    expect(answer.data.map(({ embedding }) => embedding)).toEqual(wanted(8));
  });
  it("ollama", async () => {
    const answer = await new Ollama({ host: front.url }).embed({ model, input: TEXTS, dimensions: 8 });
    expect(answer.embeddings).toEqual(wanted(8));
  });
});

it.each(RANKERS)("cohere-ai reranks by %s", async (model) => {
  const client = new CohereClientV2({ token: "x", environment: front.url });
  const answer = await client.rerank({ model, query: "red fox", documents: ["a fox", "a red fox", "none"], topN: 2 });
  expect(answer.results.map(({ index, relevanceScore }) => [index, relevanceScore])).toEqual([
    [1, 1],
    [0, 0.5],
  ]);
});

describe("moderation", () => {
  it("openai", async () => {
    const client = new OpenAI({ apiKey: "x", baseURL: `${front.url}/v1`, maxRetries: 0 });
    const { results } = await client.moderations.create({ model: "own", input: ["I will kill you", "hello"] });
    expect(results.map(({ flagged }) => flagged)).toEqual([true, false]);
  });
  it("@mistralai/mistralai", async () => {
    const client = new Mistral({ apiKey: "x", serverURL: front.url });
    const { results } = await client.classifiers.moderate({ model: "own", inputs: ["I will kill you"] });
    expect(results[0]?.categories?.["violence"]).toBe(true);
  });
});

describe("openai's images and sound", () => {
  const client = (): OpenAI => new OpenAI({ apiKey: "x", baseURL: `${front.url}/v1`, maxRetries: 0 });
  const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47]);

  it.each(["own", "by-openai"])("makes and changes images by %s", async (model) => {
    const made = await client().images.generate({ model, prompt: "a cat", n: 2 });
    expect(made.data).toHaveLength(2);
    const bytes = Buffer.from(made.data?.[0]?.b64_json ?? "", "base64");
    expect(bytes.subarray(0, 4)).toEqual(PNG);
    const changed = await client().images.edit({ model, prompt: "a dog", image: await toFile(bytes, "cat.png", { type: "image/png" }) });
    expect(Buffer.from(changed.data?.[0]?.b64_json ?? "", "base64").subarray(0, 4)).toEqual(PNG);
    expect(await front.lastRow()).toMatchObject({ operation: "image", usage: { media: { images: 1 } }, fastPath: true });
  });

  it.each(["own", "by-openai"])("speaks and hears by %s", async (model) => {
    const spoken = await client().audio.speech.create({ model, voice: "alloy", input: "hello there", response_format: "wav" });
    const sound = Buffer.from(await spoken.arrayBuffer());
    expect(sound.subarray(0, 4).toString("latin1")).toBe("RIFF");
    expect((await front.lastRow()).usage.media).toEqual({ characters: 11 });
    const heard = await client().audio.transcriptions.create({ model, file: await toFile(sound, "hello.wav") });
    expect(heard.text).toBe(`A recording of ${sound.length} bytes.`);
    const subtitles = await client().audio.transcriptions.create({ model, file: await toFile(sound, "hello.wav"), response_format: "srt" });
    expect(subtitles).toContain("00:00:00,000 --> ");
    const english = await client().audio.translations.create({ model, file: await toFile(sound, "hello.wav") });
    expect(english.text).toContain("translated");
    expect((await front.lastRow()).usage.media?.["audio_seconds"]).toBeGreaterThan(0);
  });
});
