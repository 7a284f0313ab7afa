import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { GoogleGenAI, type GenerateContentConfig, type GenerateContentResponse, type Part } from "@google/genai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openForm } from "../../src/dialects/task-body.ts";
import { parseJson } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** An upstream that keeps what it was asked and answers what a test says, in whatever vendor's shape. */
interface Seen {
  readonly path: string;
  readonly type: string;
  readonly bytes: Buffer;
  readonly json: unknown;
}
interface Said {
  readonly status?: number;
  readonly type?: string;
  readonly body: unknown;
  /** The connection breaks behind it. */
  readonly cut?: true;
}
const seen: Seen[] = [];
let answer: Said = { body: {} };
let server: Server;
let gateway: TestGateway;
let client: GoogleGenAI;

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const bytes = Buffer.concat(chunks);
      const type = request.headers["content-type"] ?? "";
      seen.push({ path: request.url ?? "", type, bytes, json: parseJson(bytes.toString()) });
      const { status = 200, type: said = "application/json", body, cut } = answer;
      if (cut) {
        response.writeHead(status, { "content-type": said, "content-length": "1000000" }).write(body, () => response.destroy());
        return;
      }
      response.writeHead(status, { "content-type": said }).end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const lab = (kind: string, rest: string): string => `{ kind: ${kind}, apiKey: k, allowPrivateNetwork: true, ${rest} }`;
  gateway = await startGateway({
    trusting: true,
    config: `providers:
  gem: ${lab("gemini", `baseUrl: "${url}"`)}
  oai: ${lab("openai", `baseUrl: "${url}/v1", models: { dall-e-3: { price: { imageUsd: 0.08 } }, tts-1: { price: { characterUsd: 15 } } }`)}
  own: ${lab("openai-compatible", `baseUrl: "${url}/v1"`)}
  ant: ${lab("anthropic", `baseUrl: "${url}"`)}
models:
  painter: { targets: [oai/gpt-image-1, gem/gemini-2.5-flash-image], retries: 0 }
  brush: { targets: [oai/gpt-image-1], retries: 0 }
  reader: { targets: [oai/gpt-5-mini], retries: 0 }
  spoken: { targets: [oai/tts-1, own/kokoro], retries: 0 }
`,
  });
  client = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: gateway.url } });
});
beforeEach(() => {
  seen.length = 0;
  answer = { body: {} };
});
afterAll(async () => {
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const PNG = Buffer.from("89504e470d0a1a0a0000000d", "hex").toString("base64");
const JPEG = Buffer.from("ffd8ffe000", "hex").toString("base64");
const made = (count = 1): Said => ({
  body: {
    created: 7,
    data: Array.from({ length: count }, () => ({ b64_json: PNG })),
    usage: { input_tokens: 5, output_tokens: 200, total_tokens: 205 },
  },
});
const SAMPLES = Buffer.from(Int16Array.from({ length: 240 }, (_, at) => at).buffer);
const spoken: Said = { type: "audio/pcm", body: SAMPLES };
const IMAGE: GenerateContentConfig = { responseModalities: ["IMAGE"] };
const AUDIO: GenerateContentConfig = { responseModalities: ["AUDIO"] };
const withVoice = (voiceName: string): GenerateContentConfig => ({
  ...AUDIO,
  speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName } } },
});

const partsOf = (response: GenerateContentResponse): readonly Part[] => response.candidates?.[0]?.content?.parts ?? [];
const caught = (work: Promise<unknown>): Promise<unknown> => work.then(() => "no error").catch((error: unknown) => error);

async function told(): Promise<readonly string[]> {
  const { callId } = await gateway.lastRow();
  const response = await fetch(`${gateway.url}/v1/calls/${callId}`);
  const { diagnostics = [] } = (await response.json()) as { diagnostics?: { field: string; action: string }[] };
  return diagnostics.map(({ field, action }) => `${field} ${action}`).toSorted();
}

function formAt(place: number) {
  const asked = seen.at(place);
  const form = openForm(asked?.bytes ?? Buffer.alloc(0), asked?.type, () => "");
  if (!form.ok) throw new Error(form.message);
  return form.body;
}

