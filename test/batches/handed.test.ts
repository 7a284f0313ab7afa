import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { anyAnswer, lastText, messagesAnswer } from "../support/batch-answers.ts";
import { startService, type TestService } from "../support/batch-service.ts";
import {
  beginBatch,
  chatLine,
  dataFolder,
  fourKinds,
  openGateway,
  saidIn,
  toldLines,
  until,
  whenOver,
  type BatchGateway,
} from "../support/batching.ts";

/** Batches that providers' own services answer, through released clients at both doors and all protocols behind. */
let service: TestService;
let gateway: BatchGateway;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  service = await startService({ answer: anyAnswer });
  closing.push(() => service.close());
  gateway = await open();
});
beforeEach(() => service.reset());
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
});

async function open(more = ""): Promise<BatchGateway> {
  const { folder, remove } = await dataFolder();
  closing.push(remove);
  const opened = await openGateway(fourKinds(service.url) + more, folder);
  closing.push(() => opened.close());
  return opened;
}

const GPT = "lab/gpt-5-mini";
const CLAUDE = "claude/claude-sonnet-4-5";
const MISTRAL = "mistral/mistral-large-2512";
const GEMINI = "gemini/gemini-2.5-flash";

const ids = (from: number, to: number): readonly string[] => Array.from({ length: to - from + 1 }, (_, place) => `n${from + place}`);

