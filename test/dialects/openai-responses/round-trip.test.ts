import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  ProblemError,
  unfold,
  type AnswerContext,
  type DoorContext,
  type EncodeTarget,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/openai-responses/index.ts";
import { capturedRequests, recordedExchanges } from "./recorded.ts";

const exchanges = recordedExchanges();
const fail = (): never => {
  throw new Error("nothing may be lost in the same language");
};
const target = (provider: string): EncodeTarget => ({ provider, model: "the-target", capabilities: {} });
const door = (operation: DoorContext["operation"]): DoorContext => ({ operation, headers: {}, params: {} });
/** What the answers of a call are written for: none of the overrides. */
function contextOf(body: JsonObject, operation: DoorContext["operation"]): AnswerContext {
  return { call: dialect.decodeCall(body, door(operation)), createdAt: 0 };
}

describe.skipIf(exchanges.length === 0)("recorded requests", () => {
  // `conversation` is refused on purpose: see `outline`.
  const requests = exchanges.filter(({ request }) => request !== undefined && request["conversation"] === undefined);

  it("are many", () => {
    expect(requests.length).toBeGreaterThan(150);
  });

  it.each(requests.map((exchange) => [exchange.name, exchange] as const))(
    "%s comes back as it was",
    (_name, { request = {}, operation, provider }) => {
      const before = JSON.stringify(request);
      const call = dialect.decodeCall(request, door(operation));
      const wire = dialect.encodeCall(call, target(provider), fail);
      expect(JSON.parse(wire.body)).toEqual({ ...request, model: "the-target" });
      expect(JSON.stringify(request)).toBe(before);
      const outline = dialect.outline(request, door(operation));
      expect(outline.model).toBe(request["model"]);
      expect(outline.stream).toBe(call.stream);
    },
  );
});

describe.skipIf(exchanges.length === 0)("recorded answers", () => {
  const answers = exchanges.filter(
    ({ answer, status, operation }) => answer !== undefined && status === 200 && operation !== "count_tokens",
  );

  it.each(answers.map((exchange) => [exchange.name, exchange] as const))(
    "%s comes back as it was",
    (_name, { answer: wire = {}, request, operation, provider }) => {
      const answer = dialect.decodeAnswer(wire, { provider, operation });
      const context = contextOf(request && request["conversation"] === undefined ? request : { model: "m", input: "hi" }, operation);
      expect(dialect.encodeAnswer(answer, context)).toEqual(wire);
      // The slow path goes through events.
      const fold = new AnswerFold({ dialect: dialect.id, provider });
      for (const event of unfold(answer)) fold.event(event);
      expect(dialect.encodeAnswer(fold.answer(), context)).toEqual(wire);
      const read = dialect.readAnswer(wire);
      expect({ id: read.id ?? "", model: read.model ?? "", stop: read.stop, usage: read.usage ?? answer.usage }).toEqual({
        id: answer.id,
        model: answer.model,
        stop: answer.stop,
        usage: answer.usage,
      });
    },
  );

  it("are counted without overlap", () => {
    for (const { answer: wire = {}, operation, provider } of answers) {
      const { usage } = dialect.decodeAnswer(wire, { provider, operation });
      const told = wire["usage"] as { input_tokens: number; output_tokens: number } | null | undefined;
      if (!told) continue;
      expect(usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h).toBe(told.input_tokens);
      expect(usage.output).toBe(told.output_tokens);
      for (const count of [usage.inputUncached, usage.cacheRead, usage.reasoning]) expect(count).toBeGreaterThanOrEqual(0);
    }
  });

  it("that are token counts are read", () => {
    const counts = exchanges.filter(({ operation, answer }) => operation === "count_tokens" && answer !== undefined);
    expect(counts.length).toBeGreaterThan(0);
    for (const { answer = {} } of counts) {
      const tokens = dialect.decodeCount?.(answer);
      expect(tokens).toBe(answer["input_tokens"]);
      expect(dialect.encodeCount?.(tokens ?? 0)).toEqual(answer);
    }
  });

  it("that are errors become the caller's fault and come back in the provider's words", () => {
    const errors = exchanges.filter(({ status, answer }) => status >= 400 && answer !== undefined);
    expect(errors.length).toBeGreaterThan(0);
    for (const { status, answer = {}, provider } of errors) {
      const problem = dialect.decodeProblem({ status, headers: {}, body: answer, text: "", provider });
      expect(problem.kind).toBe("upstream_rejected");
      expect(dialect.encodeProblem(problem, "call_1")).toEqual({ status, body: answer });
    }
  });
});

describe.skipIf(exchanges.length === 0)("captured clients", () => {
  const captured = capturedRequests();

  it.each(captured.map((capture) => [capture.name, capture] as const))("%s is understood", (_name, { path, body }) => {
    const operation = path.endsWith("/compact") ? "compact" : path.endsWith("/input_tokens") ? "count_tokens" : "generate";
    const call = dialect.decodeCall(body, door(operation));
    expect(call.items.length).toBeGreaterThan(0);
    const notes: string[] = [];
    const wire = dialect.encodeCall(call, { ...target("p"), model: body["model"] as string }, (note) => notes.push(note.field));
    const input = Array.isArray(body["input"])
      ? (body["input"] as JsonObject[]).filter((item) => item["type"] !== "item_reference")
      : body["input"];
    expect(JSON.parse(wire.body)).toEqual({ ...body, input });
  });

  it("that list their tools inside the conversation have them offered elsewhere", () => {
    const codex = captured.find(({ name }) => name.startsWith("codex-openai/"));
    const call = dialect.decodeCall(codex?.body ?? {}, door("generate"));
    const [first] = call.items;
    expect(first?.type === "unknown" && first.tools?.map((tool) => tool.type)).toEqual(["namespace", "namespace", "namespace"]);
  });
});

describe("conversation", () => {
  it("is refused, with what to do instead", () => {
    const body = { model: "m", input: "hi", conversation: "conv_1" };
    for (const read of [() => dialect.outline(body, door("generate")), () => dialect.decodeCall(body, door("generate"))]) {
      let thrown: unknown;
      try {
        read();
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(ProblemError);
      expect((thrown as ProblemError).problem).toMatchObject({ kind: "unsupported", param: "conversation" });
    }
  });
});
