import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AttemptRecord, LedgerRow } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, streamAnswer, type TestUpstream } from "../support/upstream.ts";

/** Whole calls through a gateway. Every model has prices of its own, so that whose price was taken shows in the sum. */
const PRICE_A = "price: { inputUsd: 1, outputUsd: 10 }";
const PRICE_B = "price: { inputUsd: 2, outputUsd: 20 }";
/** Nanodollars a token. */
const A = { input: 1000, output: 10_000 };
const WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen";

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    trusting: true,
    config: `
retry: { firstBackoffMs: 1, budget: { share: 10, perSecond: 1000 } }
providers:
  lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true, models: { priced: { ${PRICE_A} }, nothing: { price: { inputUsd: 0, outputUsd: 0 } }, gift: { price: { free: true } }, call: { price: { perCallUsd: 0.01 } }, gpu: { price: { gpuHourUsd: 36 } } } }
  mine: { kind: openai, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true, dialects: [openai-chat] }
sim:
  models:
    fine: { text: "Fine.", usage: { input: 100, output: 10 }, ${PRICE_A} }
    other: { text: "Fine.", usage: { input: 100, output: 10 }, ${PRICE_B} }
    down: { text: "no", faults: [{ kind: server-error }], ${PRICE_B} }
    cuts: { text: "${WORDS}", usage: { input: 100, output: 40 }, faults: [{ kind: cut, share: 1, afterTokens: 10 }], ${PRICE_A} }
    whole: { text: "${WORDS}", usage: { input: 130, output: 20 }, ${PRICE_B} }
    slow: { text: "Slow.", ttftMs: 3000, ${PRICE_A} }
    long: { length: 4000, tokensPerSecond: 200, ${PRICE_A} }
    late: { text: "no", ttftMs: 3000, ${PRICE_A} }
models:
  retried: { targets: [sim/down, sim/fine], retries: 1 }
  continued: { targets: [sim/cuts, sim/whole], continue: always }
  cut: { targets: [sim/cuts], continue: never }
  raced: { targets: [sim/slow, sim/other], hedge: { afterMs: 10, maxShare: 1 } }
  impatient: { targets: [sim/late, sim/other], timeoutMs: 30, retries: 0 }
  cached: { targets: [sim/fine], cache: { ttlSeconds: 60 } }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

async function send(model: string, body: Readonly<Record<string, unknown>> = {}, path = "/v1/chat/completions"): Promise<Response> {
  const messages = path === "/v1/messages";
  return fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...(messages && { "anthropic-version": "2023-06-01" }) },
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content: "Count to seventeen." }],
      ...(messages && { max_tokens: 500 }),
      ...body,
    }),
  });
}

async function rowOf(...asked: Parameters<typeof send>): Promise<LedgerRow> {
  await (await send(...asked)).text();
  return gateway.lastRow();
}

const tokens = ({ usage }: AttemptRecord): { input: number; output: number } => ({
  input: usage?.inputUncached ?? 0,
  output: usage?.output ?? 0,
});

function priced(attempt: AttemptRecord | undefined, price: typeof A): number {
  if (!attempt) throw new Error("there is no such attempt");
  const { input, output } = tokens(attempt);
  return input * price.input + output * price.output;
}

describe("a call of several attempts", () => {
  it("that was retried costs what answered: refusals cost nothing", async () => {
    const row = await rowOf("retried");
    expect(row.attempts.map(({ target, costNanodollars }) => [target, costNanodollars])).toEqual([
      ["sim/down", undefined],
      ["sim/down", undefined],
      // 100 x 1,000 + 10 x 10,000.
      ["sim/fine", 200_000],
    ]);
    expect(row.costNanodollars).toBe(200_000);
  });

  it.each([["/v1/chat/completions"], ["/v1/messages"]])(
    "that broke and was gone on with pays both, each at its own price: %s",
    async (path) => {
      const row = await rowOf("continued", { stream: true }, path);
      expect(row.state).toBe("done");
      const broken = row.attempts.slice(0, -1);
      const last = row.attempts.at(-1);
      expect(broken.length).toBeGreaterThan(0);
      for (const attempt of broken) {
        expect(attempt.target).toBe("sim/cuts");
        // It named its output nowhere: what was heard of it is counted, and marked.
        expect(attempt.usage?.estimated).toBe(true);
        expect(attempt.costNanodollars).toBe(priced(attempt, A));
      }
      expect(tokens(broken[0] as AttemptRecord).output).toBeGreaterThan(5);
      expect(last).toMatchObject({ target: "sim/whole", continues: true });
      expect(tokens(last as AttemptRecord)).toEqual({ input: 130, output: 20 });
      // 130 x 2,000 + 20 x 20,000.
      expect(last?.costNanodollars).toBe(660_000);
      expect(row.costNanodollars).toBe(broken.reduce((sum, attempt) => sum + priced(attempt, A), 0) + 660_000);
      expect(row.usage.output).toBe(broken.reduce((sum, attempt) => sum + tokens(attempt).output, 0) + 20);
      expect(row.usage.estimated).toBe(true);
    },
  );

  it("that was raced pays the winner and what the loser had been sent", async () => {
    const row = await rowOf("raced");
    const slow = row.attempts.find(({ target }) => target === "sim/slow");
    const other = row.attempts.find(({ target }) => target === "sim/other");
    // 100 x 2,000 + 10 x 20,000.
    expect(other?.costNanodollars).toBe(400_000);
    expect(tokens(slow as AttemptRecord).output).toBe(0);
    expect(slow?.costNanodollars).toBe(tokens(slow as AttemptRecord).input * A.input);
    expect(row.costNanodollars).toBe((slow?.costNanodollars ?? 0) + 400_000);
  });

  it("that was given up on after a time pays what its upstream was at work on", async () => {
    const row = await rowOf("impatient");
    expect(row.attempts.map(({ target, problem }) => [target, problem])).toEqual([
      ["sim/late", "upstream_timeout"],
      ["sim/other", undefined],
    ]);
    expect(row.costNanodollars).toBe(priced(row.attempts[0], A) + 400_000);
    expect(row.attempts[0]?.costNanodollars).toBeGreaterThan(0);
  });
});

describe("a call that did not end well", () => {
  it.each([["/v1/chat/completions"], ["/v1/messages"]])("cut in the middle of its stream costs what came: %s", async (path) => {
    const row = await rowOf("cut", { stream: true }, path);
    expect(row.state).toBe("failed");
    expect(row.usage.estimated).toBe(true);
    expect(row.usage.output).toBeGreaterThan(5);
    expect(row.usage.output).toBeLessThan(20);
    // Messages names its input in the first frame; elsewhere it is counted here.
    if (path === "/v1/messages") expect(row.usage.inputUncached).toBe(100);
    expect(row.costNanodollars).toBe(row.usage.inputUncached * A.input + row.usage.output * A.output);
  });

  it("cancelled by its client costs what was written until then", async () => {
    const leave = new AbortController();
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "sim/long", stream: true, messages: [{ role: "user", content: "Go on." }] }),
      signal: leave.signal,
    });
    const reader = response.body?.getReader();
    for (let read = 0; read < 3; read++) await reader?.read();
    leave.abort();
    const row = await gateway.lastRow();
    expect(row.state).toBe("cancelled");
    expect(row.usage).toMatchObject({ estimated: true });
    expect(row.usage.output).toBeGreaterThan(0);
    expect(row.usage.output).toBeLessThan(4000);
    expect(row.costNanodollars).toBe(row.usage.inputUncached * A.input + row.usage.output * A.output);
  });

  it("refused by its provider costs nothing, also where the price is not known", async () => {
    upstream.answerWith(jsonAnswer({ error: { message: "no", type: "invalid_request_error" } }, 400));
    for (const model of ["lab/priced", "lab/call", "lab/stranger"]) expect((await rowOf(model)).costNanodollars).toBe(0);
  });
});

describe("an answer that was paid before", () => {
  it("costs nothing, and says what it saved", async () => {
    expect(await rowOf("cached")).toMatchObject({ cache: "miss", costNanodollars: 200_000 });
    expect(await rowOf("cached")).toMatchObject({ cache: "hit", costNanodollars: 0, savedNanodollars: 200_000, attempts: [] });
  });
});

describe("an upstream that names no usage", () => {
  const answer = (content: string) => ({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
  });
  const stream = (content: string): string =>
    [
      { choices: [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }] },
      { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    ]
      .map(
        (chunk) => `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", ...chunk })}\n\n`,
      )
      .join("")
      .concat("data: [DONE]\n\n");
  const book = () => gateway.house.gateway.book;

  it.each([
    ["plain", false, jsonAnswer(answer(WORDS))],
    ["streamed", true, streamAnswer(stream(WORDS))],
  ])("is counted by the tokenizer, not by its length, and marked: %s", async (_name, streamed, upstreamAnswer) => {
    upstream.answerWith(upstreamAnswer);
    const row = await rowOf("lab/priced", { stream: streamed });
    const output = book().countTokens(WORDS, "priced");
    const input = book().countTokens("Count to seventeen.", "priced");
    expect(row.usage).toMatchObject({ inputUncached: input, output, estimated: true });
    expect(output).not.toBe(Math.ceil(WORDS.length / 4));
    expect(row.costNanodollars).toBe(input * A.input + output * A.output);
  });
});

