import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps until the next morning comes around again.";

let back: TestGateway;
let front: TestGateway;
beforeAll(async () => {
  back = await startGateway({
    config: `
sim:
  models:
    breaks: { text: "${TEXT}", tokensPerSecond: 400, faults: [{ kind: cut, share: 1 }] }
    holds: { text: "${TEXT}", tokensPerSecond: 400 }
`,
    trusting: true,
  });
  front = await startGateway({
    config: `
providers:
  gemini: { baseUrl: "${back.url}", apiKey: lab-key, allowPrivateNetwork: true, dialects: [gemini] }
  anthropic: { baseUrl: "${back.url}", apiKey: lab-key, allowPrivateNetwork: true }
  openai: { baseUrl: "${back.url}/v1", apiKey: lab-key, allowPrivateNetwork: true, dialects: [openai-chat] }
models:
  story: { targets: [gemini/sim/breaks, gemini/sim/holds], continue: always, retries: 0 }
  crossed: { targets: [gemini/sim/breaks, anthropic/sim/holds], continue: always, retries: 0 }
  back: { targets: [openai/sim/breaks, gemini/sim/holds], continue: always, retries: 0 }
`,
    trusting: true,
  });
});
afterAll(async () => {
  await front.close();
  await back.close();
});

interface Told {
  readonly candidates?: readonly {
    readonly content?: { readonly parts?: readonly { readonly text?: string }[] };
    readonly finishReason?: string;
  }[];
  readonly error?: unknown;
}

async function told(model: string, query: string): Promise<Told[]> {
  const response = await fetch(`${front.url}/v1beta/models/${model}:streamGenerateContent${query}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ contents: [{ role: "user", parts: [{ text: "Tell me." }] }] }),
  });
  const text = await response.text();
  if (query === "") return JSON.parse(text) as Told[];
  return text
    .split(/\r?\n\r?\n/)
    .filter((frame) => frame.startsWith("data: "))
    .map((frame) => JSON.parse(frame.slice("data: ".length)) as Told);
}

describe("a stream that breaks after words went out", () => {
  const ways = ["story", "crossed", "back"].flatMap((model) => ["?alt=sse", ""].map((query) => ({ model, query })));
  it.each(ways)("is gone on with, and whole to its client ($model, $query)", async ({ model, query }) => {
    const frames = await told(model, query);
    expect(frames.filter((frame) => frame.error !== undefined)).toEqual([]);
    const words = frames.flatMap((frame) => frame.candidates?.[0]?.content?.parts?.map((part) => part.text ?? "") ?? []).join("");
    expect(words).toBe(TEXT);
    expect(frames.flatMap((frame) => frame.candidates?.[0]?.finishReason ?? [])).toEqual(["STOP"]);
    const row = await front.lastRow();
    expect(row).toMatchObject({ state: "done" });
    expect(row.attempts.length).toBeGreaterThan(1);
  });
});
