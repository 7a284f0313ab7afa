import {
  NO_USAGE,
  offeredTools,
  ProblemError,
  type Answer,
  type AnswerContext,
  type Headers,
  type Item,
  type Json,
  type JsonObject,
  type ReasoningItem,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { isList, isObject, object, type Draft } from "../shared-shape.ts";
import { flattenToolCall, flattenTools, type FlatTools } from "../shared-tools.ts";
import { decodeBlocks } from "./decode-blocks.ts";
import { inputObject, thoughtBlocks } from "./encode-blocks.ts";
import { decodeProblem } from "./problem.ts";
import { envelopeOf, ID } from "./shape.ts";
import { reasonFor, stopOf } from "./stop.ts";
import { saysUsage, usageFields, usageOf } from "./usage.ts";

/** Place of an answer's envelope: unlike any of a request's messages. */
export const ANSWER_PLACE = -1;

/** The header by which the service names an answer, which itself has no id. */
const ID_HEADER = "x-amzn-requestid";

export function broken(message: string): ProblemError {
  return new ProblemError({ kind: "upstream_broken", message });
}

/** @throws ProblemError upstream_broken, or what an error inside a good status says */
export function decodeAnswer(body: Json, context: { readonly provider?: string; readonly headers?: Headers }): Answer {
  if (!isObject(body)) throw broken("The provider's answer is not a JSON object.");
  const output = object(body["output"]);
  const message = object(output?.["message"]);
  if (!message) {
    if (typeof body["__type"] === "string")
      throw new ProblemError(decodeProblem({ status: 502, headers: {}, body, text: "", provider: context.provider ?? "" }));
    throw broken("The provider's answer has no message.");
  }
  const origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  const { content, ...frame } = message;
  return {
    id: context.headers?.[ID_HEADER] ?? "",
    model: "",
    createdAt: 0,
    items: itemsOf(content, origin),
    stop: stopOf(body),
    stopNative: { stopReason: body["stopReason"] ?? null },
    usage: usageOf(body) ?? NO_USAGE,
    origin,
    native: { ...body, output: { ...output, message: frame } },
  };
}

function itemsOf(content: Json | undefined, origin: Answer["origin"]): readonly Item[] {
  const envelope = envelopeOf("assistant", { role: "assistant" }, ANSWER_PLACE);
  try {
    return decodeBlocks(isList(content) ? content : [], { role: "assistant", origin, envelope }, "output.message.content");
  } catch (error) {
    throw broken(`The provider's answer is garbled${error instanceof ProblemError ? `: ${error.problem.message}` : "."}`);
  }
}

/** What the fast path needs of a plain answer. */
export function readAnswer(body: JsonObject): { readonly usage: Usage | undefined; readonly stop?: StopReason } {
  return { usage: usageOf(body), ...("stopReason" in body && { stop: stopOf(body) }) };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): Json {
  const native = answer.origin.dialect === ID ? answer.native : undefined;
  const output = object(native?.["output"]);
  const frame = object(output?.["message"]);
  const flat = flattenTools(offeredTools(context.call));
  const body: Draft = {
    ...native,
    output: { ...output, message: { role: "assistant", ...frame, content: answer.items.flatMap((item) => answerBlocks(item, flat)) } },
    stopReason: reasonFor(answer.stop, native),
  };
  if (!native || (native["usage"] !== undefined && !saysUsage(native, answer.usage))) body["usage"] = usageFields(answer.usage);
  body["metrics"] ??= { latencyMs: 0 };
  return body;
}

/** Another provider's proof is of no use to a client, but for one that was sealed for it to carry. */
export function shownThought({ parts, carried }: ReasoningItem): ReasoningItem {
  return { type: "reasoning", parts, ...(carried !== undefined && { signature: carried }) };
}

/** The blocks by which an answer's item is told to a client. */
function answerBlocks(item: Item, flat: FlatTools): readonly Json[] {
  const raw = item.origin?.dialect === ID && isList(item.raw) ? item.raw : undefined;
  if (raw) return raw;
  switch (item.type) {
    case "message":
      return item.parts.flatMap((part): readonly Json[] => {
        const [first] = item.origin?.dialect === ID && isList(part.raw) ? part.raw : [];
        if (first !== undefined && (part.type !== "text" || object(first)?.["text"] === undefined || object(first)?.["text"] === part.text))
          return isList(part.raw) ? part.raw : [];
        if (part.type === "text" || part.type === "refusal") return part.text === "" ? [] : [{ text: part.text }];
        return [];
      });
    case "reasoning":
      return thoughtBlocks(item.origin?.dialect === ID ? item : shownThought(item));
    case "tool_call": {
      const { name, input } = flattenToolCall(item, flat);
      return [{ toolUse: { toolUseId: item.callId, name, input: inputObject(input) } }];
    }
    default:
      return [];
  }
}
