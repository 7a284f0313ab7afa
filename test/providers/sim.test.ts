import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { textOf, totalInput, type Answer, type Json, type UpstreamCall } from "../../src/canon/index.ts";
import { answerTo, dialectIds, dialectOf, open, simulator, textOfSeen, upstreamCall, user } from "./support.ts";
import { captureFolders, sharedData } from "../support/shared.ts";

interface Capture {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: Record<string, Json>;
}

function readCapture(folder: string, file: string): Capture {
  const capture = JSON.parse(readFileSync(sharedData(`captures/${folder}/${file}`) ?? "", "utf8")) as Capture;
  return { ...capture, headers: Object.fromEntries(Object.entries(capture.headers).map(([name, value]) => [name.toLowerCase(), value])) };
}

const textIn = (answer: Answer): string => answer.items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join("");
const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer", minimum: 1 } },
      required: ["city", "days"],
    },
  },
};

/** Goes on with one text, and has a test of its own below. */
const ONE_TEXT = "openai-completions";
/** Languages that count what was read, and not what of it was kept. */
const COARSE = ["ollama-chat"];

describe("in a language that only goes on with a text", () => {
  it.each([false, true])("echoes the prompt and counts it (stream: %s)", async (stream) => {
    const { answer } = await answerTo(simulator().provider, upstreamCall(ONE_TEXT, user("12345678"), "echo", { stream }));
    expect(textIn(answer)).toBe("12345678");
    expect(answer.usage).toMatchObject({ inputUncached: 2, output: 2 });
  });
  it("refuses a body without a prompt", async () => {
    const good = upstreamCall(ONE_TEXT, user("hi"), "echo");
    const seen = await open(simulator().provider, { ...good, request: { ...good.request, body: '{"model":"echo"}' } }).over;
    expect([seen.status, seen.problem?.kind]).toEqual([undefined, "invalid_request"]);
  });
});

