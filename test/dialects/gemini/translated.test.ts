import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  checkCall,
  ProblemError,
  textOf,
  unfold,
  type Call,
  type Diagnostic,
  type Dialect,
  type Event,
  type Item,
  type Json,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/gemini/index.ts";
import { isList, isObject } from "../../../src/dialects/gemini/wire.ts";
import messages from "../../../src/dialects/anthropic-messages/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import responses from "../../../src/dialects/openai-responses/index.ts";
import { formatFrame, SeededRandomness } from "../../../src/kit/index.ts";
import { readInteractions, recordings } from "../../support/shared.ts";
import { decodeStream } from "../../support/streams.ts";
import { answers, context, foreignCall, requests, streams, target } from "./corpus.ts";

const OTHERS: readonly (readonly [path: string, other: Dialect])[] = [
  ["/chat/completions", chat],
  ["/responses", responses],
  ["/messages", messages],
];
const PROVIDERS = ["openai", "anthropic", "groq", "deepseek", "mistral", "openrouter", "cerebras"];
const CAPABLE = {
  ...target,
  capabilities: { tools: true, vision: true, files: true, audio: true, structuredOutput: true, reasoning: true },
};

interface Foreign {
  readonly name: string;
  readonly call: Call;
}

/** Recorded requests of the other languages that stand on their own. */
function foreignCalls(): Foreign[] {
  const found: Foreign[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { request }] of readInteractions(file).entries()) {
      const other = OTHERS.find(([path]) => request.path.split("?")[0]?.endsWith(path))?.[1];
      if (!other || !isObject(request.body) || request.body["conversation"] !== undefined) continue;
      const call = other.decodeCall(request.body, { operation: "generate", headers: {}, params: {} });
      if (call.previousId === undefined && !checkCall(call)) found.push({ name: `${file} ${at}`, call });
    }
  }
  return found;
}

function translated(call: Call): JsonObject | undefined {
  try {
    return JSON.parse(dialect.encodeCall(call, CAPABLE, () => undefined).body) as JsonObject;
  } catch (error) {
    // Shows something by its id in another provider's store, and nothing else.
    if (error instanceof ProblemError && error.problem.kind === "unsupported") return undefined;
    throw error;
  }
}

/** What the API is known to refuse in a request that is well formed JSON. */
function faults(body: JsonObject): string[] {
  const found: string[] = [];
  const contents = (isList(body["contents"]) ? body["contents"] : []).filter(isObject);
  if (contents.length === 0) found.push("no contents");
  for (const [at, content] of contents.entries()) {
    const parts = (isList(content["parts"]) ? content["parts"] : []).filter(isObject);
    if (parts.length === 0) found.push(`content ${at} is empty`);
    if (content["role"] !== "user" && content["role"] !== "model")
      found.push(`content ${at} has a role ${JSON.stringify(content["role"])}`);
    if (parts.some((part) => part["text"] === "" && part["thoughtSignature"] === undefined)) found.push(`content ${at} has an empty text`);
    const calls = parts.filter((part) => part["functionCall"] !== undefined);
    const next = contents[at + 1];
    const answered = (isList(next?.["parts"]) ? next["parts"] : []).filter(
      (part) => isObject(part) && part["functionResponse"] !== undefined,
    );
    if (calls.length !== (calls.length > 0 ? answered.length : 0)) found.push(`content ${at}'s calls are not answered at once`);
    if (calls.length > 0 && calls[0]?.["thoughtSignature"] === undefined) found.push(`content ${at}'s first call is unsigned`);
  }
  return found;
}

describe("requests of other languages become ones that the API takes", () => {
  const calls = foreignCalls();
  it("are there", () => expect(calls.length).toBeGreaterThan(200));

  it.each(calls)("$name", ({ call }) => {
    const body = translated(call);
    if (!body) return;
    expect(faults(body)).toEqual([]);
    const again = dialect.decodeCall(body, context());
    const ids = (items: readonly Item[]) =>
      items.filter((item) => item.type === "tool_call").map((item) => [item.callId, JSON.parse(item.input || "{}") as unknown]);
    if (call.tools.every((tool) => tool.type === "function" || tool.type === "native")) expect(ids(again.items)).toEqual(ids(call.items));
    expect(again.maxOutputTokens).toBe(call.maxOutputTokens);
  });
});

