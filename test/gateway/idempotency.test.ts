import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

const CHAT = "/v1/chat/completions";
const ANSWER = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "small",
  choices: [{ index: 0, message: { role: "assistant", content: "once" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
};

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    config: `
providers: { lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true } }
models: { once: { targets: [lab/small], retries: 0 } }
sim: { models: { steady: { length: 120, tokensPerSecond: 400 }, slow: { length: 40, tokensPerSecond: 100 }, down: { faults: [{ kind: server-error, share: 1 }] } } }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

interface Asked {
  readonly model: string;
  readonly key?: string;
  readonly stream?: boolean;
  readonly content?: string;
  readonly bearer?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

function ask({
  model,
  key = "k",
  stream = false,
  content = "Go on.",
  bearer,
  path = CHAT,
  headers = {},
  signal,
}: Asked): Promise<Response> {
  const input = path === CHAT ? { messages: [{ role: "user", content }] } : { input: content };
  return fetch(`${gateway.url}${path}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "idempotency-key": key,
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
      ...headers,
    },
    body: JSON.stringify({ model, stream, ...input }),
    ...(signal && { signal }),
  });
}

const callId = (response: Response): string => response.headers.get("x-gimbal-call-id") ?? "";
/** What the client got but for the transport's own headers. */
async function toldBy(response: Response): Promise<unknown> {
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name.startsWith("x-") || name === "content-type"));
  return { status: response.status, headers, text: await response.text() };
}

describe("a request with an idempotency key", () => {
  it("is answered again without being made again, streamed or not", async () => {
    upstream.answerWith(jsonAnswer(ANSWER));
    const before = upstream.requests.length;
    const first = await toldBy(await ask({ model: "once", key: "plain" }));
    await gateway.rows();
    expect(await toldBy(await ask({ model: "once", key: "plain" }))).toEqual(first);
    expect(upstream.requests.length - before).toBe(1);
    const streamed = await toldBy(await ask({ model: "sim/steady", key: "streamed", stream: true }));
    await gateway.rows();
    expect(await toldBy(await ask({ model: "sim/steady", key: "streamed", stream: true }))).toEqual(streamed);
    expect(await gateway.lastRow()).toMatchObject({ state: "done", attempts: [], costNanodollars: 0 });
  });

  it("joins the call that runs, from its beginning", async () => {
    const first = await ask({ model: "sim/slow", key: "join", stream: true });
    const others = await Promise.all([1, 2, 3].map(() => ask({ model: "sim/slow", key: "join", stream: true })));
    const text = await first.text();
    for (const other of others) {
      expect(callId(other)).toBe(callId(first));
      expect(await other.text()).toBe(text);
    }
    const rows = await gateway.rows();
    expect(rows.filter((row) => row.attempts.length > 0 && row.model === "sim/slow")).toHaveLength(1);
  });

  it("that comes many times at once is made once", async () => {
    const made = async (): Promise<number> => (await gateway.rows()).filter((row) => row.attempts.length > 0).length;
    const before = await made();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask({ model: "sim/slow", key: "storm" }).then(toldBy)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await made()).toBe(before + 1);
  });

  it("is a conflict with another body, in the caller's language, and free of spacing and order", async () => {
    const first = await ask({ model: "sim/echo", key: "other", content: "one" });
    await first.text();
    const other = await ask({ model: "sim/echo", key: "other", content: "two" });
    expect(other.status).toBe(409);
    expect(other.headers.get("x-gimbal-problem")).toBe("conflict");
    expect(await other.json()).toMatchObject({ error: { message: expect.stringContaining("idempotency key") as string } });
    const reordered = await fetch(`${gateway.url}${CHAT}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-gimbal-idempotency-key": "other" },
      body: `{ "messages": [ {"content": "one", "role":"user"} ],\n "stream": false, "model": "sim/echo" }`,
    });
    expect(callId(reordered)).toBe(callId(first));
    expect((await ask({ model: "sim/echo", key: "other", content: "one", path: "/v1/responses" })).status).toBe(409);
  });

  it("belongs to its caller", async () => {
    const [one, two] = [await gateway.key(), await gateway.key({ name: "second" })];
    const mine = await ask({ model: "sim/echo", key: "scope", content: "mine", bearer: one });
    const theirs = await ask({ model: "sim/echo", key: "scope", content: "theirs", bearer: two });
    expect(await theirs.text()).toContain("theirs");
    expect(callId(theirs)).not.toBe(callId(mine));
  });

  it("is free again after a failure that cost nothing, and kept after one that the request itself caused", async () => {
    const failed = await ask({ model: "sim/down", key: "again" });
    expect(failed.status).toBeGreaterThanOrEqual(500);
    await failed.text();
    await gateway.rows();
    const again = await ask({ model: "sim/down", key: "again" });
    expect(callId(again)).not.toBe(callId(failed));
    upstream.answerWith(jsonAnswer({ error: { message: "no such thing" } }, 400));
    const refused = await toldBy(await ask({ model: "once", key: "refused" }));
    await gateway.rows();
    upstream.answerWith(jsonAnswer(ANSWER));
    expect(await toldBy(await ask({ model: "once", key: "refused" }))).toEqual(refused);
  });

  it("is finished when its client leaves, unless it says otherwise", async () => {
    const leave = new AbortController();
    const first = await ask({ model: "sim/steady", key: "left", stream: true, signal: leave.signal });
    leave.abort();
    const again = await ask({ model: "sim/steady", key: "left", stream: true });
    expect(callId(again)).toBe(callId(first));
    expect(await again.text()).toContain("[DONE]");
    const gone = new AbortController();
    await ask({ model: "sim/slow", key: "gone", stream: true, signal: gone.signal, headers: { "x-gimbal-on-disconnect": "cancel" } });
    gone.abort();
    expect((await gateway.lastRow()).state).toBe("cancelled");
  });

  it("of a background call is answered with the same promise", async () => {
    const background = (): Promise<Response> =>
      fetch(`${gateway.url}/v1/responses`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": "background" },
        body: JSON.stringify({ model: "sim/slow", input: "Go on.", background: true }),
      });
    const first = await (await background()).text();
    await gateway.rows();
    expect(await (await background()).text()).toBe(first);
  });

  it("must be a reasonable text", async () => {
    expect((await ask({ model: "sim/echo", key: "x".repeat(256) })).status).toBe(400);
  });
});
