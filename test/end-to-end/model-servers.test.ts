import { afterEach, describe, expect, it } from "vitest";
import { ModelServerStandIn, refusing, type Answer } from "../support/model-server.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function serverWith(answers: Record<string, Answer>): Promise<ModelServerStandIn> {
  const server = await new ModelServerStandIn(answers).open();
  closers.push(() => server.close());
  return server;
}

async function gatewayWith(config: string): Promise<TestGateway> {
  const gateway = await startGateway({ config });
  closers.push(() => gateway.close());
  return gateway;
}

/** Waits for what the watch is to learn; it asks every 100 ms here. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let look = 0; look < 400; look++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it was never so");
}

const admin = async (gateway: TestGateway, path: string) =>
  (await (
    await fetch(`${gateway.url}/admin/api${path}`, { headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` } })
  ).json()) as { servers: { provider: string; state: string; detail: string; load?: object; models: object[] }[] };

const servers = async (gateway: TestGateway) => (await admin(gateway, "/health/targets")).servers;

async function chat(gateway: TestGateway, model: string, text = "hello", rest: object = {}) {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: text }], ...rest }),
  });
  const body = (await response.json()) as { error?: { message: string; code: string } };
  return {
    status: response.status,
    target: response.headers.get("x-gimbal-target"),
    problem: response.headers.get("x-gimbal-problem"),
    message: body.error?.message ?? "",
    code: body.error?.code,
  };
}

const ANSWER = {
  id: "c1",
  object: "chat.completion",
  created: 1,
  model: "q",
  choices: [{ index: 0, message: { role: "assistant", content: "hello" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
};
const queue = (running: number, waiting: number) =>
  `vllm:num_requests_running{engine="0"} ${running}\nvllm:num_requests_waiting{engine="0"} ${waiting}\nvllm:kv_cache_usage_perc{engine="0"} 0.5\n`;
const vllm = (running: number, waiting: number, tokens = 4096): Record<string, Answer> => ({
  "/health": 200,
  "/metrics": queue(running, waiting),
  "/v1/models": { object: "list", data: [{ id: "q", owned_by: "vllm", max_model_len: tokens }] },
  "/v1/chat/completions": ANSWER,
});
const QUICK = "servers: { loadMs: 100, modelsMs: 1000, deadMs: 100 }\n";

describe("two servers that meter their queues", () => {
  const config = (a: ModelServerStandIn, b: ModelServerStandIn) => `${QUICK}
providers:
  one: { kind: vllm, baseUrl: "${a.url}/v1" }
  two: { kind: vllm, baseUrl: "${b.url}/v1" }
models:
  fast: { targets: [one/q, two/q], strategy: latency }
`;

  it("get calls by what they say waits there, at once and before any call was slow", async () => {
    const [one, two] = [await serverWith(vllm(8, 40)), await serverWith(vllm(2, 0))];
    const gateway = await gatewayWith(config(one, two));
    await until(async () => (await servers(gateway)).every(({ load }) => load !== undefined));
    const share = async (calls: number): Promise<number> => {
      let toTwo = 0;
      for (let call = 0; call < calls; call++) if ((await chat(gateway, "fast")).target === "two/q") toTwo++;
      return toTwo;
    };
    // A tenth measures what was never measured; the rest goes where nobody waits.
    expect(await share(40)).toBeGreaterThan(28);
    one.answers["/metrics"] = queue(2, 0);
    two.answers["/metrics"] = queue(8, 40);
    await until(async () =>
      (await servers(gateway)).some(({ provider, load }) => provider === "two" && JSON.stringify(load).includes('"waiting":40')),
    );
    await until(async () => (await chat(gateway, "fast")).target === "one/q");
    expect(await share(40)).toBeLessThan(8);
  });

  it("are told of by name, and one that died is not asked any more; nor does it cost its neighbour anything", async () => {
    const [one, two] = [await serverWith(vllm(1, 0)), await serverWith(vllm(1, 0))];
    const gateway = await gatewayWith(config(one, two));
    await until(async () => (await servers(gateway)).every(({ state }) => state === "up"));
    expect(await servers(gateway)).toMatchObject([
      { provider: "one", state: "up", load: { running: 1, waiting: 0, cacheShare: 0.5 }, models: [{ name: "q", contextTokens: 4096 }] },
      { provider: "two", state: "up" },
    ]);
    await one.close();
    await until(async () => (await servers(gateway))[0]?.state === "down");
    for (let call = 0; call < 20; call++) expect(await chat(gateway, "fast")).toMatchObject({ status: 200, target: "two/q" });
    expect((await gateway.rows()).every(({ attempts }) => attempts.length === 1)).toBe(true);
    expect(gateway.logs.filter((line) => line.includes("one: its server is down"))).toHaveLength(1);
    // Nobody else is there: then a guess beats a certain failure.
    expect((await chat(gateway, "one/q")).problem).toBe("upstream_unavailable");
    await one.open();
    await until(async () => (await servers(gateway))[0]?.state === "up");
    expect(gateway.logs.some((line) => line.includes("one: its server is there again"))).toBe(true);
  });
});

describe("what a server tells of its models", () => {
  it("stands on their cards, and holds what is too long back before it is sent", async () => {
    const server = await serverWith(vllm(0, 0, 300));
    const gateway = await gatewayWith(`${QUICK}
providers:
  small: { kind: vllm, baseUrl: "${server.url}/v1", models: { q: {} } }
  large: { kind: vllm, baseUrl: "${server.url}/v1", models: { q: { contextTokens: 100000 } } }
models: { wide: { targets: [large/q] } }
`);
    const listed = async () =>
      (await (await fetch(`${gateway.url}/v1/models`)).json()) as { data: { id: string; gimbal?: { contextTokens?: number } }[] };
    await until(async () => (await listed()).data.some(({ id, gimbal }) => id === "small/q" && gimbal?.contextTokens === 300));
    // What the configuration says of a model goes before what its server says.
    expect((await listed()).data.find(({ id }) => id === "wide")?.gimbal?.contextTokens).toBe(100_000);
    server.asked.length = 0;
    const long = await chat(gateway, "small/q", "many words of one call ".repeat(200));
    expect(long).toMatchObject({ status: 400, problem: "unsupported" });
    expect(long.message).toMatch(/small\/q holds 300 tokens, and the call has about 11\d\d of input\. Models that could: .*"wide"/);
    expect(server.asked.filter((line) => line.startsWith("POST"))).toEqual([]);
    const words = "many words of one call ".repeat(200);
    const messages = [{ role: "user", content: words }];
    const inEveryLanguage: readonly (readonly [path: string, body: object])[] = [
      ["/v1/messages", { model: "small/q", max_tokens: 9, messages }],
      ["/v1/responses", { model: "small/q", input: words }],
      ["/v1/completions", { model: "small/q", prompt: words }],
      ["/api/chat", { model: "small/q", messages }],
      ["/v2/chat", { model: "small/q", messages }],
      ["/v1beta/models/small/q:generateContent", { contents: [{ role: "user", parts: [{ text: words }] }] }],
      ["/model/small%2Fq/converse", { messages: [{ role: "user", content: [{ text: words }] }] }],
      ["/v1/embeddings", { model: "small/q", input: ["short", words] }],
    ];
    for (const [path, body] of inEveryLanguage) {
      const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
      const response = await fetch(`${gateway.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      const told = /(?:holds|takes) 300 tokens.*has about (\d+)/.exec(await response.text());
      expect([path, response.status, Number(told?.[1]) > 600]).toEqual([path, 400, true]);
    }
    expect(server.asked.filter((line) => line.startsWith("POST"))).toEqual([]);
    expect((await chat(gateway, "small/q", "a few words")).status).toBe(200);
  });

  it("says which models could where one takes no images", async () => {
    const props = (vision: boolean) => ({
      default_generation_settings: { n_ctx: 4096 },
      total_slots: 1,
      modalities: { vision, audio: false },
    });
    const base = { "/health": { status: "ok" }, "/v1/models": { data: [{ id: "m.gguf", owned_by: "llamacpp" }] } };
    const [blind, sees] = [await serverWith({ ...base, "/props": props(false) }), await serverWith({ ...base, "/props": props(true) })];
    const gateway = await gatewayWith(`${QUICK}
providers:
  blind: { kind: llamacpp, baseUrl: "${blind.url}/v1", models: { m: {} } }
  sees: { kind: llamacpp, baseUrl: "${sees.url}/v1", models: { m: {} } }
`);
    await until(async () => (await servers(gateway)).every(({ models }) => models.length === 1));
    const content = [{ type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } }];
    const refused = await chat(gateway, "blind/m", content as unknown as string);
    expect(refused).toMatchObject({ status: 400, problem: "unsupported" });
    expect(refused.message).toContain('blind/m takes no images. Models that could: "sees/m"');
    expect(refused.message).not.toContain('"blind/m",');
  });

  it("tells the limit and the count of a refusal that has them beside its words", async () => {
    const error = {
      code: 400,
      message: "the request exceeds the available context size",
      type: "exceed_context_size_error",
      n_prompt_tokens: 5012,
      n_ctx: 2048,
    };
    const server = await serverWith({ "/health": 200, "/v1/chat/completions": refusing(400, { error }) });
    const gateway = await gatewayWith(`${QUICK}\nproviders: { cpp: { kind: llamacpp, baseUrl: "${server.url}/v1" } }\n`);
    const refused = await chat(gateway, "cpp/any");
    expect(refused).toMatchObject({ status: 400, problem: "upstream_rejected", code: "context_length_exceeded" });
    expect(refused.message).toContain("5012");
    expect(refused.message).toContain("2048");
  });
});

describe("a server that loads its models itself", () => {
  const tags = (...names: string[]) => ({ models: names.map((name) => ({ name, digest: name })) });
  const base = (): Record<string, Answer> => ({
    "/api/tags": tags("there:latest"),
    "/api/ps": { models: [] },
    "/api/show": { model_info: { "general.architecture": "l", "l.context_length": 8192 }, capabilities: ["completion"] },
    "/api/generate": { done: true, done_reason: "load" },
    "/v1/chat/completions": (request, response) => {
      const { model } = JSON.parse(request.text) as { model: string };
      const there = model.startsWith("there");
      response.writeHead(there ? 200 : 404, { "content-type": "application/json" });
      response.end(
        JSON.stringify(there ? ANSWER : { error: { message: `model "${model}" not found, try pulling it first`, type: "api_error" } }),
      );
    },
  });

  it("is told to load what the configuration wants, at the start, after its own, and when a release needs it", async () => {
    const server = await serverWith(base());
    const loads = () =>
      server.asked.filter((line) => line.startsWith("POST /api/generate")).map((line) => /"model":"([^"]*)"/.exec(line)?.[1]);
    const gateway = await gatewayWith(`${QUICK}
providers:
  box: { kind: ollama, baseUrl: "${server.url}", models: { there: { warmUp: true, keepAlive: -1 } } }
models:
  main: { targets: [sim/echo], warm: { target: box/spare, share: 0.01 } }
`);
    await until(() => loads().length === 2);
    expect(server.asked).toContain('POST /api/generate {"model":"there","stream":false,"keep_alive":-1}');
    expect(loads()).toEqual(["there", "spare"]);
    const patched = await fetch(`${gateway.url}/admin/api/models/main`, {
      method: "PATCH",
      headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
      body: JSON.stringify({ canary: { target: "box/next", percent: 5 } }),
    });
    expect(patched.status).toBe(200);
    await until(() => loads().includes("next"));
    server.asked.length = 0;
    await server.close();
    await until(async () => (await servers(gateway))[0]?.state === "down");
    await server.open();
    await until(() => loads().includes("there"));
  });

  it("lacks a model: the call says the command, and an alias goes to who has one", async () => {
    const server = await serverWith(base());
    const gateway = await gatewayWith(`${QUICK}
providers: { box: { kind: ollama, baseUrl: "${server.url}" } }
models: { either: { targets: [box/absent, box/there] } }
`);
    await until(async () => (await servers(gateway))[0]?.state === "up");
    const refused = await chat(gateway, "box/absent");
    expect(refused).toMatchObject({ status: 404, problem: "upstream_rejected", code: "model_not_pulled" });
    expect(refused.message).toContain(
      'The model "absent" is not on the server of the provider "box": run `gimbal models pull box/absent`.',
    );
    expect(await chat(gateway, "either")).toMatchObject({ status: 200, target: "box/there" });
    expect((await gateway.lastRow()).attempts).toHaveLength(1);
  });

  it("says the command in every language", async () => {
    const server = await serverWith({
      ...base(),
      "/api/chat": refusing(404, { error: "model 'absent' not found" }),
      "/v1/completions": refusing(404, { error: { message: 'model "absent" not found, try pulling it first' } }),
      "/v1/embeddings": refusing(404, { error: { message: 'model "absent" not found, try pulling it first' } }),
      "/api/embed": refusing(404, { error: 'model "absent" not found, try pulling it first' }),
    });
    const gateway = await gatewayWith(`${QUICK}\nproviders: { box: { kind: ollama, baseUrl: "${server.url}" } }\n`);
    const messages = [{ role: "user", content: "hi" }];
    const asked: readonly (readonly [path: string, body: object])[] = [
      ["/v1/messages", { max_tokens: 9, messages }],
      ["/v1/responses", { input: "hi" }],
      ["/api/chat", { messages, stream: false }],
      ["/v2/chat", { messages }],
      ["/v1/completions", { prompt: "hi" }],
      ["/v1/embeddings", { input: "hi" }],
      ["/api/embed", { input: "hi" }],
      ["/v1beta/models/box/absent:generateContent", { contents: [{ role: "user", parts: [{ text: "hi" }] }] }],
      ["/model/box%2Fabsent/converse", { messages: [{ role: "user", content: [{ text: "hi" }] }] }],
    ];
    for (const [path, body] of asked) {
      const inPath = path.includes("absent");
      const response = await fetch(`${gateway.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
        body: JSON.stringify({ ...(!inPath && { model: "box/absent" }), ...body }),
      });
      const text = await response.text();
      expect([path, response.status, text.includes("gimbal models pull box/absent")]).toEqual([path, 404, true]);
    }
  });
});
