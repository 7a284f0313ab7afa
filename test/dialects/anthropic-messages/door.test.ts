import Anthropic, { APIError } from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import {
  checkCall,
  PROBLEM_KINDS,
  ProblemError,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/anthropic-messages/index.ts";
import { context, target } from "./corpus.ts";

const good = { model: "m", max_tokens: 5, messages: [{ role: "user", content: "x" }] };
const ask = (content: Json, role = "user"): JsonObject => ({ ...good, messages: [{ role, content }] });
const image = (source: Json): JsonObject => ask([{ type: "image", source }]);

function refusal(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
    throw error;
  }
  throw new Error("was accepted");
}

describe("what the door refuses, and by which name", () => {
  const cases: readonly (readonly [param: string, body: JsonObject])[] = [
    ["model", { ...good, model: "" }],
    ["model", { ...good, model: 5 }],
    ["stream", { ...good, stream: "yes" }],
    ["max_tokens", { model: "m", messages: [] }],
    ["max_tokens", { ...good, max_tokens: -1 }],
    ["max_tokens", { ...good, max_tokens: "5" }],
    ["messages", { model: "m", max_tokens: 5 }],
    ["messages", { ...good, messages: "hi" }],
    ["messages.0", { ...good, messages: ["hi"] }],
    ["messages.0.role", ask("x", "tool")],
    ["messages.0.content", { ...good, messages: [{ role: "user" }] }],
    ["messages.0.content", ask(5)],
    ["messages.0.content.0", ask(["x"])],
    ["messages.0.content.0.type", ask([{ text: "x" }])],
    ["messages.0.content.0.text", ask([{ type: "text" }])],
    ["messages.0.content.0.source", image("x")],
    ["messages.0.content.0.source.url", image({ type: "url", url: "ftp://x/y" })],
    ["messages.0.content.0.source.url", image({ type: "url", url: "not a url" })],
    ["messages.0.content.0.source.url", image({ type: "url", url: "data:image/png,plain" })],
    ["messages.0.content.0.source.data", image({ type: "base64", media_type: "image/png", data: "%%%" })],
    ["messages.0.content.0.source.media_type", image({ type: "base64", data: "aGk=" })],
    ["messages.0.content.0.source.file_id", image({ type: "file" })],
    ["messages.0.content.0.tool_use_id", ask([{ type: "tool_result", content: "x" }])],
    ["messages.0.content.0.content.0.text", ask([{ type: "tool_result", tool_use_id: "a", content: [{ type: "text", text: 1 }] }])],
    ["messages.0.content.0.input", ask([{ type: "tool_use", id: "a", name: "f", input: "{}" }], "assistant")],
    ["messages.0.content.0.thinking", ask([{ type: "thinking" }], "assistant")],
    ["system", { ...good, system: 5 }],
    ["system.0.type", { ...good, system: [{ type: "image" }] }],
    ["tools", { ...good, tools: {} }],
    ["tools.0.name", { ...good, tools: [{ input_schema: {} }] }],
    ["tools.0.input_schema", { ...good, tools: [{ name: "f" }] }],
    ["tool_choice.type", { ...good, tool_choice: { type: "maybe" } }],
    ["tool_choice.name", { ...good, tool_choice: { type: "tool" } }],
    ["thinking.type", { ...good, thinking: {} }],
    ["thinking.budget_tokens", { ...good, thinking: { type: "enabled", budget_tokens: 1.5 } }],
    ["output_config.format.schema", { ...good, output_config: { format: { type: "json_schema" } } }],
    ["stop_sequences.0", { ...good, stop_sequences: [1] }],
    ["temperature", { ...good, temperature: "hot" }],
    ["metadata.user_id", { ...good, metadata: { user_id: 5 } }],
    ["thread.type", { ...good, thread: { type: "end" } }],
    ["thread.previous_message_id", { ...good, thread: { type: "continue" } }],
  ];
  it.each(cases)("%s in %j", (param, body) => {
    const problem = refusal(() => dialect.decodeCall(body, context("/v1/messages")));
    expect(problem.kind).toBe("invalid_request");
    expect(problem.param).toBe(param);
    expect(problem.message).toContain(param);
  });

  it("takes a data URL for what it is", () => {
    const call = dialect.decodeCall(image({ type: "url", url: "data:image/png;base64,aGk=" }), context("/v1/messages"));
    expect(call.items).toMatchObject([{ parts: [{ type: "image", source: { data: "aGk=", mediaType: "image/png" } }] }]);
  });

  it("leaves a tool result without its call to the common check", () => {
    const call = dialect.decodeCall(ask([{ type: "tool_result", tool_use_id: "lost", content: "x" }]), context("/v1/messages"));
    expect(checkCall(call)?.message).toContain('"lost"');
  });

  it("needs no output cap for a count", () => {
    expect(dialect.outline({ model: "m", messages: [] }, context("/v1/messages/count_tokens"))).toEqual({
      model: "m",
      stream: false,
      keep: false,
      background: false,
    });
  });

  it("leaves the fast path for what another model left in the history", () => {
    const outline = (content: Json) => dialect.outline(ask(content, "assistant"), context("/v1/messages")).slow;
    expect(
      outline([
        { type: "thinking", thinking: "x", signature: "s" },
        { type: "tool_use", id: "a", name: "f", input: {} },
      ]),
    ).toBeUndefined();
    expect(outline([{ type: "thinking", thinking: "x", signature: "" }])).toContain("signature");
    expect(outline([{ type: "tool_use", id: "f:0", name: "f", input: {} }])).toContain("id");
  });
});

