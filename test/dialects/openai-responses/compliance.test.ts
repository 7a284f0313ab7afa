import { describe, expect, it } from "vitest";
import { NO_USAGE, unfold, type Answer, type AnswerContext, type JsonObject } from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/openai-responses/index.ts";
import { COMPLIANCE_CASES, responseOf, type StepResult } from "./compliance.cases.ts";
import { compactionFaults, errorFaults, responseFaults, streamFaults, type Fields } from "./compliance.shapes.ts";

const origin = { dialect: "elsewhere" };
const answer: Answer = {
  id: "chat-1",
  model: "their-model",
  createdAt: 7,
  items: [
    { type: "reasoning", parts: [{ kind: "summary", text: "thought" }], origin },
    { type: "message", role: "assistant", parts: [{ type: "text", text: "hello" }], phase: "final_answer", origin },
    { type: "tool_call", callId: "c1", name: "get_weather", kind: "function", input: "{}", origin },
  ],
  stop: "tool_calls",
  usage: NO_USAGE,
  origin,
  native: {},
};

/** What a live server would do with a case's first step, with the answer above for every model. */
function serve(body: Fields, path: string): StepResult {
  const operation = path.endsWith("/compact") ? "compact" : "generate";
  const door = { operation, headers: {}, params: {} } as const;
  const base = { status: 200, contentType: "application/json", events: [], misnamed: [] };
  try {
    dialect.outline(body as JsonObject, door);
  } catch (error) {
    const problem = dialect.encodeProblem((error as { problem: Parameters<typeof dialect.encodeProblem>[0] }).problem, "call_1");
    return { ...base, ...problem };
  }
  const call = dialect.decodeCall(body as JsonObject, door);
  const context: AnswerContext = { call, createdAt: 9 };
  if (!call.stream) return { ...base, body: dialect.encodeAnswer(answer, context) };
  const events: Fields[] = [];
  const encoder = dialect.encodeEvents((_event, data) => events.push(JSON.parse(data) as Fields), context);
  for (const event of unfold(answer)) encoder.event(event);
  return { ...base, contentType: "text/event-stream", body: undefined, events };
}

describe("the compliance cases", () => {
  it("are seventeen, seven of them over a WebSocket", () => {
    expect(COMPLIANCE_CASES).toHaveLength(17);
    expect(COMPLIANCE_CASES.filter((one) => one.webSocket)).toHaveLength(7);
    expect(new Set(COMPLIANCE_CASES.map((one) => one.name)).size).toBe(17);
  });

  const overHttp = COMPLIANCE_CASES.filter((one) => !one.webSocket).map((one) => [one.name, one] as const);
  it.each(overHttp)("%s finds no fault with what this language writes", (_name, one) => {
    const results = one.request.map((step) => serve(step.body("m", []), step.path ?? "/responses"));
    expect(one.check(results)).toEqual([]);
  });

  it("find faults where there are some", () => {
    const good = serve({ model: "m", input: "hi", stream: true }, "/responses");
    const response = responseOf(good) ?? {};
    expect(responseFaults(response)).toEqual([]);
    const unseen = Object.keys(response).filter((field) => responseFaults({ ...response, [field]: undefined }).length === 0);
    expect(unseen).toEqual(["user"]);
    expect(streamFaults(good.events.slice(1))).not.toEqual([]);
    expect(streamFaults(good.events.slice(0, -1))).not.toEqual([]);
    expect(streamFaults(good.events.toReversed())).not.toEqual([]);
    expect(compactionFaults({ object: "response.compaction" })).not.toEqual([]);
    expect(errorFaults({ error: "no" })).not.toEqual([]);
    const none: StepResult = { status: 500, contentType: "", body: {}, events: [], misnamed: [] };
    for (const one of COMPLIANCE_CASES) expect(one.check(one.request.map(() => none))).not.toEqual([]);
  });
});
