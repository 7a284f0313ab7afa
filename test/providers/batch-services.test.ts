import { describe, expect, it } from "vitest";
import type { Json, JsonObject, ServiceOrder, UpstreamCall } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { createProvider, providerOptions } from "../../src/providers/index.ts";
import { batchServiceOf } from "../../src/providers/catalog-batches.ts";
import { geminiBatches as gemini } from "../../src/providers/catalog-batches-gemini.ts";
import { mistralBatches as mistral } from "../../src/providers/catalog-batches-mistral.ts";
import { answering, fakeWire } from "./fake-client.ts";
import { open } from "./support.ts";

const call = (path: string, stream = false, body = '{"a":1}'): UpstreamCall => ({
  dialect: "d",
  operation: "generate",
  model: "m-1",
  stream,
  attempt: 0,
  request: { method: "POST", path, headers: {}, body },
});
const order = (more: Partial<ServiceOrder>): ServiceOrder => ({
  mark: "gb1",
  group: "",
  lines: Buffer.from("{}\n"),
  file: undefined,
  ...more,
});
const bodyOf = (request: { readonly body: Buffer | string }): unknown => JSON.parse(request.body.toString());

describe("Mistral's batch jobs", () => {
  it("take calls of three kinds, each model and kind in a job of its own", () => {
    expect(mistral.groupOf(call("/v1/chat/completions"))).toBe("/chat/completions m-1");
    expect(mistral.groupOf(call("/embeddings"))).toBe("/embeddings m-1");
    expect(mistral.groupOf(call("/chat/completions", true))).toBeUndefined();
    expect(mistral.groupOf(call("/audio/transcriptions"))).toBeUndefined();
    expect(mistral.line("x-1", call("/embeddings", false, '{\n"a":1}'))).toBe('{"custom_id":"x-1","body":{"a":1}}');
    expect(bodyOf(mistral.create(order({ group: "/embeddings m 1", file: "f" })))).toEqual({
      input_files: ["f"],
      endpoint: "/v1/embeddings",
      model: "m 1",
      metadata: { gimbal_mark: "gb1" },
    });
  });

  it.each<[string, JsonObject, string, string | undefined]>([
    ["QUEUED", {}, "running", undefined],
    ["CANCELLATION_REQUESTED", {}, "running", undefined],
    ["SUCCESS", {}, "ended", undefined],
    ["TIMEOUT_EXCEEDED", {}, "ended", "expired"],
    ["CANCELLED", {}, "ended", "cancelled"],
    ["FAILED", { errors: [{ message: "no model", count: 1 }] }, "refused", undefined],
    ["FAILED", { succeeded_requests: 2 }, "ended", undefined],
    ["FAILED", { output_file: "f" }, "ended", undefined],
    ["constructor", {}, "running", undefined],
  ])("stand as %s", (status, more, state, rest) => {
    const standing = mistral.readStanding({ id: "j", object: "batch", status, created_at: 7, ...more });
    expect(standing).toMatchObject({ id: "j", state, rest, createdAt: 7000, mark: "" });
    expect(standing?.message).toBe("errors" in more ? "no model" : undefined);
  });

  it("are listed page by page, by number, until one is empty", () => {
    expect([mistral.list(undefined).path, mistral.list("3").path]).toEqual([
      "/batch/jobs?page=0&page_size=100&order_by=-created",
      "/batch/jobs?page=3&page_size=100&order_by=-created",
    ]);
    const job = { id: "j", status: "RUNNING", metadata: { gimbal_mark: "gb1" } };
    expect(mistral.readList({ total: 1, data: [job, { no: "job" }] }, "3")).toMatchObject({
      standings: [{ mark: "gb1" }],
      more: true,
      next: "4",
    });
    expect(mistral.readList({ object: "list", total: 0 }, undefined)).toMatchObject({ standings: [], more: false });
    expect(mistral.readList({ data: "none" }, undefined)).toBeUndefined();
  });

  it.each<[JsonObject, unknown]>([
    [
      { custom_id: "a", response: { status_code: 200, body: { x: 1 } }, error: null },
      { id: "a", outcome: "answered", status: 200, body: { x: 1 } },
    ],
    [
      { custom_id: "a", response: { status_code: 422 }, error: null },
      { id: "a", outcome: "answered", status: 422, body: null },
    ],
    [
      { custom_id: "a", response: null, error: "boom" },
      { id: "a", outcome: "answered", status: 502, body: { error: { message: "boom" } } },
    ],
    [
      { custom_id: "a", error: { message: "boom" } },
      { id: "a", outcome: "answered", status: 502, body: { error: { message: "boom" } } },
    ],
    [{ custom_id: "a", response: { status_code: "200" } }, undefined],
    [{ response: { status_code: 200, body: {} } }, undefined],
  ])("read the result %j", (line, result) => {
    expect(mistral.readResult(line)).toEqual(result);
  });
});

