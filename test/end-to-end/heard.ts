import { expect } from "vitest";
import { AnswerFold, textOf, type Answer } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { FrameSplitter, parseFrame } from "../../src/kit/index.ts";
import type { TestGateway } from "../support/gateway.ts";
import type { Language } from "./languages.ts";

const TOOL_CHAT = {
  type: "function",
  function: { name: "look_up", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
};

export function toolsOf(language: Language): readonly unknown[] {
  const { name, parameters } = TOOL_CHAT.function;
  if (language.id === "anthropic-messages") return [{ name, input_schema: parameters }];
  return language.id === "openai-chat" ? [TOOL_CHAT] : [{ type: "function", name, parameters }];
}

export interface Heard {
  readonly status: number;
  readonly ends: readonly string[];
  readonly answer: Answer;
  readonly text: string;
  readonly frames: readonly { readonly event: string | undefined; readonly data: string }[];
}

export async function ask(
  at: TestGateway,
  language: Language,
  model: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Heard> {
  const response = await fetch(at.url + language.path, {
    method: "POST",
    headers: { ...language.headers, "content-type": "application/json" },
    body: JSON.stringify({
      ...language.call(model, "go on"),
      max_tokens: undefined,
      ...(language.id === "anthropic-messages" && { max_tokens: 4000 }),
      stream: true,
      ...more,
    }),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const frames: { event: string | undefined; data: string }[] = [];
  const splitter = new FrameSplitter(1e7);
  splitter.push(bytes, (frame) => {
    const parsed = parseFrame(frame);
    if (parsed) frames.push(parsed);
  });
  expect(Buffer.from(splitter.rest()).toString("utf8")).toBe("");
  const dialect = dialects.get(language.id);
  if (!dialect) throw new Error("no such language");
  const fold = new AnswerFold({ dialect: language.id });
  const decoder = dialect.decodeEvents((event) => fold.event(event), {});
  for (const frame of frames) decoder.frame(frame);
  const answer = fold.answer();
  return {
    status: response.status,
    ends: frames.flatMap(({ data }) => language.terminal(data) ?? []),
    answer,
    text: answer.items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join(""),
    frames,
  };
}

/** What no client may ever see: two heads, numbers that jump, blocks that end twice. */
export function expectSound({ frames }: Heard, language: Language): void {
  const types = frames.map(({ data }) => (data.startsWith("{") ? (JSON.parse(data) as Record<string, unknown>) : {}));
  if (language.id === "openai-responses") {
    expect(types.map((frame) => frame["sequence_number"])).toEqual(types.map((_frame, at) => at));
    expect(types.filter(({ type }) => type === "response.created")).toHaveLength(1);
    const added = types.filter(({ type }) => type === "response.output_item.added").map((frame) => frame["output_index"]);
    const done = types.filter(({ type }) => type === "response.output_item.done").map((frame) => frame["output_index"]);
    expect(added).toEqual(added.map((_one, at) => at));
    expect(new Set(done)).toEqual(new Set(added));
  }
  if (language.id === "anthropic-messages") {
    expect(types.filter(({ type }) => type === "message_start")).toHaveLength(1);
    let open: unknown;
    let next = 0;
    for (const frame of types) {
      if (frame["type"] === "content_block_start") {
        expect([open, frame["index"]]).toEqual([undefined, next++]);
        open = frame["index"];
      } else if (frame["type"] === "content_block_delta") expect(frame["index"]).toBe(open);
      else if (frame["type"] === "content_block_stop") {
        expect(frame["index"]).toBe(open);
        open = undefined;
      }
    }
    expect(open).toBeUndefined();
  }
  if (language.id === "openai-chat") expect(new Set(types.flatMap(({ id }) => (id === undefined ? [] : [id]))).size).toBe(1);
}
