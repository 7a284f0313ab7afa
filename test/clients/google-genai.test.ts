import { ApiError, FunctionCallingConfigMode, GoogleGenAI, Type, type Content, type GenerateContentResponse } from "@google/genai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { CITIES, expectCancelled, FINAL_TEXT, PIXEL, REPORT, REPORT_SCHEMA, SIGNATURE, SIM, TEXT, THOUGHT } from "./simulated.ts";

let pair: GatewayPair;
let client: GoogleGenAI;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  client = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: pair.front.url } });
});
afterAll(() => pair.close());

const isFast = (route: string): boolean => route === "sim/" || route.startsWith("labgemini/");

async function collected(stream: AsyncIterable<GenerateContentResponse>): Promise<GenerateContentResponse[]> {
  const chunks: GenerateContentResponse[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const partsOf = (chunks: readonly GenerateContentResponse[]) => chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? []);
const thoughtsOf = (chunks: readonly GenerateContentResponse[]): string =>
  partsOf(chunks)
    .filter((part) => part.thought)
    .map((part) => part.text ?? "")
    .join("");

describe.each([...ROUTES, "labgemini/sim/"])("@google/genai through %s", (route) => {
  it("gets a plain answer", async () => {
    const response = await client.models.generateContent({
      model: `${route}plain`,
      contents: "Say hello.",
      config: { systemInstruction: "Be brief.", maxOutputTokens: 100, temperature: 0.5 },
    });
    expect(response.text).toBe(TEXT);
    expect(response.candidates?.[0]?.finishReason).toBe("STOP");
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", dialect: "gemini", fastPath: isFast(route), stream: false });
    const used = response.usageMetadata;
    expect(row.usage).toMatchObject({ inputUncached: used?.promptTokenCount, output: used?.candidatesTokenCount });
    expect(used?.totalTokenCount).toBe((used?.promptTokenCount ?? 0) + (used?.candidatesTokenCount ?? 0));
  });

  it("gets a stream", async () => {
    const chunks = await collected(await client.models.generateContentStream({ model: `${route}plain`, contents: "Say hello." }));
    expect(chunks.length).toBeGreaterThan(1);
    expect(chunks.map((chunk) => chunk.text ?? "").join("")).toBe(TEXT);
    expect(chunks.at(-1)?.candidates?.[0]?.finishReason).toBe("STOP");
    expect(chunks.at(-1)?.usageMetadata?.candidatesTokenCount).toBeGreaterThan(0);
    expect(await pair.front.lastRow()).toMatchObject({ state: "done", stream: true, fastPath: isFast(route) });
  });

  it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", async (stream) => {
    const tools = [
      {
        functionDeclarations: [
          {
            name: "get_weather",
            description: "The weather in a city.",
            parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ["city"] },
          },
        ],
      },
    ];
    const config = { tools, toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.AUTO } } };
    const contents: Content[] = [{ role: "user", parts: [{ text: "How is the weather in Oslo and Rome?" }] }];
    const ask = async (): Promise<GenerateContentResponse[]> => {
      const request = { model: `${route}agent`, contents, config };
      return stream ? collected(await client.models.generateContentStream(request)) : [await client.models.generateContent(request)];
    };
    const first = await ask();
    const calls = first.flatMap((chunk) => chunk.functionCalls ?? []);
    expect(calls.map((call) => String(call.args?.["city"])).toSorted()).toEqual(CITIES);
    expect(new Set(calls.map((call) => call.id)).size).toBe(2);
    contents.push(
      { role: "model", parts: partsOf(first) },
      { role: "user", parts: calls.map(({ id = "", name = "" }) => ({ functionResponse: { id, name, response: { output: "mild" } } })) },
    );
    const second = await ask();
    expect(second.map((chunk) => chunk.text ?? "").join("")).toBe(FINAL_TEXT);
  });

  it.each([
    { responseJsonSchema: REPORT_SCHEMA },
    {
      responseSchema: {
        type: Type.OBJECT,
        properties: { city: { type: Type.STRING }, degrees: { type: Type.NUMBER } },
        required: ["city", "degrees"],
      },
    },
  ])("gets structured output %#", async (schema) => {
    const response = await client.models.generateContent({
      model: `${route}json`,
      contents: "Report.",
      config: { responseMimeType: "application/json", ...schema },
    });
    expect(JSON.parse(response.text ?? "")).toEqual(REPORT);
  });

  it("sends an image", async () => {
    const contents = [{ role: "user", parts: [{ inlineData: { mimeType: "image/png", data: PIXEL } }, { text: "What is this?" }] }];
    expect((await client.models.generateContent({ model: `${route}plain`, contents })).text).toBe(TEXT);
  });

  it.each([false, true])("gets thoughts, and their signature comes back unharmed (stream: %s)", async (stream) => {
    const config = { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } };
    const ask = async (contents: Content[]): Promise<GenerateContentResponse[]> => {
      const request = { model: `${route}thinker`, contents, config };
      return stream ? collected(await client.models.generateContentStream(request)) : [await client.models.generateContent(request)];
    };
    const question: Content = { role: "user", parts: [{ text: "How much is two and two?" }] };
    const first = await ask([question]);
    expect(thoughtsOf(first)).toBe(THOUGHT);
    expect(first.map((chunk) => chunk.text ?? "").join("")).toBe(TEXT);
    const signatures = partsOf(first).flatMap((part) => part.thoughtSignature ?? []);
    if (isFast(route)) expect(signatures).toContain(SIGNATURE);
    // Newer turns carry the whole history, whatever the gateway put into it.
    const again = await ask([question, { role: "model", parts: partsOf(first) }, { role: "user", parts: [{ text: "And three?" }] }]);
    expect(again.map((chunk) => chunk.text ?? "").join("")).toBe(TEXT);
  });

  it("counts tokens", async () => {
    const counted = await client.models.countTokens({ model: `${route}plain`, contents: "Say hello." });
    expect(counted.totalTokens).toBeGreaterThan(0);
  });

  it("can leave a stream", async () => {
    const leaving = new AbortController();
    const config = { abortSignal: leaving.signal };
    const stream = await client.models.generateContentStream({ model: `${route}endless`, contents: "Go on.", config });
    const left = (async () => {
      for await (const chunk of stream) if (chunk.text) leaving.abort();
    })();
    await expect(left).rejects.toThrow(/abort/i);
    await expectCancelled(pair.front);
  });
});

describe("@google/genai", () => {
  it("lists models, and finds one", async () => {
    const named: string[] = [];
    for await (const model of await client.models.list()) named.push(model.name ?? "");
    expect(named.every((name) => name.startsWith("models/"))).toBe(true);
    const [first = ""] = named;
    if (first !== "") expect((await client.models.get({ model: first })).name).toBe(first);
  });

  it("is told what is wrong", async () => {
    const failed = await client.models.generateContent({ model: "nowhere", contents: "x" }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ApiError);
    expect(failed).toMatchObject({ status: 404 });
    expect(String(failed)).toContain("NOT_FOUND");
    const asked = client.models.generateContent({
      model: "sim/plain",
      contents: [{ role: "user", parts: [{ text: "x" }] }],
      config: { maxOutputTokens: -1 },
    });
    expect(await asked.catch((error: unknown) => error)).toMatchObject({ status: 400 });
  });

  it("is told of a bad key", async () => {
    const stranger = new GoogleGenAI({ apiKey: "gk_unknown", httpOptions: { baseUrl: pair.front.url } });
    const failed = await stranger.models.generateContent({ model: "sim/plain", contents: "x" }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 401 });
  });
});
