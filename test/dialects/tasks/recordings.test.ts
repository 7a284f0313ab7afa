import { describe, expect, it } from "vitest";
import {
  NO_USAGE,
  type Dialect,
  type Json,
  type JsonObject,
  type Task,
  type TaskOperation,
  type TaskResult,
} from "../../../src/canon/index.ts";
import { taskDialects } from "../../../src/dialects/registry.generated.ts";
import { fromBase64, toBase64 } from "../../../src/dialects/shared-vectors.ts";
import { readInteractions, readRecording, sharedFolder } from "../../support/shared.ts";

function dialect(id: string): Dialect {
  const found = taskDialects.get(id);
  if (!found) throw new Error(`no dialect ${id}`);
  return found;
}

interface Recorded {
  readonly task: Task;
  readonly result: TaskResult;
  readonly body: JsonObject;
  readonly answer: Json;
}

function codecOf(id: string, operation: TaskOperation) {
  const codec = dialect(id).tasks?.[operation];
  if (!codec) throw new Error(`${id} has no ${operation}`);
  return codec;
}

function read(id: string, operation: TaskOperation, body: JsonObject, answer: Json, params: Record<string, string> = {}): Recorded {
  const codec = codecOf(id, operation);
  const task = codec.decode({ fields: body, files: [] }, { operation, headers: {}, params });
  return { task, result: codec.decodeResult(answer, { task, provider: "p", headers: {} }), body, answer };
}

/** Encodes the recorded request again, for its own language. */
function again(id: string, { task }: Recorded): { readonly path: string; readonly body: JsonObject } {
  const to = { provider: "p", model: task.model, capabilities: {}, support: { dialects: [id] } };
  const { path, body } = codecOf(id, task.operation).encode(task, to, () => {});
  return { path, body: JSON.parse(body) as JsonObject };
}

const cases: readonly (readonly [file: string, id: string])[] = [
  ["openai/envoy-ai-gateway/embeddings-tokens.json", "openai-tasks"],
  ["openai/envoy-ai-gateway/embeddings-large-text.json", "openai-tasks"],
  ["openai/envoy-ai-gateway/embeddings-max-tokens.json", "openai-tasks"],
  ["openai/envoy-ai-gateway/embeddings-whitespace.json", "openai-tasks"],
  ["openai/pydantic-ai/test_embeddings__TestOpenAI.test_documents.json", "openai-tasks"],
  ["openai/pydantic-ai/test_embeddings__TestOpenAI.test_query.json", "openai-tasks"],
  ["cohere/pydantic-ai/test_embeddings__TestCohere.test_documents.json", "cohere-tasks"],
  ["voyage/pydantic-ai/test_embeddings__TestVoyageAI.test_query.json", "voyage"],
  ["voyage/pydantic-ai/test_embeddings__TestVoyageAI.test_query_voyage_4.json", "voyage"],
  ["google/pydantic-ai/test_embeddings__TestGoogle.test_instrumentation.json", "gemini-tasks"],
  ["google/pydantic-ai/test_embeddings__TestGoogle.test_query_with_task_type.json", "gemini-tasks"],
  ["google/pydantic-ai/test_embeddings__test_google_task_prefix[asymmetric-document-with-title].json", "gemini-tasks"],
];

function paramsOf(path: string): Record<string, string> {
  const match = /\/models\/([^:]+):(\w+)$/.exec(path);
  return match ? { model: match[1] ?? "", variant: match[2] ?? "" } : {};
}

