import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const VERSION = { "anthropic-version": "2023-06-01" };
const ask = (method: string, path: string, headers: Readonly<Record<string, string>> = {}) =>
  fetch(gateway.url + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(method === "POST" && { body: JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "x" }] }) }),
  });

describe("what no door takes", () => {
  it.each([
    ["POST", "/v1/files", 400, "invalid_request"],
    ["GET", "/v1/files/file_1", 404, "not_found"],
    ["GET", "/v1/batches/batch_1", 404, "not_found"],
    ["GET", "/v1/nothing", 404, "not_found"],
    ["GET", "/v1/chat/completions", 405, "invalid_request"],
    ["PUT", "/v1/responses", 405, "invalid_request"],
  ])("%s %s is told as OpenAI's SDKs read it", async (method, path, status, kind) => {
    const response = await ask(method, path);
    expect(response.status).toBe(status);
    expect(response.headers.get("x-gimbal-problem")).toBe(kind);
    expect(await response.json()).toMatchObject({
      error: { type: "invalid_request_error", param: null, message: expect.stringContaining(".") },
    });
  });

  it.each([
    ["POST", "/v1/messages/batches", {}, 400],
    ["GET", "/v1/messages/batches/batch_1/results", {}, 404],
    ["GET", "/v1/messages", {}, 405],
    ["GET", "/v1/nothing", VERSION, 404],
  ])("%s %s is told as Anthropic's SDKs read it", async (method, path, headers, status) => {
    const response = await ask(method, path, headers);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: { type: expect.stringMatching(/_error$/) },
      request_id: expect.any(String),
    });
  });

  it("what is not built says so", async () => {
    const response = await ask("POST", "/v1/feedback");
    expect(response.status).toBe(501);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining("does not offer") } });
  });

  it("names the methods a path takes", async () => {
    expect((await ask("GET", "/v1/messages")).headers.get("allow")).toBe("POST");
  });
});

describe("x-gimbal-cache", () => {
  it.each([
    ["no-store", 200],
    ["only-if-cached", 504],
    ["sometimes", 400],
  ])("%s is answered %d", async (wish, status) => {
    const response = await ask("POST", "/v1/chat/completions", { "x-gimbal-cache": wish });
    expect(response.status).toBe(status);
  });
});
