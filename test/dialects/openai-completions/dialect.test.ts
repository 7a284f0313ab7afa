import { describe, expect, it } from "vitest";
import { AnswerFold, amend, ProblemError, type Call, type Event, type JsonObject } from "../../../src/canon/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import completions from "../../../src/dialects/openai-completions/index.ts";
import { formatFrame, FrameSplitter } from "../../../src/kit/index.ts";
import { CAPABLE } from "../../../scripts/generate/loss-table.ts";
import { byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";

const capabilities = { ...CAPABLE, streamUsage: false };
const target = { provider: "p", model: "m", capabilities };
const door = { operation: "generate" as const, headers: {}, params: {} };
const decode = (body: JsonObject): Call => completions.decodeCall(body, door);
const asked = (body: JsonObject): JsonObject =>
  JSON.parse(completions.encodeCall(chat.decodeCall(body, door), target, () => {}).body) as JsonObject;
const encoder = new TextEncoder();

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: completions.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

const CALLS: Readonly<Record<string, JsonObject>> = {
  plain: { model: "m", prompt: "Once upon a time" },
  everything: {
    model: "m",
    prompt: ["Once upon"],
    suffix: "the end.",
    max_tokens: 5,
    temperature: 1.5,
    top_p: 0.5,
    n: 2,
    best_of: 3,
    stream: true,
    stream_options: { include_usage: true },
    logprobs: 2,
    echo: true,
    stop: "\n",
    presence_penalty: 0.1,
    frequency_penalty: 0.2,
    logit_bias: { "50256": -100 },
    user: "u1",
    seed: 7,
    guided_regex: "[a-z]+",
  },
  "several prompts": { model: "m", prompt: ["a", "b"] },
  tokens: { model: "m", prompt: [1, 2, 3] },
  "several prompts in tokens": { model: "m", prompt: [[1], [2, 3]] },
  "no prompt": { model: "m" },
};

describe("a call for a completion", () => {
  it.each(Object.entries(CALLS))("is written as it was read: %s", (_name, body) => {
    const notes: unknown[] = [];
    const request = completions.encodeCall(decode(body), target, (note) => notes.push(note));
    expect(request.path).toBe("/completions");
    expect(JSON.parse(request.body)).toEqual(body);
    expect(notes).toEqual([]);
  });

  it("says what it holds, and what only this language can say", () => {
    const call = decode(CALLS["everything"] ?? {});
    expect(call).toMatchObject({
      stream: true,
      maxOutputTokens: 5,
      endUser: "u1",
      sampling: { temperature: 1.5, topP: 0.5, n: 2, topLogprobs: 2, stop: ["\n"], seed: 7 },
      items: [{ role: "user", parts: [{ type: "text", text: "Once upon" }] }],
      unspoken: ["suffix", "best_of", "logit_bias", "guided_regex"],
    });
    expect(completions.outline(CALLS["everything"] ?? {}, door)).toMatchObject({ stream: true, maxOutputTokens: 5, choices: 3 });
    expect(completions.outline({ model: "m", prompt: ["a", "b"], n: 2 }, door).choices).toBe(4);
    expect(completions.outline({ model: "m", prompt: [1, 2] }, door).choices).toBeUndefined();
  });

  it.each(["several prompts", "tokens", "several prompts in tokens"])("is refused where nobody else can read it: %s", (name) => {
    const call = amend(decode(CALLS[name] ?? {}), { model: "m" });
    expect(() => chat.encodeCall(call, target, () => {})).toThrow(
      expect.objectContaining({ problem: expect.objectContaining({ code: "content_unsupported" }) as unknown }) as Error,
    );
  });

  it.each<[string, JsonObject]>([
    ["model", { prompt: "x" }],
    ["prompt", { model: "m", prompt: { text: "x" } }],
    ["prompt", { model: "m", prompt: [] }],
    ["prompt", { model: "m", prompt: ["x", 1] }],
    ["stop", { model: "m", prompt: "x", stop: [1] }],
    ["max_tokens", { model: "m", prompt: "x", max_tokens: "many" }],
    ["logprobs", { model: "m", prompt: "x", logprobs: true }],
    ["stream", { model: "m", prompt: "x", stream: 1 }],
  ])("is refused with the place of its fault: %s", (param, body) => {
    let problem: unknown;
    try {
      decode(body);
    } catch (error) {
      problem = error instanceof ProblemError ? error.problem : error;
    }
    expect(problem).toMatchObject({ kind: "invalid_request", param });
  });

  it("asks for the usage that a client did not ask for, and withholds it", () => {
    const forwarded = completions.forwardCall({ model: "m", prompt: "x", stream: true }, door, { ...target, capabilities: CAPABLE });
    expect(forwarded).toEqual({
      path: "/completions",
      headers: {},
      replace: { stream_options: { include_usage: true } },
      withholdUsage: true,
    });
    const meter = completions.usageFrames({ withholdUsage: true });
    meter.frame(Buffer.from(formatFrame(undefined, JSON.stringify({ id: "c", choices: [{ text: "x", index: 0 }] }))));
    expect(meter.frame(Buffer.from(formatFrame(undefined, JSON.stringify({ choices: [], usage: { prompt_tokens: 1 } }))))).toBe("withhold");
    expect(completions.forwardCall({ model: "m", prompt: "x" }, door, { ...target, capabilities: CAPABLE }).replace).toEqual({});
  });
});

describe("a conversation for a model that only goes on with a text", () => {
  const user = (content: string): JsonObject => ({ role: "user", content });
  it("is its one message as it is", () => {
    expect(asked({ model: "m", messages: [user("Once")], max_tokens: 3, stop: ["END"] })).toEqual({
      model: "m",
      prompt: "Once",
      max_tokens: 3,
      stop: ["END"],
    });
  });
  it("is told as one text otherwise, which ends where the user would speak", () => {
    const messages = [{ role: "system", content: "Be brief." }, user("Hi"), { role: "assistant", content: "Hello" }, user("Go on")];
    expect(asked({ model: "m", messages, stop: ["END"] })).toEqual({
      model: "m",
      prompt: "Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Go on\n\nAssistant:",
      stop: ["\nUser:", "END"],
    });
  });
  it("lets the model go on with its own words", () => {
    expect(asked({ model: "m", messages: [user("Hi"), { role: "assistant", content: "Hel" }] })["prompt"]).toBe(
      "User: Hi\n\nAssistant: Hel",
    );
  });
  it("is refused when it needs tools or shows a picture and nothing else", () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const image = [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }];
    for (const body of [{ messages: [user("Hi")], tools }, { messages: [{ role: "user", content: image }] }])
      expect(() => asked({ model: "m", ...body })).toThrow(/cannot take|knows no tools/);
    expect(asked({ model: "m", messages: [user("Hi")], tools, tool_choice: "none" })["prompt"]).toBe("Hi");
  });
});