describe.each(dialectIds.filter((id) => id !== ONE_TEXT))("in %s", (dialect) => {
  describe.each([false, true])("stream: %s", (stream) => {
    const ask = (model: string, body: Json, models: Json = {}) =>
      answerTo(simulator(models).provider, upstreamCall(dialect, body, model, { stream }));

    it("echoes exactly the last text of the user and counts what it read and wrote", async () => {
      const text = 'Grüße, 世界 👋🏽\n"quoted" \\ and more '.repeat(5);
      const { answer, seen } = await ask("echo", {
        messages: [
          { role: "user", content: "first" },
          { role: "assistant", content: "no" },
          { role: "user", content: text },
        ],
      });
      expect(seen.status).toBe(200);
      expect(textIn(answer)).toBe(text);
      expect(answer.stop).toBe("end");
      expect(answer.usage.output).toBe(Math.ceil(text.length / 4));
      expect(totalInput(answer.usage)).toBe(Math.ceil(text.length / 4) + 3);
    });
    it("reports a configured usage", async () => {
      const { answer } = await ask("m", user("hi"), { m: { text: "ok", usage: { input: 10, cached: 20, output: 40, reasoning: 4 } } });
      const read = COARSE.includes(dialect) ? { inputUncached: 30 } : { inputUncached: 10, cacheRead: 20 };
      expect(answer.usage).toMatchObject({ ...read, output: 40 });
    });
    it("calls the first tool with arguments made up from its schema, then answers in text", async () => {
      const { answer } = await ask("tools", { ...(user("weather?") as object), tools: [WEATHER] });
      expect(answer.stop).toBe("tool_calls");
      const call = answer.items.find((item) => item.type === "tool_call");
      expect(call).toMatchObject({ name: "weather", kind: "function" });
      expect(JSON.parse(call?.type === "tool_call" ? call.input : "")).toEqual({ city: "city", days: 1 });
      const callId = call?.type === "tool_call" ? call.callId : "";
      const then = await ask("tools", {
        messages: [
          { role: "user", content: "weather?" },
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: callId, type: "function", function: { name: "weather", arguments: '{"city":"x","days":1}' } }],
          },
          { role: "tool", tool_call_id: callId, content: "sunny" },
        ],
        tools: [WEATHER],
      });
      expect(textIn(then.answer)).toBe("The tool answered: sunny");
      expect(then.answer.stop).toBe("end");
    });
    it("calls the tools it was configured to call, several at once, and only those that are offered", async () => {
      const models = {
        m: {
          toolCalls: [
            { name: "weather", arguments: { city: "Oslo", days: 2 } },
            { name: "other" },
            { name: "weather", arguments: { city: "Rome", days: 1 } },
          ],
        },
      };
      const { answer } = await ask("m", { ...(user("go") as object), tools: [WEATHER] }, models);
      const calls = answer.items.filter((item) => item.type === "tool_call");
      expect(calls.map((call) => JSON.parse(call.input) as unknown)).toEqual([
        { city: "Oslo", days: 2 },
        { city: "Rome", days: 1 },
      ]);
      expect(new Set(calls.map((call) => call.callId)).size).toBe(2);
    });
    it("obeys a line that says which tool to call", async () => {
      const { answer } = await ask("tools", { ...(user('please\ncall weather {"city":"Bonn","days":3}') as object), tools: [WEATHER] });
      expect(answer.items.find((item) => item.type === "tool_call")).toMatchObject({ input: '{"city":"Bonn","days":3}' });
    });
    it("thinks before it answers, and signs it", async () => {
      const { answer } = await ask(
        "m",
        { ...(user("hi") as object), reasoning_effort: "low" },
        { m: { text: "ok", reasoning: "hmm, let me see", signature: "sig" } },
      );
      const reasoning = answer.items.find((item) => item.type === "reasoning");
      expect(reasoning?.type === "reasoning" ? reasoning.parts.map((part) => part.text).join("") : "").toBe("hmm, let me see");
      expect(textIn(answer)).toBe("ok");
    });
    it("refuses when told to", async () => {
      const { answer } = await ask("m", user("hi"), { m: { refusal: "I would rather not." } });
      expect(textIn(answer)).toBe("I would rather not.");
    });
    it("stops at the caller's cap", async () => {
      const { answer } = await ask("lorem", { ...(user("hi") as object), max_completion_tokens: 32 });
      expect(answer.stop).toBe("max_tokens");
      expect(answer.usage.output).toBe(32);
      expect(textIn(answer)).toHaveLength(128);
    });
    it("answers in the form that is asked for", async () => {
      const schema = {
        type: "object",
        properties: { kind: { enum: ["a", "b"] }, at: { type: "string", format: "date" } },
        required: ["kind", "at"],
        additionalProperties: false,
      };
      const { answer } = await ask("lorem", {
        ...(user("hi") as object),
        response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema } },
      });
      expect(JSON.parse(textIn(answer))).toEqual({ kind: "a", at: "2026-01-01" });
    });
    it("gives an empty answer when that fault strikes", async () => {
      const { answer } = await ask("m", user("hi"), { m: { text: "ok", faults: [{ kind: "empty" }] } });
      expect(textIn(answer)).toBe("");
      expect(answer.usage.output).toBe(0);
    });
  });

  it("says the same streamed and plain, and costs the same", async () => {
    const models = { m: { text: "a text ".repeat(30), reasoning: "thought" } };
    const plain = await answerTo(simulator(models).provider, upstreamCall(dialect, user("hi"), "m"));
    const streamed = await answerTo(simulator(models).provider, upstreamCall(dialect, user("hi"), "m", { stream: true }));
    expect(textIn(streamed.answer)).toBe(textIn(plain.answer));
    expect(streamed.answer.usage).toEqual(plain.answer.usage);
  });
  it("reports an unknown model, malformed JSON and nonsense as what they are, before any byte", async () => {
    const { provider } = simulator();
    const good = upstreamCall(dialect, user("hi"), "ecko");
    const problemOf = async (call: UpstreamCall): Promise<unknown> => {
      const seen = await open(provider, call).over;
      expect(seen.status).toBeUndefined();
      return seen.problem;
    };
    expect(await problemOf(good)).toMatchObject({ kind: "unknown_model", message: expect.stringContaining('"sim/echo"') });
    expect(await problemOf({ ...good, model: "echo", request: { ...good.request, body: Buffer.from('{"model":') } })).toMatchObject({
      kind: "invalid_request",
    });
    expect(await problemOf({ ...good, model: "echo", request: { ...good.request, body: '{"model":"echo"}' } })).toMatchObject({
      kind: "invalid_request",
      message: expect.any(String),
    });
  });
  it("counts tokens where the language has a name for it", async () => {
    const language = dialectOf(dialect);
    const seen = await open(simulator().provider, upstreamCall(dialect, user("12345678"), "echo", { operation: "count_tokens" })).over;
    const counted = seen.problem?.kind ?? language.decodeCount?.(JSON.parse(textOfSeen(seen)) as Json);
    expect(counted).toBe(language.encodeCount ? 2 : "unsupported");
  });
});

