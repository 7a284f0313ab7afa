import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unitVector } from "../../src/providers/sim/tasks.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** A gateway in front of another: the second serves the simulator in every language of tasks, the first asks it in one language each. */
let front: TestGateway;
let back: TestGateway;

const EMBEDDERS = ["openai", "cohere", "gemini", "ollama", "tei"] as const;
const RERANKERS = ["jina", "cohere", "tei"] as const;
type Language = (typeof EMBEDDERS)[number] | (typeof RERANKERS)[number];

beforeAll(async () => {
  back = await startGateway();
  const lab = (name: Language, path: string, tasks: string): string =>
    `  lab${name}: { kind: openai-compatible, baseUrl: "${back.url}${path}", apiKey: x, allowPrivateNetwork: true, tasks: { ${tasks} } }\n`;
  front = await startGateway({
    config: `providers:
${lab("openai", "/v1", "embed: { dialects: [openai-tasks] }, rerank: false")}${lab(
      "cohere",
      "",
      "embed: { dialects: [cohere-tasks], maxInputs: 96 }, rerank: { dialects: [cohere-tasks] }",
    )}${lab("gemini", "/v1beta", "embed: { dialects: [gemini-tasks], maxInputs: 100 }")}${lab("ollama", "", "embed: { dialects: [ollama-tasks] }")}${lab(
      "tei",
      "/tei/sim/echo",
      "embed: { dialects: [tei], maxInputs: 32 }, rerank: { dialects: [tei], maxInputs: 2 }",
    )}${lab("jina", "/v1", "rerank: { dialects: [jina] }, embed: false")}  labfew: { kind: openai-compatible, baseUrl: "${back.url}/v1", apiKey: x, allowPrivateNetwork: true, tasks: { rerank: { dialects: [jina], maxInputs: 2000, maxTotalTokens: 10000, maxInputTokens: 500 } } }
`,
  });
});
afterAll(async () => {
  await front.close();
  await back.close();
});

async function post(path: string, body: unknown): Promise<{ status: number; headers: Headers; body: never }> {
  const response = await fetch(front.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as never };
}

const modelAt = (language: Language): string => `lab${language}/${language === "tei" ? "any" : "sim/echo"}`;
const DIMENSIONS = 12;

/** How each language's client asks for the vectors of some texts, and where it finds them. */
const ASK: Record<(typeof EMBEDDERS)[number], (model: string, texts: readonly string[]) => Promise<readonly (readonly number[])[]>> = {
  openai: async (model, texts) => {
    const { body } = await post("/v1/embeddings", { model, input: texts, dimensions: DIMENSIONS });
    return (body as { data: { embedding: number[]; index: number }[] }).data.map(({ embedding, index }, at) => {
      expect(index).toBe(at);
      return embedding;
    });
  },
  cohere: async (model, texts) => {
    const request = { model, texts, input_type: "search_query", embedding_types: ["float"], output_dimension: DIMENSIONS };
    const { body } = await post("/v2/embed", request);
    return (body as { embeddings: { float: number[][] } }).embeddings.float;
  },
  gemini: async (model, texts) => {
    const requests = texts.map((text) => ({
      model: "models/x",
      content: { parts: [{ text }] },
      taskType: "RETRIEVAL_QUERY",
      outputDimensionality: DIMENSIONS,
    }));
    const { body } = await post(`/v1beta/models/${model}:batchEmbedContents`, { requests });
    return (body as { embeddings: { values: number[] }[] }).embeddings.map(({ values }) => values);
  },
  ollama: async (model, texts) => {
    const { body } = await post("/api/embed", { model, input: texts, dimensions: DIMENSIONS });
    return (body as { embeddings: number[][] }).embeddings;
  },
  tei: async (model, texts) => (await post(`/tei/${model}/embed`, { inputs: texts, dimensions: DIMENSIONS })).body,
};

describe.each(EMBEDDERS)("embeddings asked for as %s", (client) => {
  it.each(EMBEDDERS)("of a provider that speaks %s are the same numbers in the same order", async (provider) => {
    const texts = Array.from({ length: 103 }, (_, at) => `text ${at}`);
    const vectors = await ASK[client](modelAt(provider), texts);
    expect(vectors).toEqual(texts.map((text) => unitVector(text, DIMENSIONS)));
    const row = await front.lastRow();
    expect(row).toMatchObject({ operation: "embed", state: "done", usage: { inputUncached: 206, output: 0 } });
    const fits = provider === "openai" || provider === "ollama";
    expect(row.fastPath).toBe(client === provider && fits);
    expect(row.usage.estimated).toBeUndefined();
  });
});