describe.skipIf(!sharedFolder)("recorded embeddings", () => {
  it.each(cases)("%s", (file, id) => {
    for (const { request, response } of readInteractions(file)) {
      const body = request.body as JsonObject;
      const recorded = read(id, "embed", body, (response.json ?? null) as Json, paramsOf(request.path));
      if (recorded.result.operation !== "embed" || recorded.task.operation !== "embed") throw new Error("no embedding");
      const [vectors] = Object.values(recorded.result.vectors);
      expect(vectors).toHaveLength(recorded.task.inputs.length);
      if (id === "voyage") continue;
      // Said again for its own language it is the same request; a vendor's nulls say nothing.
      const { path, body: same } = again(id, recorded);
      expect(withoutNulls(same)).toEqual(withoutNulls(body));
      expect(request.path.endsWith(path)).toBe(true);
    }
  });

  it("base64 of recorded vectors is exact there and back", () => {
    const [first] = readInteractions("openai/pydantic-ai/test_embeddings__TestOpenAI.test_documents.json");
    const { data } = (first?.response.json ?? {}) as { data: { embedding: string }[] };
    for (const { embedding } of data) {
      const floats = fromBase64(embedding);
      expect(floats).toHaveLength(1536);
      expect(toBase64(floats)).toBe(embedding);
      expect(toBase64(JSON.parse(JSON.stringify(floats)) as number[])).toBe(embedding);
    }
  });

  it("usage is read where each vendor puts it", () => {
    const usage = (file: string, id: string): unknown => {
      const [one] = readInteractions(file);
      return one && read(id, "embed", one.request.body as JsonObject, one.response.json as Json, paramsOf(one.request.path)).result.usage;
    };
    expect(usage("openai/envoy-ai-gateway/embeddings-whitespace.json", "openai-tasks")).toEqual({ ...NO_USAGE, inputUncached: 26 });
    expect(usage("cohere/pydantic-ai/test_embeddings__TestCohere.test_documents.json", "cohere-tasks")).toEqual({
      ...NO_USAGE,
      inputUncached: 2,
    });
    expect(
      usage("google/pydantic-ai/test_embeddings__test_google_task_prefix[asymmetric-document-with-title].json", "gemini-tasks"),
    ).toEqual({
      ...NO_USAGE,
      inputUncached: 7,
    });
    // Older answers do not say: then it is counted here.
    expect(usage("google/pydantic-ai/test_embeddings__TestGoogle.test_instrumentation.json", "gemini-tasks")).toBeUndefined();
  });

  it("voyage's plain answer and its request in its own words", () => {
    const answer = JSON.parse(readRecording("voyage/vercel-ai/voyage-embedding.json")) as Json;
    const { result } = read("voyage", "embed", { model: "voyage-3.5", input: ["a", "b"] }, answer);
    expect(result).toMatchObject({ usage: { inputUncached: 12 }, model: "voyage-3.5" });
    const task = codecOf("openai-tasks", "embed").decode(
      { fields: { model: "m", input: "a", input_type: "query", dimensions: 256, encoding_format: "base64" }, files: [] },
      { operation: "embed", headers: {}, params: {} },
    );
    const to = { provider: "p", model: "voyage-4", capabilities: {}, support: { dialects: ["voyage"] } };
    expect(JSON.parse(codecOf("voyage", "embed").encode(task, to, () => {}).body)).toEqual({
      model: "voyage-4",
      input: "a",
      input_type: "query",
      output_dimension: 256,
      encoding_format: "base64",
      truncation: false,
    });
  });
});

describe.skipIf(!sharedFolder)("recorded rerankings", () => {
  const documents = ["a", "b", "c", "d", "e", "f"];
  it.each([
    ["cohere/vercel-ai/reranking__cohere-reranking.1.json", "cohere-tasks", [1, 0], { search_units: 1 }, 0],
    ["togetherai/vercel-ai/reranking__togetherai-reranking.1.json", "jina", [0, 5], undefined, 2966],
    ["_translation/agentgateway/response__cohere__rerank.json", "cohere-tasks", [2, 0], { search_units: 1 }, 214],
  ])("%s", (file, id, order, media, tokens) => {
    const { result } = read(id, "rerank", { model: "m", query: "q", documents, top_n: 2 }, JSON.parse(readRecording(file)) as Json);
    if (result.operation !== "rerank") throw new Error("no reranking");
    expect(result.ranked.map(({ index }) => index)).toEqual(order);
    expect(result.usage).toEqual({ ...NO_USAGE, inputUncached: tokens, ...(media && { media }) });
  });
});

describe.skipIf(!sharedFolder)("recorded refusals", () => {
  it.each([
    ["openai/envoy-ai-gateway/embeddings-unknown-model.json", "openai-tasks", "does not exist"],
    ["cohere/pydantic-ai/test_embeddings__TestCohere.test_embed_error.json", "cohere-tasks", "model 'nonexistent' not found"],
    ["voyage/pydantic-ai/test_embeddings__TestVoyageAI.test_embed_error.json", "voyage", "Model nonexistent is not supported"],
  ])("%s says what the vendor says", (file, id, words) => {
    const [one] = readInteractions(file);
    const { status = 0, json, headers = {} } = one?.response ?? {};
    const problem = dialect(id).decodeProblem({ status, headers, body: json as Json, text: "", provider: "p" });
    expect(problem).toMatchObject({ kind: "upstream_rejected", status });
    expect(problem.message).toContain(words);
    expect(dialect(id).encodeProblem(problem, "call_1").body).toEqual(json);
  });
});

function withoutNulls(body: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}
