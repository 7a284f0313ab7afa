import {
  NO_USAGE,
  offeredTools,
  ProblemError,
  textOf,
  type Answer,
  type AnswerContext,
  type Item,
  type Json,
  type JsonObject,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { isList, isObject, object, text, type Draft } from "../shared-shape.ts";
import { flattenToolCall, flattenTools } from "../shared-tools.ts";
import { decodeAssistant } from "./decode-message.ts";
import { isUntouched } from "./encode-messages.ts";
import { endedBadly } from "./problem.ts";
import { failed, ID, PLAN, reasonFor, saysUsage, stopOf, usageFields, usageOf } from "./shape.ts";

/** Place of an answer's envelope: unlike any of a request's messages. */
export const ANSWER_PLACE = -1;

/** @throws ProblemError upstream_broken, or what a failure inside a good status says */
export function decodeAnswer(body: Json, context: { readonly provider?: string }): Answer {
  if (!isObject(body)) throw broken("The provider's answer is not a JSON object.");
  if (failed(body)) throw new ProblemError(endedBadly(body, context.provider));
  const message = object(body["message"]);
  if (!message) throw broken("The provider's answer has no message.");
  const origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  const items = decodeAssistant(message, { origin, place: ANSWER_PLACE });
  return {
    id: text(body["id"]) ?? "",
    model: text(body["model"]) ?? "",
    createdAt: 0,
    items: withLogprobs(items, body["logprobs"]),
    stop: stopOf(body),
    stopNative: { finish_reason: body["finish_reason"] ?? null },
    usage: usageOf(body) ?? NO_USAGE,
    origin,
    native: body,
  };
}

function withLogprobs(items: readonly Item[], tokens: Json | undefined): readonly Item[] {
  if (!isList(tokens) || tokens.length === 0) return items;
  const place = items.findIndex((item) => item.type === "message" && item.phase !== PLAN);
  return items.map((item, at) =>
    at === place && item.type === "message" && item.parts[0]?.type === "text"
      ? { ...item, parts: [{ ...item.parts[0], logprobs: tokens }, ...item.parts.slice(1)] }
      : item,
  );
}

/** What the fast path needs of a plain answer. */
export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly stop?: StopReason;
} {
  const id = text(body["id"]);
  return { usage: usageOf(body), ...(id !== undefined && { id }), ...("finish_reason" in body && { stop: stopOf(body) }) };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): Json {
  const native = answer.origin.dialect === ID ? answer.native : undefined;
  const before = object(native?.["message"]);
  const body: Draft = {
    ...native,
    id: context.id ?? answer.id,
    message: before && isUntouched(before, answer.items) ? before : messageOf(answer.items, context),
    finish_reason: reasonFor(answer.stop, native),
  };
  if (!native || (native["usage"] !== undefined && !saysUsage(native, answer.usage))) body["usage"] = usageFields(answer.usage);
  return body;
}

/** The one message that the language has for all of an answer. */
export function messageOf(items: readonly Item[], { call }: Pick<AnswerContext, "call">): JsonObject {
  const flat = flattenTools(offeredTools(call));
  const hasCalls = items.some((item) => item.type === "tool_call");
  const content: JsonObject[] = [];
  const calls: Json[] = [];
  const citations: Json[] = [];
  let plan = "";
  for (const item of items) {
    // A plan is read behind the content, so without calls to stand before only an own one is told as such: others keep their order.
    if (item.type === "message" && (hasCalls || (item.phase === PLAN && item.origin?.dialect === ID))) plan += textOf(item.parts);
    else if (item.type === "message") {
      for (const part of item.parts) {
        if (part.type !== "text" && part.type !== "refusal") continue;
        if (part.type === "text" && item.origin?.dialect === ID) citations.push(...(part.annotations ?? []));
        content.push({ type: "text", text: part.text });
      }
    } else if (item.type === "reasoning") {
      const thinking = item.parts.map((part) => part.text).join("");
      if (thinking !== "") content.push({ type: "thinking", thinking });
    } else if (item.type === "tool_call") {
      const { name, input } = flattenToolCall(item, flat);
      calls.push({ id: item.callId, type: "function", function: { name, arguments: input === "" ? "{}" : input } });
    }
  }
  return {
    role: "assistant",
    ...(content.length > 0 && { content }),
    ...(plan !== "" && { tool_plan: plan }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(citations.length > 0 && { citations }),
  };
}

function broken(message: string): ProblemError {
  return new ProblemError({ kind: "upstream_broken", message });
}