describe("credentials and lists", () => {
  it("reads the key from either header", () => {
    expect(dialect.credentials({ "x-api-key": "a", authorization: "Bearer b" })).toBe("a");
    expect(dialect.credentials({ authorization: "bearer b" })).toBe("b");
    expect(dialect.credentials({ authorization: "Basic b" })).toBeUndefined();
    expect(dialect.credentials({})).toBeUndefined();
  });

  it("lists models as the vendor's client reads them", async () => {
    const models = [{ id: "a/b", provider: "a", createdAt: 1_700_000_000, displayName: "B", contextTokens: 10 }];
    expect(dialect.answersModels?.({ "anthropic-version": "2023-06-01" })).toBe(true);
    expect(dialect.answersModels?.({})).toBe(false);
    const list = await client(200, dialect.encodeModels?.(models, {}) ?? null).models.list();
    expect(list.data).toMatchObject([
      { id: "a/b", type: "model", created_at: "2023-11-14T22:13:20.000Z", max_input_tokens: 10, max_tokens: null },
    ]);
    expect(list.hasNextPage()).toBe(false);
  });

  it("counts", () => {
    expect(dialect.decodeCount?.(dialect.encodeCount?.(7) ?? null)).toBe(7);
    expect(dialect.decodeCount?.({})).toBeUndefined();
  });
});

function client(status: number, body: Json): Anthropic {
  return new Anthropic({
    apiKey: "none",
    maxRetries: 0,
    fetch: () =>
      Promise.resolve(
        new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", "request-id": "call_1" } }),
      ),
  });
}

async function thrown(problem: Problem): Promise<APIError> {
  const { status, body } = dialect.encodeProblem(problem, "call_1");
  const error: unknown = await client(status, body)
    .messages.create({ ...good, messages: [{ role: "user", content: "x" }] })
    .catch((reason: unknown) => reason);
  if (error instanceof APIError) return error;
  throw new Error("the client threw something else");
}

describe("problems for clients", () => {
  it.each(Object.keys(PROBLEM_KINDS) as ProblemKind[])("%s has a type, a status, what to do and the call's id", async (kind) => {
    const error = await thrown({ kind, message: "It went wrong.", param: "messages.0" });
    expect(error.status).toBe(PROBLEM_KINDS[kind].status);
    expect(error.type).toMatch(/_error$|^request_too_large$/);
    expect(error.apiMessage).toBe(`messages.0: It went wrong. ${PROBLEM_KINDS[kind].remedy}`);
    expect(error.error).toMatchObject({ type: "error", request_id: "call_1" });
  });

  it("names the causes that clients of threads act on", async () => {
    const missing = await thrown({ kind: "not_found", message: "Gone.", code: "turn_not_found" });
    expect([missing.errorCode, missing.status]).toEqual(["thread_not_found", 404]);
    const changed = await thrown({ kind: "invalid_request", message: "Changed.", code: "thread_fingerprint_mismatch" });
    expect(changed.errorCode).toBe("thread_fingerprint_mismatch");
  });

  it("ends a stream in one error frame", () => {
    const frames: (readonly [string | undefined, unknown])[] = [];
    dialect.encodeProblemFrames({ kind: "upstream_broken", message: "Cut." }, "call_1", (event, data) =>
      frames.push([event, JSON.parse(data)]),
    );
    expect(frames).toMatchObject([["error", { type: "error", error: { type: "api_error" }, request_id: "call_1" }]]);
  });
});

