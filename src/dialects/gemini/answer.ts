import {
  NO_USAGE,
  ProblemError,
  type Answer,
  type AnswerContext,
  type Call,
  type Item,
  type Json,
  type JsonObject,
  type Operation,
  type Origin,
  type Part,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { wrapCustomInput } from "../shared-tools.ts";
import { CallIds, decodeParts } from "./decode-parts.ts";
import { encodeSource } from "./media.ts";
import { functionCall, isApart, isOwn, ownThought, PartList } from "./encode-parts.ts";
import { citationsOf, groundingOf } from "./grounding.ts";
import { problemOfErrorBody, throwBroken } from "./problem.ts";
import { encodeCarried } from "./signatures.ts";
import { decodeStop, encodeStop } from "./stop.ts";
import { decodeUsage, encodeOwnUsage, encodeUsage } from "./usage.ts";
import { at, DIALECT, isList, isObject, textAt, without } from "./wire.ts";

export function originOf(provider: string | undefined, model: string): Origin {
  return { dialect: DIALECT, ...(provider !== undefined && { provider }), ...(model !== "" && { model }) };
}

/** Ids of calls that the API left without one: their answer's id keeps them apart over the turns of a conversation. */
export function callIds(answerId: string): CallIds {
  return new CallIds(`call_${answerId.replaceAll(/[^a-zA-Z0-9_-]/g, "_")}`);
}

/** Unix seconds of `createTime`, which only some endpoints give; 0 without it. */
export function createdAt(body: JsonObject): number {
  const time = Date.parse(textAt(body, "createTime"));
  return Number.isNaN(time) ? 0 : Math.floor(time / 1000);
}

/** A prompt that was refused has no candidate; why stands beside. */
export function isBlocked(body: JsonObject): boolean {
  const feedback = at(body, "promptFeedback");
  return isObject(feedback) && textAt(feedback, "blockReason") !== "";
}

/**
 * The first candidate is the answer; others stay in `native`, where also the first one's companions are.
 * @throws ProblemError upstream_broken, or what an error inside a good status says
 */
export function decodeAnswer(body: Json, context: { readonly provider?: string; readonly operation: Operation }): Answer {
  const { provider } = context;
  if (!isObject(body)) return throwBroken("The provider's answer is no JSON object.", provider);
  if (body["error"] !== undefined && body["error"] !== null) throw new ProblemError(problemOfErrorBody(body, provider ?? ""));
  const candidates = body["candidates"];
  const first = isList(candidates) ? candidates[0] : undefined;
  if (!isObject(first) && !isBlocked(body)) return throwBroken("The provider's answer has no candidates.", provider);
  const model = textAt(body, "modelVersion");
  const id = textAt(body, "responseId");
  const items = isObject(first) ? itemsOf(first, originOf(provider, model), id, provider) : [];
  const usage = at(body, "usageMetadata");
  const reason = isObject(first) ? at(first, "finishReason") : undefined;
  return {
    id,
    model,
    createdAt: createdAt(body),
    items,
    stop: isObject(first) ? decodeStop(reason, callsTools(items)) : "content_filter",
    ...(reason !== undefined && { stopNative: { finishReason: reason } }),
    usage: isObject(usage) ? decodeUsage(usage) : NO_USAGE,
    origin: { dialect: DIALECT, ...(provider !== undefined && { provider }) },
    native: isObject(first) && isList(candidates) ? { ...body, candidates: [frameOfCandidate(first), ...candidates.slice(1)] } : body,
  };
}

export function callsTools(items: readonly Item[]): boolean {
  return items.some((item) => item.type === "tool_call");
}

/** The candidate without its parts; an empty list stands where there was a list. */
function frameOfCandidate(candidate: JsonObject): JsonObject {
  const { content } = candidate;
  if (!isObject(content) || !isList(content["parts"])) return candidate;
  return { ...candidate, content: { ...content, parts: [] } };
}

/** A garbled part is the upstream's fault, not the caller's. */
function itemsOf(candidate: JsonObject, origin: Origin, id: string, provider: string | undefined): Item[] {
  const { content } = candidate;
  const parts = isObject(content) && isList(content["parts"]) ? content["parts"] : [];
  try {
    const items = decodeParts(parts, { role: "assistant", origin, ids: callIds(id), apart: true }, "candidates[0].content.parts");
    return cited(items, candidate);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return throwBroken(`The provider's answer is garbled: ${error.problem.message}`, provider);
  }
}

/** Grounding stands beside the content; the canonical form has it on the text. It stays in `native` for this language. */
function cited(items: Item[], candidate: JsonObject): Item[] {
  const place = items.findIndex((item) => item.type === "message" && item.parts.some((part) => part.type === "text"));
  const message = items[place];
  if (message?.type !== "message") return items;
  const first = message.parts.findIndex((part) => part.type === "text");
  const part = message.parts[first];
  if (part?.type !== "text") return items;
  const annotations = citationsOf(candidate, part.text);
  if (annotations.length === 0) return items;
  const parts = message.parts.map((other, index) => (index === first ? { ...part, annotations } : other));
  return items.map((item, index) => (index === place ? { ...message, parts } : item));
}

/** The little that settling needs of an answer that passes unread. */
export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly model?: string;
  readonly stop?: StopReason;
} {
  const usage = at(body, "usageMetadata");
  const [id, model] = [textAt(body, "responseId"), textAt(body, "modelVersion")];
  const { candidates } = body;
  const first = isList(candidates) ? candidates[0] : undefined;
  const reason = isObject(first) ? at(first, "finishReason") : undefined;
  const stop = isObject(first)
    ? reason === undefined
      ? undefined
      : decodeStop(reason, hasCall(first))
    : isBlocked(body)
      ? "content_filter"
      : undefined;
  return {
    usage: isObject(usage) ? decodeUsage(usage) : undefined,
    ...(id !== "" && { id }),
    ...(model !== "" && { model }),
    ...(stop !== undefined && { stop }),
  };
}

