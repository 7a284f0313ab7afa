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
import { embeddedProblem } from "../openai-chat/problem.ts";
import { finishFor, isFailure, stopFrom } from "../openai-chat/stop.ts";
import { decodeUsage, replayUsage, usageOf } from "../openai-chat/usage.ts";
import { isList, isObject, object, text, type Draft } from "../shared-shape.ts";
import { tokensFrom, tokensTo } from "./logprobs.ts";
import { echoed, ID, OBJECT } from "./shape.ts";

const SAID = { toolCalls: false, refusal: false };

/** The first choice is the answer; others stay in `native`. @throws ProblemError upstream_broken, or what an error inside a good status says */
export function decodeAnswer(body: Json, context: { readonly provider?: string }): Answer {
  if (!isObject(body)) throw broken("The provider's answer is not a JSON object.");
  const choices = body["choices"];
  const first = isList(choices) ? choices[0] : undefined;
  if (!isObject(first) || typeof first["text"] !== "string") {
    if (isObject(body["error"])) throw new ProblemError(embeddedProblem(body, context.provider));
    throw broken("The provider's answer has no choices.");
  }
  const finish = text(first["finish_reason"]);
  if (isFailure(finish)) throw broken(`The provider broke off its answer: ${finish}.`);
  const origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  const model = text(body["model"]) ?? "";
  const usage = object(body["usage"]);
  const logprobs = tokensFrom(first["logprobs"]);
  const words = first["text"];
  return {
    id: text(body["id"]) ?? "",
    model,
    createdAt: typeof body["created"] === "number" ? body["created"] : 0,
    items: [
      {
        type: "message",
        role: "assistant",
        parts: [{ type: "text", text: words, ...(logprobs && { logprobs }) }],
        raw: { text: words },
        origin: { ...origin, model },
      },
    ],
    stop: stopFrom(finish, SAID),
    ...(finish !== undefined && { stopNative: { finish_reason: finish } }),
    usage: usage ? decodeUsage(usage, text(body["service_tier"])) : NO_USAGE,
    origin,
    native: { ...body, choices: [{ ...first, text: "" }, ...(isList(choices) ? choices.slice(1) : [])] },
  };
}

/** What the fast path needs of a plain answer. */
export function readAnswer(body: JsonObject): {
  readonly usage: Usage | undefined;
  readonly id?: string;
  readonly model?: string;
  readonly stop?: StopReason;
} {
  const choices = body["choices"];
  const first = isList(choices) ? object(choices[0]) : undefined;
  const id = text(body["id"]) ?? (first ? "" : undefined);
  const model = text(body["model"]);
  return {
    usage: usageOf(body),
    ...(id !== undefined && { id }),
    ...(model !== undefined && { model }),
    ...(first && { stop: stopFrom(text(first["finish_reason"]), SAID) }),
  };
}

export function encodeAnswer(answer: Answer, context: AnswerContext): Json {
  const native = answer.origin.dialect === ID ? answer.native : undefined;
  const choices = native?.["choices"];
  const first = isList(choices) ? object(choices[0]) : undefined;
  const echo = native ? "" : echoed(context.call);
  const before = text(first?.["finish_reason"]);
  const same = before !== undefined && stopFrom(before, SAID) === answer.stop;
  const choice: Draft = {
    text: echo + wordsIn(answer.items),
    index: 0,
    logprobs: native ? null : logprobsOf(answer.items, echo.length),
    ...first,
    finish_reason: same ? before : finishOf(answer.stop),
  };
  if (first) choice["text"] = wordsIn(answer.items);
  const body: Draft = { ...native, object: OBJECT, choices: [choice, ...(isList(choices) ? choices.slice(1) : [])] };
  const id = context.id ?? answer.id;
  if (!native || id !== "") body["id"] = id;
  if (!native || answer.model !== "") body["model"] = answer.model;
  if (!native || answer.createdAt !== 0) body["created"] = answer.createdAt || context.createdAt;
  if (!native || native["usage"] !== undefined) body["usage"] = replayUsage(native?.["usage"], answer.usage);
  return body;
}

/** The language has no word for a call of a tool or for a refusal in the model's own words. */
export function finishOf(stop: StopReason): string {
  const finish = finishFor(stop, SAID);
  return finish === "tool_calls" ? "stop" : finish;
}

function wordsIn(items: readonly Item[]): string {
  let words = "";
  for (const item of items) {
    if (item.type !== "message") continue;
    for (const part of item.parts) if (part.type === "text" || part.type === "refusal") words += part.text;
  }
  return words;
}

function logprobsOf(items: readonly Item[], offset: number): Json {
  const tokens: Json[] = [];
  for (const item of items) {
    if (item.type !== "message") continue;
    for (const part of item.parts) if (part.type === "text" && isList(part.logprobs)) tokens.push(...part.logprobs);
  }
  return tokens.length > 0 ? tokensTo(tokens, offset) : null;
}

function broken(message: string): ProblemError {
  return new ProblemError({ kind: "upstream_broken", message });
}
