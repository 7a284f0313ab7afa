import Anthropic from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  checkCall,
  ProblemError,
  textOf,
  type Call,
  type Dialect,
  type Event,
  type Item,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/anthropic-messages/index.ts";
import { isList, isObject, textAt } from "../../../src/dialects/anthropic-messages/wire.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import responses from "../../../src/dialects/openai-responses/index.ts";
import { formatFrame, parseJson } from "../../../src/kit/index.ts";
import { readInteractions, recordings } from "../../support/shared.ts";
import { decodeStream } from "../../support/streams.ts";
import { context, foreignCall, requests, target } from "./corpus.ts";

const OTHERS: readonly (readonly [path: string, other: Dialect])[] = [
  ["/chat/completions", chat],
  ["/responses", responses],
];
const PROVIDERS = ["openai", "azure", "groq", "deepseek", "mistral", "openrouter", "cerebras", "huggingface"];

interface Foreign {
  readonly name: string;
  readonly call: Call;
}

/** Recorded requests of the other languages that stand on their own. */
function foreignCalls(): Foreign[] {
  const found: Foreign[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { request }] of readInteractions(file).entries()) {
      const other = OTHERS.find(([path]) => request.path.endsWith(path))?.[1];
      if (!other || !isObject(request.body) || request.body["conversation"] !== undefined) continue;
      const call = other.decodeCall(request.body, { operation: "generate", headers: {}, params: {} });
      if (call.previousId === undefined && !checkCall(call)) found.push({ name: `${file} ${at}`, call });
    }
  }
  return found;
}

function blocksOf(message: JsonObject): readonly JsonObject[] {
  const { content } = message;
  return isList(content) ? content.filter(isObject) : [{ type: "text", text: content }];
}

/** What the API is known to refuse in a request that is well formed JSON. */
function faults(body: JsonObject): string[] {
  const messages = (isList(body["messages"]) ? body["messages"] : []).filter(isObject);
  const found: string[] = [];
  if (messages[0]?.["role"] !== "user") found.push("the user does not begin");
  for (const [at, message] of messages.entries()) {
    const blocks = blocksOf(message);
    const of = (type: string, key: string): string[] => blocks.filter((block) => block["type"] === type).map((block) => textAt(block, key));
    if (blocks.length === 0) found.push(`message ${at} is empty`);
    if (messages[at - 1]?.["role"] === message["role"]) found.push(`messages ${at - 1} and ${at} are of one side`);
    if (of("text", "text").includes("")) found.push(`message ${at} has an empty text`);
    if (of("thinking", "signature").includes("")) found.push(`message ${at} has unsigned thinking`);
    const results = (messages[at + 1] ? blocksOf(messages[at + 1] ?? {}) : []).map((block) => textAt(block, "tool_use_id"));
    const calls = of("tool_use", "id");
    if (calls.length > 0 && calls.toSorted().join() !== results.slice(0, calls.length).toSorted().join())
      found.push(`message ${at}'s tool calls are not answered at once`);
  }
  const tools = (isList(body["tools"]) ? body["tools"] : []).filter(isObject);
  for (const tool of tools)
    if (!/^[\w-]{1,64}$/.test(textAt(tool, "name")) || !isObject(tool["input_schema"])) found.push(`tool ${textAt(tool, "name")}`);
  return found;
}

/** Shows something by its id in a provider's file store, and nothing else: refused, because the other side would see nothing. */
function showsNothing(to: Dialect, call: Call): boolean {
  try {
    to.encodeCall(call, target, () => undefined);
    return false;
  } catch (error) {
    return error instanceof ProblemError && error.problem.code === "content_unsupported";
  }
}

describe("requests of other languages become ones that the API takes", () => {
  it.each(foreignCalls().filter(({ call }) => !showsNothing(dialect, call)))("$name", ({ call }) => {
    const body = parseJson(dialect.encodeCall(call, target, () => undefined).body);
    if (!isObject(body)) throw new Error("no object");
    expect(faults(body)).toEqual([]);
    expect(body["max_tokens"]).toBeGreaterThan(0);
    const ids = (items: readonly Item[]) =>
      items.filter((item) => item.type === "tool_call").map((item) => [item.callId, JSON.parse(item.input || "{}") as unknown]);
    const again = dialect.decodeCall(body, context("/v1/messages"));
    expect(ids(again.items)).toEqual(ids(call.items));
  });
});

