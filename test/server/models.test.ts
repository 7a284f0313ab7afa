import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: "models: { fast: sim/echo }\n" });
});
afterAll(() => gateway.close());

const openai = (apiKey = "sk-none") => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
const anthropic = (apiKey = "none") => new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });

describe("the list of models", () => {
  it("has the shape of whoever asks", async () => {
    const names: string[] = [];
    for await (const model of openai().models.list()) names.push(model.id);
    expect(names).toContain("fast");
    expect(names).toContain("sim/echo");
    const theirs: string[] = [];
    for await (const model of anthropic().models.list()) theirs.push(model.id);
    expect(theirs).toEqual(names);
    expect(await openai().models.retrieve("sim/echo")).toMatchObject({ id: "sim/echo", object: "model" });
    expect(await anthropic().models.retrieve("sim/echo")).toMatchObject({ id: "sim/echo", type: "model" });
  });

  it("names the nearest one it has, in the asker's own kind of error", async () => {
    const mine = await openai()
      .models.retrieve("sim/ehco")
      .catch((error: unknown) => error);
    expect(mine).toBeInstanceOf(OpenAI.NotFoundError);
    expect((mine as Error).message).toContain('"sim/echo"');
    const theirs = await anthropic()
      .models.retrieve("sim/ehco")
      .catch((error: unknown) => error);
    expect(theirs).toBeInstanceOf(Anthropic.NotFoundError);
    expect(theirs).toMatchObject({ error: { type: "error", error: { type: "not_found_error" } } });
    expect((theirs as Error).message).toContain("sim/echo");
    expect((theirs as InstanceType<typeof Anthropic.APIError>).headers?.get("x-gimbal-problem")).toBe("unknown_model");
  });

  it("is refused to an unknown key in the asker's own kind of error", async () => {
    await expect(openai("gk_unknown").models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(anthropic("gk_unknown").models.list()).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    const error = await anthropic("gk_unknown")
      .models.list()
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    expect(error).toMatchObject({ error: { type: "error", error: { type: "authentication_error" } } });
  });
});
