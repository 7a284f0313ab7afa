import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { promisedMs } from "../support/promised.ts";

/** How long a kill switch may take to end what it covers. */
const PROMISED_MS = promisedMs(1000);

let back: TestGateway;
let front: TestGateway;
let key: string;
beforeAll(async () => {
  const sim = "sim: { models: { endless: { length: 5000, tokensPerSecond: 50 } } }\n";
  back = await startGateway({ config: sim });
  const lab = (kind: string, path: string): string =>
    `{ kind: ${kind}, baseUrl: "${back.url}${path}", apiKey: lab-key, allowPrivateNetwork: true }`;
  front = await startGateway({
    config: `${sim}providers:
  labchat: ${lab("openai-compatible", "/v1")}
  labclaude: ${lab("anthropic", "")}
models:
  same: sim/endless
  chat: { targets: [labchat/sim/endless, sim/echo] }
  claude: { targets: [labclaude/sim/endless, sim/echo] }
`,
  });
  key = await front.key({ name: "worker", tags: ["batch"] });
});
afterAll(async () => {
  await front.close();
  await back.close();
});

afterEach(async () => {
  const { kills } = (await admin("GET", "/kill")) as { kills: { id: string }[] };
  for (const { id } of kills) await admin("DELETE", `/kill/${id}`);
});

async function admin(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${front.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${front.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return (await response.json()) as Record<string, unknown>;
}

const messages = [{ role: "user", content: "go on" }];
/** Each language: where it is asked, how it tells a problem inside a stream, and how it ends one well. */
const LANGUAGES = {
  chat: ["/v1/chat/completions", { messages }, /"error":/g, /\[DONE\]/],
  responses: ["/v1/responses", { input: "go on", store: false }, /event: response\.failed/g, /response\.completed/],
  messages: ["/v1/messages", { messages, max_tokens: 5000 }, /event: error/g, /message_stop/],
} as const;
type Language = keyof typeof LANGUAGES;

/** Resolves when the stream has begun; its `text` with all of it when it is over. */
async function begin(language: Language, model: string): Promise<{ readonly text: Promise<string> }> {
  const [path, body] = LANGUAGES[language];
  const response = await fetch(`${front.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, stream: true, ...body }),
  });
  expect(response.status).toBe(200);
  return { text: response.text() };
}

describe("a kill switch", () => {
  const models = ["same", "chat", "claude"] as const;
  const streams = (Object.keys(LANGUAGES) as Language[]).flatMap((language) => models.map((model) => [language, model] as const));

  it.each([
    ["all", "*"],
    ["key", "worker"],
    ["tag", "batch"],
  ])("on %s %s ends streams of every language, forwarded and decoded, within a second and with one problem", async (scope, value) => {
    const running = streams.map(([language, model]) => ({ language, text: startOf(language, model) }));
    await Promise.all(running.map(({ text }) => text.begun));
    const begun = performance.now();
    // Its answer waits for the disk, the streams do not.
    const killing = admin("POST", "/kill", { scope, value, reason: "drill" });
    const ended = await Promise.all(running.map(async ({ language, text }) => [language, await text.whole] as const));
    expect(performance.now() - begun).toBeLessThan(PROMISED_MS);
    await killing;
    for (const [language, text] of ended) {
      const [, , problem, well] = LANGUAGES[language];
      expect(text.match(problem), text.slice(-300)).toHaveLength(1);
      expect(text).not.toMatch(well);
      expect(text).toContain("drill");
    }
    const rows = (await front.rows()).slice(-streams.length);
    expect(new Set(rows.map((row) => row.problem))).toEqual(new Set(["killed"]));
    expect(new Set(rows.map((row) => row.fastPath))).toEqual(new Set([true, false]));
    // What was said until then was spent.
    for (const row of rows) expect(row.usage.output).toBeGreaterThan(0);
    // Upstream nothing runs on either.
    await back.house.gateway.live.whenIdle();
  });

  it("on a provider or a model ends its streams only, and new calls go to the fallback", async () => {
    const [killed, spared] = [startOf("chat", "claude"), startOf("messages", "chat")];
    await Promise.all([killed.begun, spared.begun]);
    await admin("POST", "/kill", { scope: "provider", value: "labclaude" });
    expect(await killed.whole).toContain("switched off");
    expect(await answeredBy("claude")).toBe("sim/echo");
    await admin("POST", "/kill", { scope: "model", value: "labchat/sim/endless" });
    expect(await spared.whole).toContain("switched off");
    expect(await answeredBy("chat")).toBe("sim/echo");
  });
});

function startOf(language: Language, model: string): { readonly begun: Promise<unknown>; readonly whole: Promise<string> } {
  const begun = begin(language, model);
  return { begun, whole: begun.then(({ text }) => text) };
}

async function answeredBy(model: string): Promise<string | null> {
  const response = await fetch(`${front.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages }),
  });
  await response.text();
  return response.headers.get("x-gimbal-target");
}
