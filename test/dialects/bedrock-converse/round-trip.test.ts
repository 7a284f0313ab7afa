import { describe, expect, it } from "vitest";
import { amend, type Diagnostic, type JsonObject } from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/bedrock-converse/index.ts";
import { answers, context, exchanges, foreignCall, present, target } from "./corpus.ts";

function roundTrip(body: JsonObject, path?: string): JsonObject {
  const call = dialect.decodeCall(body, context(path));
  return JSON.parse(dialect.encodeCall(call, { ...target, model: call.model }, () => undefined).body) as JsonObject;
}

describe("a request of this language comes out as it went in", () => {
  it.runIf(present)("finds the recordings", () => expect(exchanges.length).toBeGreaterThan(100));

  it.each(exchanges)("$name", ({ path, body }) => {
    expect(roundTrip(body, path)).toEqual(body);
    const call = dialect.decodeCall(body, context(path));
    const sent = dialect.encodeCall(call, { ...target, model: call.model }, () => undefined).path;
    expect(decodeURIComponent(sent)).toBe(decodeURIComponent(path));
    expect(dialect.outline(body, context(path))).toMatchObject({ model: call.model, stream: call.stream });
  });

  it("holds for every shape that the recordings lack", () => {
    const body: JsonObject = {
      system: [{ text: "s" }, { cachePoint: { type: "default", ttl: "1h" } }, { guardContent: { text: { text: "g" } } }],
      messages: [
        {
          role: "user",
          content: [
            { text: "a" },
            { cachePoint: { type: "default" } },
            { guardContent: { text: { text: "look", qualifiers: ["query"] } } },
            { document: { format: "txt", name: "n", source: { text: "words" }, citations: { enabled: true }, context: "c" } },
            { document: { name: "n", source: { content: [{ text: "a" }, { text: "b" }] } } },
            { image: { format: "png", source: { bytes: "AAAA" } } },
            { video: { format: "mp4", source: { s3Location: { uri: "s3://b/v", bucketOwner: "1" } } } },
            { audio: { format: "mp3", source: { bytes: "AAAA" } } },
            { searchResult: { source: "x", title: "t", content: [{ text: "c" }] } },
            { brandNew: { a: [1, null] } },
          ],
        },
        {
          role: "assistant",
          content: [
            { reasoningContent: { reasoningText: { text: "t", signature: "s" } } },
            { reasoningContent: { redactedContent: "AAAA" } },
            { citationsContent: { content: [{ text: "a" }, { text: "b" }], citations: [{ title: "t", location: { web: { url: "u" } } }] } },
            { toolUse: { toolUseId: "t1", name: "f", input: { a: 1 } } },
            { cachePoint: { type: "default", ttl: "5m" } },
            { toolUse: { toolUseId: "t2", name: "web", input: {}, type: "server_tool_use" } },
          ],
        },
        {
          role: "user",
          content: [
            { toolResult: { toolUseId: "t1", content: [{ json: { a: 1 } }, { text: "x" }], status: "error", extra: 1 } },
            { toolResult: { toolUseId: "t2" } },
          ],
        },
        { role: "user", content: [] },
        { role: "user", content: [{ cachePoint: { type: "default" } }] },
      ],
      inferenceConfig: { maxTokens: 5, temperature: 0, topP: 1, stopSequences: ["x"], other: 1 },
      toolConfig: {
        tools: [
          { toolSpec: { name: "f", inputSchema: { json: {} }, strict: true } },
          { cachePoint: { type: "default" } },
          { systemTool: { name: "nova_grounding" } },
        ],
        toolChoice: { tool: { name: "f" } },
      },
      additionalModelRequestFields: { top_k: 3, thinking: { type: "enabled", budget_tokens: 1024 }, any: { x: 1 } },
      additionalModelResponseFieldPaths: ["/stop_sequence"],
      guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" },
      performanceConfig: { latency: "optimized" },
      promptVariables: { a: { text: "b" } },
      requestMetadata: { a: "b" },
      serviceTier: { type: "flex" },
      outputConfig: { textFormat: { type: "json_schema", structure: { jsonSchema: { schema: '{ "type": "object" }', name: "n" } } } },
      unheardOf: 1,
    };
    expect(roundTrip(body)).toEqual(body);
    expect(roundTrip({ messages: [], system: [], toolConfig: { tools: [] } })).toEqual({
      messages: [],
      system: [],
      toolConfig: { tools: [] },
    });
    const call = dialect.decodeCall(body, context());
    expect(call).toMatchObject({
      reasoning: { mode: "enabled", budgetTokens: 1024 },
      sampling: { topK: 3, temperature: 0, topP: 1, stop: ["x"] },
      output: { format: { schema: { type: "object" } } },
      toolChoice: { type: "tool", name: "f" },
      metadata: { a: "b" },
      serviceTier: "flex",
      unspoken: expect.arrayContaining([
        "guardrailConfig",
        "performanceConfig",
        "unheardOf",
        "additionalModelRequestFields.any",
      ]) as unknown,
    });
    expect(dialect.needs?.(body)).toMatchObject({ vision: true, audio: true, files: false, tools: true, structuredOutput: true });
  });

  it("changes only what was touched", () => {
    const body = {
      messages: [{ role: "user", content: [{ text: "secret" }, { cachePoint: { type: "default" } }] }],
      inferenceConfig: { topP: 0.5, x: 1 },
    };
    const call = dialect.decodeCall(body, context());
    const items = call.items.map((item) =>
      item.type === "message"
        ? { ...item, parts: item.parts.map((part) => (part.type === "text" ? { ...part, text: "***" } : part)) }
        : item,
    );
    const sent = dialect.encodeCall(amend(call, { items, maxOutputTokens: 9 }), target, () => undefined);
    expect(JSON.parse(sent.body)).toEqual({
      messages: [{ role: "user", content: [{ text: "***" }, { cachePoint: { type: "default" } }] }],
      inferenceConfig: { topP: 0.5, x: 1, maxTokens: 9 },
    });
  });

  it.each([
    [{ messages: 3 }, "messages"],
    [{ messages: [3] }, "messages[0]"],
    [{ messages: [{ role: "system", content: [] }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: "hi" }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: [{}] }] }, "messages[0].content[0]"],
    [
      { messages: [{ role: "user", content: [{ image: { format: "png", source: { bytes: "*" } } }] }] },
      "messages[0].content[0].image.source.bytes",
    ],
    [{ messages: [], toolConfig: { tools: [{ toolSpec: { name: "f" } }] } }, "toolConfig.tools[0].toolSpec.inputSchema"],
    [
      { messages: [], outputConfig: { textFormat: { type: "json_schema", structure: { jsonSchema: { schema: "{" } } } } },
      "outputConfig.textFormat.structure.jsonSchema.schema",
    ],
  ])("refuses %j and names %s", (body, param) => {
    try {
      dialect.decodeCall(body, context());
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ problem: { kind: "invalid_request", param } });
    }
  });
});