describe("a Gemini client that asks a conversation for an image", () => {
  it("gets it from a model that makes images, with its usage, and is told what was lost", async () => {
    answer = made();
    const response = await client.models.generateContent({
      model: "oai/gpt-image-1",
      contents: "a fox",
      config: {
        responseModalities: ["TEXT", "IMAGE"],
        systemInstruction: "Draw it in ink.",
        imageConfig: { aspectRatio: "16:9", imageSize: "2K" },
        temperature: 0.5,
      },
    });
    expect(partsOf(response)).toEqual([{ inlineData: { mimeType: "image/png", data: PNG } }]);
    expect(response.data).toBe(PNG);
    expect(response.candidates?.[0]?.finishReason).toBe("STOP");
    expect(response.modelVersion).toBe("gpt-image-1");
    expect(response.usageMetadata).toEqual({
      promptTokenCount: 5,
      candidatesTokenCount: 200,
      totalTokenCount: 205,
      candidatesTokensDetails: [{ modality: "IMAGE", tokenCount: 200 }],
    });
    expect(seen).toMatchObject([{ path: "/v1/images/generations" }]);
    expect(seen[0]?.json).toEqual({ model: "gpt-image-1", prompt: "Draw it in ink.\n\na fox", size: "1536x1024" });
    // 5 x 5 and 200 x 40 dollars a million.
    expect(await gateway.lastRow()).toMatchObject({
      state: "done",
      operation: "image",
      dialect: "gemini-tasks",
      model: "oai/gpt-image-1",
      stream: false,
      costNanodollars: 25_000 + 8_000_000,
    });
    expect(await told()).toEqual([
      "aspect degraded",
      "generationConfig.imageConfig.imageSize dropped",
      "generationConfig.responseModalities.TEXT dropped",
      "generationConfig.temperature dropped",
    ]);
  });

  it("gets one candidate for each image", async () => {
    answer = made(2);
    const response = await client.models.generateContent({ model: "brush", contents: "a fox", config: { ...IMAGE, candidateCount: 2 } });
    expect(response.candidates?.map(({ index, content }) => [index, content?.parts?.length])).toEqual([
      [0, 1],
      [1, 1],
    ]);
    expect(seen[0]?.json).toEqual({ model: "gpt-image-1", prompt: "a fox", n: 2 });
  });

  it("gets a stream of one frame, as events or as an array", async () => {
    answer = made();
    const chunks: GenerateContentResponse[] = [];
    for await (const chunk of await client.models.generateContentStream({ model: "brush", contents: "a fox", config: IMAGE }))
      chunks.push(chunk);
    expect(chunks.map(({ data }) => data)).toEqual([PNG]);
    expect(chunks[0]?.usageMetadata?.totalTokenCount).toBe(205);
    expect(await gateway.lastRow()).toMatchObject({ stream: true, state: "done", usage: { output: 200 } });
    expect(await told()).toEqual(["stream degraded"]);
    const body = JSON.stringify({ contents: [{ parts: [{ text: "a fox" }] }], generationConfig: { responseModalities: ["IMAGE"] } });
    const array = await fetch(`${gateway.url}/v1beta/models/brush:streamGenerateContent`, { method: "POST", body });
    expect(array.headers.get("content-type")).toContain("application/json");
    expect(await array.json()).toMatchObject([{ candidates: [{ content: { parts: [{ inlineData: { data: PNG } }] } }] }]);
  });

  it("has its own images changed", async () => {
    answer = made();
    const image = (mimeType: string, data: string): Part => ({ inlineData: { mimeType, data } });
    const response = await client.models.generateContent({
      model: "oai/gpt-image-1",
      contents: [{ role: "user", parts: [{ text: "join" }, image("image/png", PNG), image("image/jpeg", JPEG)] }],
      config: IMAGE,
    });
    expect(response.data).toBe(PNG);
    expect(seen[0]?.path).toBe("/v1/images/edits");
    const { fields, files } = formAt(0);
    expect(fields).toMatchObject({ model: "gpt-image-1", prompt: "join" });
    expect(files.map(({ field, contentType, bytes }) => [field, contentType, Buffer.from(bytes).toString("base64")])).toEqual([
      ["image[]", "image/png", PNG],
      ["image[]", "image/jpeg", JPEG],
    ]);
  });

  it("goes on from the image of the turn before", async () => {
    answer = made();
    const chat = client.chats.create({ model: "brush", config: IMAGE });
    await chat.sendMessage({ message: "a fox" });
    const second = await chat.sendMessage({ message: "make it blue" });
    expect(second.data).toBe(PNG);
    expect(seen.map(({ path }) => path)).toEqual(["/v1/images/generations", "/v1/images/edits"]);
    const { fields, files } = formAt(1);
    expect(fields["prompt"]).toBe("make it blue");
    expect(files.map(({ field, bytes }) => [field, Buffer.from(bytes).toString("base64")])).toEqual([["image", PNG]]);
    expect(await told()).toEqual(["contents[] of earlier turns dropped"]);
  });

  it("of a model that only writes is told which could, before anybody is asked", async () => {
    const refusal = {
      status: 400,
      message: expect.stringMatching(/takes no making of images\. Models that could: .*brush/) as string,
    };
    for (const model of ["reader", "ant/claude-sonnet-5"]) {
      expect(await caught(client.models.generateContent({ model, contents: "a fox", config: IMAGE }))).toMatchObject(refusal);
      const stream = client.models.generateContentStream({ model, contents: "a fox", config: IMAGE });
      expect(await caught(stream)).toMatchObject(refusal);
    }
    expect(seen.length).toBe(0);
    expect(await gateway.lastRow()).toMatchObject({ operation: "image", problem: "unsupported", stream: true });
  });

  it("and has a target that speaks its language keeps the conversation as it is", async () => {
    const parts = [{ text: "Here it is." }, { inlineData: { mimeType: "image/png", data: PNG } }];
    answer = { body: { candidates: [{ content: { role: "model", parts }, finishReason: "STOP" }], modelVersion: "m" } };
    const config: GenerateContentConfig = { responseModalities: ["TEXT", "IMAGE"] };
    for (const model of ["gem/gemini-2.5-flash-image", "painter"]) {
      const response = await client.models.generateContent({ model, contents: "a fox", config });
      expect(partsOf(response)).toEqual(parts);
      expect(await gateway.lastRow()).toMatchObject({ operation: "generate", dialect: "gemini", fastPath: true });
    }
    expect(seen.map(({ path }) => path)).toEqual(Array(2).fill("/v1beta/models/gemini-2.5-flash-image:generateContent"));
    answer = { body: { id: "c", model: "m", choices: [{ message: { role: "assistant", content: "Hi." }, finish_reason: "stop" }] } };
    const text = await client.models.generateContent({ model: "own/small", contents: "hi", config: { responseModalities: ["TEXT"] } });
    expect(text.text).toBe("Hi.");
  });

  it.each([
    ["no words", [{ role: "user", parts: [{ inlineData: { mimeType: "image/png", data: PNG } }] }], "no words that say what to make"],
    [
      "a file elsewhere",
      [{ role: "user", parts: [{ text: "a" }, { fileData: { fileUri: "gs://a/b.png" } }] }],
      "no parts but texts and data",
    ],
    ["sound", [{ role: "user", parts: [{ text: "a" }, { inlineData: { mimeType: "audio/wav", data: PNG } }] }], "no data but images"],
    [
      "an answer begun",
      [
        { role: "user", parts: [{ text: "a" }] },
        { role: "model", parts: [{ text: "b" }] },
      ],
      "the client began",
    ],
  ])("with %s is refused", async (_what, contents, words) => {
    const refused = await caught(client.models.generateContent({ model: "brush", contents, config: IMAGE }));
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining(words) as string });
    expect(seen.length).toBe(0);
  });

  it("that its maker refuses, or answers with an address only, fails in its own words", async () => {
    answer = { status: 400, body: { error: { message: "Your request was rejected by the safety system.", code: "moderation_blocked" } } };
    const refused = await caught(client.models.generateContent({ model: "brush", contents: "x", config: IMAGE }));
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining("safety system") as string });
    answer = { body: { created: 7, data: [{ url: "https://example.com/a.png" }] } };
    const address = await caught(client.models.generateContent({ model: "oai/dall-e-3", contents: "x", config: IMAGE }));
    expect(address).toMatchObject({ status: 502, message: expect.stringContaining("as data only") as string });
  });

  it("is held to budgets as any call: the image is reserved before it is made", async () => {
    answer = { body: { created: 7, data: [{ b64_json: PNG }] } };
    const key = await gateway.key({ budgets: [{ usd: 0.1, per: "day", hard: true }] });
    const poor = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: gateway.url } });
    const draw = () => caught(poor.models.generateContent({ model: "oai/dall-e-3", contents: "x", config: IMAGE }));
    expect([await draw(), await draw()]).toMatchObject(["no error", { message: expect.stringContaining("budget") as string }]);
    expect(seen.length).toBe(1);
  });
});

