import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openForm } from "../../src/dialects/task-body.ts";
import { parseJson } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** An upstream that keeps what it was asked and answers what a test says, in whatever vendor's shape. */
interface Seen {
  readonly path: string;
  readonly type: string;
  readonly bytes: Buffer;
  readonly json: never;
}
const seen: Seen[] = [];
let answers: ((asked: Seen) => unknown)[] = [];
let server: Server;
let gateway: TestGateway;
let openai: OpenAI;

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const bytes = Buffer.concat(chunks);
      const type = request.headers["content-type"] ?? "";
      const json = (type.startsWith("application/json") ? parseJson(bytes.toString()) : {}) as never;
      const asked = { path: request.url ?? "", type, bytes, json };
      seen.push(asked);
      const body = (answers.length > 1 ? answers.shift() : answers[0])?.(asked);
      const [status, said] = Array.isArray(body) ? (body as [number, unknown]) : [200, body];
      if (Buffer.isBuffer(said)) response.writeHead(status, { "content-type": "audio/mpeg" }).end(said);
      else response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(said ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const lab = (kind: string, rest: string): string => `{ kind: ${kind}, apiKey: k, allowPrivateNetwork: true, ${rest} }`;
  gateway = await startGateway({
    trusting: true,
    config: `providers:
  gem: ${lab("gemini", `baseUrl: "${url}", models: { imagen-4.0-generate-001: { price: { imageUsd: 0.04 } } }`)}
  oai: ${lab("openai", `baseUrl: "${url}/v1", models: { dall-e-3: { price: { imageUsd: 0.08 } } }`)}
  grok: ${lab("xai", `baseUrl: "${url}/v1"`)}
  tog: ${lab("together", `baseUrl: "${url}/v1", models: { flux: { price: { imageUsd: 0.003 } } }`)}
  mis: ${lab("mistral", `baseUrl: "${url}/v1", models: { voxtral: { price: { audioMinuteUsd: 0.002 }, operations: [transcribe] } }`)}
  router: ${lab("openrouter", `baseUrl: "${url}/v1"`)}
models:
  painter: { targets: [oai/gpt-image-1, gem/gemini-2.5-flash-image], retries: 0 }
  speaker: { targets: [gem/gemini-2.5-flash-preview-tts, oai/tts-1] }
`,
  });
  openai = new OpenAI({ apiKey: "k", baseURL: `${gateway.url}/v1`, maxRetries: 0 });
});
beforeEach(() => {
  seen.length = 0;
  answers = [];
});
afterAll(async () => {
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** What the upstream was asked, as JSON. */
function askedAt(place: number): {
  readonly contents: readonly { readonly parts: readonly unknown[] }[];
  readonly systemInstruction: { readonly parts: readonly { readonly text: string }[] };
} {
  const asked = seen.at(place);
  if (!asked) throw new Error("nothing was asked");
  return asked.json;
}

const PNG = Buffer.from("89504e470d0a1a0a0000000d", "hex").toString("base64");
const usage = (prompt: number, output: number, modality: string, read = "TEXT") => ({
  promptTokenCount: prompt,
  candidatesTokenCount: output,
  totalTokenCount: prompt + output,
  promptTokensDetails: [{ modality: read, tokenCount: prompt }],
  candidatesTokensDetails: [{ modality, tokenCount: output }],
});
const given = (parts: readonly unknown[], used: unknown, finishReason = "STOP") => ({
  candidates: [{ content: { role: "model", parts }, finishReason, index: 0 }],
  usageMetadata: used,
  modelVersion: "the-model",
});
const picture = (prompt = 10) =>
  given([{ text: "thinking", thought: true }, { inlineData: { mimeType: "image/png", data: PNG } }], usage(prompt, 1290, "IMAGE"));

async function diagnostics(): Promise<readonly { readonly field: string; readonly action: string }[]> {
  const { callId } = await gateway.lastRow();
  const response = await fetch(`${gateway.url}/v1/calls/${callId}`);
  return ((await response.json()) as { diagnostics?: { field: string; action: string }[] }).diagnostics ?? [];
}
const told = async (): Promise<readonly string[]> => (await diagnostics()).map(({ field, action }) => `${field} ${action}`).toSorted();

describe("an OpenAI client's images", () => {
  it("are made by a model that answers with images, one request each, and cost its tokens", async () => {
    answers = [() => picture()];
    const made = await openai.images.generate({
      model: "gem/gemini-2.5-flash-image",
      prompt: "a fox",
      n: 3,
      size: "1536x1024",
      quality: "high",
    });
    expect(made.data?.map(({ b64_json }) => b64_json)).toEqual([PNG, PNG, PNG]);
    expect(made.usage).toMatchObject({ input_tokens: 30, output_tokens: 3870, total_tokens: 3900 });
    expect(seen.map(({ path }) => path)).toEqual(Array(3).fill("/v1beta/models/gemini-2.5-flash-image:generateContent"));
    expect(seen[0]?.json).toEqual({
      contents: [{ role: "user", parts: [{ text: "a fox" }] }],
      generationConfig: { responseModalities: ["IMAGE"], imageConfig: { aspectRatio: "3:2" } },
    });
    // 30 x 0.30 and 3,870 x 30 dollars a million.
    expect(await gateway.lastRow()).toMatchObject({
      usage: { media: { output_image_tokens: 3870 } },
      costNanodollars: 9000 + 116_100_000,
      attempts: { length: 1 },
    });
    expect(await told()).toEqual(["quality dropped", "size degraded"]);
  });

  it("are made by Imagen four at a time, and cost their number", async () => {
    answers = [
      ({ json }) => ({
        predictions: Array.from({ length: (json as { parameters: { sampleCount: number } }).parameters.sampleCount }, () => ({
          mimeType: "image/png",
          bytesBase64Encoded: PNG,
        })),
      }),
    ];
    const made = await openai.images.generate({
      model: "gem/imagen-4.0-generate-001",
      prompt: "a fox",
      n: 6,
      size: "1024x1792",
      response_format: "url",
    });
    expect(made.data?.map(({ url }) => url)).toEqual(Array(6).fill(`data:image/png;base64,${PNG}`));
    expect(seen.map(({ path, json }) => [path, (json as { parameters: unknown }).parameters])).toEqual([
      ["/v1beta/models/imagen-4.0-generate-001:predict", { sampleCount: 4, aspectRatio: "9:16" }],
      ["/v1beta/models/imagen-4.0-generate-001:predict", { sampleCount: 2, aspectRatio: "9:16" }],
    ]);
    expect(await gateway.lastRow()).toMatchObject({ usage: { media: { images: 6 } }, costNanodollars: 240_000_000 });
    expect(await told()).toEqual(["response_format degraded", "size degraded"]);
  });

  it("are changed with the images as data", async () => {
    answers = [() => picture(300)];
    const image = [
      await toFile(Buffer.from(PNG, "base64"), "a.png", { type: "image/png" }),
      await toFile(Buffer.from("/9j/AA==", "base64"), "b.jpg"),
    ];
    const made = await openai.images.edit({ model: "gem/gemini-2.5-flash-image", prompt: "join", image });
    expect(made.data?.[0]?.b64_json).toBe(PNG);
    expect(askedAt(0).contents[0]?.parts).toEqual([
      { text: "join" },
      { inlineData: { mimeType: "image/png", data: PNG } },
      { inlineData: { mimeType: "image/jpeg", data: "/9j/AA==" } },
    ]);
  });

  it("asked for as a stream come as its last event", async () => {
    answers = [() => picture()];
    const stream = await openai.images.generate({ model: "gem/gemini-2.5-flash-image", prompt: "a fox", stream: true, partial_images: 2 });
    const events: unknown[] = [];
    for await (const event of stream) events.push(event);
    expect(events).toMatchObject([{ type: "image_generation.completed", b64_json: PNG, usage: { output_tokens: 1290 } }]);
    expect(await gateway.lastRow()).toMatchObject({ stream: true, state: "done" });
    expect(await told()).toEqual(["partial_images dropped", "stream degraded"]);
  });

  it("that a model refuses to make are refused with its reason; those it cannot change are not asked for", async () => {
    answers = [() => ({ promptFeedback: { blockReason: "PROHIBITED_CONTENT" } })];
    const refused = await openai.images.generate({ model: "gem/gemini-2.5-flash-image", prompt: "x" }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining("PROHIBITED_CONTENT") as string });
    answers = [() => ({ predictions: [{ raiFilteredReason: "violence" }] })];
    const filtered = await openai.images.generate({ model: "gem/imagen-4.0-generate-001", prompt: "x" }).catch((error: unknown) => error);
    expect(filtered).toMatchObject({ status: 400, message: expect.stringContaining("violence") as string });
    const before = seen.length;
    const image = await toFile(Buffer.from(PNG, "base64"), "a.png", { type: "image/png" });
    const edit = await openai.images.edit({ model: "gem/imagen-4.0-generate-001", prompt: "x", image }).catch((error: unknown) => error);
    expect(edit).toMatchObject({ status: 400, message: expect.stringContaining("changes none. Models that could: ") as string });
    const mask = await openai.images
      .edit({ model: "gem/gemini-2.5-flash-image", prompt: "x", image, mask: image })
      .catch((error: unknown) => error);
    expect(mask).toMatchObject({
      message: expect.stringMatching(/takes no masks\. Models that could: "painter", "oai\/dall-e-3"/) as string,
    });
    expect(seen.length).toBe(before);
  });

  it("fail over from one vendor to the other", async () => {
    answers = [() => [500, { error: { message: "down" } }], () => picture()];
    const made = await openai.images.generate({ model: "painter", prompt: "a fox" });
    expect(made.data?.[0]?.b64_json).toBe(PNG);
    expect(seen.map(({ path }) => path)).toEqual(["/v1/images/generations", "/v1beta/models/gemini-2.5-flash-image:generateContent"]);
  });

  it("reach vendors who say sizes and sources otherwise", async () => {
    answers = [() => ({ data: [{ url: "https://example.com/a.png" }], usage: { cost_in_usd_ticks: 700_000_000 } })];
    await openai.images.generate({ model: "grok/grok-2-image", prompt: "a", size: "1792x1024", style: "vivid" });
    expect(seen[0]?.json).toEqual({ model: "grok-2-image", prompt: "a", aspect_ratio: "16:9" });
    expect(await gateway.lastRow()).toMatchObject({
      usage: { media: { images: 1 }, providerCost: 70_000_000 },
      costNanodollars: 70_000_000,
      fastPath: true,
    });
    expect(await told()).toEqual(["size degraded", "style dropped"]);
    const image = await toFile(Buffer.from(PNG, "base64"), "a.png", { type: "image/png" });
    await openai.images.edit({ model: "grok/grok-imagine-image", prompt: "b", image });
    expect(seen[1]).toMatchObject({
      path: "/v1/images/edits",
      json: { model: "grok-imagine-image", prompt: "b", image: { type: "image_url", url: `data:image/png;base64,${PNG}` } },
    });
    answers = [() => ({ data: [{ b64_json: PNG }] })];
    await openai.images.generate({ model: "tog/flux", prompt: "c", size: "1024x768", response_format: "b64_json" });
    expect(seen[2]?.json).toEqual({ model: "flux", prompt: "c", width: 1024, height: 768, response_format: "base64" });
    expect((await gateway.lastRow()).costNanodollars).toBe(3_000_000);
    await openai.images.edit({ model: "tog/flux", prompt: "d", image });
    expect(seen[3]).toMatchObject({ path: "/v1/images/generations", json: { image_url: `data:image/png;base64,${PNG}` } });
    const two = await openai.images.edit({ model: "tog/flux", prompt: "d", image: [image, image] }).catch((error: unknown) => error);
    expect(two).toMatchObject({ message: expect.stringContaining("takes one image to change, and 2 were sent") as string });
  });
});

describe("a Gemini client's images", () => {
  const predict = async (
    model: string,
    prompt: string,
    parameters: unknown,
  ): Promise<{ status: number; body: { predictions?: unknown[] }; text: string }> => {
    const response = await fetch(`${gateway.url}/v1beta/models/${model}:predict`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-goog-api-key": "k" },
      body: JSON.stringify({ instances: [{ prompt }], parameters }),
    });
    const text = await response.text();
    return { status: response.status, body: JSON.parse(text) as { predictions?: unknown[] }, text };
  };

  it("asked for as Imagen's are made by OpenAI's models, in the nearest size", async () => {
    answers = [
      () => ({
        created: 7,
        data: [{ b64_json: PNG }, { b64_json: PNG }],
        usage: { input_tokens: 5, output_tokens: 200, total_tokens: 205 },
      }),
    ];
    const { body } = await predict("oai/gpt-image-1", "a fox", { sampleCount: 2, aspectRatio: "16:9" });
    expect(body.predictions).toEqual(Array.from({ length: 2 }, () => ({ mimeType: "image/png", bytesBase64Encoded: PNG })));
    expect(seen[0]).toMatchObject({
      path: "/v1/images/generations",
      json: { model: "gpt-image-1", prompt: "a fox", n: 2, size: "1536x1024" },
    });
    expect(Object.keys(seen[0]?.json ?? {}).toSorted()).toEqual(["model", "n", "prompt", "size"]);
    // 5 x 5 and 200 x 40 dollars a million.
    expect(await gateway.lastRow()).toMatchObject({ dialect: "gemini-tasks", costNanodollars: 25_000 + 8_000_000 });
    expect(await told()).toEqual(["aspect degraded"]);
    answers = [() => ({ created: 7, data: [{ b64_json: PNG, revised_prompt: "a red fox" }] })];
    const other = await predict("oai/dall-e-3", "a fox", { sampleCount: 1 });
    expect(other.body.predictions).toMatchObject([{ prompt: "a red fox" }]);
    expect(seen[1]?.json).toEqual({ model: "dall-e-3", prompt: "a fox", response_format: "b64_json" });
  });

  it("that come as an address are no answer in its language", async () => {
    answers = [() => ({ created: 7, data: [{ url: "https://example.com/a.png" }] })];
    const made = await predict("oai/dall-e-3", "a", { sampleCount: 1 });
    expect([made.status, made.text]).toEqual([502, expect.stringContaining("as data only")]);
  });

  it("pass to Imagen as they came; more than a request makes are made in two", async () => {
    answers = [
      ({ json }) => ({
        predictions: Array.from({ length: (json as { parameters: { sampleCount: number } }).parameters.sampleCount }, () => ({
          bytesBase64Encoded: PNG,
          prompt: "more",
        })),
      }),
    ];
    const { body } = await predict("gem/imagen-4.0-generate-001", "a", { sampleCount: 1, seed: 7 });
    expect(body.predictions).toEqual([{ bytesBase64Encoded: PNG, prompt: "more" }]);
    expect(seen[0]?.json).toEqual({ instances: [{ prompt: "a" }], parameters: { sampleCount: 1, seed: 7 } });
    expect(await gateway.lastRow()).toMatchObject({ fastPath: true, costNanodollars: 40_000_000 });
    expect((await predict("gem/imagen-4.0-generate-001", "a", { sampleCount: 5, seed: 7 })).body.predictions?.length).toBe(5);
    expect(seen.slice(1).map(({ json }) => (json as { parameters: unknown }).parameters)).toEqual([
      { sampleCount: 4, seed: 7 },
      { sampleCount: 1, seed: 7 },
    ]);
  });

  it.each([
    ["no prompt", { instances: [{}] }, "prompt"],
    ["two prompts", { instances: [{ prompt: "a" }, { prompt: "b" }] }, "one object"],
    ["too many images", { instances: [{ prompt: "a" }], parameters: { sampleCount: 11 } }, "from 1 to 10"],
    [
      "an image to change, of another vendor",
      { instances: [{ prompt: "a", image: {} }], parameters: { sampleCount: 1 } },
      "takes no `image`",
    ],
  ])("with %s are refused", async (_what, body, words) => {
    const response = await fetch(`${gateway.url}/v1beta/models/oai/gpt-image-1:predict`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining(words)]);
    expect(seen.length).toBe(0);
  });
});

