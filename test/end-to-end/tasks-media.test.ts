import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** An upstream whose requests are looked at as bytes: forms are no JSON. */
interface Seen {
  readonly path: string;
  readonly type: string;
  readonly accept: string;
  readonly body: Buffer;
}

const seen: Seen[] = [];
let answer: (response: ServerResponse) => void = () => {};
let server: Server;
let gateway: TestGateway;

const MIB = 1024 * 1024;

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { url = "", headers } = request;
      seen.push({ path: url, type: headers["content-type"] ?? "", accept: headers["accept"] ?? "", body: Buffer.concat(chunks) });
      answer(response);
    });
    response.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  gateway = await startGateway({
    trusting: true,
    config: `serve: { limits: { bodyBytes: ${40 * MIB} } }
providers:
  lab: { kind: openai-compatible, baseUrl: "${url}/v1", apiKey: secret-key, allowPrivateNetwork: true, tasks: { transcribe: { maxFileBytes: ${25 * MIB} } }, models: { ear: { price: { audioMinuteUsd: 0.006 } }, mouth: { price: { characterUsd: 15 } }, eye: { price: { imageUsd: 0.04 } } } }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const json =
  (body: unknown, status = 200) =>
  (upstream: ServerResponse): void =>
    void upstream.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

function sound(model: string, bytes: number, fields: Readonly<Record<string, string>> = {}): FormData {
  const form = new FormData();
  form.set("file", new Blob([Buffer.alloc(bytes, 7)], { type: "audio/mpeg" }), "a.mp3");
  form.set("model", model);
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}
const send = (path: string, body: FormData | string | Uint8Array, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(gateway.url + path, { method: "POST", body: body as string, headers });

const field = (name: string, text: string): string => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`;
const SOUND = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nsound\r\n';
const formOf = (...parts: readonly string[]): string => `${parts.join("")}--b--`;

describe("a transcription", () => {
  it("passes byte for byte but for the model, and costs what was heard", async () => {
    answer = json({ text: "hello", usage: { type: "duration", seconds: 90 } });
    const form = sound("lab/ear", 50_000, { language: "en", prompt: "lab/ear" });
    const request = new Request("http://127.0.0.1/", { method: "POST", body: form });
    const type = request.headers.get("content-type") ?? "";
    const sent = Buffer.from(await request.arrayBuffer());
    const response = await send("/v1/audio/transcriptions", sent, { "content-type": type });
    expect(await response.json()).toEqual({ text: "hello", usage: { type: "duration", seconds: 90 } });
    const { path, body, type: passed } = seen.at(-1) ?? { path: "", body: Buffer.alloc(0), type: "" };
    expect([path, passed]).toEqual(["/v1/audio/transcriptions", type]);
    expect(body.toString("latin1")).toBe(sent.toString("latin1").replace('name="model"\r\n\r\nlab/ear', 'name="model"\r\n\r\near'));
    // 90 seconds at 0.006 dollars a minute.
    expect(await gateway.lastRow()).toMatchObject({ fastPath: true, usage: { media: { audio_seconds: 90 } }, costNanodollars: 9_000_000 });
  });

  it("as subtitles is text, and the last of them says how long it was", async () => {
    const text = "1\n00:00:00,000 --> 00:00:02,000\nhello\n\n2\n00:00:02,000 --> 00:01:03,500\nworld\n\n";
    answer = (upstream) => void upstream.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end(text);
    const response = await send("/v1/audio/translations", sound("lab/ear", 1000, { response_format: "srt" }));
    expect([response.headers.get("content-type"), await response.text()]).toEqual(["text/plain; charset=utf-8", text]);
    expect(seen.at(-1)?.path).toBe("/v1/audio/translations");
    expect((await gateway.lastRow()).usage.media).toEqual({ audio_seconds: 63 });
  });

  it("as a stream passes frame by frame to its regular end", async () => {
    const frames = [
      '{"type":"transcript.text.delta","delta":"he"}',
      '{"type":"transcript.text.done","text":"he","usage":{"input_tokens":14,"output_tokens":2}}',
    ];
    const body = frames.map((frame) => `event: ${(JSON.parse(frame) as { type: string }).type}\ndata: ${frame}\n\n`).join("");
    answer = (upstream) => void upstream.writeHead(200, { "content-type": "text/event-stream" }).end(body);
    const response = await send("/v1/audio/transcriptions", sound("lab/ear", 1000, { stream: "true" }));
    expect(await response.text()).toBe(body);
    expect(await gateway.lastRow()).toMatchObject({ stream: true, state: "done", usage: { inputUncached: 14, output: 2 } });
    answer = (upstream) => void upstream.writeHead(200, { "content-type": "text/event-stream" }).end(body.slice(0, 80));
    const cut = await send("/v1/audio/transcriptions", sound("lab/ear", 1000, { stream: "true" }));
    expect(await cut.text()).toContain("error");
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
  });

  it("of 24 MiB passes; of 30 MiB is refused with both figures before anybody is asked; of 41 MiB is too large for the gateway", async () => {
    answer = json({ text: "long", usage: { type: "duration", seconds: 1 } });
    expect((await send("/v1/audio/transcriptions", sound("lab/ear", 24 * MIB))).status).toBe(200);
    expect(seen.at(-1)?.body.length).toBeGreaterThan(24 * MIB);
    const before = seen.length;
    const large = await send("/v1/audio/transcriptions", sound("lab/ear", 30 * MIB));
    expect([large.status, seen.length]).toEqual([400, before]);
    expect(await large.text()).toContain(`takes files of ${25 * MIB} bytes, and \\"a.mp3\\" has ${30 * MIB}`);
    expect((await send("/v1/audio/transcriptions", sound("lab/ear", 41 * MIB)).catch(() => undefined))?.status ?? 413).toBe(413);
  });

  it.each([
    ["JSON", "{}", "application/json", "`model` is missing"],
    ["no form at all", "hello", "text/plain", "takes a form"],
    ["a form without a boundary", "hello", "multipart/form-data", "with a boundary"],
    [
      "a form that is cut",
      '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nlab/ear',
      "multipart/form-data; boundary=b",
      "cut short",
    ],
    ["two models", formOf(field("model", "sim/echo"), field("model", "lab/ear"), SOUND), "multipart/form-data; boundary=b", "twice"],
    ["two files", formOf(field("model", "lab/ear"), SOUND, SOUND), "multipart/form-data; boundary=b", "twice"],
    ["a header in a name", formOf(field("model\r\nX-Api-Key: 1", "lab/ear"), SOUND), "multipart/form-data; boundary=b", "part 1"],
  ])("that comes as %s is refused", async (_what, body, type, words) => {
    const before = seen.length;
    const response = await send("/v1/audio/transcriptions", body, { "content-type": type });
    expect([response.status, response.headers.get("x-gimbal-problem"), seen.length]).toEqual([400, "invalid_request", before]);
    expect(await response.text()).toContain(words);
  });

  it("of nothing is refused", async () => {
    const response = await send("/v1/audio/transcriptions", sound("lab/ear", 0));
    expect(await response.text()).toContain("`file` is empty");
  });
});

describe("speech", () => {
  it("passes while it comes, and costs its characters", async () => {
    const audio = Buffer.alloc(300_000, 3);
    answer = (upstream) => void upstream.writeHead(200, { "content-type": "audio/mpeg" }).end(audio);
    const body = JSON.stringify({ model: "lab/mouth", input: "hello there", voice: "alloy" });
    const response = await send("/v1/audio/speech", body, { "content-type": "application/json" });
    expect(response.headers.get("content-type")).toBe("audio/mpeg");
    expect(Buffer.from(await response.arrayBuffer()).equals(audio)).toBe(true);
    expect(seen.at(-1)?.accept).toBe("*/*");
    expect(await gateway.lastRow()).toMatchObject({ usage: { media: { characters: 11 } }, costNanodollars: 165_000, stream: true });
  });

  it("that breaks after its first bytes breaks the client's connection too; before them it is a problem like any other", async () => {
    const body = JSON.stringify({ model: "lab/mouth", input: "hello", voice: "alloy" });
    answer = (upstream) => {
      upstream.writeHead(200, { "content-type": "audio/mpeg", "content-length": "500000" });
      upstream.write(Buffer.alloc(200_000, 3), () => setImmediate(() => upstream.destroy()));
    };
    const response = await send("/v1/audio/speech", body, { "content-type": "application/json" });
    expect(response.status).toBe(200);
    const outcome = await response.arrayBuffer().catch(() => "broken");
    expect(outcome).toBe("broken");
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", stream: true, usage: { media: { characters: 5 }, estimated: true } });
    answer = (response_) => {
      response_.writeHead(200, { "content-type": "audio/mpeg", "content-length": "500000" });
      response_.write(Buffer.alloc(10, 3), () => setImmediate(() => response_.destroy()));
    };
    const early = await send("/v1/audio/speech", body, { "content-type": "application/json" });
    expect(early.status).toBe(502);
  });

  it("of too long a text is refused with the limit and the count", async () => {
    const body = JSON.stringify({ model: "lab/mouth", input: "a".repeat(4097), voice: "alloy" });
    const response = await send("/v1/audio/speech", body, { "content-type": "application/json" });
    expect(await response.text()).toContain("has 4097 characters; one call speaks at most 4096");
  });
});

describe("a stream of events that is an image or a sound", () => {
  const CASES = [
    [
      "/v1/images/generations",
      { model: "lab/eye", prompt: "a", stream: true, partial_images: 1 },
      [
        { type: "image_generation.partial_image", b64_json: "AAAA", partial_image_index: 0 },
        { type: "image_generation.completed", b64_json: "BBBB", usage: { input_tokens: 7, output_tokens: 90, total_tokens: 97 } },
      ],
      { inputUncached: 7, output: 90 },
    ],
    [
      "/v1/audio/speech",
      { model: "lab/mouth", input: "hello", voice: "alloy", stream_format: "sse" },
      [
        { type: "speech.audio.delta", audio: "AAAA" },
        { type: "speech.audio.done", usage: { input_tokens: 5, output_tokens: 40, total_tokens: 45 } },
      ],
      { inputUncached: 5, output: 40 },
    ],
  ] as const;
  const textOf = (frames: readonly { readonly type: string }[]): string =>
    frames.map((frame) => `event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`).join("");

  it.each(CASES)("passes frame by frame to its regular end, with what it used: %s", async (path, body, frames, usage) => {
    const text = textOf(frames);
    answer = (upstream) => {
      upstream.writeHead(200, { "content-type": "text/event-stream" });
      // Cut in the middle of a frame.
      upstream.write(text.slice(0, 40));
      setImmediate(() => upstream.end(text.slice(40)));
    };
    const response = await send(path, JSON.stringify(body), { "content-type": "application/json" });
    expect([response.headers.get("content-type"), await response.text()]).toEqual(["text/event-stream", text]);
    expect(await gateway.lastRow()).toMatchObject({ stream: true, state: "done", usage });
  });

  it.each(CASES)("that ends early, or tells of an error, is no clean end: %s", async (path, body, frames) => {
    answer = (upstream) => void upstream.writeHead(200, { "content-type": "text/event-stream" }).end(textOf(frames.slice(0, 1)));
    const cut = await send(path, JSON.stringify(body), { "content-type": "application/json" });
    expect(await cut.text()).toContain("error");
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
    const error = `event: error\ndata: {"type":"error","error":{"message":"out of paint","type":"server_error"}}\n\n`;
    answer = (upstream) => void upstream.writeHead(200, { "content-type": "text/event-stream" }).end(textOf(frames.slice(0, 1)) + error);
    const told = await send(path, JSON.stringify(body), { "content-type": "application/json" });
    expect(await told.text()).toContain("out of paint");
    expect((await gateway.lastRow()).state).toBe("failed");
  });
});

describe("images", () => {
  it("cost what they count, and a form without a model gets one", async () => {
    answer = json({ created: 1, data: [{ b64_json: "AAAA" }, { b64_json: "AAAA" }] });
    const made = await send("/v1/images/generations", JSON.stringify({ model: "lab/eye", prompt: "a", n: 2 }), {
      "content-type": "application/json",
    });
    expect(made.status).toBe(200);
    expect(await gateway.lastRow()).toMatchObject({ usage: { media: { images: 2 } }, costNanodollars: 80_000_000 });
    const form = new FormData();
    form.set("prompt", "b");
    form.set("image", new Blob([Buffer.alloc(10)]), "a.png");
    form.set("model", "lab/eye");
    await send("/v1/images/edits", form);
    expect(seen.at(-1)?.path).toBe("/v1/images/edits");
    expect(seen.at(-1)?.body.toString("latin1")).toContain('name="model"\r\n\r\neye\r\n');
  });

  it("that are none are refused", async () => {
    answer = json({ created: 1, data: [] });
    const none = await send("/v1/images/generations", JSON.stringify({ model: "lab/eye", prompt: "a" }), {
      "content-type": "application/json",
    });
    expect(none.headers.get("x-gimbal-problem")).toBe("upstream_broken");
    const form = new FormData();
    form.set("prompt", "b");
    form.set("model", "lab/eye");
    expect(await (await send("/v1/images/edits", form)).text()).toContain("`image` is missing");
  });
});

it("no key of a client and no header of its own reaches the upstream", async () => {
  answer = json({ text: "x" });
  await send("/v1/audio/transcriptions", sound("lab/ear", 10), { "x-secret": "1", authorization: "Bearer mine" });
  expect(seen.at(-1)?.body.toString("latin1")).not.toContain("mine");
});
