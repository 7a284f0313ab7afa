import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Guard } from "../../src/canon/index.ts";
import { unitVector } from "../../src/providers/sim/tasks.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream, type UpstreamAnswer } from "../support/upstream.ts";

let gateway: TestGateway;
let upstream: TestUpstream;
let guard: Guard["task"] | undefined;

const HIDE: Guard = { id: "hide", readsContent: true, task: (task, caller) => guard?.(task, caller) ?? { verdict: "allow" } };

beforeAll(async () => {
  upstream = await startUpstream();
  const lab = `kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true`;
  gateway = await startGateway({
    guards: [HIDE],
    trusting: true,
    config: `providers:
  lab: { ${lab}, tasks: { embed: { maxInputs: 100, maxInputTokens: 50 }, transcribe: { maxFileBytes: 100000 }, image: false }, models: { paid: { price: { inputUsd: 1 } }, pictures: { price: { imageUsd: 0.5 } } } }
  judge: { kind: mistral, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true }
  trip: { kind: voyage, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true }
  talk: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true }
models:
  cached: { targets: [lab/paid], cache: { ttlSeconds: 600 } }
  spare: { targets: [lab/paid, sim/echo], retries: 0 }
  short: { targets: [lab/paid, sim/echo] }
  shadowed: { targets: [sim/echo], shadow: { target: lab/paid, share: 1 } }
budgets: [{ match: { team: poor }, usd: 0.0001, per: day, hard: true }]
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: never;
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const raw = typeof body === "string" || body instanceof Uint8Array || body instanceof FormData;
  const init = { method: "POST", headers: { ...(!raw && { "content-type": "application/json" }), ...headers } };
  const response = await fetch(gateway.url + path, { ...init, body: raw ? (body as string) : JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: (text.startsWith("{") ? JSON.parse(text) : undefined) as never };
}

const errorOf = ({ body }: Answer): { message: string; param: string | null; code: string | null } => (body as { error: never }).error;

/** Answers as a server of embeddings: each vector is the number in its text. */
const embedder: UpstreamAnswer = (response, request) => {
  const input = request.body["input"] as string[] | string;
  const texts = typeof input === "string" ? [input] : input;
  const data = texts.map((text, index) => ({ object: "embedding", index, embedding: [Number(/\d+/.exec(text)?.[0] ?? -1), 1] }));
  // Rows may come in any order; their index says whose they are.
  jsonAnswer({ object: "list", data: data.toReversed(), model: "m", usage: { prompt_tokens: texts.length, total_tokens: texts.length } })(
    response,
    request,
  );
};
const numbered = (count: number): string[] => Array.from({ length: count }, (_, at) => `text ${at}`);

describe("splitting", () => {
  it("2,048 inputs go in pieces, come back in order, and their usage is summed", async () => {
    upstream.answerWith(embedder);
    const before = upstream.requests.length;
    const answer = await post("/v1/embeddings", { model: "lab/paid", input: numbered(2048) });
    const { data, usage } = answer.body as { data: { embedding: number[] }[]; usage: { prompt_tokens: number } };
    expect(data.map(({ embedding }) => embedding[0])).toEqual(Array.from({ length: 2048 }, (_, at) => at));
    expect(usage.prompt_tokens).toBe(2048);
    expect(upstream.requests.length - before).toBe(21);
    expect(await gateway.lastRow()).toMatchObject({ usage: { inputUncached: 2048 }, costNanodollars: 2_048_000, fastPath: false });
    expect((await gateway.lastRow()).attempts).toHaveLength(1);
  });

  it("a piece that fails is asked for again, alone", async () => {
    let failed = 0;
    upstream.answerWith((response, request) => {
      if ((request.body["input"] as string[])[0] === "text 100" && failed++ === 0)
        return jsonAnswer({ error: { message: "busy" } }, 503)(response, request);
      embedder(response, request);
    });
    const before = upstream.requests.length;
    const answer = await post("/v1/embeddings", { model: "lab/paid", input: numbered(300) });
    expect(answer.status).toBe(200);
    expect(upstream.requests.length - before).toBe(4);
    expect((await gateway.lastRow()).usage.inputUncached).toBe(300);
  });

  it("one that goes on failing fails the whole, once, in its own words; what the others used is paid for", async () => {
    upstream.answerWith((response, request) => {
      if ((request.body["input"] as string[])[0] !== "text 100") return embedder(response, request);
      jsonAnswer({ error: { message: "no such words", type: "invalid_request_error", code: "bad" } }, 422)(response, request);
    });
    const answer = await post("/v1/embeddings", { model: "lab/paid", input: numbered(200) });
    expect([answer.status, errorOf(answer).message]).toEqual([422, "no such words"]);
    const row = await gateway.lastRow();
    expect(row).toMatchObject({ state: "failed", problem: "upstream_rejected", usage: { inputUncached: 100 } });
    expect(row.costNanodollars).toBe(100_000);
  });

  it("another target takes all of it when one fails", async () => {
    upstream.answerWith(jsonAnswer({ error: { message: "down" } }, 500));
    const answer = await post("/v1/embeddings", { model: "spare", input: "x" });
    expect([answer.status, answer.headers.get("x-gimbal-target")]).toEqual([200, "sim/echo"]);
  });
});

describe("what an upstream may get wrong", () => {
  it.each([
    ["too few vectors", { data: [{ index: 0, embedding: [1] }] }, "1 vectors for 2 inputs"],
    [
      "one twice",
      {
        data: [
          { index: 1, embedding: [1] },
          { index: 1, embedding: [1] },
        ],
      },
      "wrongly",
    ],
    [
      "no number",
      {
        data: [
          { index: 0, embedding: [1, null] },
          { index: 1, embedding: [1, 1] },
        ],
      },
      "finite number",
    ],
    [
      "lengths that differ",
      {
        data: [
          { index: 0, embedding: [1, 2] },
          { index: 1, embedding: [1] },
        ],
      },
      "of 2 and of 1 dimensions",
    ],
    ["floats in base64 that are none", { data: ["AADAfw==", "AADAfw=="].map((embedding, index) => ({ index, embedding })) }, "finite"],
    ["bytes that are no floats", { data: ["AAA=", "AAA="].map((embedding, index) => ({ index, embedding })) }, "dimensions|base64"],
    ["no list", { object: "list" }, "no list `data`"],
  ])("%s", async (_what, body, words) => {
    upstream.answerWith(jsonAnswer(body));
    const answer = await post("/v2/embed", {
      model: "lab/paid",
      texts: ["a", "b"],
      input_type: "search_query",
      embedding_types: ["float"],
    });
    expect([answer.status, answer.headers.get("x-gimbal-problem")]).toEqual([502, "upstream_broken"]);
    expect((answer.body as { message: string }).message).toMatch(new RegExp(words));
  });

  it("NaN where a number should be is no JSON, and a wrong length is told though the bytes would pass", async () => {
    upstream.answerWith(
      (response) => void response.writeHead(200, { "content-type": "application/json" }).end('{"data":[{"embedding":[NaN]}]}'),
    );
    expect((await post("/v1/embeddings", { model: "lab/paid", input: "a" })).headers.get("x-gimbal-problem")).toBe("upstream_broken");
    upstream.answerWith(jsonAnswer({ data: [{ index: 0, embedding: [1, 2, 3] }] }));
    const answer = await post("/v1/embeddings", { model: "lab/paid", input: "a", dimensions: 2 });
    expect(errorOf(answer).message).toContain("3 dimensions, and 2 were asked for");
  });

  it("an error within a good answer is an error", async () => {
    upstream.answerWith(jsonAnswer({ error: { message: "overloaded", code: 503 } }));
    expect((await post("/v1/embeddings", { model: "lab/paid", input: "a" })).status).toBeGreaterThanOrEqual(500);
  });
});

describe("vendors of their own words", () => {
  it("a verdict without the word is flagged by its categories", async () => {
    const results = [true, false].map((found) => ({
      categories: { sexual: false, violence_and_threats: found },
      category_scores: { sexual: 0.1 },
    }));
    upstream.answerWith(jsonAnswer({ id: "mod-1", model: "mistral-moderation-2603", results }));
    const answer = await post("/v1/moderations", { model: "judge/mistral-moderation-latest", input: ["a", "b"] });
    expect((answer.body as { results: { flagged: boolean }[] }).results.map(({ flagged }) => flagged)).toEqual([true, false]);
    expect(upstream.requests.at(-1)?.body).toEqual({ model: "mistral-moderation-latest", input: ["a", "b"] });
    const image = await post("/v1/moderations", {
      model: "judge/m",
      input: [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }],
    });
    expect([image.status, image.headers.get("x-gimbal-problem")]).toEqual([400, "unsupported"]);
  });

  it("fields have the provider's own names", async () => {
    upstream.answerWith(jsonAnswer({ data: [{ index: 0, embedding: [1, 2] }], model: "m", usage: { prompt_tokens: 1, total_tokens: 1 } }));
    await post("/v1/embeddings", { model: "judge/mistral-embed", input: "a", dimensions: 2, user: "u" });
    expect(upstream.requests.at(-1)?.body).toEqual({ model: "mistral-embed", input: "a", output_dimension: 2 });
    await post("/v1/embeddings", { model: "trip/voyage-4", input: "a", dimensions: 2, input_type: "query" });
    expect(upstream.requests.at(-1)?.body).toEqual({
      model: "voyage-4",
      input: "a",
      truncation: false,
      input_type: "query",
      output_dimension: 2,
    });
    expect(await gateway.lastRow()).toMatchObject({ target: "trip/voyage-4", costNanodollars: 60, fastPath: false });
  });
});

describe("what a caller may get wrong", () => {
  it.each([
    ["no input", { input: [] }, "`input` is empty"],
    ["an empty text", { input: ["a", ""] }, "`input[1]` is empty"],
    ["2,049 inputs", { input: numbered(2049) }, "has 2049 inputs; one call takes at most 2048"],
    ["texts and tokens together", { input: ["a", 1] }, "entry 1 is neither"],
    ["a token that is none", { input: [[1.5]] }, "whole, positive token numbers"],
    ["no dimensions", { input: "a", dimensions: 0 }, "`dimensions` must be"],
    ["an encoding that is none", { input: "a", encoding_format: "hex" }, "`encoding_format` must be"],
  ])("%s", async (_what, body, words) => {
    const answer = await post("/v1/embeddings", { model: "sim/echo", ...body });
    expect([answer.status, answer.headers.get("x-gimbal-problem")]).toEqual([400, "invalid_request"]);
    expect(errorOf(answer).message).toContain(words);
  });

  it("an input that is too long is refused with the limit and the count, before anybody is asked; a target that takes it is used", async () => {
    const long = "word ".repeat(200);
    const before = upstream.requests.length;
    const answer = await post("/v1/embeddings", { model: "lab/paid", input: ["short", long] });
    expect([answer.status, answer.headers.get("x-gimbal-problem")]).toEqual([400, "unsupported"]);
    expect(errorOf(answer).message).toMatch(/takes 50 tokens an input, and input 1 has about 20\d/);
    expect(upstream.requests.length).toBe(before);
    expect((await post("/v1/embeddings", { model: "short", input: long })).headers.get("x-gimbal-target")).toBe("sim/echo");
  });

  it("a model of conversations says which could", async () => {
    const answer = await post("/v1/embeddings", { model: "talk/m", input: "a" });
    expect([answer.status, answer.headers.get("x-gimbal-problem")]).toEqual([400, "unsupported"]);
    expect(errorOf(answer).message).toContain('talk/m takes no embeddings. Models that could: "cached"');
  });
});

describe("the rest of the pipeline", () => {
  it("an answer is repeated, also in the other encoding and never for other words", async () => {
    upstream.answerWith(embedder);
    const before = upstream.requests.length;
    const ask = async (body: object): Promise<Answer> => post("/v1/embeddings", { model: "cached", ...body });
    const first = await ask({ input: ["text 7"] });
    const again = await ask({ input: ["text 7"] });
    expect([first.headers.get("x-gimbal-cache"), again.headers.get("x-gimbal-cache")]).toEqual(["miss", "hit"]);
    expect((again.body as { data: unknown }).data).toEqual((first.body as { data: unknown }).data);
    const base64 = await ask({ input: ["text 7"], encoding_format: "base64" });
    expect(base64.headers.get("x-gimbal-cache")).toBe("hit");
    expect((base64.body as { data: { embedding: string }[] }).data[0]?.embedding).toBe(
      Buffer.from(Float32Array.of(7, 1).buffer).toString("base64"),
    );
    expect((await ask({ input: ["text 8"] })).headers.get("x-gimbal-cache")).toBe("miss");
    expect(upstream.requests.length - before).toBe(2);
    const rows = await gateway.rows();
    expect(rows.at(-2)).toMatchObject({ cache: "hit", costNanodollars: 0, savedNanodollars: 1000 });
  });

  it("calls that are the same at the same time ask once", async () => {
    let asked = 0;
    upstream.answerWith((response, request) => {
      asked++;
      setTimeout(() => embedder(response, request), 50);
    });
    const answers = await Promise.all(Array.from({ length: 20 }, () => post("/v1/embeddings", { model: "cached", input: ["text 11"] })));
    expect([asked, new Set(answers.map(({ text }) => text.replace(/"id":"[^"]*",/, ""))).size]).toEqual([1, 1]);
    expect(answers.filter(({ headers }) => headers.get("x-gimbal-cache") === "hit")).toHaveLength(19);
  });

  it("an idempotency key is paid once, and means one request", async () => {
    upstream.answerWith(embedder);
    const before = upstream.requests.length;
    const key = { "idempotency-key": "task-1" };
    const first = await post("/v1/embeddings", { model: "lab/paid", input: "text 1" }, key);
    const again = await post("/v1/embeddings", { input: "text 1", model: "lab/paid" }, key);
    expect(again.text).toBe(first.text);
    expect(upstream.requests.length - before).toBe(1);
    expect((await post("/v1/embeddings", { model: "lab/paid", input: "text 2" }, key)).status).toBe(409);
  });

  it("a guard that knows calls alone sees a task's texts, and changes or refuses them", async () => {
    const shown: string[] = [];
    const own = await startGateway({
      guards: [
        {
          id: "words",
          readsContent: true,
          call(call) {
            const texts = call.items.map((item) =>
              item.type === "message" ? item.parts.map((part) => (part.type === "text" ? part.text : "")).join("") : "",
            );
            shown.push(...texts);
            if (texts.some((text) => text.includes("forbidden")))
              return { verdict: "deny", problem: { kind: "policy_denied", message: "No." } };
            const items = texts.map((text) => ({
              type: "message" as const,
              role: "user" as const,
              parts: [{ type: "text" as const, text: text.replace("secret", "***") }],
            }));
            return { verdict: "change", value: { ...call, items }, reason: "words" };
          },
        },
      ],
    });
    const send = async (path: string, body: unknown): Promise<{ status: number; text: string }> => {
      const response = await fetch(own.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      return { status: response.status, text: await response.text() };
    };
    try {
      const embedded = await send("/v1/embeddings", { model: "sim/echo", input: ["a", "secret b"], dimensions: 4 });
      const { data } = JSON.parse(embedded.text) as { data: { embedding: number[] }[] };
      expect(data.map(({ embedding }) => embedding)).toEqual([unitVector("a", 4), unitVector("*** b", 4)]);
      const documents = ["the secret", { text: "the ***", id: "secret" }];
      const ranked = await send("/v1/rerank", { model: "sim/echo", query: "secret", documents });
      expect(ranked.status).toBe(200);
      expect(shown).toEqual(["a", "secret b", "secret", "the secret", "the ***", "secret"]);
      for (const [path, body] of [
        ["/v1/moderations", { input: [{ type: "text", text: "forbidden" }] }],
        ["/v1/images/generations", { prompt: "forbidden" }],
        ["/v1/audio/speech", { input: "a", voice: "b", instructions: "forbidden" }],
        ["/v1/embeddings", { input: [[1, 2]] }],
      ] as const) {
        const { status, text } = await send(path, { model: "sim/echo", ...body });
        expect([path, status], text).toEqual([path, 403]);
      }
    } finally {
      await own.close();
    }
  });

  it("a guard changes what leaves and says no", async () => {
    upstream.answerWith(embedder);
    guard = (task) =>
      task.operation === "embed" ? { verdict: "change", value: { ...task, inputs: ["hidden 5"] }, reason: "test" } : { verdict: "allow" };
    await post("/v1/embeddings", { model: "lab/paid", input: "secret", extra: 1 });
    expect(upstream.requests.at(-1)?.body).toEqual({ model: "paid", input: "hidden 5", extra: 1 });
    guard = () => ({ verdict: "deny", problem: { kind: "policy_denied", message: "Not this." } });
    expect((await post("/v1/embeddings", { model: "lab/paid", input: "a" })).headers.get("x-gimbal-problem")).toBe("policy_denied");
    guard = undefined;
  });

  it("what a guard made of a task is another task to the cache", async () => {
    upstream.answerWith(embedder);
    const ask = async (input: string): Promise<string | null> => {
      guard = (task) =>
        task.operation === "embed" ? { verdict: "change", value: { ...task, inputs: [input] }, reason: "test" } : { verdict: "allow" };
      return (await post("/v1/embeddings", { model: "cached", input: "the same" })).headers.get("x-gimbal-cache");
    };
    expect([await ask("text 21"), await ask("text 22"), await ask("text 21")]).toEqual(["miss", "miss", "hit"]);
    guard = undefined;
  });

  it("a budget holds what a task may cost by tokens and by images", async () => {
    upstream.answerWith(embedder);
    const key = await gateway.key({ name: "poor", team: "poor" });
    const headers = { authorization: `Bearer ${key}` };
    expect((await post("/v1/embeddings", { model: "lab/paid", input: "a" }, headers)).status).toBe(200);
    const large = await post("/v1/embeddings", { model: "lab/paid", input: numbered(100) }, headers);
    expect([large.status, large.headers.get("x-gimbal-problem")]).toEqual([402, "budget_exhausted"]);
    const image = await post("/v1/images/generations", { model: "lab/pictures", prompt: "a" }, headers);
    expect(image.headers.get("x-gimbal-problem")).toBe("budget_exhausted");
  });

  it("a switch stops tasks like any call", async () => {
    const admin = { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" };
    const made = await fetch(`${gateway.url}/admin/api/kill`, {
      method: "POST",
      headers: admin,
      body: JSON.stringify({ scope: "model", value: "cached" }),
    });
    const { id } = (await made.json()) as { id: string };
    expect((await post("/v1/embeddings", { model: "cached", input: "a" })).headers.get("x-gimbal-problem")).toBe("killed");
    await fetch(`${gateway.url}/admin/api/kill/${id}`, { method: "DELETE", headers: admin });
  });

  it("a task is copied to a shadow, which leaves its own row", async () => {
    upstream.answerWith(embedder);
    await post("/v1/embeddings", { model: "shadowed", input: "text 3" });
    const rows = await gateway.rows();
    expect(rows.at(-1)).toMatchObject({
      operation: "embed",
      target: "lab/paid",
      shadow: { model: "shadowed", original: { target: "sim/echo" } },
    });
  });
});
