import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: "models: { fast: sim/echo }\n" });
});
afterAll(() => gateway.close());

const openai = (apiKey = "sk-none") => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
const anthropic = (apiKey = "none") => new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });

describe("the list of models", () => {
  it("has the shape of whoever asks", async () => {
    const names: string[] = [];
    for await (const model of openai().models.list()) names.push(model.id);
    expect(names).toContain("fast");
    expect(names).toContain("sim/echo");
    const theirs: string[] = [];
    for await (const model of anthropic().models.list()) theirs.push(model.id);
    expect(theirs).toEqual(names);
    expect(await openai().models.retrieve("sim/echo")).toMatchObject({ id: "sim/echo", object: "model" });
    expect(await anthropic().models.retrieve("sim/echo")).toMatchObject({ id: "sim/echo", type: "model" });
  });

  it("tells what is known of each in every language, beside the language's own fields", async () => {
    const knowing = await startGateway({
      config: `providers:
  openai: { apiKey: x, region: eu-west-1 }
models: { smart: openai/gpt-5-mini, vectors: openai/text-embedding-3-small }
`,
    });
    const card = {
      provider: "openai",
      model: "gpt-5-mini",
      contextTokens: 400_000,
      maxOutputTokens: 128_000,
      input: ["text", "image", "file"],
      output: ["text"],
      tools: true,
      structuredOutput: true,
      reasoning: true,
      operations: ["generate"],
      region: "eu-west-1",
      retentionDays: 30,
      languages: ["openai-responses", "openai-chat"],
      prices: { inputUsd: "0.250000000", cacheReadUsd: "0.025000000", outputUsd: "2.000000000" },
    };
    const ask = async (path: string, init: RequestInit = {}): Promise<Record<string, unknown>> =>
      (await (await fetch(`${knowing.url}${path}`, init)).json()) as Record<string, unknown>;
    const versioned = { headers: { "anthropic-version": "2023-06-01" } };
    expect(await ask("/v1/models/smart")).toMatchObject({ object: "model", owned_by: "openai", gimbal: card });
    expect(await ask("/v1/models/smart", versioned)).toMatchObject({ type: "model", max_input_tokens: 400_000, gimbal: card });
    const listed = (await ask("/v1beta/models"))["models"] as { name: string }[];
    const gemini = (name: string) => listed.find((model) => model.name === `models/${name}`);
    expect(gemini("smart")).toMatchObject({ inputTokenLimit: 400_000, thinking: true, gimbal: card });
    expect(gemini("vectors")).toMatchObject({ supportedGenerationMethods: ["embedContent"] });
    const show = (model: string) => ask("/api/show", { method: "POST", body: JSON.stringify({ model }) });
    expect(await show("smart")).toMatchObject({ capabilities: ["completion", "vision", "tools", "thinking"], gimbal: card });
    expect(await show("vectors")).toMatchObject({ capabilities: ["embedding"] });
    await knowing.close();
  });

  it("names the nearest one it has, in the asker's own kind of error", async () => {
    const mine = await openai()
      .models.retrieve("sim/ehco")
      .catch((error: unknown) => error);
    expect(mine).toBeInstanceOf(OpenAI.NotFoundError);
    expect((mine as Error).message).toContain('"sim/echo"');
    const theirs = await anthropic()
      .models.retrieve("sim/ehco")
      .catch((error: unknown) => error);
    expect(theirs).toBeInstanceOf(Anthropic.NotFoundError);
    expect(theirs).toMatchObject({ error: { type: "error", error: { type: "not_found_error" } } });
    expect((theirs as Error).message).toContain("sim/echo");
    expect((theirs as InstanceType<typeof Anthropic.APIError>).headers?.get("x-gimbal-problem")).toBe("unknown_model");
  });

  it("is refused to an unknown key in the asker's own kind of error", async () => {
    await expect(openai("gk_unknown").models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(anthropic("gk_unknown").models.list()).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    const error = await anthropic("gk_unknown")
      .models.list()
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    expect(error).toMatchObject({ error: { type: "error", error: { type: "authentication_error" } } });
  });
});

describe("what is asked beside calls", () => {
  const tight = () => gateway.key({ name: "tight", limits: [{ requests: 2, per: "hour" }] });

  it("counts against the caller's limit, and is refused in the asker's own kind of error", async () => {
    const mine = await tight();
    await openai(mine).models.list();
    await openai(mine).models.retrieve("fast");
    await expect(openai(mine).models.list()).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    const theirs = await anthropic(mine)
      .models.list()
      .catch((error: unknown) => error);
    expect(theirs).toBeInstanceOf(Anthropic.RateLimitError);
    expect(Number((theirs as InstanceType<typeof Anthropic.APIError>).headers?.get("retry-after"))).toBeGreaterThan(0);
  });

  it("counts for a call's life as well, but stopping it is always allowed", async () => {
    const headers = { authorization: `Bearer ${await tight()}` };
    const life = (path = "", method = "GET") => fetch(`${gateway.url}/v1/calls/call_0${path}`, { method, headers });
    expect((await life()).status).toBe(404);
    expect((await life("/events")).status).toBe(404);
    const refused = await life();
    expect([refused.status, refused.headers.get("x-gimbal-problem")]).toEqual([429, "rate_limited"]);
    expect((await life("/cancel", "POST")).status).toBe(404);
  });
});

describe("pages of the list", () => {
  let many: TestGateway;
  const names = Array.from({ length: 25 }, (_, at) => `m${String(at).padStart(2, "0")}`);
  beforeAll(async () => {
    many = await startGateway({ config: `models: { ${names.map((name) => `${name}: sim/echo`).join(", ")} }\n` });
  });
  afterAll(() => many.close());
  const client = () => new Anthropic({ baseURL: many.url, apiKey: "none", maxRetries: 0 });

  it("are walked by the client itself, whatever their size", async () => {
    for (const limit of [undefined, 1, 7, 1000]) {
      const seen: string[] = [];
      for await (const { id } of client().models.list(limit === undefined ? {} : { limit })) seen.push(id);
      expect(seen.filter((id) => id.startsWith("m"))).toEqual(names);
    }
  });

  it("name their ends, in both directions", async () => {
    const first = await client().models.list({ limit: 3 });
    expect([first.data.length, first.has_more, first.first_id, first.last_id]).toEqual([3, true, first.data[0]?.id, first.data[2]?.id]);
    const second = await client().models.list({ limit: 3, after_id: first.last_id ?? "" });
    expect(second.data[0]?.id).not.toBe(first.last_id);
    const back = await client().models.list({ limit: 2, before_id: second.first_id ?? "" });
    expect(back.data.map(({ id }) => id)).toEqual(first.data.slice(1).map(({ id }) => id));
    expect(back.has_more).toBe(true);
    expect((await client().models.list({ limit: 9, before_id: first.first_id ?? "" })).data).toEqual([]);
  });

  it.each([{ limit: 0 }, { limit: 1001 }, { after_id: "nobody" }, { after_id: "m01", before_id: "m02" }])("refuse %o", async (query) => {
    await expect(client().models.list(query)).rejects.toBeInstanceOf(Anthropic.BadRequestError);
  });
});
