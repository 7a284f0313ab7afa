import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { entranceOf, tellCall } from "../../src/batches/call.ts";
import { anyAnswer, chatAnswer } from "../support/batch-answers.ts";
import { startService, type ServedLine, type TestService } from "../support/batch-service.ts";
import { beginBatch, chatLine, dataFolder, fourKinds, openGateway, until, whenOver, type BatchGateway } from "../support/batching.ts";

/** What batches at providers' services cost, to the nanodollar, and what is held for them. */
let service: TestService;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  service = await startService({ answer: anyAnswer });
  closing.push(() => service.close());
});
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
});

async function open(more = ""): Promise<{ readonly gateway: BatchGateway; readonly reopen: () => Promise<BatchGateway> }> {
  const { folder, remove } = await dataFolder();
  closing.push(remove);
  const again = async (): Promise<BatchGateway> => {
    const opened = await openGateway(fourKinds(service.url) + more, folder);
    let isClosed = false;
    const close = async (): Promise<void> => {
      if (!isClosed) await opened.close();
      isClosed = true;
    };
    closing.push(close);
    return { ...opened, close };
  };
  return { gateway: await again(), reopen: again };
}

const events = (model: string): string =>
  [
    { choices: [{ index: 0, delta: { role: "assistant", content: "heard" }, finish_reason: null }] },
    { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    { choices: [], usage: { prompt_tokens: 1000, completion_tokens: 200, total_tokens: 1200 } },
  ]
    .map((chunk) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model, ...chunk })}\n\n`)
    .join("") + "data: [DONE]\n\n";

const GPT = "lab/gpt-5-mini";
const CLAUDE = "claude/claude-sonnet-4-5";
const MISTRAL = "mistral/mistral-large-2512";
const GEMINI = "gemini/gemini-2.5-flash";

describe("stream = plain = batch", () => {
  it("costs the same in one piece and in many, and half of it in a batch, by the same tokens", async () => {
    const { gateway } = await open();
    service.behaviour.answer = (line) =>
      line.body["stream"] === true ? { status: 200, body: {}, events: events("gpt-5-mini") } : anyAnswer(line);
    const messages = [{ role: "user" as const, content: "text n1" }];
    await gateway.openai.chat.completions.create({ model: GPT, messages });
    for await (const chunk of await gateway.openai.chat.completions.create({ model: GPT, messages, stream: true }))
      expect(chunk.object).toBeDefined();
    await whenOver(gateway.openai, await beginBatch(gateway.openai, [chatLine("n1", GPT)]));
    const [plain, stream, batch] = await gateway.rows();
    // 0.25 and 2 dollars a million: 1,000 x 250 + 200 x 2,000 = 250,000 + 400,000 nanodollars; a batch: half, 125,000 + 200,000.
    expect([plain?.costNanodollars, stream?.costNanodollars, batch?.costNanodollars]).toEqual([650_000, 650_000, 325_000]);
    const tokens = { inputUncached: 1000, output: 200, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0 };
    for (const row of [plain, stream, batch]) expect(row?.usage).toMatchObject(tokens);
    expect(batch?.usage.serviceTier).toBe("batch");
  });

  it("holds for every pair of door and service, whatever tier an answer names", async () => {
    const { gateway } = await open();
    service.behaviour.answer = anyAnswer;
    const { openai, anthropic } = gateway;
    const models = [GPT, CLAUDE, MISTRAL, GEMINI];
    await whenOver(
      openai,
      await beginBatch(
        openai,
        models.map((model) => chatLine(model.slice(0, 3), model)),
      ),
    );
    const params = { max_tokens: 300, messages: [{ role: "user" as const, content: "text n1" }] };
    const { id } = await anthropic.messages.batches.create({
      requests: models.map((model) => ({ custom_id: model.slice(0, 3), params: { model, ...params } })),
    });
    await until(
      () => anthropic.messages.batches.retrieve(id),
      (seen) => seen.processing_status === "ended",
    );
    const cost = (await gateway.rows()).map(({ dialect, target, costNanodollars }) => [dialect, target, costNanodollars]);
    // Half of 1,000 x 250 + 200 x 2,000, of 1,000 x 3,000 + 200 x 15,000, of 1,000 x 300 + 200 x 2,500, and of 1,000 x 500 + 200 x 1,500.
    expect(cost.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))).toEqual([
      ["anthropic-messages", CLAUDE, 3_000_000],
      ["anthropic-messages", GEMINI, 400_000],
      ["anthropic-messages", GPT, 325_000],
      ["anthropic-messages", MISTRAL, 400_000],
      ["openai-chat", CLAUDE, 3_000_000],
      ["openai-chat", GEMINI, 400_000],
      ["openai-chat", GPT, 325_000],
      ["openai-chat", MISTRAL, 400_000],
    ]);
  });
});

it("a batch costs what the price file says of batches, and what nobody knows stays unknown", async () => {
  const { folder, remove } = await dataFolder();
  closing.push(remove);
  const file = join(folder, "prices.yaml");
  const price = "{ inputUsd: 1, outputUsd: 2, serviceTiers: { batch: { percent: 25 } } }";
  await writeFile(file, `version: 1\nprices:\n  ${MISTRAL}: ${price}\n`);
  const { gateway } = await open(`pricing: { file: "${file}" }\n`);
  service.behaviour.answer = anyAnswer;
  await whenOver(gateway.openai, await beginBatch(gateway.openai, [chatLine("n1", MISTRAL), chatLine("n2", "mistral/nobody-knows")]));
  const costs = (await gateway.rows()).map(({ target, costNanodollars }) => [target, costNanodollars]);
  // A quarter of 1,000 x 1,000 + 200 x 2,000.
  expect(new Map(costs as [string, number][])).toEqual(
    new Map([
      [MISTRAL, 350_000],
      ["mistral/nobody-knows", undefined],
    ]),
  );
});

describe("a budget", () => {
  const small = (line: ServedLine): ReturnType<typeof chatAnswer> => {
    const { status, body } = chatAnswer(line);
    return { status, body: { ...(body as object), usage: { prompt_tokens: 20, completion_tokens: 100, total_tokens: 120 } } };
  };
  const USD = 0.0006;
  const limited = `budgets: [{ match: { key: "*" }, usd: ${USD}, per: month, hard: true }]\n`;
  const lines = (count: number): ReturnType<typeof chatLine>[] =>
    Array.from({ length: count }, (_, place) => chatLine(`n${place}`, GPT, { max_tokens: 200 }));

  it("lets go what there is room for, the rest when results have made room, and is never passed", async () => {
    service.reset();
    service.behaviour.answer = small;
    const { gateway } = await open(limited);
    const batch = await whenOver(gateway.openai, await beginBatch(gateway.openai, lines(4)));
    expect(batch.request_counts).toEqual({ total: 4, completed: 4, failed: 0 });
    // A line holds 200 x 1,000 nanodollars and a little for what is read: two fit into 600,000, then one each beside what was spent.
    expect(service.batches.map((each) => each.lines.length)).toEqual([2, 1, 1]);
    // 20 x 125 + 100 x 1,000.
    expect((await gateway.rows()).map(({ costNanodollars }) => costNanodollars)).toEqual([102_500, 102_500, 102_500, 102_500]);
    const [counter] = await gateway.house.stores.budgets.list(0, 10);
    expect(counter).toMatchObject({ spent: 410_000 });
  });

  it("is booked once for a line, however often its answer is told", async () => {
    service.reset();
    const { gateway } = await open('budgets: [{ match: { session: "batch:*" }, usd: 1, per: month, hard: true }]\n');
    const { openai, house } = gateway;
    const id = await beginBatch(openai, [chatLine("n1", GPT)]);
    await whenOver(openai, id);
    const [first] = await gateway.rowsOf(id);
    const batch = await house.stores.batches.read("anonymous", id, Date.now());
    const entrance = entranceOf(house.gateway.dialects, "/v1/chat/completions");
    if (!batch || !entrance) throw new Error("there is no such batch");
    // As after a crash between the row and what is kept of the line.
    const { body } = chatAnswer({ customId: "n1", path: "/chat/completions", body: { model: "gpt-5-mini" } });
    const order = { customId: "n1", path: "/v1/chat/completions", body: { model: GPT, messages: [{ role: "user", content: "text n1" }] } };
    const target = { provider: "lab", model: "gpt-5-mini", weight: 1 };
    const answer = { target, dialect: "openai-chat", status: 200, body: JSON.stringify(body), allowance: undefined };
    const told = await tellCall(house.gateway, entrance, order, { batch, line: 1, caller: batch.caller }, answer);
    expect(told).toMatchObject({ status: 200, problem: undefined, callId: first?.callId });
    expect(await gateway.rowsOf(id)).toEqual([first]);
    const [counter] = await house.stores.budgets.list(0, 10);
    expect(counter).toMatchObject({ spent: 325_000 });
  });

  it("is held for what is under way, over a restart too, and settled once", async () => {
    service.reset();
    service.behaviour.answer = small;
    service.behaviour.looks = Number.POSITIVE_INFINITY;
    const { gateway, reopen } = await open(limited);
    const id = await beginBatch(gateway.openai, lines(2));
    await until(
      async () => service.batches.length,
      (count) => count === 1,
    );
    const ask = async ({ openai }: BatchGateway): Promise<number> => {
      // 150 x 2,000 nanodollars and a little, beside 2 x 200,000 that are held.
      const asked = openai.chat.completions.create({ model: GPT, max_tokens: 150, messages: [{ role: "user", content: "x" }] });
      return asked.then(
        () => 200,
        ({ status }: { status: number }) => status,
      );
    };
    expect(await ask(gateway)).toBe(402);
    await gateway.close();
    const next = await reopen();
    // Held again once the batch is taken up.
    const held = async (): Promise<number> => (await next.house.stores.budgets.list(0, 10)).reduce((sum, { leased }) => sum + leased, 0);
    await until(held, (leased) => leased >= 400_000);
    expect(await ask(next)).toBe(402);
    service.behaviour.looks = 1;
    const batch = await whenOver(next.openai, id);
    expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
    expect((await next.rowsOf(id)).map(({ costNanodollars }) => costNanodollars)).toEqual([102_500, 102_500]);
    expect(await ask(next)).toBe(200);
    expect(service.batches).toHaveLength(1);
    await next.close();
    const last = await reopen();
    const [counter] = await last.house.stores.budgets.list(0, 10);
    // Twice 20 x 125 + 100 x 1,000, and once 20 x 250 + 100 x 2,000.
    expect(counter).toMatchObject({ spent: 205_000 + 205_000, leased: 0 });
  });
});
