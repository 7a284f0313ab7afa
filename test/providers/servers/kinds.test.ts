import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Provider, ServerReport } from "../../../src/canon/index.ts";
import { serverKinds } from "../../../src/providers/servers/kinds.ts";
import { ModelServerStandIn, refusing, type Answer } from "../../support/model-server.ts";

let server: ModelServerStandIn;
const opened: Provider[] = [];
beforeEach(async () => (server = await new ModelServerStandIn().open()));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((provider) => provider.close()));
  await server.close();
});

function open(kind: string, answers: Record<string, Answer>, path = "/v1", options: object = {}) {
  server.answers = answers;
  const provider = server.provider(kind, options, path);
  opened.push(provider);
  if (!provider.server) throw new Error(`${kind} tells nothing of itself`);
  const { server: told } = provider;
  return { provider, told, survey: (what: "load" | "models" = "models") => told.survey(what, new AbortController().signal) };
}

const VLLM = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="q"} 6.0
vllm:num_requests_waiting{engine="0",model_name="q"} 14.0
vllm:kv_cache_usage_perc{engine="0",model_name="q"} 0.97
vllm:request_inference_time_seconds_bucket{engine="0",le="0.3",model_name="q"} 1.0
vllm:request_inference_time_seconds_sum{engine="0",model_name="q"} 30.0
vllm:request_inference_time_seconds_count{engine="0",model_name="q"} 10.0
`;

describe("vLLM", () => {
  const answers = {
    "/health": 200,
    "/metrics": VLLM,
    "/v1/models": { object: "list", data: [{ id: "q", owned_by: "vllm", max_model_len: 4096 }] },
  };
  it("tells its models with their window, and its queue", async () => {
    expect(await open("vllm", answers).survey()).toEqual({
      up: true,
      detail: "it answers",
      models: [{ name: "q", contextTokens: 4096 }],
      load: { running: 6, waiting: 14, cacheShare: 0.97, requestMs: 3000 },
    });
  });
  it("is asked for its models only where they are wanted", async () => {
    const { survey } = open("vllm", answers);
    expect(await survey("load")).not.toHaveProperty("models");
    expect(server.asked.toSorted()).toEqual(["GET /health", "GET /metrics"]);
  });
  it("tells how long requests take lately, not since it was started; one that began anew counts from nought", async () => {
    const { survey } = open("vllm", { ...answers });
    const at = (sum: number, count: number) =>
      VLLM.replace(/_sum(.*) 30.0/, `_sum$1 ${sum}`).replace(/_count(.*) 10.0/, `_count$1 ${count}`);
    expect((await survey("load")).load?.requestMs).toBe(3000);
    server.answers["/metrics"] = at(32, 14);
    expect((await survey("load")).load?.requestMs).toBe(500);
    expect((await survey("load")).load?.requestMs).toBe(500);
    server.answers["/metrics"] = at(8, 2);
    expect((await survey("load")).load?.requestMs).toBe(4000);
  });
  it("is known under the older name of its cache's metric, and without a path in its address", async () => {
    const { survey } = open("vllm", { ...answers, "/metrics": VLLM.replace("kv_cache", "gpu_cache") }, "");
    expect((await survey()).load?.cacheShare).toBe(0.97);
  });
  it("is down when its engine is, though the server answers", async () => {
    expect(await open("vllm", { ...answers, "/health": refusing(503, { error: { message: "EngineDeadError" } }) }).survey()).toEqual({
      up: false,
      detail: "it answers 503: EngineDeadError",
    });
  });
  it("sends its key with every question", async () => {
    let key: string | undefined;
    const { survey } = open(
      "vllm",
      { "/health": (request, response) => void ((key = request.headers.authorization), response.end()) },
      "/v1",
      { apiKey: "sesame" },
    );
    await survey("load");
    expect(key).toBe("Bearer sesame");
  });
});

describe("SGLang", () => {
  it("tells the same under names of its own", async () => {
    const metrics = `sglang:num_running_reqs{model_name="q"} 2\nsglang:num_queue_reqs{model_name="q"} 5\nsglang:token_usage{model_name="q"} 0.28\n`;
    const answers = { "/health": 200, "/metrics": metrics, "/v1/models": { data: [{ id: "q", max_model_len: 131_072 }] } };
    expect(await open("sglang", answers).survey()).toEqual({
      up: true,
      detail: "it answers",
      models: [{ name: "q", contextTokens: 131_072 }],
      load: { running: 2, waiting: 5, cacheShare: 0.28 },
    });
  });
});

describe("llama.cpp", () => {
  const slot = (id: number, busy: boolean) => ({ id, n_ctx: 2048, is_processing: busy, speculative: false });
  const answers = {
    "/health": { status: "ok" },
    "/props": {
      default_generation_settings: { n_ctx: 2048, params: {} },
      total_slots: 2,
      model_path: "m.gguf",
      modalities: { vision: true, audio: false },
      chat_template_caps: { supports_tools: false },
    },
    "/slots": [slot(0, true), slot(1, true)],
    "/metrics": "llamacpp:requests_processing 2\nllamacpp:requests_deferred 3\nllamacpp:predicted_tokens_seconds 40.5\n",
    "/v1/models": { object: "list", data: [{ id: "m.gguf", owned_by: "llamacpp", meta: { n_ctx_train: 131_072 } }] },
  };
  it("tells the window of one slot, what the model can and who waits; the model answers to every name", async () => {
    expect(await open("llamacpp", answers).survey()).toEqual({
      up: true,
      detail: "it answers",
      anyName: true,
      models: [{ name: "m.gguf", contextTokens: 2048, capabilities: { vision: true, audio: false, tools: false }, loaded: true }],
      load: { running: 2, waiting: 3, slots: 2, tokensPerSecond: 40.5 },
    });
  });
  it("counts its slots where it was started without metrics", async () => {
    const { survey } = open("llamacpp", { ...answers, "/metrics": 501, "/slots": [slot(0, true), slot(1, false)] });
    expect((await survey("load")).load).toEqual({ running: 1, waiting: 0, slots: 2 });
  });
  it("tells nothing of its load where it has neither, and is up all the same", async () => {
    expect(await open("llamacpp", { ...answers, "/metrics": 501, "/slots": 501 }).survey("load")).toEqual({
      up: true,
      detail: "it answers",
    });
  });
  it("is down while it loads its model", async () => {
    const loading = refusing(503, { error: { code: 503, message: "Loading model", type: "unavailable_error" } });
    expect(await open("llamacpp", { "/health": loading }).survey()).toEqual({ up: false, detail: "it answers 503: Loading model" });
  });
  it("has several models as a router, of which nothing more is known", async () => {
    const { survey } = open("llamacpp", { ...answers, "/v1/models": { data: [{ id: "a" }, { id: "b" }] } });
    const report = await survey();
    expect(report.models).toEqual([{ name: "a" }, { name: "b" }]);
    expect(report.anyName).toBeUndefined();
  });
});

describe("Ollama", () => {
  const answers: Record<string, Answer> = {
    "/api/tags": {
      models: [
        { name: "llama3.2:latest", digest: "d1" },
        { name: "nomic:v1", digest: "d2" },
        { name: "small:latest", digest: "d3" },
      ],
    },
    "/api/ps": { models: [{ name: "llama3.2:latest", context_length: 4096, expires_at: "2026-01-01T00:00:00Z" }] },
    "/api/show": (request, response) => {
      const { model } = JSON.parse(request.text) as { model: string };
      const shown: Record<string, object> = {
        "llama3.2:latest": {
          parameters: 'stop    "<|eot_id|>"\n',
          model_info: { "general.architecture": "llama", "llama.context_length": 131_072 },
          capabilities: ["completion", "tools"],
        },
        "nomic:v1": {
          model_info: { "general.architecture": "nomic-bert", "nomic-bert.context_length": 2048 },
          capabilities: ["embedding"],
        },
        "small:latest": {
          parameters: "num_ctx                        8192\ntemperature 1",
          model_info: { "general.architecture": "q", "q.context_length": 32_768 },
          capabilities: ["completion", "vision", "thinking"],
        },
      };
      response.end(JSON.stringify(shown[model] ?? {}));
    },
  };
  it("tells the window with which a model runs, else that of its file, and what it can", async () => {
    expect((await open("ollama", answers).survey()).models).toEqual([
      {
        name: "llama3.2:latest",
        contextTokens: 4096,
        operations: ["generate"],
        capabilities: { vision: false, tools: true, reasoning: false },
        loaded: true,
      },
      { name: "nomic:v1", contextTokens: 2048, operations: ["embed"], loaded: false },
      {
        name: "small:latest",
        contextTokens: 8192,
        operations: ["generate"],
        capabilities: { vision: true, tools: false, reasoning: true },
        loaded: false,
      },
    ]);
  });
  it("is asked for details of a model once for each of its versions", async () => {
    const { survey } = open("ollama", { ...answers });
    await survey();
    await survey("load");
    expect(server.asked.filter((line) => line.startsWith("POST /api/show"))).toHaveLength(3);
    server.answers["/api/tags"] = { models: [{ name: "llama3.2:latest", digest: "new" }] };
    await survey("load");
    expect(server.asked.filter((line) => line.startsWith("POST /api/show"))).toHaveLength(4);
  });
  it("knows a model under all of its names", () => {
    const { told } = open("ollama", {});
    expect(
      ["llama3.2", "Llama3.2:1B", "hf.co:443/a/b", "a/b:c", "library/q", "registry.ollama.ai/library/q:latest"].map((name) =>
        told.listedAs(name),
      ),
    ).toEqual(["llama3.2:latest", "llama3.2:1b", "hf.co:443/a/b:latest", "a/b:c", "q:latest", "q:latest"]);
  });
  it("says the command for a model that is not there, in both of its languages", () => {
    const { told } = open("ollama", {});
    const refused = (body: object, status = 404) =>
      told.explain?.(
        { kind: "upstream_rejected", message: "as it came", upstream: { status, dialect: "x", provider: "lab", body: body as never } },
        "q",
      );
    for (const body of [
      { error: { message: 'model "q" not found, try pulling it first', type: "api_error" } },
      { error: "model 'q' not found" },
    ])
      expect(refused(body)).toEqual({
        kind: "upstream_rejected",
        message: 'The model "q" is not on the server of the provider "lab": run `gimbal models pull lab/q`.',
        code: "model_not_pulled",
        upstream: { status: 404, dialect: "x", provider: "lab" },
      });
    expect(refused({ error: "404 page not found" })?.message).toBe("as it came");
    expect(refused({ error: "model 'q' not found" }, 400)?.message).toBe("as it came");
  });
  it("loads a model without asking it anything, and keeps it as long as the configuration says", async () => {
    const { told, survey } = open(
      "ollama",
      { ...answers, "/api/generate": { done: true, done_reason: "load" }, "/api/embed": { embeddings: [] } },
      "/v1",
      {
        models: { "llama3.2": { warmUp: true, keepAlive: "30m" }, "nomic:v1": { warmUp: true, keepAlive: -1 }, other: {} },
      },
    );
    expect(told.wantsWarm).toEqual(["llama3.2", "nomic:v1"]);
    await survey();
    server.asked.length = 0;
    for (const model of told.wantsWarm) await told.warmUp?.(model, new AbortController().signal);
    expect(server.asked).toEqual([
      'POST /api/generate {"model":"llama3.2","stream":false,"keep_alive":"30m"}',
      'POST /api/embed {"model":"nomic:v1","input":"warm","keep_alive":-1}',
    ]);
    server.answers["/api/generate"] = refusing(500, { error: "model requires more system memory" });
    await expect(told.warmUp?.("llama3.2", new AbortController().signal)).rejects.toThrow(
      'The model "lab/llama3.2" could not be loaded: model requires more system memory.',
    );
  });
});

describe("LM Studio", () => {
  it("tells what each model is for, and the window it was loaded with", async () => {
    const data = [
      { id: "chat", type: "llm", state: "loaded", max_context_length: 131_072, loaded_context_length: 4096, capabilities: ["tool_use"] },
      { id: "sees", type: "vlm", state: "not-loaded", max_context_length: 32_768 },
      { id: "vectors", type: "embeddings", state: "not-loaded", max_context_length: 2048 },
    ];
    expect((await open("lmstudio", { "/api/v0/models": { object: "list", data } }).survey()).models).toEqual([
      { name: "chat", contextTokens: 4096, operations: ["generate"], capabilities: { vision: false, tools: true }, loaded: true },
      { name: "sees", contextTokens: 32_768, operations: ["generate"], capabilities: { vision: true }, loaded: false },
      { name: "vectors", contextTokens: 2048, operations: ["embed"], loaded: false },
    ]);
  });
});

describe("Text Embeddings Inference", () => {
  const info = {
    model_id: "BAAI/bge",
    model_type: { embedding: { pooling: "cls" } },
    max_input_length: 512,
    auto_truncate: false,
    max_client_batch_size: 32,
  };
  const metrics = `te_queue_size 40\nte_batch_next_size_sum 64\nte_batch_next_size_count 4\nte_request_inference_duration_sum 1.5\nte_request_inference_duration_count 100\n`;
  it("tells its one model, which answers to every name, and its queue", async () => {
    expect(await open("tei", { "/health": 200, "/info": info, "/metrics": metrics }, "").survey()).toEqual({
      up: true,
      detail: "it answers",
      anyName: true,
      models: [{ name: "BAAI/bge", contextTokens: 512, operations: ["embed"], loaded: true }],
      load: { running: 16, waiting: 40, requestMs: 15 },
    });
  });
  it("has no limit where it cuts what is too long; a re-ranker takes no embeddings", async () => {
    const given = { ...info, auto_truncate: true, model_type: { reranker: { id2label: {} } } };
    expect((await open("tei", { "/health": 200, "/info": given }, "").survey()).models).toEqual([
      { name: "BAAI/bge", operations: ["rerank"], loaded: true },
    ]);
  });
});

describe("Infinity", () => {
  it("tells what each model does, and the longest of their queues", async () => {
    const model = (id: string, waiting: number, capabilities: string[]) => ({
      id,
      stats: { queue_fraction: 0.1, queue_absolute: waiting, results_pending: 0, batch_size: 32 },
      object: "model",
      owned_by: "infinity",
      backend: "torch",
      capabilities,
    });
    const data = [model("bge", 4, ["embed"]), model("rank", 96, ["rerank"]), model("look", 0, ["image_embed", "classify"])];
    expect(await open("infinity", { "/health": { unix: 1 }, "/models": { data } }, "").survey()).toEqual({
      up: true,
      detail: "it answers",
      complete: true,
      models: [
        { name: "bge", operations: ["embed"], loaded: true },
        { name: "rank", operations: ["rerank"], loaded: true },
        { name: "look", operations: [], loaded: true },
      ],
      load: { running: 32, waiting: 96 },
    });
  });
});

describe("Workers AI", () => {
  const path = "/client/v4/accounts/a1/ai/v1";
  const entry = (name: string, task: string, properties: object[] = []) => ({ id: name, name, task: { id: "t", name: task }, properties });
  it("tells of all pages of its catalogue", async () => {
    const first = Array.from({ length: 100 }, (_, at) => entry(`@cf/x/${at}`, "Translation"));
    const second = [
      entry("@cf/meta/llama", "Text Generation", [
        { property_id: "context_window", value: "24000" },
        { property_id: "function_calling", value: "true" },
        { property_id: "price", value: [{ unit: "per M input tokens", price: 0.29 }] },
      ]),
      entry("@cf/baai/bge", "Text Embeddings", [{ property_id: "max_input_tokens", value: "512" }]),
    ];
    const { survey } = open(
      "workers-ai",
      {
        "/client/v4/accounts/a1/ai/models/search?per_page=100&page=1": { success: true, result: first },
        "/client/v4/accounts/a1/ai/models/search?per_page=100&page=2": { success: true, result: second },
      },
      path,
      { apiKey: "k" },
    );
    const { models = [] } = await survey();
    expect(models).toHaveLength(102);
    expect(models.slice(99)).toEqual([
      { name: "@cf/x/99", operations: [] },
      { name: "@cf/meta/llama", contextTokens: 24_000, operations: ["generate"], capabilities: { tools: true } },
      { name: "@cf/baai/bge", contextTokens: 512, operations: ["embed"] },
    ]);
  });
  it("is there with a key that may not list models, and is asked once in ten minutes", async () => {
    const { survey, told } = open("workers-ai", { "/client/v4/accounts/a1/ai/models/search": 403 }, path, { apiKey: "k" });
    expect(await survey()).toEqual({ up: true, detail: "its key may not list models" });
    expect(told.everyMs).toBe(600_000);
    // Nor does a list that fails say anything of calls.
    server.answers["/client/v4/accounts/a1/ai/models/search"] = 503;
    expect(await survey()).toEqual({ up: true, detail: "its list of models answers 503" });
  });
});

/** What a server may send that is none of what it should. */
const NONSENSE: readonly (readonly [string, Answer])[] = [
  ["a page", "<html>busy</html>"],
  ["another shape", { models: "many", data: { id: 7 }, result: 3, default_generation_settings: [], model_id: 4 }],
  [
    "wrong members",
    { data: [null, 7, { id: 9 }, { id: "" }, { id: "x".repeat(5000) }], models: [[], { name: {} }], result: [{ name: [] }] },
  ],
  ["figures beyond belief", { data: [{ id: "q", max_model_len: 1e300, max_context_length: -5, stats: { queue_absolute: "7" } }] }],
  ["nothing", ""],
];

describe.each(serverKinds)("a server of kind %s", (kind) => {
  it.each(NONSENSE)("that sends %s tells nothing of it, and breaks nothing", async (_name, answer) => {
    const every = Object.fromEntries(
      [
        "/health",
        "/metrics",
        "/slots",
        "/props",
        "/info",
        "/models",
        "/v1/models",
        "/api/tags",
        "/api/ps",
        "/api/show",
        "/api/v0/models",
        "/models/search",
      ].map((path) => [path, answer] as const),
    );
    const report: ServerReport = await open(kind, every).survey();
    for (const model of report.models ?? []) {
      expect(model.name.length).toBeLessThan(301);
      expect(model.contextTokens).toBeUndefined();
    }
    expect(report.load).toBeUndefined();
  });
  it("that is not there is told of as down, and so is one that breaks off", async () => {
    const { survey } = open(
      kind,
      Object.fromEntries(
        ["/health", "/api/tags", "/api/v0/models", "/models/search"].map((path) => [path, (_request, response) => void response.destroy()]),
      ),
    );
    expect(await survey()).toMatchObject({ up: false });
    await server.close();
    const gone = await survey();
    expect(gone.up).toBe(false);
    expect(gone.detail).not.toBe("");
    await server.open();
  });
  it("is told of by doctor's question", async () => {
    const { provider } = open(kind, { "/health": 503, "/api/tags": 503, "/api/v0/models": 503, "/models/search": 503 }, "/v1", {
      apiKey: "k",
    });
    const { ok, detail } = await provider.check(new AbortController().signal);
    // Of a cloud only the list fails.
    const fine = kind === "workers-ai";
    expect([ok, detail]).toEqual([fine, expect.stringMatching(fine ? /answers/ : /down|503/)]);
  });
});