describe("requests of this language, told in another", () => {
  it.each(OTHERS.flatMap(([, other]) => requests().map((recorded) => ({ other: other.id, ...recorded }))))(
    "$other: $name",
    ({ other, path, body }) => {
      const to = OTHERS.find(([, candidate]) => candidate.id === other)?.[1];
      const call = dialect.decodeCall(body, context(path));
      if (!to || call.operation !== "generate") return;
      const lost: Diagnostic[] = [];
      let sent: JsonObject;
      try {
        sent = JSON.parse(to.encodeCall(call, CAPABLE, (note) => lost.push(note)).body) as JsonObject;
      } catch (error) {
        expect(error).toMatchObject({ problem: { kind: "unsupported" } });
        return;
      }
      const again = to.decodeCall(sent, { operation: "generate", headers: {}, params: {} });
      expect(checkCall(again)).toBeUndefined();
      const calls = (items: readonly Item[]) => items.filter((item) => item.type === "tool_call").map(({ callId, name }) => [callId, name]);
      expect(calls(again.items)).toEqual(calls(call.items));
      const words = (items: readonly Item[]) =>
        items.map((item) => (item.type === "message" && item.role === "user" ? textOf(item.parts) : "")).join("");
      expect(words(again.items)).toContain(words(call.items));
    },
  );
});

describe("answers of this language, told in another", () => {
  it.each(OTHERS.flatMap(([, other]) => answers().map((recorded) => ({ other: other.id, ...recorded }))))(
    "$other: $name",
    ({ other, body }) => {
      const to = OTHERS.find(([, candidate]) => candidate.id === other)?.[1];
      if (!to) return;
      const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
      const told = to.encodeAnswer(answer, { call: foreignCall({}), id: "id_1", createdAt: 1 });
      const again = to.decodeAnswer(told, { operation: "generate" });
      const seen = (items: readonly Item[]) => ({
        text: items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join(""),
        calls: items
          .filter((item) => item.type === "tool_call")
          .map(({ callId, name, input }) => [callId, name, JSON.parse(input) as Json]),
      });
      expect(seen(again.items)).toEqual(seen(answer.items));
      expect(again.usage.output).toBe(answer.usage.output);
      const frames: string[] = [];
      const encoder = to.encodeEvents((event, data) => frames.push(formatFrame(event, data)), {
        call: foreignCall({ stream: true }),
        createdAt: 1,
      });
      for (const event of unfold(answer)) encoder.event(event);
      const fold = new AnswerFold({ dialect: to.id });
      for (const event of decodeStream(to, [Buffer.from(frames.join(""))])) fold.event(event);
      expect(fold.problem).toBeUndefined();
      expect(seen(fold.answer().items)).toEqual(seen(answer.items));
    },
  );
});

describe("answers of other languages, told in this one", () => {
  const told = (items: readonly Item[], call: Partial<Call> = {}): JsonObject =>
    dialect.encodeAnswer(
      {
        id: "a",
        model: "m",
        createdAt: 0,
        items,
        stop: "end",
        usage: { inputUncached: 3, cacheRead: 2, cacheWrite5m: 1, cacheWrite1h: 0, output: 9, reasoning: 4 },
        origin: { dialect: "other", provider: "p" },
        native: {},
      },
      { call: foreignCall({ origin: { dialect: dialect.id }, ...call }), createdAt: 0 },
    ) as JsonObject;

  it("count thoughts beside the answer", () => {
    expect(told([])["usageMetadata"]).toMatchObject({
      promptTokenCount: 6,
      cachedContentTokenCount: 2,
      candidatesTokenCount: 5,
      thoughtsTokenCount: 4,
      totalTokenCount: 15,
    });
  });

  it("show thoughts to whom asked, and carry what is sealed in base64 all the same", () => {
    const thought: Item = {
      type: "reasoning",
      parts: [{ kind: "summary", text: "Hm." }],
      carried: "gkr1.sealed",
      origin: { dialect: "other" },
    };
    const parts = (body: JsonObject) => (body["candidates"] as { content: { parts: Json[] } }[])[0]?.content.parts;
    const signature = btoa("gkr1.sealed");
    expect(parts(told([thought], { reasoning: { summary: "auto" } }))).toEqual([
      { text: "Hm.", thought: true, thoughtSignature: signature },
    ]);
    expect(parts(told([thought]))).toEqual([{ text: "", thought: true, thoughtSignature: signature }]);
    const contents = [{ role: "model", parts: [{ text: "", thought: true, thoughtSignature: signature }] }];
    expect(dialect.outline({ contents }, context()).slow).toContain("sealed");
    expect(dialect.decodeCall({ contents }, context()).items).toMatchObject([{ type: "reasoning", carried: "gkr1.sealed" }]);
  });

  it("ground what they cite, in bytes", () => {
    const annotations = [{ type: "url_citation", url: "https://example.com/a", title: "A", start_index: 1, end_index: 3 }];
    const body = told([
      { type: "message", role: "assistant", parts: [{ type: "text", text: "éèà", annotations }], origin: { dialect: "other" } },
    ]);
    expect(body["candidates"]).toMatchObject([
      {
        groundingMetadata: {
          groundingChunks: [{ web: { uri: "https://example.com/a", title: "A" } }],
          groundingSupports: [{ segment: { startIndex: 2, endIndex: 6, text: "èà" }, groundingChunkIndices: [0] }],
        },
      },
    ]);
    const again = dialect.decodeAnswer(body, { operation: "generate" });
    expect(again.items).toMatchObject([{ parts: [{ text: "éèà", annotations }] }]);
  });
});

