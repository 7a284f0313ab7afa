import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

interface Traced {
  readonly call: string;
  readonly via: string;
  readonly steps: number;
}
interface Lineage {
  readonly id: string;
  readonly recorded: boolean;
  readonly output?: string;
  readonly prompt?: string;
  readonly previous?: string;
  readonly model: { readonly asked: string; readonly target: string; readonly version: string };
  readonly configVersion: number;
  readonly cache?: { readonly status: string; readonly origin?: string };
  readonly tools?: readonly { readonly id: string; readonly name: string; readonly result: string }[];
  readonly attempts: readonly { readonly target: string }[];
  readonly sources?: { readonly calls: readonly Traced[] };
  readonly influenced?: { readonly calls: readonly Traced[] };
}

let gateway: TestGateway;
let key = "";
let other = "";
beforeAll(async () => {
  gateway = await startGateway({
    config: `
lineage: { record: true }
models:
  told: { targets: [sim/echo], cache: { ttlSeconds: 600, share: all } }
  quiet: { targets: [sim/echo], lineage: "off" }
`,
  });
  key = await gateway.key({ name: "one" });
  other = await gateway.key({ name: "two" });
});
afterAll(() => gateway.close());

const sha256 = (text: string | Buffer): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

interface Said {
  readonly call: string;
  readonly answer: Record<string, unknown>;
}
async function ask(path: string, body: Readonly<Record<string, unknown>>, as = key): Promise<Said> {
  const response = await fetch(`${gateway.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${as}` },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  await gateway.rows();
  const answer = (body["stream"] === true ? { text } : JSON.parse(text)) as Record<string, unknown>;
  return { call: response.headers.get("x-gimbal-call-id") ?? "", answer };
}
const chat = (text: string, change: Readonly<Record<string, unknown>> = {}, as?: string): Promise<Said> =>
  ask("/v1/chat/completions", { model: "sim/echo", messages: [{ role: "user", content: text }], ...change }, as);
async function lineage(call: string, as = key, query = ""): Promise<Lineage> {
  const response = await fetch(`${gateway.url}/v1/calls/${call}/lineage${query}`, { headers: { authorization: `Bearer ${as}` } });
  expect(response.status).toBe(200);
  return (await response.json()) as Lineage;
}
async function admin<T>(query: string): Promise<T> {
  const response = await fetch(`${gateway.url}/admin/api/lineage?${query}`, {
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
  });
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}
const vias = (calls: readonly Traced[] = []): unknown[] => calls.map(({ call, via }) => [call, via]);

