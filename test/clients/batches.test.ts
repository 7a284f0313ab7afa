import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** Released clients: files, and batches of calls that the gateway makes itself. */
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: "batches: { retries: 0 }\nsim: { models: { flaky: { faults: [{ kind: refuse, share: 1 }] } } }\n",
  });
});
afterAll(() => gateway.close());

const openai = (apiKey = "x"): OpenAI => new OpenAI({ apiKey, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
const anthropic = (): Anthropic => new Anthropic({ apiKey: "x", baseURL: gateway.url, maxRetries: 0 });
const chat = (id: string, content: string, model = "sim/echo"): object => ({
  custom_id: id,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model, messages: [{ role: "user", content }] },
});
const jsonl = (lines: readonly unknown[]): string =>
  lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");

async function until<T>(look: () => Promise<T>, isOver: (seen: T) => boolean): Promise<T> {
  for (;;) {
    const seen = await look();
    if (isOver(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("the openai client", () => {
  it("keeps files, each caller its own", async () => {
    const client = openai();
    const body = "ä\n".repeat(300_000);
    const file = await client.files.create({
      file: await toFile(Buffer.from(body), "../../etc/passwd ü.jsonl"),
      purpose: "user_data",
      expires_after: { anchor: "created_at", seconds: 3600 },
    });
    expect(file).toMatchObject({ object: "file", bytes: 900_000, purpose: "user_data", status: "processed", filename: "passwd ü.jsonl" });
    expect((file.expires_at ?? 0) - file.created_at).toBe(3600);
    expect(await client.files.retrieve(file.id)).toEqual(file);
    const content = await client.files.content(file.id);
    expect(await content.text()).toBe(body);
    expect(content.headers.get("content-disposition")).toBe("attachment; filename*=UTF-8''passwd%20%C3%BC.jsonl");
    const nasty = { file: await toFile(Buffer.from(body), "a\u0007b"), purpose: "user_data" } as const;
    await expect(client.files.create(nasty)).rejects.toMatchObject({ status: 400 });
    const other = await client.files.create({ file: await toFile(Buffer.from("{}"), "b.jsonl"), purpose: "batch" });
    const names: string[] = [];
    for await (const each of client.files.list({ limit: 1 })) names.push(each.id);
    expect(names).toEqual([other.id, file.id]);
    expect((await client.files.list({ purpose: "batch" })).data.map(({ id }) => id)).toEqual([other.id]);
    const stranger = openai(await gateway.key());
    expect((await stranger.files.list()).data).toEqual([]);
    await expect(stranger.files.retrieve(file.id)).rejects.toMatchObject({ status: 404 });
    await expect(stranger.files.content(file.id)).rejects.toMatchObject({ status: 404 });
    await expect(stranger.files.delete(file.id)).rejects.toMatchObject({ status: 404 });
    await expect(
      stranger.batches.create({ completion_window: "24h", endpoint: "/v1/chat/completions", input_file_id: other.id }),
    ).rejects.toMatchObject({ status: 404 });
    for (const { id } of [file, other]) expect(await client.files.delete(id)).toEqual({ id, object: "file", deleted: true });
    await expect(client.files.retrieve(file.id)).rejects.toMatchObject({ status: 404 });
  });

  it("has a batch answered, whose bad lines fail alone", async () => {
    const client = openai(await gateway.key({ name: "batcher" }));
    const lines = [
      chat("one", "first"),
      chat("two", "zweite ü"),
      "{ no json",
      { ...chat("x", "no name"), custom_id: undefined },
      chat("one", "again"),
      { ...chat("elsewhere", "y"), url: "/v1/embeddings" },
      { ...chat("streamed", "y"), body: { model: "sim/echo", stream: true, messages: [{ role: "user", content: "y" }] } },
      chat("unknown", "y", "no/model"),
      chat("refused", "y", "sim/flaky"),
      "",
      chat("last", "third"),
    ];
    const input = await client.files.create({ file: await toFile(Buffer.from(`\uFEFF${jsonl(lines)}`), "in.jsonl"), purpose: "batch" });
    const made = await client.batches.create({
      completion_window: "24h",
      endpoint: "/v1/chat/completions",
      input_file_id: input.id,
      metadata: { job: "nightly" },
    });
    expect(made).toMatchObject({ object: "batch", status: "validating", request_counts: { total: 10 }, metadata: { job: "nightly" } });
    const batch = await until(
      () => client.batches.retrieve(made.id),
      ({ status }) => status === "completed",
    );
    expect(batch.request_counts).toEqual({ total: 10, completed: 3, failed: 7 });
    const answers = (await (await client.files.content(batch.output_file_id ?? "")).text()).trim().split("\n").map(read);
    expect(
      answers.map(({ custom_id, response }) => [custom_id, response?.status_code, response?.body.choices?.[0]?.message.content]),
    ).toEqual([
      ["one", 200, "first"],
      ["two", 200, "zweite ü"],
      ["last", 200, "third"],
    ]);
    const errors = (await (await client.files.content(batch.error_file_id ?? "")).text()).trim().split("\n").map(read);
    expect(errors.map(({ custom_id, response, error }) => [custom_id, response?.status_code, error?.code])).toEqual([
      [null, 400, "invalid_line"],
      [null, 400, "missing_custom_id"],
      ["one", 400, "duplicate_custom_id"],
      ["elsewhere", 400, "invalid_url"],
      ["streamed", 400, "invalid_body"],
      ["unknown", 404, undefined],
      ["refused", 502, undefined],
    ]);
    expect((await client.batches.list()).data.map(({ id }) => id)).toEqual([made.id]);
    expect((await openai().batches.list()).data).toEqual([]);
    const rows = (await gateway.rows()).filter(({ metadata }) => metadata?.["batch"] === made.id);
    expect(
      rows
        .map(({ metadata }) => JSON.stringify(metadata?.["custom_id"]))
        .toSorted(byName)
        .map(read),
    ).toEqual(["last", "one", "refused", "two", "unknown"]);
    expect(new Set(rows.map(({ callerName }) => callerName))).toEqual(new Set(["batcher"]));
    expect(answers[0]?.response?.request_id).toBe(rows.find(({ metadata }) => metadata?.["custom_id"] === "one")?.callId);
    await expect(client.batches.cancel(made.id)).resolves.toMatchObject({ status: "completed" });
  });

  it("is told what is wrong with a batch", async () => {
    const client = openai();
    const file = await client.files.create({ file: await toFile(Buffer.from("\n\n"), "in.jsonl"), purpose: "batch" });
    const ask = (endpoint: string, id = file.id): Promise<unknown> =>
      client.batches.create({ completion_window: "24h", endpoint: endpoint as "/v1/responses", input_file_id: id });
    await expect(ask("/v1/responses")).rejects.toMatchObject({ status: 400, message: expect.stringContaining("no lines") });
    await expect(ask("/v1/audio/speech")).rejects.toMatchObject({ status: 400, param: "endpoint" });
    await expect(ask("/v1/responses", "file-none")).rejects.toMatchObject({ status: 404, param: "input_file_id" });
    await expect(ask("/v1/responses", "../../x")).rejects.toMatchObject({ status: 404 });
    await expect(client.files.create({ file: await toFile(Buffer.from(""), "a"), purpose: "nonsense" as "batch" })).rejects.toMatchObject({
      status: 400,
      param: "purpose",
    });
    expect((await openai().embeddings.create({ model: "sim/echo", input: "x" })).data).toHaveLength(1);
  });

  it.each([
    ["/v1/responses", { model: "sim/echo", input: "x" }],
    ["/v1/embeddings", { model: "sim/echo", input: "x" }],
    ["/v1/completions", { model: "sim/echo", prompt: "x" }],
    ["/v1/moderations", { model: "sim/echo", input: "x" }],
  ] as const)("has batches of %s", async (endpoint, body) => {
    const client = openai();
    const line = { custom_id: "a", method: "POST", url: endpoint, body };
    const input = await client.files.create({ file: await toFile(Buffer.from(jsonl([line])), "in.jsonl"), purpose: "batch" });
    const made = await client.batches.create({ completion_window: "24h", endpoint, input_file_id: input.id });
    const batch = await until(
      () => client.batches.retrieve(made.id),
      ({ status }) => status === "completed",
    );
    expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
    expect(batch.error_file_id).toBeNull();
  });
});

describe("the Anthropic client", () => {
  const request = (id: string, content: string, more: object = {}): Anthropic.Messages.BatchCreateParams.Request => ({
    custom_id: id,
    params: { model: "sim/echo", max_tokens: 64, messages: [{ role: "user", content }], ...more },
  });

  it("has a batch answered, reads its results and deletes it", async () => {
    const { batches } = anthropic().messages;
    const made = await batches.create({
      requests: [
        request("a", "first"),
        request("a", "doubled"),
        request("no such name!", "x"),
        request("b", "x", { max_tokens: "many" }),
        request("c", "second"),
      ],
    });
    expect(made).toMatchObject({ type: "message_batch", processing_status: "in_progress", results_url: null });
    expect(made.request_counts.processing).toBe(5);
    const batch = await until(
      () => batches.retrieve(made.id),
      ({ processing_status: status }) => status === "ended",
    );
    expect(batch.request_counts).toEqual({ processing: 0, succeeded: 2, errored: 3, canceled: 0, expired: 0 });
    const results = [];
    for await (const result of await batches.results(made.id)) results.push(result);
    expect(
      results.map(({ custom_id, result }) => [
        custom_id,
        result.type,
        result.type === "succeeded" ? result.message.content : result.type === "errored" ? result.error.error.type : undefined,
      ]),
    ).toMatchObject([
      ["a", "succeeded", [{ type: "text", text: "first" }]],
      ["a", "errored", "invalid_request_error"],
      ["no such name!", "errored", "invalid_request_error"],
      ["b", "errored", "invalid_request_error"],
      ["c", "succeeded", [{ type: "text", text: "second" }]],
    ]);
    const second = await batches.create({ requests: [request("z", "x")] });
    const listed = [];
    for await (const each of batches.list({ limit: 1 })) listed.push(each.id);
    expect(listed).toEqual([second.id, made.id]);
    expect((await batches.list({ limit: 5, before_id: made.id })).data.map(({ id }) => id)).toEqual([second.id]);
    expect(await batches.delete(made.id)).toEqual({ id: made.id, type: "message_batch_deleted" });
    await expect(batches.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
    await expect(batches.create({ requests: [] })).rejects.toMatchObject({ status: 400 });
    expect((await openai().files.list()).data.filter(({ id }) => id.includes("msgbatch"))).toEqual([]);
  });
});

const byName = (a: string, b: string): number => (a < b ? -1 : 1);

interface Told {
  readonly custom_id: string | null;
  readonly response?: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: { readonly choices?: readonly { readonly message: { readonly content: string } }[] };
  };
  readonly error?: { readonly code: string };
}
function read(line: string): Told {
  return JSON.parse(line) as Told;
}