describe("an OpenAI client's speech", () => {
  const samples = Buffer.from(Int16Array.from({ length: 4800 }, (_, at) => at).buffer);
  const spoken = (finish?: string) =>
    given(
      [{ inlineData: { mimeType: "audio/L16;codec=pcm;rate=24000", data: samples.toString("base64") } }],
      usage(4, 200, "AUDIO"),
      finish,
    );

  it("is spoken by a model that answers with sound, as WAV or bare, and costs its tokens", async () => {
    answers = [() => spoken()];
    const wav = await openai.audio.speech.create({
      model: "gem/gemini-2.5-flash-preview-tts",
      voice: "Puck",
      input: "hello",
      response_format: "wav",
      instructions: "Whisper:",
    });
    const bytes = Buffer.from(await wav.arrayBuffer());
    expect(wav.headers.get("content-type")).toBe("audio/wav");
    expect([
      bytes.toString("latin1", 0, 4),
      bytes.readUInt32LE(4),
      bytes.readUInt32LE(24),
      bytes.readUInt32LE(28),
      bytes.readUInt32LE(40),
    ]).toEqual(["RIFF", 36 + 9600, 24_000, 48_000, 9600]);
    expect(bytes.subarray(44).equals(samples)).toBe(true);
    expect(seen[0]?.json).toEqual({
      contents: [{ role: "user", parts: [{ text: "Whisper:\n\nhello" }] }],
      generationConfig: { responseModalities: ["AUDIO"], speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: "Puck" } } } },
    });
    // 4 x 0.50 and 200 x 10 dollars a million.
    expect(await gateway.lastRow()).toMatchObject({ usage: { media: { output_audio_tokens: 200 } }, costNanodollars: 2_002_000 });
    expect(await told()).toEqual([]);
    const bare = await openai.audio.speech.create({
      model: "gem/gemini-2.5-flash-preview-tts",
      voice: "alloy",
      input: "hello",
      response_format: "pcm",
      speed: 2,
    });
    expect(Buffer.from(await bare.arrayBuffer()).equals(samples)).toBe(true);
    expect(await told()).toEqual(["speed dropped", "voice degraded"]);
  });

  it("in a format that would have to be compressed goes to who has it, or says who could", async () => {
    answers = [() => Buffer.from("mp3 bytes")];
    const other = await openai.audio.speech.create({ model: "speaker", voice: "alloy", input: "hello", response_format: "mp3" });
    expect([await other.text(), seen[0]?.path]).toEqual(["mp3 bytes", "/v1/audio/speech"]);
    const refused = await openai.audio.speech
      .create({ model: "gem/gemini-2.5-flash-preview-tts", voice: "alloy", input: "hello", response_format: "opus" })
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({
      status: 400,
      message: expect.stringMatching(/speaks as `wav` or `pcm`, and `opus` was asked for\. Models that could: "speaker"/) as string,
    });
    expect(seen.length).toBe(1);
  });

  it("as events comes in pieces that are the whole, and half a sentence is no answer", async () => {
    answers = [() => spoken()];
    const body = JSON.stringify({
      model: "gem/gemini-2.5-flash-preview-tts",
      input: "hello",
      voice: "Kore",
      stream_format: "sse",
      response_format: "pcm",
    });
    const response = await fetch(`${gateway.url}/v1/audio/speech`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    const events = (await response.text())
      .split("\n\n")
      .flatMap((frame) => /data: (.*)$/.exec(frame)?.[1] ?? [])
      .map((line) => JSON.parse(line) as { type: string; audio?: string; usage?: unknown });
    expect(Buffer.concat(events.flatMap(({ audio }) => (audio === undefined ? [] : [Buffer.from(audio, "base64")]))).equals(samples)).toBe(
      true,
    );
    expect(events.at(-1)).toEqual({ type: "speech.audio.done", usage: { input_tokens: 4, output_tokens: 200, total_tokens: 204 } });
    answers = [() => spoken("MAX_TOKENS")];
    const cut = await fetch(`${gateway.url}/v1/audio/speech`, { method: "POST", headers: { "content-type": "application/json" }, body });
    expect([cut.status, cut.headers.get("x-gimbal-problem")]).toEqual([502, "upstream_broken"]);
  });
});

