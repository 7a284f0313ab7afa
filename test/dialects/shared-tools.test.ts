import { describe, expect, it } from "vitest";
import type { ToolCallItem, ToolSpec } from "../../src/canon/index.ts";
import {
  CustomInputReader,
  flattenToolCall,
  flattenTools,
  unflattenToolCall,
  unwrapCustomInput,
  wrapCustomInput,
} from "../../src/dialects/shared-tools.ts";

const tools: ToolSpec[] = [
  { type: "function", name: "a__b", schema: { type: "object" } },
  {
    type: "namespace",
    name: "a",
    tools: [
      { type: "function", name: "b" },
      { type: "custom", name: "patch" },
    ],
  },
  { type: "custom", name: "shell", description: "Runs.", format: { type: "grammar", syntax: "lark", definition: "start: x" } },
  { type: "native", kind: "web_search", raw: {} },
];
const call = (patch: Partial<ToolCallItem>): ToolCallItem => ({
  type: "tool_call",
  callId: "c",
  name: "n",
  kind: "function",
  input: "{}",
  ...patch,
});

describe("flat tools", () => {
  it("keeps order and plain functions, and names each loss", () => {
    const notes: string[] = [];
    const flat = flattenTools(tools, (note) => notes.push(`${note.field} ${note.action}`));
    expect(flat.tools.map((tool) => tool.name)).toEqual(["a__b", "a__b_2", "a__patch", "shell", undefined]);
    expect(flat.tools[0]).toBe(tools[0]);
    expect(flat.tools[3]).toMatchObject({
      type: "function",
      schema: { required: ["input"] },
      description: "Runs.\n\nThe input must match this lark grammar:\nstart: x",
    });
    expect(notes).toEqual(["tools[].namespace renamed", "tools[].custom degraded", "tools[].custom degraded"]);
  });

  it("brings every call back to the tool it was made for", () => {
    const flat = flattenTools(tools);
    const calls = [
      call({ name: "a__b" }),
      call({ name: "b", namespace: "a", input: '{"x":1}' }),
      call({ name: "patch", namespace: "a", kind: "custom", input: 'line "1"\nline 2' }),
      call({ name: "shell", kind: "custom", input: "ls" }),
      call({ name: "unheard-of" }),
    ];
    for (const item of calls) {
      const onWire = call(flattenToolCall(item, flat));
      expect(unflattenToolCall(onWire, tools)).toEqual(item);
      expect(unflattenToolCall(onWire, flat)).toEqual(item);
    }
  });

  it("leaves a call alone when there is nothing to bring back", () => {
    const item = call({ name: "a__b", raw: { x: 1 } });
    expect(unflattenToolCall(item, [])).toBe(item);
    expect(unflattenToolCall(item, tools)).toBe(item);
  });
});

describe("free text in JSON arguments", () => {
  const texts = ["", "plain", 'quote " and \\ and \n', "smile 😀 é", "\u0000\u2028", '{"input":"inner"}'];

  it("wraps and unwraps", () => {
    for (const text of texts) expect(unwrapCustomInput(wrapCustomInput(text))).toBe(text);
    expect(unwrapCustomInput("just text")).toBe("just text");
    expect(unwrapCustomInput('{"other":1}')).toBe('{"other":1}');
  });

  it("unwraps in pieces, wherever they are cut", () => {
    for (const text of texts) {
      for (const whole of [wrapCustomInput(text), ` { "input" : ${JSON.stringify(text).replaceAll("é", "\\u00e9")} } `, "not json"]) {
        for (let cut = 0; cut <= whole.length; cut++) {
          const reader = new CustomInputReader();
          expect(reader.push(whole.slice(0, cut)) + reader.push(whole.slice(cut)) + reader.end()).toBe(unwrapCustomInput(whole));
        }
      }
    }
  });
});
