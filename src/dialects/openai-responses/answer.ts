import {
  ProblemError,
  type Answer,
  type AnswerContext,
  type Item,
  type Json,
  type JsonObject,
  type Operation,
  type Origin,
  NO_USAGE,
  offeredTools,
  type StopReason,
  textOf,
  type Usage,
} from "../../canon/index.ts";
import { flattenTools, unflattenToolCall, type FlatTools } from "../shared-tools.ts";
import { decodeAnswerItem } from "./decode-items.ts";
import { encodeOutputItem, finishedArguments, isShown, itemId, stemOf } from "./output-items.ts";
import { problemInAnswer } from "./problem.ts";
import { buildResponse } from "./response.ts";
import { countIn, ID, isList, isObject, stringIn, textIn, without, type Draft } from "./shape.ts";
import { statusOf, stopOf } from "./stop.ts";
import { encodeUsage, usageOf } from "./usage.ts";

const NOTHING_SEEN = { toolCall: false, refusal: false };

/** @throws ProblemError upstream_broken, or what the answer itself reports */
export function decodeAnswer(body: Json, context: { readonly provider?: string; readonly operation: Operation }): Answer {
  if (!isObject(body)) throw broken("The provider's answer is not a JSON object.");
  const { output } = body;
  const problem = problemInAnswer(body, context.provider ?? "");
  if (problem) throw new ProblemError(problem);
  if (!isList(output)) throw broken("The provider's answer holds no list of output items.");
  const model = stringIn(body["model"]);
  const origin: Origin = {
    dialect: ID,
    ...(context.provider !== undefined && { provider: context.provider }),
    ...(model !== "" && { model }),
  };
  return {
    id: stringIn(body["id"]),
    model,
    createdAt: countIn(body["created_at"]),
    items: output.map((item) => decodeAnswerItem(item, origin)),
    stop: stopOf(body, NOTHING_SEEN),
    usage: usageOf(body) ?? NO_USAGE,
    origin: { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) },
    native: without(body, "output"),
  };
}

function broken(message: string): ProblemError {
  return new ProblemError({ kind: "upstream_broken", message });
}

export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly model?: string;
  readonly stop?: StopReason;
} {
  const id = textIn(body["id"]);
  const model = textIn(body["model"]);
  return {
    usage: usageOf(body),
    ...(id !== undefined && { id }),
    ...(model !== undefined && { model }),
    ...(isList(body["output"]) && { stop: stopOf(body, NOTHING_SEEN) }),
  };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): Json {
  if (context.call.operation === "compact") return encodeCompacted(answer, context);
  const own = isOwnObject(answer.native, "response");
  const id = context.id ?? (own ? answer.id : foreignId(answer.id));
  const output = encodeOutput(answer.items, id, context);
  if (own) return { ...answer.native, ...ownOverrides(answer.native, context), output };
  const { status, incompleteReason } = statusOf(answer.stop, answer.items);
  return buildResponse(
    {
      id,
      model: answer.model,
      createdAt: answer.createdAt === 0 || context.id !== undefined ? context.createdAt : answer.createdAt,
      status,
      ...(incompleteReason !== undefined && { incompleteReason }),
      output,
      usage: encodeUsage(answer.usage),
      ...(answer.usage.serviceTier !== undefined && { serviceTier: answer.usage.serviceTier }),
    },
    context,
  );
}

/** Are these top-level fields of this language's own object? Some servers leave its name out but never the list beside it. */
export function isOwnObject(native: JsonObject | undefined, object: string): native is JsonObject {
  return native !== undefined && native["object"] === object;
}

/** The id of an answer in another language, as ids look here; the same one always becomes the same. */
export function foreignId(id: string): string {
  return newAnswerId(id === "" ? NAMELESS : stemOf(id));
}

/** Ids begin so in this language. `unique` is lower-case letters and digits. */
export function newAnswerId(unique: string): string {
  return `resp_${unique}`;
}

/** For answers that came without an id and were promised none. */
const NAMELESS = "0";

/** What the gateway did that the provider does not know of: it promised an id, filled in earlier turns, keeps the answer itself. */
export function ownOverrides(native: JsonObject, context: AnswerContext): Draft {
  const { call } = context;
  const overrides: Draft = {};
  if (context.id !== undefined) {
    overrides["id"] = context.id;
    overrides["created_at"] = context.createdAt;
  }
  if (context.previousId !== undefined) overrides["previous_response_id"] = context.previousId;
  if (call.origin.dialect !== ID) return overrides;
  if (call.touched.has("items") || call.touched.has("previousId")) overrides["store"] = call.store !== false;
  if (call.touched.has("background") && native["background"] !== undefined) overrides["background"] = call.native["background"] === true;
  return overrides;
}

/** Items another language's model wrote, under the names of this call's own tools. */
function encodeOutput(items: readonly Item[], answerId: string, context: AnswerContext): Json[] {
  const output: Json[] = [];
  const flat = flattenTools(offeredTools(context.call));
  for (const item of items) {
    if (!isShown(item)) continue;
    const shown = asOffered(item, flat);
    output.push(encodeOutputItem(shown, itemId(shown, answerId, output.length)));
  }
  return output;
}

/** A call of the flat function that stood for a namespaced or custom tool becomes a call of that tool. */
function asOffered(item: Item, flat: FlatTools): Item {
  if (item.type !== "tool_call" || item.origin?.dialect === ID) return item;
  const named = unflattenToolCall(item, flat);
  return named.kind === "function" ? { ...named, input: finishedArguments(named.input) } : named;
}

/**
 * A compacted conversation: the user's messages as they were, then one compaction item. A provider that knows no compaction was asked for
 * a summary in words; it is sealed here.
 */
function encodeCompacted(answer: Answer, context: AnswerContext): Json {
  if (isOwnObject(answer.native, "response.compaction"))
    return { ...answer.native, output: encodeOutput(answer.items, answer.id, context) };
  const id = context.id ?? foreignId(answer.id);
  const users = context.call.items.filter(
    (item) => item.type === "message" && item.role === "user" && item.parts.some((part) => part.type === "text"),
  );
  const kept = answer.items.find((item) => item.type === "compaction");
  const summary: Item = kept ?? {
    type: "compaction",
    text: answer.items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join(""),
  };
  const output = users.map((item, index) => userMessage(item, id, index));
  output.push(encodeOutputItem(summary, itemId(summary, id, users.length)));
  const createdAt = answer.createdAt === 0 ? context.createdAt : answer.createdAt;
  return { id, object: "response.compaction", created_at: createdAt, output, usage: encodeUsage(answer.usage) };
}

function userMessage(item: Item, answerId: string, index: number): Json {
  const parts = item.type === "message" ? item.parts : [];
  return {
    type: "message",
    id: itemId(item, answerId, index),
    status: "completed",
    role: "user",
    content: parts.flatMap((part) => (part.type === "text" ? [{ type: "input_text", text: part.text }] : [])),
  };
}