describe("a request of another language", () => {
  const encode = (patch: Parameters<typeof foreignCall>[0], model = target.model) => {
    const notes: Diagnostic[] = [];
    const { body } = dialect.encodeCall(foreignCall(patch), { ...target, model }, (note) => notes.push(note));
    return { body: JSON.parse(body) as JsonObject, notes };
  };

  it("answers every call in the very next message, and offers the tools that were called", () => {
    const { body } = encode({
      items: [
        { type: "message", role: "assistant", parts: [{ type: "text", text: "Hello" }] },
        { type: "tool_call", callId: "functions.get:0", name: "get", kind: "function", input: '{"a":1}' },
        { type: "tool_call", callId: "functions.get:1", name: "get", kind: "function", input: "nonsense" },
        { type: "message", role: "user", parts: [{ type: "text", text: "Well?" }] },
        { type: "tool_result", callId: "functions.get:1", kind: "function", parts: [{ type: "text", text: "one" }], isError: true },
      ],
    });
    expect(body).toEqual({
      messages: [
        { role: "user", content: [{ text: "Hello." }] },
        {
          role: "assistant",
          content: [
            { text: "Hello" },
            { toolUse: { toolUseId: "functions_get_0", name: "get", input: { a: 1 } } },
            { toolUse: { toolUseId: "functions_get_1", name: "get", input: { input: "nonsense" } } },
          ],
        },
        {
          role: "user",
          content: [
            {
              toolResult: {
                toolUseId: "functions_get_0",
                content: [{ text: "There is no result: the tool was not run." }],
                status: "error",
              },
            },
            { toolResult: { toolUseId: "functions_get_1", content: [{ text: "one" }], status: "error" } },
            { text: "Well?" },
          ],
        },
      ],
      toolConfig: { tools: [{ toolSpec: { name: "get", inputSchema: { json: { type: "object", properties: {} } } } }] },
    });
  });

  it("says a maker's own parameters by the model's name", () => {
    const thinking = { reasoning: { effort: "high" }, sampling: { topK: 5, temperature: 1.5, seed: 1 } };
    expect(encode(thinking).body).toMatchObject({
      additionalModelRequestFields: { top_k: 5, thinking: { type: "adaptive" }, output_config: { effort: "high" } },
    });
    expect(encode(thinking, "us.amazon.nova-2-lite-v1:0").body).toMatchObject({
      inferenceConfig: { temperature: 1 },
      additionalModelRequestFields: { inferenceConfig: { topK: 5 }, reasoningConfig: { type: "enabled", maxReasoningEffort: "high" } },
    });
    expect(encode(thinking, "openai.gpt-oss-120b-1:0").body).toMatchObject({ additionalModelRequestFields: { reasoning_effort: "high" } });
    const { body, notes } = encode(thinking, "meta.llama3-3-70b-instruct-v1:0");
    expect(body["additionalModelRequestFields"]).toBeUndefined();
    expect(notes.map(({ field }) => field)).toEqual(expect.arrayContaining(["reasoning", "sampling.topK", "sampling.seed"]));
    expect(encode({ reasoning: { budgetTokens: 2000 }, maxOutputTokens: 1500 }).body).toMatchObject({
      inferenceConfig: { maxTokens: 1500 },
      additionalModelRequestFields: { thinking: { type: "enabled", budget_tokens: 1499 } },
    });
  });

  it("names documents apart, with words beside them, and marks what is to be cached", () => {
    const pdf = {
      type: "file",
      filename: "a/b?.pdf",
      source: { data: "AAAA", mediaType: "application/pdf" },
      cacheTtlSeconds: 3600,
    } as const;
    const { body } = encode({ items: [{ type: "message", role: "user", parts: [pdf, pdf] }] });
    const source = { bytes: "AAAA" };
    expect(body["messages"]).toEqual([
      {
        role: "user",
        content: [
          { document: { format: "pdf", name: "a-b-", source } },
          { cachePoint: { type: "default", ttl: "1h" } },
          { document: { format: "pdf", name: "a-b- (2)", source } },
          { cachePoint: { type: "default", ttl: "1h" } },
          { text: "See the document." },
        ],
      },
    ]);
    const plain = encode(
      { items: [{ type: "message", role: "user", parts: [{ type: "text", text: "x", cacheTtlSeconds: 300 }] }] },
      "meta.llama3",
    );
    expect(plain.body["messages"]).toEqual([{ role: "user", content: [{ text: "x" }] }]);
    expect(plain.notes).toMatchObject([{ field: "items[].cacheTtlSeconds", action: "dropped" }]);
  });

  it("is refused when all that it says is an image by its address", () => {
    const items = [{ type: "message", role: "user", parts: [{ type: "image", source: { url: "https://example.com/a.png" } }] }] as const;
    expect(() => encode({ items })).toThrow("cannot take image");
  });
});