describe("an OpenAI client's transcription", () => {
  const sound = () => toFile(Buffer.from("ID3 sound"), "talk.mp3", { type: "audio/mpeg" });

  it("is written down by a model that hears, and costs the tokens of the sound", async () => {
    answers = [() => given([{ text: " Hello there. \n" }], usage(64, 4, "TEXT", "AUDIO"))];
    const written = await openai.audio.transcriptions.create({
      model: "gem/gemini-2.5-flash",
      file: await sound(),
      language: "en",
      prompt: "Gimbal",
      temperature: 0.2,
    });
    expect(written).toEqual({
      text: "Hello there.",
      usage: {
        type: "tokens",
        input_tokens: 64,
        output_tokens: 4,
        total_tokens: 68,
        input_token_details: { audio_tokens: 64, text_tokens: 0 },
      },
    });
    const asked = seen[0]?.json as unknown as {
      systemInstruction: { parts: { text: string }[] };
      contents: unknown[];
      generationConfig: unknown;
    };
    expect(asked.contents).toEqual([
      { role: "user", parts: [{ inlineData: { mimeType: "audio/mpeg", data: Buffer.from("ID3 sound").toString("base64") } }] },
    ]);
    expect(asked.systemInstruction.parts[0]?.text).toMatch(/word for word.*"en".*"Gimbal"/s);
    expect(asked.generationConfig).toEqual({ responseMimeType: "text/plain", temperature: 0.2 });
    // 64 x 1.00 and 4 x 2.50 dollars a million.
    expect(await gateway.lastRow()).toMatchObject({ usage: { media: { input_audio_tokens: 64 } }, costNanodollars: 64_000 + 10_000 });
    expect(await told()).toEqual(["task degraded"]);
  });

  it("as text, as a stream and into English", async () => {
    answers = [() => given([{ text: "Hello." }], usage(64, 4, "TEXT", "AUDIO"))];
    const text = await openai.audio.transcriptions.create({ model: "gem/gemini-2.5-flash", file: await sound(), response_format: "text" });
    expect(text).toBe("Hello.\n");
    const events: unknown[] = [];
    for await (const event of await openai.audio.transcriptions.create({
      model: "gem/gemini-2.5-flash",
      file: await sound(),
      stream: true,
    }))
      events.push(event);
    expect(events).toMatchObject([
      { type: "transcript.text.delta", delta: "Hello." },
      { type: "transcript.text.done", text: "Hello.", usage: { input_tokens: 64 } },
    ]);
    await openai.audio.translations.create({ model: "gem/gemini-2.5-flash", file: await sound() });
    expect(askedAt(-1).systemInstruction.parts[0]?.text).toContain("in English");
  });

  it("with times, of an unknown sound, or cut short is none", async () => {
    const timed = await openai.audio.transcriptions
      .create({ model: "gem/gemini-2.5-flash", file: await sound(), response_format: "srt" })
      .catch((error: unknown) => error);
    expect(timed).toMatchObject({
      status: 400,
      message: expect.stringMatching(/cannot say when each word was spoken, and `srt`.*Models that could: "/) as string,
    });
    const odd = await openai.audio.transcriptions
      .create({ model: "gem/gemini-2.5-flash", file: await toFile(Buffer.from("x"), "talk.xyz") })
      .catch((error: unknown) => error);
    expect(odd).toMatchObject({ message: expect.stringContaining("what kind of sound") as string });
    expect(seen.length).toBe(0);
    answers = [() => given([{ text: "Hel" }], usage(64, 4, "TEXT"), "MAX_TOKENS")];
    const cut = await openai.audio.transcriptions
      .create({ model: "gem/gemini-2.5-flash", file: await sound() })
      .catch((error: unknown) => error);
    expect(cut).toMatchObject({ status: 502 });
  });

  it("is asked of a chat model that hears in its own words", async () => {
    answers = [
      () => ({
        id: "c",
        model: "m",
        choices: [{ message: { role: "assistant", content: "Hi." }, finish_reason: "stop" }],
        usage: { prompt_tokens: 20, completion_tokens: 2, total_tokens: 22, cost: 0.001 },
      }),
    ];
    const written = await openai.audio.transcriptions.create({ model: "router/google/gemini-2.5-flash", file: await sound() });
    expect(written.text).toBe("Hi.");
    expect(seen[0]).toMatchObject({
      path: "/v1/chat/completions",
      json: { messages: [{ role: "system" }, { role: "user", content: [{ type: "input_audio", input_audio: { format: "mp3" } }] }] },
    });
    expect(await gateway.lastRow()).toMatchObject({ usage: { providerCost: 1_000_000 } });
  });

  it("goes to a vendor that answers JSON alone without the field it refuses, and comes as the text that was asked for", async () => {
    answers = [
      () => ({
        model: "voxtral",
        text: "Bonjour",
        language: "fr",
        usage: { prompt_audio_seconds: 90, prompt_tokens: 4, completion_tokens: 9, total_tokens: 400 },
      }),
    ];
    const text = await openai.audio.transcriptions.create({
      model: "mis/voxtral",
      file: await sound(),
      response_format: "text",
      language: "fr",
      prompt: "no",
    });
    expect(text).toBe("Bonjour\n");
    const form = openForm(seen[0]?.bytes ?? Buffer.alloc(0), seen[0]?.type, () => "");
    expect(form.ok && Object.keys(form.body.fields).toSorted()).toEqual(["file", "language", "model"]);
    // 90 seconds at 0.002 dollars a minute.
    expect(await gateway.lastRow()).toMatchObject({ usage: { media: { audio_seconds: 90 } }, costNanodollars: 3_000_000 });
    const timed = await openai.audio.transcriptions
      .create({ model: "mis/voxtral", file: await sound(), response_format: "vtt" })
      .catch((error: unknown) => error);
    expect(timed).toMatchObject({ message: expect.stringContaining("as JSON or text, and `vtt` was asked for") as string });
  });
});