describe("prices", () => {
  const withUsage = (usage: object) =>
    jsonAnswer({
      id: "chatcmpl-1",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [{ index: 0, message: { role: "assistant", content: "Yes." }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100, ...usage },
    });

  it("that are not known are unknown, and never 0", async () => {
    upstream.answerWith(withUsage({}));
    const row = await rowOf("lab/stranger");
    expect(row.costNanodollars).toBeUndefined();
    const call = await fetch(`${gateway.url}/v1/calls/${row.callId}`);
    expect(await call.json()).toMatchObject({ cost: null });
  });

  it("of calls are not paid for counting tokens", async () => {
    upstream.answerWith(jsonAnswer({ input_tokens: 7 }));
    for (const model of ["lab/call", "sim/fine"]) {
      const row = await rowOf(model, { max_tokens: undefined }, "/v1/messages/count_tokens");
      expect([row.operation, row.state, row.costNanodollars]).toEqual(["count_tokens", "done", 0]);
    }
  });

  it("by the call and by time count the attempt that answered", async () => {
    upstream.answerWith(withUsage({}));
    expect((await rowOf("lab/call")).costNanodollars).toBe(10_000_000);
    const row = await rowOf("lab/gpu");
    const [attempt] = row.attempts;
    // 36 dollars an hour are a hundred thousandth of a dollar a millisecond, of which each that was begun counts.
    expect(row.costNanodollars).toBe(Math.ceil((attempt?.endedMs ?? 0) - (attempt?.startedMs ?? 0)) * 10_000);
  });

  it("that a provider names stand beside ours, and for ours where we have none", async () => {
    upstream.answerWith(withUsage({ cost: 0.0025 }));
    // 1,000 x 1,000 + 100 x 10,000 by the configuration's price.
    expect(await rowOf("lab/priced")).toMatchObject({
      costNanodollars: 2_000_000,
      reported: { nanodollars: 2_500_000, ownNanodollars: 2_000_000 },
    });
    const unknown = await rowOf("lab/stranger");
    expect(unknown).toMatchObject({ costNanodollars: 2_500_000, reported: { nanodollars: 2_500_000 } });
    expect(unknown.reported).not.toHaveProperty("ownNanodollars");
  });

  it("of nothing for tokens raise an alert once an hour, unless somebody said that the model is free", async () => {
    upstream.answerWith(withUsage({}));
    for (const model of ["lab/nothing", "lab/nothing", "lab/gift", "sim/echo"]) expect((await rowOf(model)).costNanodollars).toBe(0);
    expect(gateway.logs.filter((line) => line.includes("lab/nothing used tokens and cost nothing"))).toHaveLength(1);
    expect(gateway.logs.join("\n")).not.toContain("lab/gift");
    const headers = { authorization: `Bearer ${gateway.house.adminToken.reveal()}` };
    const { alerts } = (await (await fetch(`${gateway.url}/admin/api/alerts`, { headers })).json()) as {
      alerts: { kind: string; subject: string; count: number }[];
    };
    expect(alerts).toContainEqual(expect.objectContaining({ kind: "zero_cost", subject: "lab/nothing", count: 2 }));
    expect(alerts).toContainEqual(expect.objectContaining({ kind: "price_unknown", subject: "lab/stranger" }));
    expect(alerts.map(({ subject }) => subject)).not.toContain("sim/echo");
  });
});
