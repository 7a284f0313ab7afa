import { generateText, isStepCount, jsonSchema, Output, streamText, tool, type LanguageModel } from "ai";
import { expect } from "vitest";
import { CITIES, CITY_SCHEMA, FINAL_TEXT, PIXEL, REPORT, REPORT_SCHEMA, TEXT } from "./simulated.ts";

// What every client of the `ai` package is asked to do with the simulator's models, whichever language it speaks.

export async function expectPlain(model: LanguageModel): Promise<void> {
  const { text, finishReason, usage } = await generateText({ model, prompt: "Say hello.", maxRetries: 0 });
  expect({ text, finishReason }).toEqual({ text: TEXT, finishReason: "stop" });
  expect(usage.outputTokens).toBeGreaterThan(0);
}

/** `unasked`: it asks for no figures in a stream, because its own provider sends them unasked. */
export async function expectStream(model: LanguageModel, unasked = false): Promise<void> {
  const result = streamText({ model, prompt: "Say hello.", maxRetries: 0 });
  let text = "";
  for await (const piece of result.textStream) text += piece;
  expect(text).toBe(TEXT);
  expect(await result.finishReason).toBe("stop");
  if (!unasked) expect((await result.usage).outputTokens).toBeGreaterThan(0);
}

/** Two tools are called at once, run, and answered. */
export async function expectToolLoop(model: LanguageModel, stream: boolean): Promise<void> {
  const asked: string[] = [];
  const weather = tool({
    description: "The weather in a city.",
    inputSchema: jsonSchema<{ city: string }>(CITY_SCHEMA),
    execute: ({ city }) => {
      asked.push(city);
      return "mild";
    },
  });
  const body = {
    model,
    prompt: "How is the weather in Oslo and Rome?",
    tools: { get_weather: weather },
    stopWhen: isStepCount(3),
    maxRetries: 0,
  };
  expect(stream ? await streamText(body).text : (await generateText(body)).text).toBe(FINAL_TEXT);
  expect(asked.toSorted()).toEqual(CITIES);
}

export async function expectStructured(model: LanguageModel): Promise<void> {
  const { output } = await generateText({
    model,
    prompt: "Report.",
    output: Output.object({ schema: jsonSchema<typeof REPORT>(REPORT_SCHEMA) }),
    maxRetries: 0,
  });
  expect(output).toEqual(REPORT);
}

export async function expectImage(model: LanguageModel): Promise<void> {
  const { text } = await generateText({
    model,
    maxRetries: 0,
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "What is this?" },
          { type: "file", mediaType: "image/png", data: PIXEL },
        ],
      },
    ],
  });
  expect(text).toBe(TEXT);
}
