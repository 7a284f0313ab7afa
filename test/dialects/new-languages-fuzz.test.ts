import { describe, expect, it } from "vitest";
import { ProblemError, type Json, type JsonObject } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { eventStream, SeededRandomness } from "../../src/kit/index.ts";
import { CAPABLE } from "../../scripts/generate/loss-table.ts";
import { decodeStream } from "../support/streams.ts";
import { ANSWERS, CHATS, PROMPTS, RESPONSES, STREAMS } from "./ollama-chat/samples.ts";

const ROUNDS = 1500;
const NONSENSE: readonly Json[] = [null, true, 0, -1, 1e308, "", "\u0000", "[DONE]", [], {}, [null], [[]], { error: {} }, "x".repeat(5000)];

const COMPLETION: JsonObject = { model: "m", prompt: "Hi", n: 2, logprobs: 1, stop: ["a"], echo: true, stream: true, stream_options: {} };
const TEXT: JsonObject = {
  id: "c",
  object: "text_completion",
  created: 1,
  model: "m",
  choices: [{ text: "Hello", index: 0, logprobs: { tokens: ["Hello"], token_logprobs: [-1], top_logprobs: [{}] }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1 },
};

const SAMPLES = [
  { id: "ollama-chat", params: { shape: "chat" }, calls: Object.values(CHATS), answers: Object.values(ANSWERS) },
  { id: "ollama-chat", params: { shape: "generate" }, calls: Object.values(PROMPTS), answers: Object.values(RESPONSES) },
  { id: "openai-completions", params: {}, calls: [COMPLETION], answers: [TEXT] },
];

/** The value with one place in it replaced by something else. */
function spoilt(value: Json, random: SeededRandomness): Json {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random.number() * list.length)];
  if (typeof value !== "object" || value === null || random.number() < 0.15) return pick(NONSENSE) ?? null;
  if (Array.isArray(value)) {
    const at = Math.floor(random.number() * value.length);
    return (value as readonly Json[]).map((one, place) => (place === at ? spoilt(one, random) : one));
  }
  const key = pick(Object.keys(value)) ?? "";
  return { ...(value as JsonObject), [key]: spoilt((value as JsonObject)[key] ?? null, random) };
}

/** Whatever goes wrong is a problem that the caller is told. */
function tolerated(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
  }
}

describe.each(SAMPLES)("nonsense in $id $params", ({ id, params, calls, answers }) => {
  const dialect = dialects.get(id);
  const others = [...dialects.values()];
  const door = { operation: "generate" as const, headers: {}, params };
  const capable = { provider: "p", model: "m", capabilities: CAPABLE };

  it("in a request is refused as such, or said in every language", () => {
    const random = new SeededRandomness(11);
    let read = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const body = spoilt(calls[round % calls.length] ?? {}, random);
      if (typeof body !== "object" || body === null || Array.isArray(body)) continue;
      const asked = body as JsonObject;
      dialect?.needs?.(asked);
      tolerated(() => void dialect?.outline(asked, door));
      tolerated(() => {
        const call = dialect?.decodeCall(asked, door);
        if (!call) return;
        read++;
        for (const other of others) tolerated(() => void other.encodeCall(call, capable, () => {}));
        const own = { ...capable, model: call.model, capabilities: { ...CAPABLE, streamUsage: false } };
        expect(JSON.parse(dialect?.encodeCall(call, own, () => {}).body ?? "")).toEqual(body);
      });
    }
    expect(read).toBeGreaterThan(ROUNDS / 20);
  });

  it("in an answer is a problem, or read and written again", () => {
    const random = new SeededRandomness(12);
    const call = dialect?.decodeCall(calls[0] ?? {}, door);
    for (let round = 0; round < ROUNDS; round++) {
      const body = spoilt(answers[round % answers.length] ?? {}, random);
      if (typeof body === "object" && body !== null && !Array.isArray(body)) dialect?.readAnswer(body as JsonObject);
      tolerated(() => {
        const answer = dialect?.decodeAnswer(body, { operation: "generate" });
        if (answer && call) for (const other of [dialect, ...others]) other?.encodeAnswer(answer, { call, createdAt: 1 });
      });
    }
  });

  it("in a stream ends it in one problem at most, and counts no less", () => {
    const random = new SeededRandomness(13);
    const framing = dialect?.framing ?? eventStream;
    const whole = (STREAMS[params.shape ?? ""] ?? "").split("\n").filter((line) => line !== "");
    const frames = (whole.length > 0 ? whole : answers.map((answer) => JSON.stringify(answer))).map((line) => JSON.parse(line) as Json);
    for (let round = 0; round < ROUNDS; round++) {
      const at = Math.floor(random.number() * frames.length);
      const bytes = frames.map((frame, place) => framing.format(undefined, JSON.stringify(place === at ? spoilt(frame, random) : frame)));
      if (!dialect) continue;
      const ends = decodeStream(dialect, bytes).filter(({ type }) => type === "problem" || type === "done");
      expect(ends).toHaveLength(1);
      const meter = dialect.usageFrames({ withholdUsage: false });
      for (const frame of bytes) meter.frame(Buffer.from(frame));
      expect(meter.outputCharacters()).toBeGreaterThanOrEqual(0);
    }
  });
});
