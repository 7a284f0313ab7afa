import {
  NO_USAGE,
  ProblemError,
  type Answer,
  type AnswerContext,
  type Item,
  type Json,
  type JsonObject,
  type Problem,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { AnswerNames } from "./answer-names.ts";
import { annotationsFor, listedSources } from "./annotations.ts";
import { CallIds, decodeAssistant, READABLE_REASONING } from "./decode-message.ts";
import { embeddedProblem } from "./problem.ts";
import { carriedError } from "./said.ts";
import { frameOf, ID, isList, isObject, object, text, type Draft } from "./shape.ts";
import { finishFor, isFailure, stopFrom } from "./stop.ts";
import { decodeUsage, isServiceTier, replayUsage, usageObject, usageOf } from "./usage.ts";

/** Place of an answer's envelope: unlike any of a request's messages. */
export const ANSWER_PLACE = -1;

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}

/** The first choice of an answer, or why it is none: an error inside a good status, a choice that failed, no choice at all. */
function firstChoice(body: JsonObject, provider: string | undefined): JsonObject | Failed {
  const error = carriedError(body);
  if (error) return new Failed(embeddedProblem(error, provider));
  const choices = body["choices"];
  const first = isList(choices) ? choices[0] : undefined;
  if (!isObject(first)) return new Failed(broken("The provider's answer has no choices."));
  if (!object(first["message"])) return new Failed(broken("The provider's answer has a choice without a message."));
  const finish = text(first["finish_reason"]);
  return isFailure(finish) ? new Failed(broken(`The provider broke off its answer: ${finish}.`)) : first;
}

/** Tells a problem from a choice. */
class Failed {
  readonly problem: Problem;
  constructor(problem: Problem) {
    this.problem = problem;
  }
}

/**
 * The first choice is the answer; others stay in `native`, where also the first one's message frame and its companions are.
 * @throws ProblemError upstream_broken, or what an error inside a good status says
 */
export function decodeAnswer(body: Json, context: { readonly provider?: string }): Answer {
  if (!isObject(body)) throw new ProblemError(broken("The provider's answer is not a JSON object."));
  const first = firstChoice(body, context.provider);
  if (first instanceof Failed) throw new ProblemError(first.problem);
  const message = object(first["message"]) ?? {};
  const finish = text(first["finish_reason"]);
  const choices = isList(body["choices"]) ? body["choices"] : [];

  const id = text(body["id"]) ?? "";
  const model = text(body["model"]) ?? "";
  const origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  const { items, envelope } = decodeAssistant(message, {
    path: undefined,
    origin: { ...origin, model },
    place: ANSWER_PLACE,
    ids: new CallIds(`call_${id}`),
  });
  const usage = usageObject(body);
  return {
    id,
    model,
    createdAt: typeof body["created"] === "number" ? body["created"] : 0,
    items: withSources(withLogprobs(items, first), body),
    stop: stopFrom(finish, saidBy(items)),
    ...(finish !== undefined && { stopNative: { finish_reason: finish } }),
    usage: usage ? decodeUsage(usage, text(body["service_tier"])) : NO_USAGE,
    origin,
    native: { ...body, choices: [{ ...first, message: frameOf(envelope)?.message ?? {} }, ...choices.slice(1)] },
  };
}

function saidBy(items: readonly Item[]): { toolCalls: boolean; refusal: boolean } {
  return {
    toolCalls: items.some((item) => item.type === "tool_call"),
    refusal: items.some((item) => item.type === "message" && item.parts.some((part) => part.type === "refusal")),
  };
}

/** Token probabilities stand beside the message; the canonical form has them on the text. They stay in `native` for this language. */
function withLogprobs(items: readonly Item[], choice: JsonObject): readonly Item[] {
  const tokens = object(choice["logprobs"])?.["content"];
  if (!isList(tokens) || tokens.length === 0) return items;
  return items.map((item) =>
    item.type === "message" && item.parts[0]?.type === "text"
      ? { ...item, parts: [{ ...item.parts[0], logprobs: tokens }, ...item.parts.slice(1)] }
      : item,
  );
}

/** Pages listed beside the choices are citations of the answer's text, where it has none of its own. */
function withSources(items: readonly Item[], body: JsonObject): readonly Item[] {
  let left = true;
  return items.map((item) => {
    const first = item.type === "message" ? item.parts.findIndex((part) => part.type === "text") : -1;
    const part = item.type === "message" ? item.parts[first] : undefined;
    if (!left || item.type !== "message" || part?.type !== "text" || part.annotations) return item;
    left = false;
    const annotations = listedSources(body, part.text);
    return annotations.length === 0 ? item : { ...item, parts: item.parts.with(first, { ...part, annotations }) };
  });
}