const USAGE = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
const ANSWER: JsonObject = {
  id: "cmpl-1",
  object: "text_completion",
  created: 7,
  model: "m",
  choices: [
    {
      text: " there was",
      index: 0,
      logprobs: {
        tokens: [" there", " was"],
        token_logprobs: [-0.5, -1],
        top_logprobs: [{ " there": -0.5, " a": -2 }, {}],
        text_offset: [9, 15],
      },
      finish_reason: "length",
    },
    { text: " no", index: 1, logprobs: null, finish_reason: "stop" },
  ],
  usage: USAGE,
  system_fingerprint: "fp",
};

describe("an answer", () => {
  const context = (body: JsonObject) => ({ call: decode(body), createdAt: 9 });
  it("is written as it was read", () => {
    const answer = completions.decodeAnswer(ANSWER, { operation: "generate", provider: "p" });
    expect(completions.encodeAnswer(answer, context({ model: "m", prompt: "x", echo: true }))).toEqual(ANSWER);
    expect(answer).toMatchObject({ stop: "max_tokens", usage: { inputUncached: 3, output: 4 } });
    expect(completions.readAnswer(ANSWER)).toMatchObject({ id: "cmpl-1", stop: "max_tokens", usage: { output: 4 } });
  });
  it("keeps log probabilities on the way through another language", () => {
    const call = chat.decodeCall({ model: "m", messages: [{ role: "user", content: "x" }] }, door);
    const answer = completions.decodeAnswer(ANSWER, { operation: "generate", provider: "p" });
    const there = chat.decodeAnswer(chat.encodeAnswer(answer, { call, createdAt: 1 }), { operation: "generate", provider: "q" });
    const back = completions.encodeAnswer(there, context({ model: "m", prompt: "Once upon", echo: true })) as { choices: JsonObject[] };
    expect(back.choices[0]).toEqual({
      text: "Once upon there was",
      index: 0,
      logprobs: {
        tokens: [" there", " was"],
        token_logprobs: [-0.5, -1],
        top_logprobs: [{ " there": -0.5, " a": -2 }, {}],
        text_offset: [9, 15],
      },
      finish_reason: "length",
    });
  });
  it.each([
    [null],
    [[]],
    [{}],
    [{ choices: [] }],
    [{ choices: [{}] }],
    [{ error: { message: "x" } }],
    [{ choices: [{ text: "x", finish_reason: "error" }] }],
  ])("is refused when it is none: %j", (body) => {
    expect(() => completions.decodeAnswer(body as JsonObject, { operation: "generate" })).toThrow(ProblemError);
  });
});

const chunk = (choices: readonly JsonObject[], more: JsonObject = {}): string =>
  formatFrame(undefined, JSON.stringify({ id: "cmpl-1", object: "text_completion", created: 7, model: "m", choices, ...more }));
