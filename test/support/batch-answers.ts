import type { JsonObject } from "../../src/canon/index.ts";
import type { ServedAnswer, ServedLine } from "./batch-service.ts";

/** Answers of 1,000 tokens read and 200 written, in the language of each path. */
export const chatAnswer = ({ body, customId }: ServedLine): ServedAnswer => ({
  status: 200,
  body: {
    id: `chatcmpl-${customId || "1"}`,
    object: "chat.completion",
    created: 1_780_000_000,
    model: body["model"],
    choices: [{ index: 0, message: { role: "assistant", content: `heard ${lastText(body)}` }, finish_reason: "stop" }],
    usage: { prompt_tokens: 1000, completion_tokens: 200, total_tokens: 1200 },
    service_tier: "default",
  },
});
export const messagesAnswer = ({ body, customId }: ServedLine): ServedAnswer => ({
  status: 200,
  body: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: body["model"],
    content: [{ type: "text", text: `heard ${lastText(body)}` }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 1000, output_tokens: 200, service_tier: customId === "" ? "standard" : "batch" },
  },
});
const responsesAnswer = ({ body }: ServedLine): ServedAnswer => ({
  status: 200,
  body: {
    id: "resp_1",
    object: "response",
    created_at: 1_780_000_000,
    status: "completed",
    model: body["model"],
    output: [
      {
        type: "message",
        id: "m1",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: `heard ${lastText(body)}`, annotations: [] }],
      },
    ],
    usage: {
      input_tokens: 1000,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 200,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 1200,
    },
  },
});
const geminiAnswer = ({ body, path }: ServedLine): ServedAnswer => ({
  status: 200,
  body: {
    candidates: [{ index: 0, content: { role: "model", parts: [{ text: `heard ${lastText(body)}` }] }, finishReason: "STOP" }],
    usageMetadata: { promptTokenCount: 1000, candidatesTokenCount: 200, totalTokenCount: 1200 },
    modelVersion: path.slice("/models/".length, path.indexOf(":")),
  },
});
export const anyAnswer = (line: ServedLine): ServedAnswer => {
  if (line.path === "/messages") return messagesAnswer(line);
  if (line.path === "/responses") return responsesAnswer(line);
  return line.path.endsWith(":generateContent") ? geminiAnswer(line) : chatAnswer(line);
};

/** The first run of letters behind `text`, wherever a language puts it. */
export function lastText(body: JsonObject): string {
  return /text ([\w-]+)/.exec(JSON.stringify(body))?.[1] ?? "";
}