describe("a batch whose provider has a service of its own", () => {
  it("is handed over whole, and told line by line in the order of its lines", async () => {
    const id = await beginBatch(
      gateway.openai,
      ids(1, 5).map((name) => chatLine(name, GPT)),
    );
    const batch = await whenOver(gateway.openai, id);
    expect(batch).toMatchObject({ status: "completed", request_counts: { total: 5, completed: 5, failed: 0 } });
    const told = await toldLines(gateway.openai, batch.output_file_id);
    expect(told.map((line) => [line.custom_id, line.response?.status_code, saidIn(line)])).toEqual(
      ids(1, 5).map((name) => [name, 200, `heard ${name}`]),
    );
    expect(service.batches).toHaveLength(1);
    expect(service.calls).toEqual([]);
    // The provider learns no name of its caller's.
    expect(service.batches[0]?.lines.map(({ customId }) => /^gb\w{22}-\d$/.test(customId))).toEqual([true, true, true, true, true]);
    expect(service.batches[0]?.lines[0]).toMatchObject({ path: "/chat/completions", body: { model: "gpt-5-mini" } });
    const rows = await gateway.rowsOf(id);
    expect(rows.map(({ metadata, state, target, operation }) => [metadata?.["batch"], state, target, operation])).toEqual(
      Array.from({ length: 5 }, () => [id, "done", GPT, "generate"]),
    );
    expect(new Set(told.map(({ response }) => response?.request_id))).toEqual(new Set(rows.map(({ callId }) => callId)));
    // Nothing is left there.
    await until(
      async () => service.deleted,
      (deleted) => deleted.length === 2,
    );
  });

  it.each([
    ["openai", "messages", CLAUDE],
    ["anthropic", "messages", CLAUDE],
    ["anthropic", "files", GPT],
    ["openai", "jobs", MISTRAL],
    ["anthropic", "jobs", MISTRAL],
    ["openai", "operations", GEMINI],
    ["anthropic", "operations", GEMINI],
  ] as const)("comes by the door of %s and goes to the service of %s", async (door, protocol, model) => {
    const texts = door === "openai" ? await byFiles(gateway, model) : await byMessages(gateway, model);
    expect(texts).toEqual(["heard n1", "heard n2", "heard n3"]);
    expect(service.batches.map((batch) => [batch.protocol, batch.lines.length])).toEqual([[protocol, 3]]);
    expect(service.calls).toEqual([]);
    expect((await gateway.rows()).slice(-3).map(({ usage }) => usage.serviceTier)).toEqual(["batch", "batch", "batch"]);
  });

  it("goes in the language of its service, also where its provider speaks the client's, and leaves nothing there", async () => {
    const lines = [chatLine("n1", GEMINI), chatLine("n2", MISTRAL), chatLine("n3", GEMINI, { temperature: 0.5 })];
    const batch = await whenOver(gateway.openai, await beginBatch(gateway.openai, lines));
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    const of = (protocol: string): TestService["batches"] => service.batches.filter((each) => each.protocol === protocol);
    expect(of("operations").flatMap((each) => each.lines.map(({ path, body }) => [path, body]))).toEqual([
      ["/models/gemini-2.5-flash:generateContent", { contents: [{ role: "user", parts: [{ text: "text n1" }] }] }],
      [
        "/models/gemini-2.5-flash:generateContent",
        { contents: [{ role: "user", parts: [{ text: "text n3" }] }], generationConfig: { temperature: 0.5 } },
      ],
    ]);
    expect(of("operations")[0]?.headers).toMatchObject({ "x-goog-api-key": "k" });
    expect(of("operations")[0]?.metadata).toMatch(/^gb\w{22}$/);
    expect(of("jobs")[0]?.lines).toMatchObject([{ path: "/chat/completions", body: { model: "mistral-large-2512" } }]);
    expect(of("jobs")[0]?.metadata).toEqual({ gimbal_mark: expect.stringMatching(/^gb\w{22}$/) });
    // What was sent, what came and the batch, of either.
    const deleted = await until(
      async () => service.deleted,
      (all) => all.length >= 6,
    );
    expect(deleted).toEqual(expect.arrayContaining(service.batches.flatMap(({ id }) => [id, `${id}-out`])));
  });

  it("is answered here where only another language of its provider can say all of it", async () => {
    const nonsense = { messages: [{ role: "user", content: [{ type: "nonsense" }] }] };
    const lines = [chatLine("n1", GEMINI, { n: 3 }), chatLine("n2", GEMINI, nonsense), chatLine("n3", GEMINI)];
    const batch = await whenOver(gateway.openai, await beginBatch(gateway.openai, lines));
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(new Set(service.calls.map(({ path, body }) => JSON.stringify([path, body["n"] ?? body["messages"]])))).toEqual(
      new Set([3, nonsense.messages].map((asked) => JSON.stringify(["/openai/chat/completions", asked]))),
    );
    expect(service.batches.map((each) => each.lines.length)).toEqual([1]);
  });

  it.each([MISTRAL, GEMINI])("tells what %s refused of single lines", async (model) => {
    const error = { message: "the text is too long" };
    service.behaviour.answer = (line) => (lastText(line.body) === "n2" ? { status: 400, body: { error } } : anyAnswer(line));
    const lines = ids(1, 3).map((name) => chatLine(name, model));
    const batch = await whenOver(gateway.openai, await beginBatch(gateway.openai, lines));
    expect(batch.request_counts).toEqual({ total: 3, completed: 2, failed: 1 });
    expect(await toldLines(gateway.openai, batch.error_file_id)).toMatchObject([
      { custom_id: "n2", response: { status_code: 400, body: { error: { message: expect.stringContaining("too long") } } } },
    ]);
  });

  it("is answered here where the configuration says so, or its provider's service is left out", async () => {
    const here = await open("batches: { via: gateway }\n");
    const batch = await whenOver(here.openai, await beginBatch(here.openai, [chatLine("n1", GPT)]));
    expect(batch.request_counts?.completed).toBe(1);
    expect(service.batches).toEqual([]);
    expect(service.calls).toHaveLength(1);
  });

  it("goes on for all other lines where some are bad, or go elsewhere", async () => {
    const lines = [
      chatLine("n1", GPT),
      "{ no json",
      chatLine("n1", GPT),
      chatLine("echo", "sim/echo"),
      chatLine("unknown", "no/model"),
      chatLine("n2", GPT, { stream: true }),
      chatLine("n3", GPT),
      chatLine("other", "lab/gpt-5"),
    ];
    const batch = await whenOver(gateway.openai, await beginBatch(gateway.openai, lines));
    expect(batch.request_counts).toEqual({ total: 8, completed: 4, failed: 4 });
    const told = await toldLines(gateway.openai, batch.output_file_id);
    expect(told.map((line) => [line.custom_id, saidIn(line)])).toEqual([
      ["n1", "heard n1"],
      ["echo", "text echo"],
      ["n3", "heard n3"],
      ["other", "heard other"],
    ]);
    const errors = await toldLines(gateway.openai, batch.error_file_id);
    expect(errors.map(({ error, response }) => error?.code ?? response?.status_code)).toEqual([
      "invalid_line",
      "duplicate_custom_id",
      404,
      "invalid_body",
    ]);
    // One batch a model.
    expect(service.batches.map((each) => each.lines.map(({ body }) => body["model"]))).toEqual([["gpt-5-mini", "gpt-5-mini"], ["gpt-5"]]);
  });

  it("tells what the provider refused of single lines, in the client's words, and books nothing for them", async () => {
    const error = { type: "error", error: { type: "invalid_request_error", message: "max_tokens is too large" } };
    service.behaviour.answer = (line) => (lastText(line.body) === "n2" ? { status: 400, body: error } : messagesAnswer(line));
    const batch = await whenOver(
      gateway.openai,
      await beginBatch(
        gateway.openai,
        ids(1, 3).map((name) => chatLine(name, CLAUDE)),
      ),
    );
    expect(batch.request_counts).toEqual({ total: 3, completed: 2, failed: 1 });
    const [failed] = await toldLines(gateway.openai, batch.error_file_id);
    expect(failed).toMatchObject({
      custom_id: "n2",
      response: { status_code: 400, body: { error: { message: expect.stringContaining("max_tokens") } } },
    });
    const rows = await gateway.rowsOf(batch.id);
    expect(rows.filter(({ state }) => state === "failed").map(({ costNanodollars, problem }) => [costNanodollars, problem])).toEqual([
      [0, "upstream_rejected"],
    ]);
  });

  it("is refused a file that was given for something else", async () => {
    const file = await gateway.openai.files.create({ file: new File(["{}"], "a.jsonl"), purpose: "user_data" });
    await expect(
      gateway.openai.batches.create({ completion_window: "24h", endpoint: "/v1/chat/completions", input_file_id: file.id }),
    ).rejects.toMatchObject({ status: 400, param: "input_file_id" });
  });
});

async function byFiles({ openai }: BatchGateway, model: string): Promise<readonly (string | undefined)[]> {
  const batch = await whenOver(
    openai,
    await beginBatch(
      openai,
      ids(1, 3).map((name) => chatLine(name, model)),
    ),
  );
  return (await toldLines(openai, batch.output_file_id)).map(saidIn);
}

async function byMessages({ anthropic }: BatchGateway, model: string): Promise<readonly string[]> {
  const requests = ids(1, 3).map((name) => ({
    custom_id: name,
    params: { model, max_tokens: 100, messages: [{ role: "user" as const, content: `text ${name}` }] },
  }));
  const { id } = await anthropic.messages.batches.create({ requests });
  await until(
    () => anthropic.messages.batches.retrieve(id),
    (seen) => seen.processing_status === "ended",
  );
  const texts: string[] = [];
  for await (const { result } of await anthropic.messages.batches.results(id)) {
    const [block] = result.type === "succeeded" ? result.message.content : [];
    texts.push(block?.type === "text" ? block.text : result.type);
  }
  return texts;
}
