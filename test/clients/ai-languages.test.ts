import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { createCohere } from "@ai-sdk/cohere";
import { createGroq } from "@ai-sdk/groq";
import { createMistral } from "@ai-sdk/mistral";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createXai } from "@ai-sdk/xai";
import { APICallError, generateText, type LanguageModel } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPair, type GatewayPair } from "../support/gateway.ts";
import { expectPlain, expectStream, expectStructured, expectToolLoop } from "./ai-shared.ts";
import { SIM, TEXT } from "./simulated.ts";

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
});
afterAll(() => pair.close());

interface Client {
  readonly name: string;
  readonly language: string;
  /** The route on which the bytes pass, beside the simulator's own. */
  readonly own: string;
  /** Asks for no figures in a stream, because its own provider sends them unasked. */
  readonly unasked?: true;
  /** Reads its own provider's words for failures alone, and shows the status where they are others. */
  readonly wordless?: true;
  readonly model: (url: string, name: string, apiKey: string) => LanguageModel;
}

const CLIENTS: readonly Client[] = [
  {
    name: "amazon-bedrock (API key)",
    language: "bedrock-converse",
    own: "labbedrock/sim/",
    model: (url, name, apiKey) => createAmazonBedrock({ region: "us-east-1", baseURL: url, apiKey })(name),
  },
  {
    name: "amazon-bedrock (signed)",
    language: "bedrock-converse",
    own: "labbedrock/sim/",
    model: (url, name) =>
      createAmazonBedrock({ region: "us-east-1", baseURL: url, accessKeyId: "AKIDEXAMPLE", secretAccessKey: "x" })(name),
  },
  {
    name: "cohere",
    language: "cohere-chat",
    own: "labcohere/sim/",
    model: (url, name, apiKey) => createCohere({ baseURL: `${url}/v2`, apiKey })(name),
  },
  {
    name: "mistral",
    unasked: true,
    wordless: true,
    language: "openai-chat",
    own: "labchat/sim/",
    model: (url, name, apiKey) => createMistral({ baseURL: `${url}/v1`, apiKey })(name),
  },
  {
    name: "groq",
    unasked: true,
    language: "openai-chat",
    own: "labchat/sim/",
    model: (url, name, apiKey) => createGroq({ baseURL: `${url}/v1`, apiKey })(name),
  },
  {
    name: "xai",
    language: "openai-responses",
    own: "labresponses/sim/",
    model: (url, name, apiKey) => createXai({ baseURL: `${url}/v1`, apiKey })(name),
  },
  {
    name: "openai-compatible",
    language: "openai-chat",
    own: "labchat/sim/",
    model: (url, name, apiKey) =>
      createOpenAICompatible({ name: "lab", baseURL: `${url}/v1`, apiKey, supportsStructuredOutputs: true, includeUsage: true })(name),
  },
];

describe.each(CLIENTS)("@ai-sdk/$name", ({ language, own, unasked, wordless, model: modelOf }) => {
  describe.each(["sim/", own, "labclaude/sim/", own === "labchat/sim/" ? "labresponses/sim/" : "labchat/sim/"])("through %s", (route) => {
    const model = (name: string, key = "none"): LanguageModel => modelOf(pair.front.url, `${route}${name}`, key);
    const isFast = route === "sim/" || route === own;

    it("gets a plain answer", async () => {
      await expectPlain(model("plain"));
      expect(await pair.front.lastRow()).toMatchObject({ state: "done", dialect: language, fastPath: isFast });
    });

    it("gets a stream", async () => {
      await expectStream(model("plain"), unasked);
      const row = await pair.front.lastRow();
      expect(row).toMatchObject({ state: "done", stream: true, fastPath: isFast });
      expect(row.usage.estimated).toBeUndefined();
    });

    it.each([false, true])("completes a loop of parallel tool calls (stream: %s)", (stream) => expectToolLoop(model("agent"), stream));
    it("gets structured output", () => expectStructured(model("json")));

    it("is told in its own words that there is no such model", async () => {
      const failed = await generateText({ model: model("nothing"), prompt: "x", maxRetries: 0 }).catch((error: unknown) => error);
      if (!APICallError.isInstance(failed)) throw failed;
      expect(failed.statusCode).toBe(404);
      if (!wordless) expect(failed.message).toContain("nothing");
      expect(failed.responseBody).toContain("nothing");
    });
  });

  it("is refused with a key that is unknown, where it sends one", async () => {
    const failed = await generateText({ model: modelOf(pair.front.url, "sim/plain", "gk_unknown"), prompt: "x", maxRetries: 0 }).catch(
      (error: unknown) => error,
    );
    // What is signed has no key of ours, and may call from here without one.
    if (APICallError.isInstance(failed)) expect(failed.statusCode).toBe(401);
    else expect(failed).toMatchObject({ text: TEXT });
  });
});