describe("Gemini's batches", () => {
  it("take whole calls in their own language, each model in one of its own", () => {
    expect(gemini.groupOf(call("/models/gemini-2.5-flash:generateContent"))).toBe("models/gemini-2.5-flash");
    expect(gemini.groupOf(call("/models/gemini-2.5-flash:generateContent", true))).toBeUndefined();
    for (const path of ["/models/m:countTokens", "/models/a/b:generateContent", "/chat/completions"])
      expect(gemini.groupOf(call(path))).toBeUndefined();
    const made = gemini.create(order({ group: "models/m", file: "abc" }));
    expect(made.path).toBe("/models/m:batchGenerateContent");
    expect(bodyOf(made)).toEqual({ batch: { displayName: "gb1", inputConfig: { fileName: "files/abc" } } });
  });

  it("are sent their lines in one request, beside the version", () => {
    const sent = gemini.upload?.send(order({ lines: Buffer.from('{"key":"é"}\n') }));
    expect(sent?.path).toBe("/upload/v1beta/files");
    expect(sent?.body.toString()).toBe(
      '--lines-gb1\r\ncontent-type: application/json; charset=utf-8\r\n\r\n{"file":{"displayName":"gb1","mimeType":"application/jsonl"}}\r\n' +
        '--lines-gb1\r\ncontent-type: application/jsonl\r\n\r\n{"key":"é"}\n\r\n--lines-gb1--\r\n',
    );
    expect(gemini.upload?.read({ file: { name: "files/abc" } })).toBe("abc");
    for (const name of ["files/../batches/x", "abc", "", 7]) expect(gemini.upload?.read({ file: { name } })).toBeUndefined();
  });

  it.each<[Json, JsonObject, JsonObject, string, string | undefined]>([
    ["BATCH_STATE_PENDING", {}, {}, "running", undefined],
    ["JOB_STATE_RUNNING", {}, {}, "running", undefined],
    ["BATCH_STATE_SUCCEEDED", {}, {}, "ended", undefined],
    ["BATCH_STATE_EXPIRED", {}, {}, "ended", "expired"],
    ["BATCH_STATE_CANCELLED", {}, { error: { code: 1 } }, "ended", "cancelled"],
    ["BATCH_STATE_FAILED", {}, { error: { code: 3, message: "no good" } }, "refused", undefined],
    ["BATCH_STATE_FAILED", { batchStats: { successfulRequestCount: "2" } }, {}, "ended", undefined],
    ["BATCH_STATE_constructor", {}, {}, "running", undefined],
    [7, {}, {}, "running", undefined],
  ])("stand as %s", (state, batch, more, expected, rest) => {
    const metadata = { state, displayName: "gb1", createTime: "2026-01-01T00:00:00.5Z", ...batch };
    expect(gemini.readStanding({ name: "batches/b", metadata, ...more })).toMatchObject({
      id: "b",
      state: expected,
      rest,
      mark: "gb1",
      createdAt: Date.UTC(2026, 0, 1) + 500,
      message: expected === "refused" ? "no good" : undefined,
    });
  });

  it("have their results in a file, named in the answer or in the batch", () => {
    const name = "batches/b";
    const found = (answer: JsonObject): unknown => gemini.readStanding({ name, ...answer })?.files;
    expect(found({ response: { responsesFile: "files/r" } })).toEqual(["r"]);
    expect(found({ metadata: { output: { responsesFile: "files/r" } } })).toEqual(["r"]);
    expect(found({ response: { responsesFile: "files/a/../b" } })).toEqual([]);
    expect(gemini.readStanding({ name: "operations/b" })).toBeUndefined();
    const standing = gemini.readStanding({ name, response: { responsesFile: "files/r" } });
    if (!standing) throw new Error("it does not stand");
    expect(gemini.results(standing).map(({ path }) => path)).toEqual(["/files/r:download?alt=media"]);
    expect(gemini.forget(standing, "f").map(({ method, path }) => `${method} ${path}`)).toEqual([
      "DELETE /files/r",
      "DELETE /files/f",
      "DELETE /batches/b",
    ]);
  });

  it("are listed by tokens, in whatever order, and an empty list may say nothing", () => {
    expect(gemini.list("a&b").path).toBe("/batches?pageSize=100&pageToken=a%26b");
    expect(gemini.readList({ operations: [{ name: "batches/b" }], nextPageToken: "t" }, undefined)).toMatchObject({
      standings: [{ id: "b", mark: "" }],
      more: true,
      next: "t",
      inAnyOrder: true,
    });
    expect(gemini.readList({}, "t")).toMatchObject({ standings: [], more: false });
    expect(gemini.readList({ operations: {} }, undefined)).toBeUndefined();
  });

  it.each<[JsonObject, unknown]>([
    [
      { key: "a", response: { candidates: [] } },
      { id: "a", outcome: "answered", status: 200, body: { candidates: [] } },
    ],
    [
      { key: "a", error: { code: 8, message: "slow" } },
      { id: "a", outcome: "answered", status: 429, body: { error: { code: 429, message: "slow" } } },
    ],
    [
      { key: "a", error: { code: 404 } },
      { id: "a", outcome: "answered", status: 404, body: { error: { code: 404 } } },
    ],
    [
      { key: "a", error: { code: 99 } },
      { id: "a", outcome: "answered", status: 500, body: { error: { code: 500 } } },
    ],
    [
      { key: "a", error: { code: 1 } },
      { id: "a", outcome: "cancelled" },
    ],
    [{ key: "a" }, undefined],
    [{ response: {} }, undefined],
  ])("read the result %j", (line, result) => {
    expect(gemini.readResult(line)).toEqual(result);
  });
});

