import { describe, expect, it } from "vitest";
import { queryParams, Router } from "../../src/server/router.ts";

const handler = (): void => {};

describe("the router", () => {
  const router = new Router();
  for (const [method, path] of [
    ["POST", "/v1/responses"],
    ["GET", "/v1/responses/{id}"],
    ["DELETE", "/v1/responses/{id}"],
    ["GET", "/v1/responses/{id}/input_items"],
    ["POST", "/v1/responses/compact"],
    ["GET", "/v1/models/{id...}"],
    ["GET", "/v1/models"],
  ] as const)
    router.add(method, path, handler);
  const params = (method: string, path: string): unknown => {
    const match = router.match(method, path);
    return match.kind === "found" ? match.params : match;
  };

  it("finds exact paths before patterns, and binds decoded segments", () => {
    expect(params("POST", "/v1/responses/compact")).toEqual({});
    expect(params("GET", "/v1/responses/resp_1")).toEqual({ id: "resp_1" });
    expect(params("GET", "/v1/responses/a%2Fb/input_items")).toEqual({ id: "a/b" });
    expect(params("GET", "/v1/models/openai/org/model:tag")).toEqual({ id: "openai/org/model:tag" });
    expect(params("GET", "/v1/models")).toEqual({});
  });

  it("tells a wrong method from a wrong path", () => {
    expect(params("PUT", "/v1/responses/x")).toEqual({ kind: "wrong-method", allow: "GET, DELETE" });
    expect(params("GET", "/v1/responses")).toMatchObject({ kind: "wrong-method", allow: "POST" });
    for (const path of ["/", "/v1", "/v1/responses/", "/v1/responses/%zz", "/v1/models/", "//v1/models", "/v1/responses/a/b"])
      expect(params("GET", path), path).toEqual({ kind: "none" });
  });

  it("leaves the rest of a path what follows the brace", () => {
    const models = new Router();
    for (const [method, path] of [
      ["POST", "/v1beta/models/{model...}:generateContent"],
      ["POST", "/v1beta/models/{model...}:countTokens"],
      ["GET", "/v1beta/models/{model...}"],
      ["POST", "/model/{model...}/converse"],
      ["POST", "/model/{model...}/converse-stream"],
    ] as const)
      models.add(method, path, () => void path);
    const found = (method: string, path: string): unknown => {
      const match = models.match(method, path);
      return match.kind === "found" ? match.params["model"] : match.kind;
    };
    expect(found("POST", "/v1beta/models/lab/org/m:tag:generateContent")).toBe("lab/org/m:tag");
    expect(found("POST", "/v1beta/models/a:countTokens")).toBe("a");
    expect(found("POST", "/v1beta/models/:countTokens")).toBe("wrong-method");
    expect(found("POST", "/v1beta/models/a:other")).toBe("wrong-method");
    expect(found("GET", "/v1beta/models/a:b")).toBe("a:b");
    expect(found("POST", "/model/a%2Fb/converse")).toBe("a/b");
    expect(found("POST", "/model/a/b/converse-stream")).toBe("a/b");
    expect(found("POST", "/model/converse")).toBe("none");
    expect(found("POST", "/model//converse")).toBe("none");
  });

  it("reads the query", () => {
    expect(queryParams("")).toEqual({});
    expect(queryParams("after=7&beta=true&x=a%20b")).toEqual({ after: "7", beta: "true", x: "a b" });
  });
});