describe("lineage", () => {
  it("names by hash what a call was given and what it answered, streamed or not, in whatever language", async () => {
    const plain = await chat("a plain question");
    const streamed = await chat("a plain question", { stream: true });
    const message = await ask("/v1/messages", {
      model: "sim/echo",
      max_tokens: 100,
      messages: [{ role: "user", content: "a plain question" }],
    });
    const one = await lineage(plain.call);
    expect(one).toMatchObject({
      recorded: true,
      state: "done",
      model: { asked: "sim/echo", target: "sim/echo" },
      configVersion: 1,
      output: sha256("a plain question"),
      documents: [{ kind: "user", hash: sha256("a plain question") }],
      approvals: [],
    });
    expect(one.attempts).toHaveLength(1);
    const two = await lineage(streamed.call);
    expect([two.output, two.prompt]).toEqual([one.output, one.prompt]);
    expect((await lineage(message.call)).output).toBe(one.output);
  });

  it("goes from an output back to its calls, and from a document on to what it influenced", async () => {
    const document = "The minutes of the meeting of May.";
    const first = await chat(document);
    // The answer is a tool's result in the next call, and that one's answer is quoted in a third.
    const second = await ask("/v1/chat/completions", {
      model: "sim/echo",
      messages: [
        { role: "user", content: "What do the minutes say?" },
        { role: "assistant", tool_calls: [{ id: "t1", type: "function", function: { name: "read", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "t1", content: document },
        { role: "user", content: "Sum it up." },
      ],
    });
    const third = await ask("/v1/chat/completions", {
      model: "sim/echo",
      messages: [
        { role: "assistant", content: "Sum it up." },
        { role: "user", content: "And now shorter." },
      ],
    });
    const at = await lineage(second.call);
    expect(at.tools).toEqual([{ id: "t1", name: "read", arguments: sha256("{}"), result: sha256(document) }]);
    expect(vias(at.sources?.calls)).toEqual([[first.call, sha256(document)]]);
    expect(vias(at.influenced?.calls)).toEqual([[third.call, sha256("Sum it up.")]]);
    expect(vias((await lineage(third.call)).sources?.calls)).toEqual([
      [second.call, sha256("Sum it up.")],
      [first.call, sha256(document)],
    ]);
    expect((await lineage(third.call, key, "?steps=1")).sources?.calls).toHaveLength(1);
    const influenced = await admin<{ influenced: { calls: readonly Traced[] } }>(`document=${sha256(document)}`);
    expect(new Map(influenced.influenced.calls.map(({ call, steps }) => [call, steps]))).toEqual(
      new Map([
        [first.call, 1],
        [second.call, 1],
        [third.call, 2],
      ]),
    );
    const made = await admin<{ producedBy: readonly Lineage[] }>(`output=${sha256("And now shorter.")}`);
    expect(made.producedBy.map(({ id }) => id)).toEqual([third.call]);
  });

  it("follows turns that the gateway keeps", async () => {
    const first = await ask("/v1/responses", { model: "sim/echo", input: "one" });
    const second = await ask("/v1/responses", { model: "sim/echo", input: "two", previous_response_id: first.answer["id"] });
    const at = await lineage(second.call);
    expect(at.previous).toBe(first.answer["id"]);
    expect(at.sources?.calls[0]).toMatchObject({ call: first.call, via: "turn", steps: 1 });
    expect((await lineage(first.call)).influenced?.calls.map(({ call }) => call)).toContain(second.call);
  });

  it("names the call that paid for a repeated answer, to whom may know it", async () => {
    const paid = await chat("to be repeated", { model: "told" });
    const again = await chat("to be repeated", { model: "told" });
    const shared = await chat("to be repeated", { model: "told" }, other);
    const at = await lineage(again.call);
    expect(at.cache).toEqual({ status: "hit", origin: paid.call });
    expect(at.output).toBe(sha256("to be repeated"));
    expect(at.sources?.calls[0]).toMatchObject({ call: paid.call, via: "cache" });
    const theirs = await lineage(shared.call, other);
    expect(theirs.cache).toEqual({ status: "hit" });
    expect(JSON.stringify(theirs)).not.toContain(paid.call);
    expect((await admin<Lineage>(`call=${shared.call}`)).cache?.origin).toBe(paid.call);
  });

  it("goes on from a document over repeated answers and continued turns", async () => {
    const document = "The charter of the harbour.";
    const read = { model: "told", store: true };
    const first = await ask("/v1/responses", { ...read, input: document });
    // Somebody else's identical question is answered from the cache, and both go on from there, each in a thread of their own.
    const repeated = await ask("/v1/responses", { ...read, input: document }, other);
    const second = await ask("/v1/responses", { ...read, input: "And then?", previous_response_id: first.answer["id"] });
    const third = await ask("/v1/responses", { ...read, input: "And at last?", previous_response_id: second.answer["id"] });
    const theirs = await ask("/v1/responses", { ...read, input: "Why?", previous_response_id: repeated.answer["id"] }, other);
    const { influenced } = await admin<{ influenced: { calls: readonly Traced[] } }>(`document=${sha256(document)}&steps=16`);
    const found = new Set(influenced.calls.map(({ call }) => call));
    for (const { call } of [first, repeated, second, third, theirs]) expect(found).toContain(call);
    expect((await lineage(repeated.call, other)).cache?.status).toBe("hit");
    // Step by step as well: the turn after the first, and the one after that.
    const steps = new Map(
      (await lineage(first.call, key, "?steps=16")).influenced?.calls.map(({ call, via, steps: away }) => [call, [via, away]]),
    );
    expect([steps.get(second.call), steps.get(third.call)?.[1]]).toEqual([["turn", 1], expect.any(Number)]);
    expect(vias((await lineage(third.call)).sources?.calls)).toContainEqual([second.call, "turn"]);
  });

  it("hashes a file's own bytes", async () => {
    const bytes = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
    const { call } = await ask("/v1/chat/completions", {
      model: "sim/echo",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "what is this?" },
            { type: "image_url", image_url: { url: `data:image/png;base64,${bytes.toString("base64")}` } },
          ],
        },
      ],
    });
    const { influenced } = await admin<{ influenced: { calls: readonly Traced[] } }>(`document=${sha256(bytes)}`);
    expect(influenced.calls.map((one) => one.call)).toEqual([call]);
  });

  it("records nothing where it was switched off, and still says what the ledger knows", async () => {
    const { call } = await chat("unrecorded", { model: "quiet" });
    const at = await lineage(call);
    expect(at).toMatchObject({ recorded: false, model: { asked: "quiet", target: "sim/echo" } });
    expect(at.output).toBeUndefined();
  });

  it("shows nobody the calls of others, and keeps no word of what was said", async () => {
    const { call } = await chat("a secret sentence");
    for (const id of [call, "call_none"]) {
      const response = await fetch(`${gateway.url}/v1/calls/${id}/lineage`, { headers: { authorization: `Bearer ${other}` } });
      expect(response.status).toBe(404);
    }
    await gateway.house.gateway.aside?.flush();
    expect(JSON.stringify(await gateway.house.stores.lineage.read(call))).not.toContain("secret sentence");
    for (const query of ["", "?output=x", "?output=sha256:00", `?call=a&document=${sha256("")}`, "?call=a&steps=99"]) {
      const response = await fetch(`${gateway.url}/admin/api/lineage${query}`, {
        headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
      });
      expect(response.status).toBe(400);
    }
  });
});
