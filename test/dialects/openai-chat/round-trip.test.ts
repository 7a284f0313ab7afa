import { describe, expect, it } from "vitest";
import type { AnswerContext, Call, JsonObject } from "../../../src/canon/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import { readCorpus } from "./corpus.ts";

const corpus = readCorpus();
const door = { operation: "generate", headers: {}, params: {} } as const;

function contextFor(call?: Call): AnswerContext {
  const bare = chat.decodeCall({ model: "m", messages: [] }, door);
  return { call: call ?? bare, createdAt: 1 };
}

describe.skipIf(corpus.requests.length === 0)("recorded traffic", () => {
  it("is there in numbers", () => {
    expect(corpus.requests.length).toBeGreaterThan(260);
    expect(corpus.answers.length).toBeGreaterThan(200);
    expect(corpus.streams.length).toBeGreaterThan(30);
  });

  it("requests: decoded and encoded again are equal but for the model", () => {
    for (const { name, value } of corpus.requests) {
      const call = chat.decodeCall(value, door);
      const notes: unknown[] = [];
      const wire = chat.encodeCall(call, { provider: "p", model: "target", capabilities: { streamUsage: false } }, (note) =>
        notes.push(note),
      );
      expect([name, JSON.parse(wire.body)]).toEqual([name, { ...value, model: "target" }]);
      expect([name, notes]).toEqual([name, []]);
      expect(wire.path).toBe("/chat/completions");
      expect(chat.outline(value, door).model).toBe(value["model"]);
    }
  });

  it("requests: items that went through storage are put back together, too", () => {
    for (const { name, value } of corpus.requests) {
      const call = chat.decodeCall(value, door);
      const stored = { ...call, items: JSON.parse(JSON.stringify(call.items)) as Call["items"] };
      const wire = chat.encodeCall(stored, { provider: "p", model: "target", capabilities: { streamUsage: false } }, () => {});
      expect([name, JSON.parse(wire.body)]).toEqual([name, { ...value, model: "target" }]);
    }
  });

  it("requests: without their verbatim parts they still say the same", () => {
    for (const { name, value } of corpus.requests) {
      const call = chat.decodeCall(value, door);
      const bare = { ...call, items: call.items.map(({ raw: _raw, envelope: _envelope, ...item }) => item as Call["items"][number]) };
      const wire = chat.encodeCall(bare, { provider: "p", model: "target", capabilities: { streamUsage: false } }, () => {});
      const again = chat.decodeCall(JSON.parse(wire.body) as JsonObject, door);
      const essence = (items: Call["items"]): unknown =>
        items.flatMap((item) =>
          item.type === "tool_call" ? [[item.callId, item.name, item.input]] : item.type === "tool_result" ? [[item.callId]] : [],
        );
      expect([name, essence(again.items)]).toEqual([name, essence(call.items)]);
    }
  });

  it("answers: decoded and encoded again are equal, and the fast path reads the same of them", () => {
    for (const { name, value, provider } of corpus.answers) {
      const answer = chat.decodeAnswer(value, { provider, operation: "generate" });
      expect([name, chat.encodeAnswer(answer, contextFor())]).toEqual([name, value]);
      const read = chat.readAnswer(value);
      expect([name, { usage: read.usage ?? answer.usage, stop: read.stop, model: read.model ?? "" }]).toEqual([
        name,
        {
          usage: answer.usage,
          stop: answer.stop,
          model: answer.model,
        },
      ]);
    }
  });

  it("answers: as the next call's history they are what a client would send back", () => {
    for (const { name, value, provider } of corpus.answers) {
      const answer = chat.decodeAnswer(value, { provider, operation: "generate" });
      if (answer.items.length === 0) continue;
      const call = { ...contextFor().call, items: answer.items };
      const wire = chat.encodeCall(call, { provider, model: "m", capabilities: {} }, () => {});
      const [message, ...others] = (JSON.parse(wire.body) as { messages: JsonObject[] }).messages;
      expect([name, others]).toEqual([name, []]);
      const before = ((value["choices"] as JsonObject[])[0]?.["message"] ?? {}) as JsonObject;
      expect([name, message?.["role"]]).toEqual([name, "assistant"]);
      expect([name, message?.["content"] ?? ""]).toEqual([name, before["content"] ?? ""]);
      expect([name, message?.["tool_calls"]]).toEqual([name, before["tool_calls"] ?? undefined]);
    }
  });

  it("refusals: keep their words and their status", () => {
    for (const { name, value, provider } of corpus.refusals) {
      const problem = chat.decodeProblem({ status: value.status, headers: {}, body: value.body, text: "", provider });
      expect([name, problem.kind]).toEqual([name, value.status === 429 ? "rate_limited" : "upstream_rejected"]);
      const told = chat.encodeProblem(problem, "c");
      expect([name, told.status, told.body]).toEqual([name, value.status, problem.kind === "upstream_rejected" ? value.body : told.body]);
    }
  });
});