describe("an answer of this language comes out as it went in", () => {
  const call = foreignCall({ origin: { dialect: dialect.id } });
  it.runIf(present)("finds the recordings", () => expect(answers.length).toBeGreaterThan(90));

  it.each(answers)("$name", ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    expect(dialect.encodeAnswer(answer, { call, createdAt: 0 })).toEqual({ metrics: { latencyMs: 0 }, ...body });
    expect(dialect.readAnswer(body)).toMatchObject({ stop: answer.stop });
    expect(dialect.readAnswer(body).usage ?? answer.usage).toEqual(answer.usage);
  });

  it("counts what a cache was written with by its lifetime, apart from the rest", () => {
    const usage = {
      inputTokens: 13,
      outputTokens: 5,
      totalTokens: 2318,
      cacheReadInputTokens: 1500,
      cacheWriteInputTokens: 800,
      cacheDetails: [
        { ttl: "5m", inputTokens: 300 },
        { ttl: "1h", inputTokens: 500 },
      ],
    };
    const body = { output: { message: { role: "assistant", content: [{ text: "x" }] } }, stopReason: "end_turn", usage };
    const answer = dialect.decodeAnswer(body, { operation: "generate" });
    expect(answer.usage).toMatchObject({ inputUncached: 13, cacheRead: 1500, cacheWrite5m: 300, cacheWrite1h: 500, output: 5 });
    const told = dialect.encodeAnswer({ ...answer, origin: { dialect: "other" } }, { call, createdAt: 0 }) as JsonObject;
    expect(told["usage"]).toEqual(usage);
  });
});

describe("a refusal", () => {
  const decode = (status: number, type: string, body: JsonObject = { message: "No." }) =>
    dialect.decodeProblem({ status, headers: { "x-amzn-errortype": type }, body, text: "", provider: "p" });

  it.each([
    [429, "ThrottlingException", "rate_limited"],
    [400, "ValidationException:http://internal.amazon.com/coral/", "upstream_rejected"],
    [404, "ResourceNotFoundException", "upstream_rejected"],
    [408, "ModelTimeoutException", "upstream_timeout"],
    [424, "ModelErrorException", "upstream_unavailable"],
    [429, "ModelNotReadyException", "upstream_unavailable"],
    [500, "InternalServerException", "upstream_unavailable"],
    [503, "ServiceUnavailableException", "upstream_unavailable"],
  ])("%i %s is %s", (status, type, kind) => {
    const problem = decode(status, type);
    expect(problem).toMatchObject({ kind, code: type.split(":")[0] });
    const { body } = dialect.encodeProblem(problem, "call_1");
    if (kind === "upstream_rejected") expect(body).toEqual({ __type: type.split(":")[0], message: "No." });
  });

  it("of credentials says which are at fault", () => {
    expect(decode(403, "ExpiredTokenException")).toMatchObject({
      fault: "credentials",
      message: expect.stringContaining("session token has expired") as string,
    });
    expect(decode(403, "InvalidSignatureException").message).toContain("clock");
    expect(decode(403, "UnrecognizedClientException").message).toContain("access key");
    expect(decode(403, "AccessDeniedException")).toMatchObject({ fault: "credentials", code: "AccessDeniedException" });
    // The gateway's own debt is not the caller's.
    expect(decode(402, "ServiceQuotaExceededException")).toMatchObject({ fault: "credentials", kind: "upstream_rejected", status: 502 });
  });
});
