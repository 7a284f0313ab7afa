import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SeededRandomness } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { cutAnswer, startUpstream, type TestUpstream, type UpstreamRequest } from "../support/upstream.ts";
import { ask, expectSound, toolsOf } from "./heard.ts";
import { LANGUAGES, type Language } from "./languages.ts";

const SIM = `
sim:
  models:
    words: { length: 40, seed: 11 }
    calls: { script: [{ text: "I will look that up for you, one moment please.", toolCalls: [] }, {}] }
`;
const WORDS_OF = "I will look that up for you, one moment please.";

let back: TestGateway;
let upstream: TestUpstream;
let front: TestGateway;
let guarded: TestGateway;
/** Where the next answer that is begun breaks, and how. */
let cut: { readonly bytes: number; readonly how: "reset" | "end" } | undefined;

/** Serves the simulator over real HTTP; the first answer to each call breaks where the test says. */
async function relay(request: UpstreamRequest): Promise<{ readonly status: number; readonly type: string; readonly body: Buffer }> {
  const response = await fetch(`${back.url}${request.path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ ...request.body, model: `sim/${String(request.body["model"])}` }),
  });
  return {
    status: response.status,
    type: response.headers.get("content-type") ?? "",
    body: Buffer.from(await response.arrayBuffer()),
  };
}

async function serve(response: ServerResponse, request: UpstreamRequest, now: typeof cut): Promise<void> {
  const { status, type, body } = await relay(request);
  if (now) cutAnswer(body, now.bytes, now.how, type)(response, request);
  else response.writeHead(status, { "content-type": type }).end(body);
}

beforeAll(async () => {
  back = await startGateway({ config: SIM });
  upstream = await startUpstream((response, request) => {
    const now = cut;
    cut = undefined;
    void serve(response, request, now);
  });
  const lab = (id: string, kind: string, path: string, prefill: boolean): string =>
    `  ${id}: { kind: ${kind}, baseUrl: "${upstream.url}${path}", apiKey: k, allowPrivateNetwork: true, capabilities: { prefill: ${prefill} } }\n`;
  const names = ["openai-chat", "openai-responses", "anthropic-messages"];
  const config = `
retry: { firstBackoffMs: 1, budget: { share: 10, perSecond: 1000 } }
providers:
${lab("openai-chat", "openai-compatible", "/v1", true)}${lab("openai-responses", "openai", "/v1", true)}${lab("anthropic-messages", "anthropic", "", true)}
${lab("told-openai-chat", "openai-compatible", "/v1", false)}${lab("told-openai-responses", "openai", "/v1", false)}${lab("told-anthropic-messages", "anthropic", "", false)}
models:
${[...names, ...names.map((name) => `told-${name}`)]
  .flatMap((name) => ["words", "calls"].map((model) => `  ${name}-${model}: { targets: [${name}/${model}], continue: same-model }\n`))
  .join("")}`;
  front = await startGateway({ config, trusting: true });
  guarded = await startGateway({ config, trusting: true, guards: [{ id: "reads", readsContent: true }] });
});
afterAll(async () => {
  await front.close();
  await guarded.close();
  await upstream.close();
  await back.close();
});

async function lengthOf(
  language: Language,
  model: "words" | "calls",
  more: Record<string, unknown>,
): Promise<{ readonly bytes: number; readonly text: string }> {
  const { text, frames } = await ask(back, language, `sim/${model}`, more);
  return { text, bytes: frames.reduce((sum, { event, data }) => sum + data.length + (event?.length ?? -9) + 17, 0) };
}

describe.each(LANGUAGES)("a stream from a provider of $id, cut at a random byte", (provider) => {
  describe.each(LANGUAGES)("reaches a client of $id", (client) => {
    it.each([
      ["words", "forwarded", ""],
      ["words", "decoded", ""],
      ["words", "forwarded", "told-"],
      ["calls", "forwarded", ""],
      ["calls", "decoded", "told-"],
    ] as const)("whole: %s, %s %s", async (model, path, prefix) => {
      const at = path === "forwarded" ? front : guarded;
      const more = model === "calls" ? { tools: toolsOf(client) } : {};
      const { text, bytes } = await lengthOf(provider, model, model === "calls" ? { tools: toolsOf(provider) } : {});
      const random = new SeededRandomness(bytes + prefix.length);
      const CALLS = 40;
      for (let call = 0; call < CALLS; call++) {
        const where = { bytes: Math.floor(random.number() * bytes), how: random.number() < 0.5 ? "reset" : "end" } as const;
        cut = where;
        const heard = await ask(at, client, `${prefix}${provider.id}-${model}`, more);
        expect([heard.status, heard.ends, heard.text], JSON.stringify(where)).toEqual([200, ["done"], text]);
        if (model === "calls") {
          expect(heard.text).toBe(WORDS_OF);
          expect(heard.answer.items.filter((item) => item.type === "tool_call")).toHaveLength(1);
          expect(heard.answer.items.find((item) => item.type === "tool_call")).toMatchObject({ name: "look_up", input: '{"city":"city"}' });
        }
        expectSound(heard, client);
      }
    });
  });
});
