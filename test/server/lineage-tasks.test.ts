import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Guard } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

interface Lineage {
  readonly recorded: boolean;
  readonly prompt?: string;
  readonly output?: string;
  readonly answer?: string;
  readonly made?: readonly string[];
  readonly partial?: true;
  readonly documents?: readonly { readonly kind: string; readonly hash: string }[];
}
interface Stored {
  readonly prompt?: Readonly<Record<string, unknown>>;
  readonly answer?: Readonly<Record<string, unknown>>;
  readonly redacted?: Readonly<Record<string, number>>;
}

const CONFIG = `
lineage: { record: true }
sim: { models: { long: { length: 3000, ttftMs: 1, tokensPerSecond: 5000, seed: 1 } } }
serve: { limits: { journalBytes: 65536 } }
models:
  secret: { targets: [sim/echo] }
content:
  store:
    - match: { model: secret }
      share: 1
      redact:
        - { name: card, pattern: '\\d{4} \\d{4}', with: '[card]' }
    - match: { model: sim/long }
      share: 1
      what: [answer]
      redact: none
`;

const WORD = "changeable";
/** Takes a word out of what is to be embedded. */
const guard: Guard = {
  id: "changer",
  readsContent: true,
  task: async (task) =>
    task.operation === "embed" && task.inputs.includes(WORD)
      ? { verdict: "change", value: { ...task, inputs: ["changed"] } }
      : { verdict: "allow" },
} as Guard;

let gateway: TestGateway;
let guarded: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: CONFIG });
  guarded = await startGateway({ config: CONFIG, guards: [guard] });
});
afterAll(() => Promise.all([gateway.close(), guarded.close()]));

const sha256 = (what: string | Uint8Array): string => `sha256:${createHash("sha256").update(what).digest("hex")}`;

interface Said {
  readonly id: string;
  readonly bytes: Buffer;
}
async function ask(path: string, body: object | FormData, at = gateway): Promise<Said> {
  const init = body instanceof FormData ? { body } : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(at.url + path, { method: "POST", ...init });
  const bytes = Buffer.from(await response.arrayBuffer());
  expect(response.status, bytes.toString()).toBe(200);
  await at.rows();
  return { id: response.headers.get("x-gimbal-call-id") ?? "", bytes };
}
async function lineage({ id }: Said, at = gateway): Promise<Lineage> {
  return (await (await fetch(`${at.url}/v1/calls/${id}/lineage`)).json()) as Lineage;
}
async function stored({ id }: Said, at = gateway): Promise<Stored> {
  const response = await fetch(`${at.url}/admin/api/content/${id}`, {
    headers: { authorization: `Bearer ${at.house.adminToken.reveal()}` },
  });
  const { prompt, answer, redacted } = (await response.json()) as Stored;
  return { ...(prompt && { prompt }), ...(answer && { answer }), ...(redacted && { redacted }) };
}

describe("lineage of tasks", () => {
  it("names texts that were embedded, and vectors by their bytes, in whatever encoding and language", async () => {
    const floats = await ask("/v1/embeddings", { model: "sim/echo", input: ["one", "two"] });
    const base64 = await ask("/v1/embeddings", { model: "sim/echo", input: ["one", "two"], encoding_format: "base64" });
    const other = await ask("/api/embed", { model: "sim/echo", input: ["one", "two"] });
    const one = await lineage(floats);
    expect(one.documents).toEqual(["one", "two"].map((text) => ({ kind: "user", hash: sha256(text) })));
    expect(one).toMatchObject({ recorded: true, answer: expect.stringMatching(/^sha256:/) as string });
    const [two, three] = [await lineage(base64), await lineage(other)];
    expect([two.answer, two.prompt]).toEqual([one.answer, one.prompt]);
    expect(three.documents).toEqual(one.documents);
    const different = await lineage(await ask("/v1/embeddings", { model: "sim/echo", input: ["one", "three"] }));
    expect(different.answer).not.toBe(one.answer);
    expect(different.prompt).not.toBe(one.prompt);
  });

  it("goes from a document that was ranked to the call that ranked it", async () => {
    const document = "The minutes of the meeting of June.";
    const ranked = await ask("/v1/rerank", { model: "sim/echo", query: "June?", documents: [document, "something else"] });
    const response = await fetch(`${gateway.url}/admin/api/lineage?document=${sha256(document)}`, {
      headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
    });
    const { influenced } = (await response.json()) as { influenced: { calls: readonly { call: string }[] } };
    expect(influenced.calls.map(({ call }) => call)).toEqual([ranked.id]);
  });

  it("names sounds and images by their bytes, and what was heard by its text", async () => {
    const spoken = await ask("/v1/audio/speech", { model: "sim/echo", input: "hello", voice: "alloy", response_format: "wav" });
    expect((await lineage(spoken)).made).toEqual([sha256(spoken.bytes)]);
    const form = new FormData();
    form.set("file", new Blob([new Uint8Array(spoken.bytes)], { type: "audio/wav" }), "a.wav");
    form.set("model", "sim/echo");
    const heard = await ask("/v1/audio/transcriptions", form);
    const { text } = JSON.parse(heard.bytes.toString()) as { text: string };
    const one = await lineage(heard);
    expect(one).toMatchObject({ output: sha256(text), documents: [{ kind: "audio", hash: sha256(spoken.bytes) }] });
    form.set("response_format", "text");
    expect((await lineage(await ask("/v1/audio/transcriptions", form))).output).toBeDefined();
    const drawn = await ask("/v1/images/generations", { model: "sim/echo", prompt: "a house", response_format: "b64_json" });
    const { data } = JSON.parse(drawn.bytes.toString()) as { data: readonly { b64_json: string }[] };
    expect((await lineage(drawn)).made).toEqual(data.map(({ b64_json: bytes }) => sha256(Buffer.from(bytes, "base64"))));
  });

  it("names what a guard made of a task, because that is what the model was given", async () => {
    const changed = await ask("/v1/embeddings", { model: "sim/echo", input: [WORD] }, guarded);
    expect((await lineage(changed, guarded)).documents).toEqual([{ kind: "user", hash: sha256("changed") }]);
  });
});