const piece = (text: string, more: JsonObject = {}): string => chunk([{ text, index: 0, logprobs: null, finish_reason: null, ...more }]);
const STREAM = [
  ...["On", "ce", ' "é"', " \u{1f600}"].map((text) => piece(text)),
  chunk([{ text: "Other", index: 1, logprobs: null, finish_reason: null }]),
  piece("!", { logprobs: { tokens: ["!"], token_logprobs: [-1], top_logprobs: [{}], text_offset: [4] } }),
  chunk([{ text: " way", index: 1, logprobs: null, finish_reason: "stop" }]),
  piece("", { finish_reason: "stop" }),
  chunk([], { usage: USAGE }),
  formatFrame(undefined, "[DONE]"),
].join("");

describe("a stream", () => {
  const bytes = encoder.encode(STREAM);
  const whole = decodeStream(completions, [bytes]);
  const folded = fold(whole);

  it("is understood, its first choice as the answer", () => {
    expect(folded.answer()).toMatchObject({
      id: "cmpl-1",
      stop: "end",
      usage: { inputUncached: 3, output: 4 },
      items: [{ parts: [{ text: 'Once "é" \u{1f600}!' }] }],
      native: { choices: [{ index: 0 }, { index: 1, text: "Other way", finish_reason: "stop" }] },
    });
  });
  it("is the same wherever it is cut, and broken wherever it ends too soon", () => {
    expect(decodeStream(completions, byteByByte(bytes))).toEqual(whole);
    for (const at of cutPlaces(bytes.length)) {
      expect(decodeStream(completions, [bytes.subarray(0, at), bytes.subarray(at)]), `cut at ${at}`).toEqual(whole);
      const ends = decodeStream(completions, [bytes.subarray(0, at)]).filter(({ type }) => type === "done" || type === "problem");
      expect(ends, `ends at ${at}`).toMatchObject([{ type: "problem" }]);
    }
  });
  it("is counted without being decoded", () => {
    const meter = completions.usageFrames({ withholdUsage: false });
    const roles: string[] = [];
    new FrameSplitter(1e6).push(bytes, (frame) => roles.push(meter.frame(Buffer.from(frame))));
    expect(roles.at(-1)).toBe("done");
    expect([meter.id(), meter.model(), meter.stop(), meter.called()]).toEqual(["cmpl-1", "m", "end", true]);
    expect(meter.usage()).toEqual(folded.usage);
    expect(meter.outputCharacters()).toBe('Once "é" \u{1f600}!Other way'.length);
  });
  it.each([true, false])("is told again in frames that say the same (usage: %s)", (include_usage) => {
    const call = decode({ model: "m", prompt: "x", stream: true, ...(include_usage && { stream_options: { include_usage } }) });
    let text = "";
    const writer = completions.encodeEvents((event, data) => (text += formatFrame(event, data)), { call, createdAt: 1 });
    for (const event of whole) writer.event(event);
    const again = fold(decodeStream(completions, [encoder.encode(text)]));
    expect(again.items()).toEqual(folded.items());
    expect(again.usageSeen).toBe(include_usage);
    expect(again.answer().native["choices"]).toEqual(folded.answer().native["choices"]);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });
  it("begins with the prompt for a client that wants it back", () => {
    let text = "";
    const call = decode({ model: "m", prompt: "Once", echo: true, stream: true });
    const writer = completions.encodeEvents((event, data) => (text += formatFrame(event, data)), { call, createdAt: 1 });
    writer.event({ type: "start", id: "x", model: "m", createdAt: 1 });
    writer.event({ type: "item_start", index: 0, item: { type: "message", role: "assistant", parts: [] } });
    writer.event({ type: "text", index: 0, part: 0, text: " upon" });
    writer.event({ type: "item_end", index: 0, item: { type: "message", role: "assistant", parts: [{ type: "text", text: " upon" }] } });
    writer.event({ type: "done", stop: "end" });
    expect(fold(decodeStream(completions, [encoder.encode(text)])).items()).toMatchObject([{ parts: [{ text: "Once upon" }] }]);
  });
  it.each([
    ["{nonsense", "upstream_broken"],
    ['{"error":{"message":"m","code":"rate_limit_exceeded"}}', "rate_limited"],
    ['{"choices":[{"index":0,"text":"x","finish_reason":"error"}]}', "upstream_broken"],
  ])("ends in one problem: %s", (data, kind) => {
    const frame = formatFrame(undefined, data);
    const events = decodeStream(completions, [encoder.encode(frame + STREAM)]);
    expect(events.filter(({ type }) => type === "problem" || type === "done")).toMatchObject([{ type: "problem", problem: { kind } }]);
    const meter = completions.usageFrames({ withholdUsage: false });
    expect(meter.frame(Buffer.from(frame))).toBe("problem");
    expect(meter.problem()).toMatchObject({ kind });
  });
});
