import { describe, expect, it } from "vitest";
import { checkCall, FlatNames, type Call, type Item, type ToolSpec } from "../../src/canon/index.ts";

const user: Item = { type: "message", role: "user", parts: [{ type: "text", text: "hi" }] };
const toolCall = (callId: string): Item => ({ type: "tool_call", callId, name: "f", kind: "function", input: "{}" });
const result = (callId: string): Item => ({ type: "tool_result", callId, kind: "function", parts: [] });
const fn = (name: string): ToolSpec & { type: "function" } => ({ type: "function", name });

function call(patch: Partial<Call>): Call {
  return {
    operation: "generate",
    origin: { dialect: "any" },
    model: "m",
    stream: false,
    items: [user],
    tools: [],
    sampling: {},
    native: {},
    touched: new Set(),
    ...patch,
  };
}

describe("checkCall", () => {
  it("accepts what is sane", () => {
    expect(checkCall(call({}))).toBeUndefined();
    expect(checkCall(call({ items: [user, toolCall("a"), toolCall("b"), result("b"), result("a")] }))).toBeUndefined();
    expect(checkCall(call({ tools: [fn("a"), fn("b"), { type: "namespace", name: "a", tools: [fn("a")] }] }))).toBeUndefined();
    expect(checkCall(call({ output: { format: { type: "json_schema", name: "x", schema: {} } } }))).toBeUndefined();
  });

  it("refuses a tool result whose call is missing or comes later, naming the id", () => {
    for (const items of [
      [user, result("lost")],
      [user, result("lost"), toolCall("lost")],
    ]) {
      const problem = checkCall(call({ items }));
      expect(problem?.kind).toBe("invalid_request");
      expect(problem?.message).toContain('"lost"');
    }
  });

  it("leaves results to the gateway while an earlier turn is still to be filled in", () => {
    expect(checkCall(call({ items: [result("earlier")], previousId: "resp_1" }))).toBeUndefined();
    expect(checkCall(call({ items: [], previousId: "resp_1" }))).toBeUndefined();
  });

  it("refuses no items, twin tools and a schema that is none", () => {
    expect(checkCall(call({ items: [] }))?.kind).toBe("invalid_request");
    expect(checkCall(call({ tools: [fn("a"), { type: "custom", name: "a" }] }))?.message).toContain('"a"');
    expect(checkCall(call({ tools: [{ type: "namespace", name: "n", tools: [fn("x"), fn("x")] }] }))?.message).toContain('"x"');
    const schema = "text" as unknown as Record<string, never>;
    expect(checkCall(call({ output: { format: { type: "json_schema", name: "x", schema } } }))?.message).toContain("schema");
  });

  it("shortens a very long id", () => {
    expect(checkCall(call({ items: [result("x".repeat(5000))] }))?.message.length).toBeLessThan(300);
  });
});

describe("FlatNames", () => {
  const tools: ToolSpec[] = [
    fn("crm__find"),
    { type: "namespace", name: "crm", tools: [fn("find"), { type: "custom", name: "a.b" }] },
    fn("plain"),
  ];

  it("is reversible, also when a plain tool has the name already", () => {
    const names = new FlatNames(tools);
    expect(names.tools.map((tool) => tool.flatName)).toEqual(["crm__find", "crm__find_2", "crm__a_b", "plain"]);
    for (const { flatName, namespace, tool } of names.tools) {
      expect(names.of(namespace, tool.name)).toBe(flatName);
      expect(names.find(flatName)).toMatchObject({ tool, ...(namespace !== undefined && { namespace }) });
    }
    expect(names.of("gone", "tool")).toBe("gone__tool");
    expect(names.find("gone__tool")).toBeUndefined();
  });

  it("keeps long names apart within 64 characters", () => {
    const long = "n".repeat(80);
    const names = new FlatNames([{ type: "namespace", name: long, tools: [fn("a"), fn("b")] }]);
    const [first, second] = names.tools.map((tool) => tool.flatName);
    expect(first).not.toBe(second);
    expect(first?.length).toBe(64);
    expect(second?.length).toBe(64);
  });
});