describe("stored content of tasks", () => {
  it("is their words, redacted; vectors and media are hashes", async () => {
    const embedded = await ask("/v1/embeddings", { model: "secret", input: "pay with 1234 5678 now", user: "u1" });
    expect(await stored(embedded)).toEqual({
      prompt: { operation: "embed", inputs: ["pay with [card] now"] },
      answer: { vectors: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string },
      redacted: { card: 1 },
    });
    const ranked = await ask("/v1/rerank", { model: "secret", query: "q", documents: ["a", "b"] });
    expect(await stored(ranked)).toMatchObject({
      prompt: { query: "q", documents: ["a", "b"] },
      answer: { ranked: [{ index: expect.any(Number) as number, score: expect.any(Number) as number }, {}] },
    });
    const form = new FormData();
    const sound = await ask("/v1/audio/speech", { model: "secret", input: "hello", voice: "alloy", response_format: "wav" });
    expect(await stored(sound)).toMatchObject({ prompt: { text: "hello" }, answer: { data: sha256(sound.bytes) } });
    form.set("file", new Blob([new Uint8Array(sound.bytes)], { type: "audio/wav" }), "card 1234 5678.wav");
    form.set("model", "secret");
    const heard = await ask("/v1/audio/transcriptions", form);
    expect(await stored(heard)).toMatchObject({
      prompt: { file: { name: "card [card].wav", hash: sha256(sound.bytes) } },
      answer: { text: expect.any(String) as string },
    });
    const seen = await ask("/v1/moderations", {
      model: "secret",
      input: [{ type: "image_url", image_url: { url: `data:image/png;base64,${Buffer.from("picture").toString("base64")}` } }],
    });
    expect(JSON.stringify(await stored(seen))).toContain(`data:image/png;${sha256("picture")}`);
  });
});

describe("an answer longer than the memory of its call", () => {
  it("has its hash and is stored all the same, read back from the journal", async () => {
    const body = { model: "sim/long", messages: [{ role: "user", content: "Go on." }] };
    const streamed = await ask("/v1/chat/completions", { ...body, stream: true });
    expect(streamed.bytes.length).toBeGreaterThan(4 * 65_536);
    const plain = await ask("/v1/chat/completions", body);
    const [one, two] = [await lineage(streamed), await lineage(plain)];
    expect(one.output).toBe(two.output);
    expect(one.partial).toBeUndefined();
    const { choices } = JSON.parse(plain.bytes.toString()) as { choices: readonly { message: { content: string } }[] };
    expect(one.output).toBe(sha256(choices[0]?.message.content ?? ""));
    expect(JSON.stringify(await stored(streamed)).includes(choices[0]?.message.content ?? "nothing")).toBe(true);
  });

  it("is said to be partial where the journal has lost its beginning", async () => {
    const { journal } = gateway.house.gateway;
    const read = journal.read.bind(journal);
    Object.assign(journal, { read: () => Promise.resolve(undefined) });
    try {
      const streamed = await ask("/v1/chat/completions", {
        model: "sim/long",
        stream: true,
        messages: [{ role: "user", content: "Go on." }],
      });
      const record = await lineage(streamed);
      expect(record).toMatchObject({ recorded: true, partial: true });
      expect([record.output, record.answer]).toEqual([undefined, undefined]);
      expect(await stored(streamed)).toEqual({ answer: { partial: true } });
    } finally {
      Object.assign(journal, { read });
    }
  });

  it("is read back in the framing in which it was told", async () => {
    const contents = [{ role: "user", parts: [{ text: "Go on." }] }];
    const array = await ask("/v1beta/models/sim/long:streamGenerateContent", { contents });
    const events = await ask("/v1beta/models/sim/long:streamGenerateContent?alt=sse", { contents });
    const [one, two] = [await lineage(array), await lineage(events)];
    expect(one.output).toBeDefined();
    expect(one.output).toBe(two.output);
  });
});