describe("a Gemini client that asks a conversation for speech", () => {
  it("hears a model that speaks, as the samples its language has", async () => {
    answer = spoken;
    const response = await client.models.generateContent({
      model: "oai/tts-1",
      contents: "hello",
      config: { ...withVoice("Kore"), systemInstruction: "Whisper." },
    });
    expect(partsOf(response)).toEqual([{ inlineData: { mimeType: "audio/L16;codec=pcm;rate=24000", data: SAMPLES.toString("base64") } }]);
    expect(seen).toMatchObject([{ path: "/v1/audio/speech" }]);
    expect(seen[0]?.json).toEqual({ model: "tts-1", input: "hello", voice: "alloy", response_format: "pcm", instructions: "Whisper." });
    // Five letters at 15 dollars a million.
    expect(await gateway.lastRow()).toMatchObject({
      operation: "speech",
      dialect: "gemini-tasks",
      usage: { media: { characters: 5 } },
      costNanodollars: 75_000,
    });
    expect(await told()).toEqual(["voice degraded"]);
    await client.models.generateContent({ model: "oai/tts-1", contents: "hello", config: withVoice("Nova") });
    expect(seen[1]?.json).toMatchObject({ voice: "nova" });
    expect(await told()).toEqual([]);
    await client.models.generateContent({ model: "own/kokoro", contents: "hello", config: withVoice("af_sky") });
    expect(seen[2]?.json).toMatchObject({ model: "kokoro", voice: "af_sky" });
  });

  it("hears it as a stream of one frame", async () => {
    answer = spoken;
    const chunks: GenerateContentResponse[] = [];
    for await (const chunk of await client.models.generateContentStream({ model: "spoken", contents: "hello", config: AUDIO }))
      chunks.push(chunk);
    expect(chunks.map(({ data }) => data)).toEqual([SAMPLES.toString("base64")]);
    expect(await gateway.lastRow()).toMatchObject({ stream: true, state: "done" });
  });

  it("hears large speech whole, and a file as what it says it is", async () => {
    const large = Buffer.alloc(3_000_001, 7);
    answer = { type: "application/octet-stream", body: large };
    const response = await client.models.generateContent({ model: "oai/tts-1", contents: "hello", config: AUDIO });
    expect(Buffer.from(response.data ?? "", "base64").equals(large)).toBe(true);
    answer = { type: "audio/mpeg", body: SAMPLES };
    const file = await client.models.generateContent({ model: "own/kokoro", contents: "hello", config: AUDIO });
    expect(partsOf(file)[0]?.inlineData?.mimeType).toBe("audio/mpeg");
  });

  it.each([
    ["what is no sound", { type: "text/html", body: Buffer.from("<p>down</p>") }],
    ["nothing", { type: "audio/pcm", body: Buffer.alloc(0) }],
    ["a stream of events", { type: "text/event-stream", body: Buffer.from("data: {}\n\n") }],
  ])("is told where the answer is %s", async (_what, said) => {
    answer = said;
    const failed = await caught(client.models.generateContent({ model: "oai/tts-1", contents: "hello", config: AUDIO }));
    expect(failed).toMatchObject({ status: 502 });
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
  });

  it("pays for what broke in the middle, and asks the next model", async () => {
    answer = { type: "audio/pcm", body: SAMPLES, cut: true };
    const failed = await caught(client.models.generateContent({ model: "spoken", contents: "hello", config: AUDIO }));
    expect(failed).toMatchObject({ status: 502 });
    expect(seen.map(({ json }) => (json as { model: string }).model)).toEqual(["tts-1", "kokoro"]);
    const used = { usage: { media: { characters: 5 }, estimated: true } };
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", attempts: [used, used] });
  });

  it("is refused several speakers, too many letters, and models that do not speak", async () => {
    const speakers = ["A", "B"].map((speaker) => ({ speaker, voiceConfig: { prebuiltVoiceConfig: { voiceName: "Kore" } } }));
    const config: GenerateContentConfig = { ...AUDIO, speechConfig: { multiSpeakerVoiceConfig: { speakerVoiceConfigs: speakers } } };
    const many = await caught(client.models.generateContent({ model: "oai/tts-1", contents: "A: hi", config }));
    expect(many).toMatchObject({ status: 400, message: expect.stringContaining("takes no several speakers") as string });
    const long = await caught(client.models.generateContent({ model: "oai/tts-1", contents: "a".repeat(4097), config: AUDIO }));
    expect(long).toMatchObject({ status: 400, message: expect.stringContaining("at most 4096 characters, and 4097 were sent") as string });
    const mute = await caught(client.models.generateContent({ model: "reader", contents: "hi", config: AUDIO }));
    expect(mute).toMatchObject({ status: 400, message: expect.stringMatching(/takes no speech\. Models that could: .*spoken/) as string });
    expect(seen.length).toBe(0);
  });
});