/** Something at random in place of one value of a body. */
function spoiled(value: Json, random: SeededRandomness): Json {
  const odd: Json[] = [null, 7, "x", [], {}, true, [null], { parts: 3 }, "gs://x", -1, 1e300, "\u0000", { __proto__: 1 }];
  if (random.number() < 0.15 || typeof value !== "object" || value === null) return odd[Math.floor(random.number() * odd.length)] ?? null;
  if (isList(value)) {
    const at = Math.floor(random.number() * value.length);
    return value.map((inner, place) => (place === at ? spoiled(inner, random) : inner));
  }
  const keys = Object.keys(value);
  const key = keys[Math.floor(random.number() * keys.length)];
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, name === key ? spoiled(inner ?? null, random) : inner]));
}

describe("whatever comes", () => {
  it("a request is refused or read, and never breaks anything", () => {
    const random = new SeededRandomness(11);
    let refused = 0;
    for (const { path, body } of requests()) {
      for (let copy = 0; copy < 20; copy++) {
        const odd = spoiled(body, random);
        if (!isObject(odd)) continue;
        dialect.needs?.(odd);
        try {
          const call = dialect.decodeCall(odd, context(path));
          for (const to of [dialect, chat, messages]) to.encodeCall(call, CAPABLE, () => undefined);
        } catch (error) {
          expect(error).toBeInstanceOf(ProblemError);
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(300);
  });

  it("an answer is broken or read", () => {
    const random = new SeededRandomness(12);
    for (const { body } of answers()) {
      for (let copy = 0; copy < 20; copy++) {
        const odd = spoiled(body, random);
        if (isObject(odd)) dialect.readAnswer(odd);
        try {
          const answer = dialect.decodeAnswer(odd, { provider: "p", operation: "generate" });
          dialect.encodeAnswer(answer, { call: foreignCall({ origin: { dialect: dialect.id } }), createdAt: 0 });
        } catch (error) {
          expect(error).toBeInstanceOf(ProblemError);
        }
      }
    }
  });

  it("a stream ends in exactly one terminal event", () => {
    const random = new SeededRandomness(13);
    for (const { bytes } of streams()) {
      const lines = bytes
        .toString()
        .split(/\r?\n\r?\n/)
        .filter((line) => line.startsWith("data:"));
      for (let copy = 0; copy < 60; copy++) {
        const at = Math.floor(random.number() * lines.length);
        const frames = lines.map((line, place) => {
          const data = JSON.parse(line.slice(5)) as Json;
          return formatFrame(undefined, JSON.stringify(place === at ? spoiled(data, random) : data));
        });
        const events: Event[] = decodeStream(dialect, [Buffer.from(frames.join(""))]);
        expect(events.filter((event) => event.type === "done" || event.type === "problem")).toHaveLength(1);
        const meter = dialect.usageFrames({ withholdUsage: false });
        for (const frame of frames) meter.frame(Buffer.from(frame));
        meter.usage();
      }
    }
  });
});
