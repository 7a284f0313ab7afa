import {
  ProblemError,
  type Answer,
  type AnswerContext,
  type Item,
  type Json,
  type JsonObject,
  type Operation,
  type Origin,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { wrapCustomInput } from "../shared-tools.ts";
import { decodeBlocks } from "./decode-items.ts";
import { inputObject, isOwn } from "./encode-blocks.ts";
import { problemOfErrorBody, throwBroken } from "./problem.ts";
import { decodeStop, encodeStop, stopMembers } from "./stop.ts";
import { decodeUsage, encodeOwnUsage, encodeUsage } from "./usage.ts";
import { DIALECT, isList, isObject, without } from "./wire.ts";

export function originOf(provider: string | undefined, model: string): Origin {
  return { dialect: DIALECT, ...(provider !== undefined && { provider }), ...(model !== "" && { model }) };
}

/** @throws ProblemError upstream_broken, or what an error body says */
export function decodeAnswer(body: Json, context: { readonly provider?: string; readonly operation: Operation }): Answer {
  const { provider } = context;
  if (!isObject(body)) return throwBroken("The provider's answer is no JSON object.", provider);
  if (body["type"] === "error") throw new ProblemError(problemOfErrorBody(body, provider ?? ""));
  const content = body["content"];
  if (!isList(content)) return throwBroken("The provider's answer has no content.", provider);
  const model = typeof body["model"] === "string" ? body["model"] : "";
  const native = without(body, "content");
  return {
    id: typeof body["id"] === "string" ? body["id"] : "",
    model,
    createdAt: 0,
    items: itemsOf(content, originOf(provider, model), provider),
    ...endOf(native),
    origin: { dialect: DIALECT, ...(provider !== undefined && { provider }) },
    native,
  };
}

/** A garbled block is the upstream's fault, not the caller's. */
function itemsOf(content: readonly Json[], origin: Origin, provider: string | undefined): Item[] {
  try {
    return decodeBlocks(content, { role: "assistant", origin }, "content");
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return throwBroken(`The provider's answer is garbled: ${error.problem.message}`, provider);
  }
}

/** Stop reason and usage from a message's top-level members. */
export function endOf(native: JsonObject): { readonly stop: StopReason; readonly stopNative: JsonObject; readonly usage: Usage } {
  const usage = native["usage"];
  return { stop: decodeStop(native["stop_reason"]), stopNative: stopMembers(native), usage: decodeUsage(isObject(usage) ? usage : {}) };
}

/** The little that settling needs of an answer that passes unread. */
export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly model?: string;
  readonly stop?: StopReason;
} {
  const { id, model, usage } = body;
  return {
    usage: isObject(usage) ? decodeUsage(usage) : undefined,
    ...(typeof id === "string" && { id }),
    ...(typeof model === "string" && { model }),
    ...(typeof body["stop_reason"] === "string" && { stop: decodeStop(body["stop_reason"]) }),
  };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): JsonObject {
  const content = answer.items.flatMap(encodeItem);
  const stop = encodedStop(answer.stop, answer.items);
  if (answer.origin.dialect === DIALECT) {
    const { native } = answer;
    return {
      ...native,
      ...(context.id !== undefined && { id: context.id }),
      content,
      ...(decodeStop(native["stop_reason"]) !== answer.stop && encodeStop(stop, context.call)),
      ...((native["usage"] !== undefined || answer.usage.output > 0) && { usage: encodeOwnUsage(native["usage"], answer.usage) }),
    };
  }
  return {
    id: context.id ?? answer.id,
    type: "message",
    role: "assistant",
    model: answer.model,
    content,
    ...encodeStop(stop, context.call),
    container: null,
    usage: encodeUsage(answer.usage),
  };
}

/** Some languages end a turn that calls tools, or refuses, like any other; here clients look at the stop reason. */
export function encodedStop(stop: StopReason, items: readonly Item[]): StopReason {
  if (stop !== "end" && stop !== "unknown") return stop;
  if (items.some((item) => item.type === "tool_call")) return "tool_calls";
  return items.some((item) => item.type === "message" && item.parts.some((part) => part.type === "refusal")) ? "refusal" : stop;
}

/** An item of an answer as content blocks. Reasoning without a signature gets an empty one: clients insist on the member. */
export function encodeItem(item: Item): JsonObject[] {
  const own = isOwn(item);
  if (own && isObject(item.raw)) return [item.raw];
  switch (item.type) {
    case "message":
      return item.parts.flatMap((part): JsonObject[] => {
        if (own && isObject(part.raw) && (part.type !== "text" || part.raw["text"] === part.text)) return [part.raw];
        if (part.type !== "text" && part.type !== "refusal") return [];
        return [
          {
            type: "text",
            text: part.text,
            ...(own ? part.type === "text" && part.annotations && { citations: part.annotations } : { citations: null }),
          },
        ];
      });
    case "reasoning": {
      if (own && item.encrypted !== undefined) return [{ type: "redacted_thinking", data: item.encrypted }];
      const thinking = item.parts.map((part) => part.text).join("\n\n");
      const signature = own ? item.signature : item.carried;
      if (!own && thinking === "" && signature === undefined) return [];
      return [{ type: "thinking", thinking, signature: signature ?? "" }];
    }
    case "tool_call":
      return [
        {
          type: "tool_use",
          id: item.callId,
          name: item.name,
          input: inputObject(item.kind === "custom" ? wrapCustomInput(item.input) : item.input),
        },
      ];
    case "compaction":
    case "tool_result":
    case "unknown":
      return [];
  }
}
