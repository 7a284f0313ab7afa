import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";

const BETA = "message-threads-2026-08-12";
const GOOD = jsonAnswer({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "Hi." }, finish_reason: "stop" }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
});

let upstream: TestUpstream;
let gateway: TestGateway;
let client: Anthropic;
beforeAll(async () => {
  upstream = await startUpstream(GOOD);
  gateway = await startGateway({
    config: `
providers:
  lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, dialects: [openai-chat], allowPrivateNetwork: true }
models: { m: { targets: [lab/m], retries: 0 } }
`,
  });
  client = new Anthropic({ baseURL: gateway.url, apiKey: await gateway.key(), maxRetries: 0 });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const body = (thread: object) =>
  ({
    model: "m",
    max_tokens: 9,
    messages: [{ role: "user", content: "Hello." }],
    betas: [BETA],
    thread,
  }) as unknown as Anthropic.Beta.MessageCreateParamsNonStreaming;
const create = async () => (await client.beta.messages.create(body({ type: "create" }))).id;
const goOn = (previous: string) => client.beta.messages.create(body({ type: "continue", previous_message_id: previous }));

/** Status and code of a refusal, as the client's own thread helper reads them. */
async function refusal(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Anthropic.APIError)) throw new Error("it was not refused");
  const { details } = (error.error as { error: { details?: { error_code?: string } } }).error;
  return [error.status, details?.error_code];
}

describe("an answer of a message thread", () => {
  it("is continued once; the newest can always be", async () => {
    const first = await create();
    const second = await goOn(first);
    expect(await refusal(goOn(first))).toEqual([400, "thread_already_continued"]);
    expect((await goOn(second.id)).type).toBe("message");
    expect(await refusal(goOn(second.id))).toEqual([400, "thread_already_continued"]);
  });

  it("is continued by one call at a time, and again when that one failed", async () => {
    const first = await create();
    const asked = Promise.withResolvers<() => void>();
    upstream.answerWith((response) =>
      asked.resolve(() =>
        jsonAnswer({ error: { message: "no", type: "invalid_request_error" } }, 400)(response, {
          method: "POST",
          path: "",
          headers: {},
          body: {},
        }),
      ),
    );
    const failing = goOn(first);
    const failed = refusal(failing);
    const fail = await asked.promise;
    expect(await refusal(goOn(first))).toEqual([400, "thread_continue_in_flight"]);
    fail();
    expect(await failed).toEqual([400, expect.anything()]);
    upstream.answerWith(GOOD);
    await gateway.rows();
    expect((await goOn(first)).type).toBe("message");
  });

  it("can be counted as often as one likes", async () => {
    const first = await create();
    await goOn(first);
    const counted = await client.beta.messages.countTokens(body({ type: "continue", previous_message_id: first }));
    expect(counted.input_tokens).toBeGreaterThan(0);
  });

  it("is unknown to others as before", async () => {
    const other = new Anthropic({ baseURL: gateway.url, apiKey: await gateway.key(), maxRetries: 0 });
    const first = await create();
    expect(await refusal(other.beta.messages.create(body({ type: "continue", previous_message_id: first })))).toEqual([
      404,
      "thread_not_found",
    ]);
  });
});