it("a kind has its service unless the configuration says otherwise", () => {
  expect([batchServiceOf("mistral", undefined), batchServiceOf("gemini", undefined)]).toEqual([mistral, gemini]);
  expect([batchServiceOf("gemini", false), batchServiceOf("vertex", undefined)]).toEqual([undefined, undefined]);
  expect(batchServiceOf("openai-compatible", "mistral")).toBe(mistral);
});

it.each(["https://host", "https://host/v1beta", "https://host/below"])(
  "at %s files are sent and sessions are held beside the version, and all else is below it",
  async (baseUrl) => {
    const wire = fakeWire(answering(200, "{}"));
    const sockets: string[] = [];
    const book = createModelBook();
    const made = createProvider("gemini", providerOptions.parse({ baseUrl, apiKey: "k" }), {
      connect: (options) => ({
        ...wire.connect(options),
        socket(request) {
          sockets.push(`${request.besideVersion === true} ${request.path}`);
          return { send() {}, buffered: 0, pause() {}, resume() {}, close() {} };
        },
      }),
      clock: new ManualClock(),
      env: {},
      facts: (from, model) => book.facts(from, model),
    });
    for (const path of ["/upload/v1beta/files", "/batches/b", "/models/m:generateContent"]) await open(made, call(path)).over;
    made.realtime?.open(
      { dialect: "gemini", model: "m", path: "/ws/x", maxMessageBytes: 1 },
      { onOpen() {}, onMessage() {}, onClose() {} },
    );
    expect(wire.connected[0]?.baseUrl).toBe(baseUrl.replace("/v1beta", ""));
    expect(wire.requests.map(({ path }) => path)).toEqual([
      "/upload/v1beta/files",
      "/v1beta/batches/b",
      "/v1beta/models/m:generateContent",
    ]);
    expect(sockets).toEqual(["true /ws/x"]);
  },
);
