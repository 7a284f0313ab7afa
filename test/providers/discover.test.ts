import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/kit/index.ts";
import { tasksOf } from "../../src/providers/catalog-tasks.ts";
import { CATALOG, discover, providerKinds } from "../../src/providers/index.ts";
import { answering, fakeWire, type FakeServer } from "./fake-client.ts";

const refused: FakeServer = (_request, sink) => sink.onProblem({ kind: "upstream_unavailable", message: "refused" });
const find = async (env: Record<string, string>, server: FakeServer) => {
  const wire = fakeWire(server);
  return { found: await discover({ connect: wire.connect, clock: systemClock, env, facts: () => undefined }), wire };
};

describe("discover", () => {
  it("finds nothing where there is nothing, and leaves no connection open", async () => {
    const { found, wire } = await find({}, refused);
    expect(found).toEqual({ providers: {}, models: {} });
    expect(wire.closed).toBe(wire.connected.length);
  });
  it("offers a provider whose key is set, with its list or its best-known models", async () => {
    const list = await find({ OPENAI_API_KEY: "k" }, (request, sink, options) =>
      options.baseUrl.includes("openai")
        ? answering(200, '{"data":[{"id":"gpt-x"},{"id":"whisper-1"}]}')(request, sink, options)
        : refused(request, sink, options),
    );
    expect(list.found.models).toEqual({ openai: ["gpt-x"] });
    expect(list.found.providers["openai"]?.kind).toBeUndefined();
    const hints = await find({ ANTHROPIC_API_KEY: "k" }, refused);
    expect(hints.found.models["anthropic"]).toEqual(CATALOG["anthropic"]?.hints);
  });
  it("does not offer one that lacks more than a key", async () => {
    expect((await find({ AZURE_OPENAI_API_KEY: "k", CLOUDFLARE_API_TOKEN: "k" }, refused)).found.providers).toEqual({});
  });
  it("finds local servers by what they answer, and takes nothing else on their port for one", async () => {
    const { found } = await find({}, (request, sink, options) => {
      if (options.baseUrl.includes(":11434"))
        return answering(200, '{"data":[{"id":"llama3.2:latest","owned_by":"library"}]}')(request, sink, options);
      if (options.baseUrl.includes(":8000")) return answering(200, '{"data":[{"id":"q","owned_by":"sglang"}]}')(request, sink, options);
      if (options.baseUrl.includes(":8080")) return answering(200, "<html>")(request, sink, options);
      return refused(request, sink, options);
    });
    expect(found.models).toEqual({ ollama: ["llama3.2:latest"] });
  });
  it("tells servers apart that share a port, also those that have no list", async () => {
    const told = async (paths: Record<string, string>) =>
      (
        await find({}, (request, sink, options) => {
          const answer =
            options.baseUrl.includes(":8080") || options.baseUrl.includes(":7997")
              ? paths[new URL(options.baseUrl).pathname.replace(/\/$/, "") + request.path]
              : undefined;
          return answer === undefined ? answering(404, "")(request, sink, options) : answering(200, answer)(request, sink, options);
        })
      ).found.models;
    expect(await told({ "/info": '{"model_id":"BAAI/bge","max_input_length":512}' })).toEqual({ tei: ["BAAI/bge"] });
    expect(await told({ "/v1/models": '{"data":[{"id":"m.gguf","owned_by":"llamacpp"}]}' })).toEqual({ llamacpp: ["m.gguf"] });
    expect(await told({ "/models": '{"data":[{"id":"bge","owned_by":"infinity"}]}' })).toEqual({ infinity: ["bge"] });
    expect(await told({ "/info": '{"version":"1"}' })).toEqual({});
  });
  it("asks a local server for 300 ms and on 127.0.0.1 only", async () => {
    const { wire } = await find({}, refused);
    expect(wire.connected.map((options) => options.baseUrl).toSorted()).toEqual([
      "http://127.0.0.1:11434/v1",
      "http://127.0.0.1:1234/v1",
      "http://127.0.0.1:30000/v1",
      "http://127.0.0.1:7997",
      "http://127.0.0.1:8000/v1",
      "http://127.0.0.1:8080",
      "http://127.0.0.1:8080/v1",
    ]);
    expect(wire.connected.every((options) => options.connectTimeoutMs === 300 && options.headTimeoutMs === 300)).toBe(true);
  });
});

describe("the catalogue", () => {
  it.each(Object.entries(CATALOG))("%s is whole", (kind, row) => {
    expect(row.title).not.toBe("");
    expect(row.dialects.length + Object.keys(tasksOf(kind)).length).toBeGreaterThan(0);
    expect(URL.canParse((row.baseUrl ?? "https://example.com").replaceAll(/[{}]/g, ""))).toBe(true);
    const reachable = row.baseUrl !== undefined || row.baseUrlEnvironment !== undefined || row.inProcess || kind === "openai-compatible";
    expect(reachable).toBe(true);
    expect(row.needsKey ? row.environment.length : 1).toBeGreaterThan(0);
  });
  it("has the rows that were promised", () => {
    const promised = [
      "openai",
      "anthropic",
      "azure",
      "groq",
      "together",
      "fireworks",
      "mistral",
      "deepseek",
      "xai",
      "openrouter",
      "cerebras",
      "perplexity",
      "workers-ai",
      "vllm",
      "ollama",
      "llamacpp",
      "lmstudio",
      "sglang",
      "huggingface",
      "nvidia",
      "baseten",
      "sambanova",
      "moonshot",
      "openai-compatible",
      "local",
      "cohere",
      "voyage",
      "jina",
      "tei",
      "infinity",
      "gemini",
      "vertex",
      "vertex-anthropic",
      "bedrock",
      "bedrock-anthropic",
    ];
    expect(providerKinds.toSorted()).toEqual(promised.toSorted());
  });
});