it("base64 is the same vector bit for bit, whatever the provider speaks", async () => {
  const wanted = Buffer.from(Float32Array.from(unitVector("exact", DIMENSIONS)).buffer).toString("base64");
  for (const provider of EMBEDDERS) {
    const request = { model: modelAt(provider), input: "exact", dimensions: DIMENSIONS, encoding_format: "base64" };
    const { body } = await post("/v1/embeddings", request);
    expect((body as { data: { embedding: string }[] }).data[0]?.embedding).toBe(wanted);
  }
});

it("encodings that a language lacks are refused, not made up", async () => {
  const request = { texts: ["a"], input_type: "search_query", embedding_types: ["float", "int8", "ubinary"], output_dimension: 16 };
  const own = await post("/v2/embed", { ...request, model: modelAt("cohere") });
  const { float, int8, ubinary } = (own.body as { embeddings: Record<string, number[][]> }).embeddings;
  expect([float?.[0]?.length, int8?.[0]?.length, ubinary?.[0]?.length]).toEqual([16, 16, 2]);
  const other = await post("/v2/embed", { ...request, model: modelAt("gemini") });
  expect(other.status).toBe(400);
  expect((other.body as { message: string }).message).toContain("int8");
});

const RANK: Record<
  (typeof RERANKERS)[number],
  (model: string, documents: readonly string[]) => Promise<readonly (readonly [number, number])[]>
> = {
  jina: async (model, documents) => {
    const { body } = await post("/v1/rerank", { model, query: "red fox", documents, top_n: 3 });
    return (body as { results: { index: number; relevance_score: number }[] }).results.map((row) => [row.index, row.relevance_score]);
  },
  cohere: async (model, documents) => {
    const { body } = await post("/v2/rerank", { model, query: "red fox", documents, top_n: 3 });
    return (body as { results: { index: number; relevance_score: number }[] }).results.map((row) => [row.index, row.relevance_score]);
  },
  tei: async (model, documents) => {
    const { body } = await post(`/tei/${model}/rerank`, { query: "red fox", texts: documents });
    return (body as { index: number; score: number }[]).map((row) => [row.index, row.score] as const).slice(0, 3);
  },
};

describe.each(RERANKERS)("reranking asked for as %s", (client) => {
  it.each(RERANKERS)("of a provider that speaks %s ranks the same", async (provider) => {
    const documents = ["nothing", "a fox", "the red fox", "red", "blue"];
    expect(await RANK[client](modelAt(provider), documents)).toEqual([
      [2, 1],
      [1, 0.5],
      [3, 0.5],
    ]);
  });
});

it("documents come back to who asks for them, although no provider is asked to send them", async () => {
  const request = { model: modelAt("tei"), query: "red fox", documents: ["a fox", { text: "red fox", id: 7 }], return_documents: true };
  const { body } = await post("/v1/rerank", request);
  expect((body as { results: unknown[] }).results).toEqual([
    { index: 1, relevance_score: 1, document: { text: "red fox", id: 7 } },
    { index: 0, relevance_score: 0.5, document: { text: "a fox" } },
  ]);
  const voyage = await post("/v1/rerank", {
    model: modelAt("cohere"),
    query: "red fox",
    documents: ["a fox"],
    top_k: 1,
    return_documents: true,
  });
  expect((voyage.body as { data: unknown[] }).data).toEqual([{ index: 0, relevance_score: 0.5, document: "a fox" }]);
});

it("ten thousand documents are ranked in pieces by number and by tokens, and the best of all come back", async () => {
  const before = (await back.rows()).length;
  const documents = Array.from({ length: 10_000 }, (_, at) =>
    at === 7777 ? "the red fox" : at % 2500 === 3 ? "a fox" : at % 100 === 0 ? "" : `none ${at}`,
  );
  const { body } = await post("/v1/rerank", { model: "labfew/sim/echo", query: "red fox", documents, top_n: 3, return_documents: true });
  const fox = { text: "a fox" };
  expect((body as { results: unknown[] }).results).toEqual([
    { index: 7777, relevance_score: 1, document: { text: "the red fox" } },
    { index: 3, relevance_score: 0.5, document: fox },
    { index: 2503, relevance_score: 0.5, document: fox },
  ]);
  expect(await front.lastRow()).toMatchObject({
    state: "done",
    attempts: { length: 1 },
    usage: { inputUncached: expect.any(Number) as number },
  });
  expect((await back.rows()).length - before).toBeGreaterThan(6);
  const more = await post("/v1/rerank", { model: "labfew/sim/echo", query: "q", documents: [...documents, "one more"] });
  expect([more.status, JSON.stringify(more.body)]).toEqual([
    400,
    expect.stringContaining("has 10001 documents; one call takes at most 10000"),
  ]);
  const long = { model: "labfew/sim/echo", query: "q", documents: ["a", "word ".repeat(900)], truncation: false };
  const refused = await post("/v1/rerank", long);
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([
    400,
    expect.stringMatching(/takes 500 tokens an input, and document 1 has about \d+/),
  ]);
  expect((await post("/v1/rerank", { ...long, truncation: true })).status).toBe(200);
});