describe("requests of this language, there and back", () => {
  const own = requests().filter(({ path, body }) => !path.includes("count_tokens") && body["thread"] === undefined);
  const ways = own.flatMap((recorded) => OTHERS.map(([, other]) => ({ ...recorded, other, to: other.id })));
  const refused = ways.filter(({ body, headers, path, other }) => showsNothing(other, dialect.decodeCall(body, context(path, headers))));

  it("but for the one that shows nothing but an image in a file store", () => {
    expect(new Set(refused.map(({ name }) => name)).size).toBeLessThanOrEqual(1);
  });

  it.each(ways.filter((way) => !refused.includes(way)))("$name by way of $to", ({ body, headers, path, other }) => {
    const call = dialect.decodeCall(body, context(path, headers));
    const there = parseJson(other.encodeCall(call, target, () => undefined).body);
    if (!isObject(there)) throw new Error("no object");
    const back = other.decodeCall(there, { operation: "generate", headers: {}, params: {} });
    const home = parseJson(dialect.encodeCall(back, target, () => undefined).body);
    if (!isObject(home)) throw new Error("no object");
    const uses = (of: JsonObject) =>
      (isList(of["messages"]) ? of["messages"] : [])
        .filter(isObject)
        .flatMap(blocksOf)
        .filter((block) => block["type"] === "tool_use");
    const seen = (blocks: JsonObject[]) => blocks.map(({ id, name, input }) => ({ id, name, input }));
    expect(seen(uses(home))).toEqual(seen(uses(body)));
    expect(faults(home).filter((fault) => !fault.includes("not answered"))).toEqual([]);
  });
});

/** Recorded streams of the other languages. */
function foreignStreams(): { readonly name: string; readonly events: readonly Event[] }[] {
  const found: { name: string; events: readonly Event[] }[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange-stream"])) {
    for (const [at, { request, response }] of readInteractions(file).entries()) {
      const other = OTHERS.find(([path]) => request.path.endsWith(path))?.[1];
      if (other && response.sse !== undefined)
        found.push({ name: `${file} ${at}`, events: decodeStream(other, [Buffer.from(response.sse)]) });
    }
  }
  return found;
}

describe("streams of other languages become ones that the vendor's client takes", () => {
  it.each(foreignStreams().filter(({ events }) => events.at(-1)?.type === "done"))("$name", async ({ events }) => {
    let text = "";
    const encoder = dialect.encodeEvents((event, data) => (text += formatFrame(event, data)), { call: foreignCall({}), createdAt: 0 });
    const fold = new AnswerFold({ dialect: "other" });
    for (const event of events) {
      encoder.event(event);
      fold.event(event);
    }
    const client = new Anthropic({
      apiKey: "none",
      maxRetries: 0,
      fetch: () => Promise.resolve(new Response(text, { headers: { "content-type": "text/event-stream" } })),
    });
    const message = await client.messages.stream({ model: "m", max_tokens: 1, messages: [{ role: "user", content: "x" }] }).finalMessage();
    const said = message.content.map((block) => (block.type === "text" ? block.text : "")).join("");
    const meant = fold
      .items()
      .map((item) => (item.type === "message" ? textOf(item.parts) : ""))
      .join("");
    expect(said).toBe(meant);
    const calls = fold.items().filter((item) => item.type === "tool_call");
    expect(message.content.filter((block) => block.type === "tool_use").map((block) => block.id)).toEqual(calls.map((item) => item.callId));
    expect(message.usage.output_tokens).toBe(fold.usage.output);
    const whole = dialect.encodeAnswer(fold.answer(), { call: foreignCall({}), createdAt: 0 });
    expect(whole).toMatchObject({ id: message.id, stop_reason: message.stop_reason });
  });
});