/** Does a candidate call a function? */
export function hasCall(candidate: JsonObject): boolean {
  const { content } = candidate;
  if (!isObject(content) || !isList(content["parts"])) return false;
  return content["parts"].some((part) => isObject(part) && at(part, "functionCall") !== undefined);
}

export function encodeAnswer(answer: Answer, context: AnswerContext): JsonObject {
  if (answer.origin.dialect === DIALECT) return encodeOwnAnswer(answer, context);
  const grounding = groundingOf(answer.items);
  return {
    candidates: [
      {
        content: { parts: encodeItems(answer.items, context.call), role: "model" },
        finishReason: encodeStop(answer.stop),
        index: 0,
        ...(grounding && { groundingMetadata: grounding }),
      },
    ],
    usageMetadata: encodeUsage(answer.usage),
    modelVersion: answer.model,
    responseId: context.id ?? answer.id,
  };
}

/** From the answer's own words: what was not changed comes out as it went in. */
function encodeOwnAnswer(answer: Answer, context: AnswerContext): JsonObject {
  const { native } = answer;
  const { candidates } = native;
  const first = isList(candidates) ? candidates[0] : undefined;
  const usage = at(native, "usageMetadata");
  const common: JsonObject = {
    ...native,
    ...(context.id !== undefined && { responseId: context.id }),
    ...((usage !== undefined || answer.usage.output > 0) && { usageMetadata: encodeOwnUsage(usage, answer.usage) }),
  };
  if (!isObject(first) || !isList(candidates)) return common;
  const content = isObject(first["content"]) ? first["content"] : undefined;
  const parts = encodeItems(answer.items, context.call);
  const kept = parts.length > 0 || isList(content?.["parts"]);
  const same = decodeStop(at(first, "finishReason"), callsTools(answer.items)) === answer.stop;
  const candidate: JsonObject = {
    ...first,
    ...(kept && { content: { ...(content ?? { role: "model" }), parts } }),
    ...(!same && { finishReason: encodeStop(answer.stop) }),
  };
  return { ...common, candidates: [candidate, ...candidates.slice(1)] };
}

/** Items of an answer as parts. */
export function encodeItems(items: readonly Item[], call: Call): JsonObject[] {
  const list = new PartList();
  for (const item of items) addItem(item, list, call);
  list.end();
  return list.parts;
}

export function addItem(item: Item, list: PartList, call: Call): void {
  const own = isOwn(item);
  switch (item.type) {
    case "message":
      return list.add(item.parts.map((part) => answerPart(part, own)).filter((part) => part !== undefined));
    case "reasoning":
      if (own && isObject(item.raw)) return list.add([item.raw]);
      if (own && isApart(item) && item.signature !== undefined) return list.sign(item.signature);
      return list.add(own ? [ownThought(item)] : foreignThought(item, call));
    case "tool_call": {
      if (own && isObject(item.raw)) return list.add([item.raw]);
      const part = functionCall(item.callId, item.name, item.kind === "custom" ? wrapCustomInput(item.input) : item.input);
      return list.add([own && item.signature !== undefined ? { ...part, thoughtSignature: item.signature } : part]);
    }
    case "unknown":
      if (own && isObject(item.raw)) list.add([item.raw]);
      return;
    case "tool_result":
    case "compaction":
      return;
  }
}

export function answerPart(part: Part, own: boolean): JsonObject | undefined {
  if (own && isObject(part.raw) && (part.type !== "text" || part.raw["text"] === part.text)) return part.raw;
  if (part.type === "text" || part.type === "refusal") return { text: part.text };
  if (part.type === "image") return encodeSource(part.source, "image/png", own);
  if (part.type === "audio") return encodeSource(part.source, `audio/${part.format ?? "wav"}`, own);
  return undefined;
}

/** Thoughts are shown to whom asked for them; what another provider sealed is carried all the same. */
export function foreignThought(item: Extract<Item, { type: "reasoning" }>, call: Call): JsonObject[] {
  const text = showsThoughts(call) ? item.parts.map((part) => part.text).join("\n\n") : "";
  if (text === "" && item.carried === undefined) return [];
  return [{ text, thought: true, ...(item.carried !== undefined && { thoughtSignature: encodeCarried(item.carried) }) }];
}

export function showsThoughts(call: Call): boolean {
  const { summary } = call.reasoning ?? {};
  return summary !== undefined && summary !== "omitted";
}

/** A candidate's companions, which come with the last frame of a stream: all but content and end. */
export function companionsOf(candidate: JsonObject): JsonObject {
  return without(candidate, "content", "finishReason");
}