describe("problems of upstreams", () => {
  const decode = (status: number, body: Json | undefined, headers = {}, text = ""): Problem =>
    dialect.decodeProblem({ status, headers, body, text, provider: "p" });
  const said = (type: string, message = "Because."): JsonObject => ({ type: "error", error: { type, message }, request_id: "req_1" });

  it.each([
    [400, "upstream_rejected"],
    [404, "upstream_rejected"],
    [413, "upstream_rejected"],
    [422, "upstream_rejected"],
    [401, "upstream_rejected"],
    [403, "upstream_rejected"],
    [408, "upstream_timeout"],
    [504, "upstream_timeout"],
    [429, "rate_limited"],
    [500, "upstream_unavailable"],
    [529, "upstream_unavailable"],
  ] as const)("%i is %s", (status, kind) => {
    expect(decode(status, said("x_error")).kind).toBe(kind);
  });

  it("pass in the provider's own words with the call's id added", () => {
    const body = said("invalid_request_error", "max_tokens: too large");
    const problem = decode(400, body);
    expect(problem.message).toContain("max_tokens: too large");
    expect(dialect.encodeProblem(problem, "call_1")).toEqual({ status: 400, body: { ...body, gimbal_call_id: "call_1" } });
    expect(dialect.encodeProblem(decode(529, said("overloaded_error")), "call_1")).toMatchObject({
      status: 529,
      body: { error: { type: "overloaded_error" } },
    });
  });

  it("never blame the client's key for the gateway's, nor echo one", () => {
    const problem = decode(401, said("authentication_error", "invalid x-api-key sk-ant-secret"));
    const encoded = dialect.encodeProblem(problem, "call_1");
    expect(encoded.status).toBe(502);
    expect(JSON.stringify([problem, encoded])).not.toContain("sk-ant-secret");
    expect(problem.message).toContain("credentials");
  });

  it("say in seconds or milliseconds when to come back", () => {
    expect(decode(429, said("rate_limit_error"), { "retry-after": "2.5" }).retryAfterMs).toBe(2500);
    expect(decode(429, said("rate_limit_error"), { "retry-after": "9", "retry-after-ms": "120" }).retryAfterMs).toBe(120);
    expect(decode(429, said("rate_limit_error"), { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }).retryAfterMs).toBeUndefined();
    expect(decode(429, said("rate_limit_error"), { "retry-after": "1e99" }).retryAfterMs).toBe(86_400_000);
  });

  it("become one clean sentence when they are a web page", () => {
    const page = `<html><head><style>b{}</style><script>alert("x")</script></head><body><h1>502 Bad\nGateway</h1>${"x ".repeat(5000)}</body></html>`;
    const { message } = decode(502, undefined, {}, page);
    expect(message).toMatch(/^The provider "p" answered 502: 502 Bad Gateway x x/);
    expect(message.length).toBeLessThan(300);
  });

  it("carry the provider's error code", () => {
    const body = {
      type: "error",
      error: { type: "invalid_request_error", message: "m", details: { error_code: "image_dimensions_too_large" } },
    };
    expect(decode(400, body).code).toBe("image_dimensions_too_large");
  });
});

describe("message threads", () => {
  const tools = [{ name: "f", input_schema: { type: "object" } }];
  const headers = { "anthropic-version": "2026-10-21", "anthropic-beta": "message-threads-2026-08-12,other" };
  const decode = (body: JsonObject) => dialect.decodeCall(body, context("/v1/messages", headers));
  const created = decode({ ...good, system: "s", tools, thread: { type: "create" } });
  const continued = decode({ ...good, thread: { type: "continue", previous_message_id: "msg_1" } });

  it("are kept by the gateway and never sent upstream", () => {
    expect(
      dialect.outline({ ...good, thread: { type: "continue", previous_message_id: "msg_1" } }, context("/v1/messages", headers)),
    ).toMatchObject({ keep: true, previousId: "msg_1", slow: expect.any(String) as string });
    expect([created.thread, created.store, continued.thread, continued.previousId]).toEqual(["create", true, "continue", "msg_1"]);
    const request = dialect.encodeCall(continued, target, () => undefined);
    expect(request.headers["anthropic-beta"]).toBe("other");
    expect(JSON.parse(request.body)).not.toHaveProperty("thread");
  });

  it("keep system and tools, which later turns leave out", () => {
    const kept = dialect.turnFingerprint?.(created) ?? "";
    const whole = dialect.continueTurn?.(continued, kept) ?? continued;
    expect(JSON.parse(dialect.encodeCall(whole, target, () => undefined).body)).toMatchObject({ system: "s", tools });
    expect(dialect.turnFingerprint?.(whole)).toBe(kept);
    expect(dialect.turnFingerprint?.(decode(good))).toBeUndefined();
  });

  it("refuse other ones and take the same ones", () => {
    const kept = dialect.turnFingerprint?.(created) ?? "";
    const same = decode({ ...good, system: "s", thread: { type: "continue", previous_message_id: "msg_1" } });
    expect(dialect.continueTurn?.(same, kept)).toMatchObject({ tools: [{ name: "f" }] });
    const other = decode({ ...good, system: "t", thread: { type: "continue", previous_message_id: "msg_1" } });
    const problem = refusal(() => dialect.continueTurn?.(other, kept));
    expect(problem).toMatchObject({ kind: "invalid_request", code: "thread_fingerprint_mismatch", param: "system" });
  });
});