/** What the fast path needs of a plain answer. */
export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly model?: string;
  readonly stop?: StopReason;
  readonly problem?: Problem;
} {
  const failed = firstChoice(body, undefined);
  const choices = body["choices"];
  const first = isList(choices) ? object(choices[0]) : undefined;
  const message = object(first?.["message"]);
  const id = text(body["id"]) ?? (first ? "" : undefined);
  const model = text(body["model"]);
  const calls = message?.["tool_calls"];
  const toolCalls = (isList(calls) && calls.length > 0) || text(object(message?.["function_call"])?.["name"]) !== undefined;
  return {
    usage: usageOf(body),
    ...(failed instanceof Failed && { problem: failed.problem }),
    ...(id !== undefined && { id }),
    ...(model !== undefined && { model }),
    ...(message && { stop: stopFrom(text(first?.["finish_reason"]), { toolCalls, refusal: text(message["refusal"]) !== undefined }) }),
  };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): Json {
  const native = answer.origin.dialect === ID ? answer.native : undefined;
  const names = new AnswerNames(context.call);
  const choices = native?.["choices"];
  const first = isList(choices) ? object(choices[0]) : undefined;
  const message = encodeMessage(answer.items, object(first?.["message"]), native !== undefined, names);
  const choice: Draft = { index: 0, ...first, message };
  choice["finish_reason"] = finishOf(answer, first);
  if (!first) choice["logprobs"] = logprobsOf(answer.items);
  const body: Draft = { ...native };
  if (native === undefined) {
    body["object"] = "chat.completion";
    if (isServiceTier(answer.usage.serviceTier)) body["service_tier"] = answer.usage.serviceTier;
  } else if (native["object"] === "chat.completion.chunk") {
    // A stream's pieces folded together are a whole answer.
    body["object"] = "chat.completion";
  }
  setUnlessEmpty(body, "id", context.id ?? answer.id, native);
  setUnlessEmpty(body, "model", answer.model, native);
  if (native === undefined || answer.createdAt !== 0) setUnlessEmpty(body, "created", answer.createdAt || context.createdAt, native);
  body["choices"] = [choice, ...(isList(choices) ? choices.slice(1) : [])];
  if (native === undefined || native["usage"] !== undefined) body["usage"] = replayUsage(native?.["usage"], answer.usage);
  return body;
}

/** A vendor that leaves a field out or empty is not corrected. */
function setUnlessEmpty(body: Draft, key: string, value: string | number, native: JsonObject | undefined): void {
  const empty = value === "" && native !== undefined;
  if (!empty) body[key] = value;
}

function finishOf(answer: Answer, first: JsonObject | undefined): Json {
  const before = first?.["finish_reason"];
  if (before !== undefined && stopFrom(text(before), saidBy(answer.items)) === answer.stop) return before;
  return finishFor(answer.stop, saidBy(answer.items));
}

function logprobsOf(items: readonly Item[]): Json {
  const tokens: Json[] = [];
  for (const item of items) {
    if (item.type !== "message") continue;
    for (const part of item.parts) if (part.type === "text" && isList(part.logprobs)) tokens.push(...part.logprobs);
  }
  return tokens.length > 0 ? { content: tokens, refusal: null } : null;
}

/** A choice's message from items of this language, which all have their `raw`. */
export function wholeMessage(items: readonly Item[], frame: JsonObject | undefined): JsonObject {
  return encodeMessage(items, frame, true, undefined);
}

/** The one message that chat completions has for all of an answer. `names` is only needed for items that have no `raw` of this language. */
function encodeMessage(items: readonly Item[], frame: JsonObject | undefined, own: boolean, names: AnswerNames | undefined): JsonObject {
  const message: Draft = frame ? { ...frame } : { role: "assistant", content: null, refusal: null };
  const calls: Json[] = [];
  const contents: Json[] = [];
  const add = (key: string, value: string): void => {
    message[key] = (text(message[key]) ?? "") + value;
  };
  const annotations: Json[] = [];
  for (const item of items) {
    const raw = own && item.raw !== undefined && item.origin?.dialect === ID ? item.raw : undefined;
    if (item.type === "tool_call") {
      if (raw === undefined || names?.isWrapped(item)) calls.push(names?.toolCall(item) ?? null);
      else if (frame && "function_call" in frame && isObject(raw) && raw["function"] === undefined && raw["custom"] === undefined)
        message["function_call"] = raw;
      else calls.push(raw);
    } else if ((item.type === "message" || item.type === "reasoning") && isObject(raw)) {
      for (const [key, value] of Object.entries(raw)) {
        if (key === "content") contents.push(value ?? null);
        else if (typeof value === "string") add(key, value);
        else message[key] = value;
      }
    } else if (item.type === "reasoning") {
      for (const part of item.parts) add(READABLE_REASONING[0], part.text);
    } else if (item.type === "message") {
      for (const part of item.parts) {
        if (part.type === "text") {
          contents.push(part.text);
          annotations.push(...annotationsFor(part.annotations));
        } else if (part.type === "refusal") add("refusal", part.text);
      }
    }
  }
  if (contents.length > 0) message["content"] = joined(contents);
  if (annotations.length > 0) message["annotations"] = annotations;
  if (calls.length > 0) message["tool_calls"] = calls;
  return message;
}

function joined(contents: readonly Json[]): Json {
  const [first, ...more] = contents;
  if (more.length === 0) return first ?? null;
  if (contents.every((content) => typeof content === "string")) return contents.join("");
  return contents.flatMap((content) => (isList(content) ? content : typeof content === "string" ? [{ type: "text", text: content }] : []));
}
