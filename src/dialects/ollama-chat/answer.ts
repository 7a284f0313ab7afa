import {
  NO_USAGE,
  ProblemError,
  type Answer,
  type AnswerContext,
  type Item,
  type Json,
  type JsonObject,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { offeredTools } from "../../canon/index.ts";
import { isList, isObject, object, text, type Draft } from "../shared-shape.ts";
import { flattenToolCall, flattenTools, type FlatTools } from "../shared-tools.ts";
import { CallIds, decodeAssistant } from "./decode-message.ts";
import { embeddedProblem } from "./problem.ts";
import { frameOf, ID, shapeOf } from "./shape.ts";
import { argumentsOf } from "./tool-call.ts";
import { createdAt, idOf, reasonFor, stopOf, timeOf, usageFields, usageOf } from "./usage.ts";

/** Place of an answer's envelope: unlike any of a request's messages. */
export const ANSWER_PLACE = -1;

/** The message of an answer of either shape. */
export function messageIn(body: JsonObject): JsonObject {
  const message = object(body["message"]);
  if (message) return message;
  const { response, thinking } = body;
  return { role: "assistant", content: response ?? "", ...(thinking !== undefined && { thinking }) };
}

/** @throws ProblemError upstream_broken, or what an error inside a good status says */
export function decodeAnswer(body: Json, context: { readonly provider?: string }): Answer {
  if (!isObject(body)) throw broken("The provider's answer is not a JSON object.");
  if (body["error"] !== undefined) throw new ProblemError(embeddedProblem(body, context.provider));
  if (!object(body["message"]) && typeof body["response"] !== "string") throw broken("The provider's answer has no message.");
  const origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  const model = text(body["model"]) ?? "";
  const id = idOf(body);
  const items = decodeAssistant(messageIn(body), {
    path: undefined,
    place: ANSWER_PLACE,
    origin: { ...origin, model },
    ids: new CallIds(`call_${id}`),
  });
  const called = items.some((item) => item.type === "tool_call");
  const reason = text(body["done_reason"]);
  return {
    id,
    model,
    createdAt: createdAt(body),
    items: withLogprobs(items, body["logprobs"]),
    stop: stopOf(body, called),
    ...(reason !== undefined && { stopNative: { done_reason: reason } }),
    usage: usageOf(body) ?? NO_USAGE,
    origin,
    native: nativeOf(body, items),
  };
}

/** The body, with what is left of its message once items were taken from it. */
function nativeOf(body: JsonObject, items: readonly Item[]): JsonObject {
  const frame = frameOf(items[0]?.envelope)?.message;
  if (!frame) return body;
  return object(body["message"]) ? { ...body, message: frame } : { ...body, response: "" };
}

function withLogprobs(items: readonly Item[], tokens: Json | undefined): readonly Item[] {
  if (!isList(tokens) || tokens.length === 0) return items;
  return items.map((item) =>
    item.type === "message" && item.parts[0]?.type === "text"
      ? { ...item, parts: [{ ...item.parts[0], logprobs: tokens }, ...item.parts.slice(1)] }
      : item,
  );
}

/** What the fast path needs of a plain answer. */
export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly model?: string;
  readonly stop?: StopReason;
} {
  const model = text(body["model"]);
  const calls = object(body["message"])?.["tool_calls"];
  const told = "message" in body || "response" in body;
  return {
    usage: usageOf(body),
    ...(told && { id: idOf(body), stop: stopOf(body, isList(calls) && calls.length > 0) }),
    ...(model !== undefined && { model }),
  };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): Json {
  const native = answer.origin.dialect === ID ? answer.native : undefined;
  const body: Draft = native ? { ...native } : {};
  if (answer.model !== "" || !native) body["model"] = answer.model;
  if (!native) body["created_at"] = timeOf(answer.createdAt || context.createdAt);
  const message = messageOf(answer.items, object(native?.["message"]), flattenTools(offeredTools(context.call)));
  if (shapeOf(context.call) === "chat") {
    delete body["response"];
    delete body["thinking"];
    body["message"] = message;
  } else {
    delete body["message"];
    body["response"] = message["content"] ?? "";
    if (message["thinking"] !== undefined) body["thinking"] = message["thinking"];
  }
  body["done"] = true;
  const before = native && text(native["done_reason"]);
  const same = before !== undefined && stopOf(native ?? {}, answer.stop === "tool_calls") === answer.stop;
  body["done_reason"] = same ? before : reasonFor(answer.stop);
  const logprobs = native ? undefined : logprobsOf(answer.items);
  if (logprobs) body["logprobs"] = logprobs;
  const counted = native ? usageOf(native) : undefined;
  const unchanged = counted?.output === answer.usage.output && counted.inputUncached === answer.usage.inputUncached;
  if (!native || (counted && !unchanged)) Object.assign(body, usageFields(answer.usage));
  return body;
}

function logprobsOf(items: readonly Item[]): Json | undefined {
  const tokens: Json[] = [];
  for (const item of items) {
    if (item.type !== "message") continue;
    for (const part of item.parts) if (part.type === "text" && isList(part.logprobs)) tokens.push(...part.logprobs);
  }
  return tokens.length > 0 ? tokens : undefined;
}

/** The one message that the language has for all of an answer. */
export function messageOf(items: readonly Item[], frame: JsonObject | undefined, tools: FlatTools): Draft {
  const message: Draft = { ...(frame ?? { role: "assistant" }) };
  let content = "";
  let thinking = "";
  const calls: Json[] = [];
  for (const item of items) {
    if (item.type === "message") {
      for (const part of item.parts) if (part.type === "text" || part.type === "refusal") content += part.text;
    } else if (item.type === "reasoning") for (const part of item.parts) thinking += part.text;
    else if (item.type === "tool_call") {
      const { name, input } = flattenToolCall(item, tools);
      const raw = item.origin?.dialect === ID ? item.raw : undefined;
      calls.push(raw ?? { id: item.callId, function: { index: calls.length, name, arguments: argumentsOf(input) } });
    }
  }
  if (!frame || content !== "" || !("content" in frame) || frame["content"] === null) message["content"] = content;
  if (thinking !== "") message["thinking"] = thinking;
  if (calls.length > 0) message["tool_calls"] = calls;
  return message;
}

function broken(message: string): ProblemError {
  return new ProblemError({ kind: "upstream_broken", message });
}
