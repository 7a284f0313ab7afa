import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parseFrame, FrameSplitter } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { cutAnswer, jsonAnswer, startUpstream, streamAnswer, type TestUpstream, type UpstreamAnswer } from "../support/upstream.ts";
import { LANGUAGES, type Language } from "./languages.ts";
import { sampleOf } from "./wire-samples.ts";

const SECRET = "sk-provider-secret-4711";
const FRAME_BYTES = 1024 * 1024;
const EXHAUSTIVE = process.env["GIMBAL_EXHAUSTIVE"] === "1";
/** Bytes from both ends of an answer. */
const NEAR = 32;

let upstream: TestUpstream;
/** Where a redirect would lead: nobody may ever ask it. */
let elsewhere: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  elsewhere = await startUpstream();
  const alias = (name: string): string => `  ${name}: { targets: [lab-${name}/m], retries: 0 }\n`;
  gateway = await startGateway({
    trusting: true,
    config: `
providers:
  lab-openai-chat: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: ${SECRET}, dialects: [openai-chat], allowPrivateNetwork: true }
  lab-openai-responses: { kind: openai, baseUrl: "${upstream.url}/v1", apiKey: ${SECRET}, dialects: [openai-responses], allowPrivateNetwork: true }
  lab-anthropic-messages: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: ${SECRET}, allowPrivateNetwork: true }
  lab-nobody: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: ${SECRET}, allowPrivateNetwork: true }
models:
${LANGUAGES.map((language) => alias(language.id)).join("")}${alias("nobody")}`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
  await elsewhere.close();
});
afterEach(async () => {
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
  expect(gateway.logs.filter((line) => /defect|unhandled/i.test(line))).toEqual([]);
  expect(gateway.logs.join("\n")).not.toContain(SECRET);
});

const send = (language: Language, model: string, stream: boolean): Promise<Response> =>
  fetch(gateway.url + language.path, {
    method: "POST",
    headers: { "content-type": "application/json", ...language.headers },
    body: JSON.stringify(language.call(model, "hi", stream ? { stream } : {})),
    redirect: "manual",
  });

interface Outcome {
  readonly end: "done" | "problem";
  readonly kind?: string | null;
  readonly text: string;
}

/** How the client saw its call end. A stream has exactly one end, and nothing behind it. */
async function outcome(language: Language, response: Response, stream: boolean): Promise<Outcome> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const text = Buffer.from(bytes).toString("utf8");
  expect(text).not.toContain(SECRET);
  if (response.status !== 200) {
    expect(response.headers.get("x-gimbal-problem")).toMatch(/^upstream_/);
    language.errorMessage(JSON.parse(text));
    return { end: "problem", kind: response.headers.get("x-gimbal-problem"), text };
  }
  if (!stream) return { end: "done", text };
  const ends: ("done" | "problem")[] = [];
  let behind = 0;
  const splitter = new FrameSplitter(FRAME_BYTES);
  splitter.push(bytes, (frame) => {
    const data = parseFrame(frame)?.data;
    if (data === undefined) return;
    const end = language.terminal(data);
    if (end) ends.push(end);
    else if (ends.length > 0) behind++;
  });
  expect(Buffer.from(splitter.rest()).toString("utf8").trim()).toBe("");
  expect({ ends: ends.length, behind }, text).toEqual({ ends: 1, behind: 0 });
  return { end: ends[0] ?? "problem", text };
}

const HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
const html =
  (status: number): UpstreamAnswer =>
  (response) =>
    void response.writeHead(status, { "content-type": "text/html" }).end(HTML);

const PAIRS = LANGUAGES.flatMap((client) =>
  LANGUAGES.map((provider) => ({ client, provider, title: `${client.id} client, ${provider.id} provider` })),
);

