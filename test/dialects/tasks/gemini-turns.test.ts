import { describe, expect, it } from "vitest";
import type { ImageTask, JsonObject, SpeechTask, TaskCodec } from "../../../src/canon/index.ts";
import gemini from "../../../src/dialects/gemini/index.ts";
import language from "../../../src/dialects/gemini-tasks/index.ts";

const PARAMS = { model: "m", variant: "generateContent" };
const TO = { provider: "p", model: "m", capabilities: {}, support: { dialects: [language.id] } };
const PICTURE = { inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" } };

function codecOf(operation: "image" | "speech"): TaskCodec {
  const codec = language.tasks?.[operation];
  if (!codec) throw new Error(`no words for ${operation}`);
  return codec;
}
const decoded = (operation: "image" | "speech", fields: JsonObject, params: Readonly<Record<string, string>> = {}) =>
  codecOf(operation).decode({ fields, files: [] }, { operation, headers: {}, params: { ...PARAMS, ...params } });
const encoded = (task: ImageTask | SpeechTask): unknown => JSON.parse(codecOf(task.operation).encode(task, TO, () => {}).body);

describe("a conversation that asks for an image", () => {
  const body = {
    system_instruction: { parts: [{ text: "Be brief." }] },
    contents: [
      { role: "user", parts: [{ text: "a fox" }] },
      { role: "model", parts: [PICTURE] },
      { role: "user", parts: { text: "blue" } },
    ],
    generation_config: { response_modalities: ["IMAGE"], image_config: { aspect_ratio: "4:3" }, candidate_count: 2, seed: 7 },
  };

  it("is read in both spellings: its last turn, the nearest image, what nobody else can say", () => {
    const { images, ...task } = decoded("image", body) as ImageTask;
    expect(task).toMatchObject({ prompt: "Be brief.\n\nblue", count: 2, aspect: "4:3" });
    expect(task.unspoken).toEqual(["contents[] of earlier turns", "generationConfig.seed"]);
    expect(images.map(({ field, name }) => [field, name])).toEqual([["image", "image-1.png"]]);
  });

  it("goes to its own language as it came, until somebody changes its words or their number", () => {
    const task = decoded("image", body) as ImageTask;
    expect(encoded(task)).toEqual(body);
    const { contents, system_instruction: _instructions, ...rest } = body;
    expect(encoded({ ...task, prompt: "[hidden]" })).toEqual({
      ...rest,
      contents: [{ role: "user", parts: [{ text: "[hidden]" }, PICTURE] }],
    });
    const single = encoded({ ...task, count: 1 }) as { contents: unknown; generationConfig: JsonObject };
    expect(single.contents).toEqual(contents);
    expect(Object.keys(single.generationConfig)).not.toContain("candidateCount");
  });

  it("is streamed as its door says", () => {
    const stream = (params: Readonly<Record<string, string>>) => {
      const { stream: streams, array } = decoded("image", body, params) as ImageTask;
      return [streams, array];
    };
    expect([stream({}), stream({ stream: "true", alt: "sse" }), stream({ stream: "true" })]).toEqual([
      [false, undefined],
      [true, undefined],
      [true, true],
    ]);
    const pass = (params: Readonly<Record<string, string>>) =>
      codecOf("image").forward(body, { operation: "image", headers: {}, params: { ...PARAMS, ...params } }, TO, () => {});
    expect([pass({})?.path, pass({ stream: "true" })]).toEqual(["/models/m:generateContent", undefined]);
  });
});

describe("a conversation that asks for speech", () => {
  it("goes to its own language as it came, until somebody changes its words", () => {
    const body = { contents: [{ parts: [{ text: "hello" }] }], systemInstruction: "Whisper.", generationConfig: { speechConfig: {} } };
    const task = decoded("speech", body) as SpeechTask;
    expect(task).toMatchObject({ text: "hello", manner: "Whisper.", format: "pcm" });
    expect(encoded(task)).toEqual(body);
    expect(encoded({ ...task, text: "[hidden]" })).toEqual({
      ...body,
      contents: [{ role: "user", parts: [{ text: "[hidden]" }] }],
      systemInstruction: { parts: [{ text: "Whisper." }] },
    });
  });
});

describe("the task that a conversation is", () => {
  const task = (generationConfig: JsonObject, params = {}) =>
    gemini.asTask?.({ contents: [], generationConfig }, { operation: "generate", headers: {}, params: { model: "models/a/b", ...params } });

  it("hangs on what its answer is to be", () => {
    expect(task({ responseModalities: ["IMAGE"] }, { stream: "true", alt: "sse" })).toEqual({
      dialect: "gemini-tasks",
      operation: "image",
      params: { model: "a/b", variant: "generateContent", stream: "true", alt: "sse" },
    });
    expect(task({ response_modalities: ["TEXT", "AUDIO"] })?.operation).toBe("speech");
    for (const none of [{}, { responseModalities: ["TEXT"] }, { responseModalities: [] }, { responseModalities: ["IMAGE", "AUDIO"] }])
      expect(task(none)).toBeUndefined();
    for (const odd of ["IMAGE", null, 7, [null, { a: 1 }, "VIDEO", "toString"]]) expect(task({ responseModalities: odd })).toBeUndefined();
  });
});
