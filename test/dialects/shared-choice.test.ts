import { describe, expect, it } from "vitest";
import type { Dialect, JsonObject } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";

const parameters = { type: "object", properties: {} };
const asked: Readonly<Record<string, (mode: string) => JsonObject>> = {
  "openai-chat": (mode) => ({
    model: "m",
    messages: [{ role: "user", content: "x" }],
    tools: ["one", "two"].map((name) => ({ type: "function", function: { name, parameters } })),
    tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: [{ type: "function", function: { name: "two" } }] } },
  }),
  "openai-responses": (mode) => ({
    model: "m",
    input: "x",
    tools: ["one", "two"].map((name) => ({ type: "function", name, parameters, strict: false })),
    tool_choice: { type: "allowed_tools", mode, tools: [{ type: "function", name: "two" }] },
  }),
};
const context = { operation: "generate" as const, headers: {}, params: { model: "m" } };
const target = { provider: "p", model: "m", capabilities: { tools: true } };

/** Languages that cannot say that a tool must be called. */
const UNFORCED = ["ollama-chat", "openai-completions"];

/** Has such a list of its own, so that all tools stay offered and the choice among them is narrowed: what it must read then. */
const LISTED: Readonly<Record<string, (mode: string) => unknown>> = {
  // `allowedFunctionNames`; one name that must be called is a choice of that tool.
  gemini: (mode) =>
    mode === "required"
      ? { type: "tool", name: "two", kind: "function" }
      : { type: "native", allowed: { required: false, names: ["two"] } },
};

const pairs = Object.keys(asked).flatMap((from) =>
  [...dialects.values()].filter(({ id }) => id !== "openai-completions").map((to) => [from, to.id, to] as const),
);

describe("a list of allowed tools", () => {
  it.each(pairs)("of %s holds at %s", (from, id, to: Dialect) => {
    for (const mode of ["auto", "required"]) {
      const body = asked[from]?.(mode) ?? {};
      const call = dialects.get(from)?.decodeCall(body, context);
      if (!call) throw new Error("no such dialect");
      const wire = JSON.parse(to.encodeCall(call, target, () => {}).body) as JsonObject;
      if (id === from) {
        expect(wire).toMatchObject({ tools: body["tools"], tool_choice: body["tool_choice"] });
        continue;
      }
      const read = to.decodeCall(wire, context);
      const listed = LISTED[id];
      if (listed) {
        expect(read.tools).toMatchObject(["one", "two"].map((name) => ({ type: "function", name })));
        expect(read.toolChoice).toEqual(listed(mode));
        continue;
      }
      expect(read.tools).toMatchObject([{ type: "function", name: "two" }]);
      if (!UNFORCED.includes(id)) expect(read.toolChoice ?? { type: "auto" }).toEqual({ type: mode });
    }
  });
});