describe.each(PAIRS)("$title", ({ client, provider }) => {
  const sample = sampleOf(provider.id);

  async function breaks(answer: UpstreamAnswer, stream: boolean, kind: RegExp): Promise<Outcome> {
    upstream.answerWith(answer);
    const before = await gateway.count();
    const seen = await outcome(client, await send(client, provider.id, stream), stream);
    expect(seen.end).toBe("problem");
    expect(await gateway.count()).toBe(before + 1);
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: expect.stringMatching(kind) as string });
    return seen;
  }

  describe.each([false, true])("stream: %s", (stream) => {
    it.each([200, 403, 404, 500, 502])("HTML with status %i", async (status) => {
      await breaks(html(status), stream, /^upstream_/);
    });

    it.each([301, 302, 307, 308])("a redirect with status %i is not followed", async (status) => {
      const answer: UpstreamAnswer = (response) => void response.writeHead(status, { location: `${elsewhere.url}/steal` }).end();
      await breaks(answer, stream, /^upstream_/);
      expect(elsewhere.requests).toEqual([]);
    });

    it("a body that is gzip is read", async () => {
      const body = gzipSync(stream ? sample.stream : sample.plain);
      upstream.answerWith(
        (response) =>
          void response
            .writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json", "content-encoding": "gzip" })
            .end(body),
      );
      const { end, text } = await outcome(client, await send(client, provider.id, stream), stream);
      expect(end, text).toBe("done");
      expect(text).toContain("Hi");
    });

    it("a body that only says it is gzip", async () => {
      await breaks(
        (response) => void response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end("{}"),
        stream,
        /^upstream_broken$/,
      );
    });

    it("headers of 200 kB", async () => {
      await breaks(
        (response) => void response.writeHead(200, { "content-type": "application/json", "x-big": "x".repeat(200_000) }).end(sample.plain),
        stream,
        /^upstream_/,
      );
    });

    it("garbage", async () => {
      await breaks(
        (response) =>
          void response
            .writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json" })
            .end(Buffer.from([0, 255, 10, 10, 128, 0])),
        stream,
        /^upstream_broken$/,
      );
    });

    it("a garbled frame", async () => {
      const half = Math.floor(sample.stream.length / 2);
      const garbled = stream ? `${sample.stream.slice(0, half)}\n\ndata: {"oops\n\n` : sample.plain.slice(0, -5);
      await breaks(streamAnswerOr(stream, garbled), stream, /^upstream_broken$/);
    });

    it("nothing", async () => {
      await breaks(streamAnswerOr(stream, ""), stream, /^upstream_broken$/);
    });

    it("status 200 with an error", async () => {
      const error =
        provider.id === "anthropic-messages"
          ? { type: "error", error: { type: "overloaded_error", message: "Too busy" } }
          : { error: { message: "Too busy", type: "server_error", code: "overloaded", param: null } };
      const asFrame =
        provider.id === "anthropic-messages"
          ? `event: error\ndata: ${JSON.stringify(error)}\n\n`
          : provider.id === "openai-responses"
            ? `event: error\ndata: {"type":"error","code":"overloaded","message":"Too busy","param":null,"sequence_number":0}\n\n`
            : `data: ${JSON.stringify(error)}\n\n`;
      const { text } = await breaks(stream ? streamAnswer(asFrame) : jsonAnswer(error), stream, /^(?:upstream_|rate_limited|overloaded)/);
      expect(text).toContain("Too busy");
    });

    it.each([400, 401, 404, 422, 429, 500, 503, 529])("status %i in the provider's own words", async (status) => {
      const error =
        provider.id === "anthropic-messages"
          ? { type: "error", error: { type: "invalid_request_error", message: `No: ${SECRET}` }, request_id: "req_1" }
          : { error: { message: `No: ${SECRET}`, type: "x_error", code: null, param: null } };
      upstream.answerWith(jsonAnswer(error, status));
      const response = await send(client, provider.id, stream);
      expect(response.status).toBeGreaterThanOrEqual(400);
      const text = await response.text();
      client.errorMessage(JSON.parse(text));
      if (status === 401) expect(text).not.toContain(SECRET);
      const row = await gateway.lastRow();
      expect(row.state).toBe("failed");
      expect(row.attempts.at(-1)?.status).toBe(status);
    });
  });
});

function streamAnswerOr(stream: boolean, text: string): UpstreamAnswer {
  return stream ? streamAnswer(text) : (response) => void response.writeHead(200, { "content-type": "application/json" }).end(text);
}

it("an upstream that is not there", async () => {
  for (const language of LANGUAGES) {
    const response = await send(language, "nobody", false);
    expect(response.status).toBe(502);
    expect(response.headers.get("x-gimbal-problem")).toBe("upstream_unavailable");
    language.errorMessage(await response.json());
  }
});

/** Every language as client with its own provider, and with the next one's. */
const RING = LANGUAGES.flatMap((client, place) =>
  [client, LANGUAGES[(place + 1) % LANGUAGES.length] ?? client].map((provider) => ({
    client,
    provider,
    title: `${client.id} client, ${provider.id} provider`,
  })),
);

describe.each(RING)("an answer cut anywhere: $title", ({ client, provider }) => {
  const sample = sampleOf(provider.id);

  it.each(["end", "reset"] as const)("in a stream, by %s", async (how) => {
    const body = Buffer.from(sample.stream);
    await atEach(
      placesOf(body.length, client === provider && how === "end"),
      async (bytes) => {
        const { end, text } = await outcome(client, await send(client, provider.id, true), true);
        if (bytes < sample.mayBeDoneFrom) expect(end, `${bytes}: ${text}`).toBe("problem");
        if (bytes >= sample.isDoneFrom && how === "end") expect(end, `${bytes}: ${text}`).toBe("done");
        return end;
      },
      (bytes) => cutAnswer(body, bytes, how, "text/event-stream"),
    );
  });

  it.each(["end", "reset"] as const)("in a plain answer, by %s", async (how) => {
    const body = Buffer.from(sample.plain);
    await atEach(
      placesOf(body.length, client === provider && how === "end"),
      async (bytes) => {
        const { end, text } = await outcome(client, await send(client, provider.id, false), false);
        if (bytes < body.length) expect(end, `${bytes}: ${text}`).toBe("problem");
        return end;
      },
      (bytes) => cutAnswer(body, bytes, how, "application/json"),
    );
  });
});

/** Every length, from 0 on; where it need not be every one, every fourth, and all near both ends. */
function placesOf(length: number, every: boolean): readonly number[] {
  const all = Array.from({ length: length + 1 }, (_, place) => place);
  return every || EXHAUSTIVE ? all : all.filter((place) => place % 4 === length % 4 || place < NEAR || place > length - NEAR);
}

/** Runs one call for each length; afterwards each has left one row that says how it ended. */
async function atEach(
  lengths: readonly number[],
  call: (bytes: number) => Promise<string>,
  answer: (bytes: number) => UpstreamAnswer,
): Promise<void> {
  const before = await gateway.count();
  let next = 0;
  upstream.answerWith((response, request) => answer(lengths[next++] ?? 0)(response, request));
  const ends: string[] = [];
  // One after the other: the upstream's answers are told apart by their order alone.
  for (const bytes of lengths) ends.push(await call(bytes));
  expect(await gateway.count()).toBe(before + ends.length);
  const rows = await gateway.house.stores.ledger.list({ limit: ends.length });
  expect(rows.toReversed().map((row) => (row.state === "done" ? "done" : "problem"))).toEqual(ends);
}