describe("faults", () => {
  const dialect = "openai-chat";
  const run = (fault: Json, options: { stream?: boolean; attempt?: number; seed?: number } = {}) => {
    const { provider, clock } = simulator({ m: { text: "0123456789".repeat(20), seed: options.seed ?? 1, faults: [fault] } });
    return { clock, ...open(provider, upstreamCall(dialect, user("hi"), "m", options)) };
  };

  it("refuse: nothing comes but a problem that may be retried", async () => {
    const seen = await run({ kind: "refuse" }).over;
    expect(seen.order).toEqual(["problem"]);
    expect(seen.problem?.kind).toBe("upstream_unavailable");
  });
  it("rate-limit: 429 in the dialect's own words, with retry-after", async () => {
    const seen = await run({ kind: "rate-limit", retryAfterSeconds: 7 }).over;
    expect([seen.status, seen.headers["retry-after"]]).toEqual([429, "7"]);
    const problem = dialectOf(dialect).decodeProblem({
      status: 429,
      headers: seen.headers,
      body: JSON.parse(textOfSeen(seen)) as Json,
      text: "",
      provider: "sim",
    });
    expect(problem).toMatchObject({ kind: "rate_limited", retryAfterMs: 7000 });
  });
  it("server-error: 500", async () => {
    expect((await run({ kind: "server-error" }).over).status).toBe(500);
  });
  it.each([true, false])("cut with a reset, stream: %s: part of the body, then a problem", async (stream) => {
    const seen = await run({ kind: "cut", how: "reset" }, { stream }).over;
    expect(seen.problem?.kind).toBe("upstream_broken");
    expect(seen.chunks.length).toBeGreaterThan(0);
  });
  it.each([true, false])("cut like a regular end, stream: %s: no terminal event came", async (stream) => {
    const seen = await run({ kind: "cut", how: "end", afterBytes: 300 }, { stream }).over;
    expect(seen.ended).toBe(true);
    expect(Buffer.concat(seen.chunks)).toHaveLength(300);
  });
  it("cut after so many tokens", async () => {
    const seen = await run({ kind: "cut", how: "end", afterTokens: 16 }, { stream: true }).over;
    expect(textOfSeen(seen)).toContain("0123");
    expect(textOfSeen(seen)).not.toContain("[DONE]");
  });
  it("stall: stops and never goes on", async () => {
    const { seen, clock, cancel } = run({ kind: "stall", afterTokens: 16 }, { stream: true });
    await Promise.resolve();
    clock.advance(3_600_000);
    expect(seen.order.at(-1)).toBe("data");
    expect(seen.ended).toBe(false);
    cancel();
  });
  it("garble: a chunk that nobody can read", async () => {
    const seen = await run({ kind: "garble", afterTokens: 16 }, { stream: true }).over;
    expect(Buffer.concat(seen.chunks).includes(0xff)).toBe(true);
    const plain = await run({ kind: "garble" }).over;
    expect(() => JSON.parse(textOfSeen(plain)) as unknown).toThrow(SyntaxError);
  });
  it("slow: one byte at a time, on the clock's time", async () => {
    const { seen, clock, over } = run({ kind: "slow", byteMs: 10 });
    await Promise.resolve();
    clock.advance(100);
    expect(seen.chunks.map((chunk) => chunk.length)).toEqual(Array.from({ length: 10 }, () => 1));
    clock.advance(100_000);
    expect(JSON.parse(textOfSeen(await over))).toMatchObject({ object: "chat.completion" });
  });
  it("strikes its share of the calls, the same ones in every run", async () => {
    const fates = async (seed: number): Promise<string> => {
      const { provider } = simulator({ m: { text: "ok", seed, faults: [{ kind: "refuse", share: 0.2 }] } });
      let word = "";
      for (let at = 0; at < 500; at++) word += (await open(provider, upstreamCall(dialect, user("hi"), "m")).over).problem ? "x" : ".";
      return word;
    };
    const first = await fates(7);
    expect(await fates(7)).toBe(first);
    expect(await fates(8)).not.toBe(first);
    const struck = first.replaceAll(".", "").length;
    expect(struck).toBeGreaterThan(70);
    expect(struck).toBeLessThan(130);
  });
});

describe("time", () => {
  const call = upstreamCall("openai-chat", user("hi"), "m", { stream: true });

  it("waits for the first token and then keeps its pace", async () => {
    const { provider, clock } = simulator({ m: { length: 50, ttftMs: 100, tokensPerSecond: 100 } });
    const { seen, over } = open(provider, call);
    await Promise.resolve();
    expect(seen.order).toEqual(["head"]);
    clock.advance(99);
    expect(seen.chunks).toHaveLength(0);
    clock.advance(11);
    const early = textOfSeen(seen);
    expect(early).toContain('"content"');
    clock.advance(240);
    expect(textOfSeen(seen).split('"content":').length - early.split('"content":').length).toBe(24);
    clock.advance(1000);
    await over;
    expect(seen.chunks.length).toBeGreaterThanOrEqual(50);
  });
  it("takes as long for a whole answer", async () => {
    const { provider, clock } = simulator({ m: { length: 50, ttftMs: 100, tokensPerSecond: 100 } });
    const { seen, over } = open(provider, { ...call, stream: false, request: upstreamCall("openai-chat", user("hi"), "m").request });
    await Promise.resolve();
    clock.advance(599);
    expect(seen.order).toEqual([]);
    clock.advance(1);
    expect((await over).status).toBe(200);
  });
  it("pauses for a slow reader and stops for one who left", async () => {
    const { provider } = simulator({ m: { length: 2000 } });
    const opened = open(provider, call, () => false);
    await Promise.resolve();
    expect(opened.seen.chunks).toHaveLength(1);
    opened.resume();
    expect(opened.seen.chunks).toHaveLength(2);
    opened.cancel();
    opened.resume();
    expect(opened.seen.order).toEqual(["head", "data", "data"]);
  });
  it("calls nothing before open has returned", () => {
    const { provider } = simulator();
    expect(open(provider, upstreamCall("openai-chat", user("hi"), "echo")).seen.order).toEqual([]);
  });
});

describe("scripts", () => {
  it("go on with the next turn after each round of tool results, also where reminders stand beside them", async () => {
    const { provider } = simulator({
      m: {
        script: [
          { text: "one", toolCalls: [{ name: "weather" }] },
          { toolCalls: [{ name: "weather", arguments: { city: "B", days: 1 } }] },
          { text: "done" },
        ],
      },
    });
    const tools = [{ name: "weather", input_schema: WEATHER.function.parameters }];
    const messages: Json[] = [{ role: "user", content: "go" }];
    const said: string[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const body = JSON.stringify({ model: "m", max_tokens: 100, messages, tools });
      const { answer, seen } = await answerTo(provider, {
        dialect: "anthropic-messages",
        operation: "generate",
        model: "m",
        stream: false,
        attempt: 0,
        request: { method: "POST", path: "/messages", headers: {}, body },
      });
      said.push(
        answer.items
          .map((item) => (item.type === "tool_call" ? `call ${item.input}` : item.type === "message" ? textOf(item.parts) : ""))
          .join(","),
      );
      const { content } = JSON.parse(textOfSeen(seen)) as { content: { type: string; id?: string }[] };
      const results = content.flatMap((block) =>
        block.type === "tool_use" ? [{ type: "tool_result", tool_use_id: block.id ?? "", content: "x" }] : [],
      );
      messages.push(
        { role: "assistant", content: content as unknown as Json },
        { role: "user", content: [...results, { type: "text", text: "reminder" }] },
      );
    }
    expect(said).toEqual(['one,call {"city":"city","days":1}', 'call {"city":"B","days":1}', "done"]);
  });
});

describe("requests of released clients", () => {
  const doors: Readonly<Record<string, string>> = {
    "/v1/chat/completions": "openai-chat",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic-messages",
  };
  const captures = captureFolders().flatMap((folder) =>
    readdirSync(sharedData(`captures/${folder}`) ?? "").map((file) => ({ file: `${folder}/${file}`, ...readCapture(folder, file) })),
  );
  const asked = captures.filter(
    (capture) =>
      capture.method === "POST" &&
      doors[capture.path.split("?")[0] ?? ""] !== undefined &&
      capture.body?.["previous_response_id"] === undefined,
  );

  it.skipIf(captures.length === 0)("are answered whole by every built-in model", async () => {
    const failed: unknown[] = [];
    for (const { file, path, headers, body } of asked) {
      const dialect = doors[path.split("?")[0] ?? ""] ?? "";
      for (const model of ["echo", "tools", "lorem"]) {
        const call = {
          dialect,
          operation: "generate",
          model,
          stream: body?.["stream"] === true,
          attempt: 0,
          request: { method: "POST", path, headers, body: JSON.stringify({ ...body, model }) },
        } as const;
        const answered = await answerTo(simulator().provider, call).catch((error: unknown) => String(error));
        if (typeof answered === "string" || answered.seen.status !== 200)
          failed.push({ file, model, answered: typeof answered === "string" ? answered : textOfSeen(answered.seen) });
      }
    }
    expect(failed).toEqual([]);
    expect(asked.length).toBeGreaterThan(20);
  });
});

describe("compaction", () => {
  it("is a summary that the next call can be built on", async () => {
    const { answer } = await answerTo(
      simulator().provider,
      upstreamCall("openai-responses", user("remember the milk"), "echo", { operation: "compact" }),
    );
    const item = answer.items.find((one) => one.type === "compaction");
    expect(item?.type === "compaction" ? item.text : "").toContain("remember the milk");
  });
});

describe("a call that ends in the assistant's own words", () => {
  it("gets the rest of them", async () => {
    const { answer } = await answerTo(
      simulator({ m: { text: "one two three" } }).provider,
      upstreamCall(
        "openai-chat",
        {
          messages: [
            { role: "user", content: "go" },
            { role: "assistant", content: "one two" },
          ],
        },
        "m",
      ),
    );
    expect(textIn(answer)).toBe(" three");
  });
});
