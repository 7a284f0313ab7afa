import { NO_USAGE, textOf, unfold, type Answer, type Call, type Item, type Provider, type Target } from "../canon/index.ts";
import type { AttemptEnd } from "../routing/attempt.ts";
import { answerContext } from "./context.ts";
import { frameWriter, streamHeaders } from "./framing.ts";
import { answerHeaders } from "./refuse.ts";
import { JSON_TYPE } from "./reply.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";

/** Tokens that roles, separators and the like add to each item and tool. */
const TOKENS_PER_ITEM = 4;

/**
 * What needs no provider, or cannot be asked of this one: a warm-up, which only prepares the next turn, and a count of tokens for a
 * provider of another language. Undefined: the provider is to answer.
 */
export function answerHere(deps: GatewayDeps, run: Run, provider: Provider, target: Target): AttemptEnd | undefined {
  if (run.warmUp) return warmUp(deps, run, target);
  return countHere(deps, run, provider, target);
}

function warmUp(deps: GatewayDeps, run: Run, target: Target): AttemptEnd {
  const { dialect } = run.request;
  const answer: Answer = {
    id: dialect.newAnswerId?.(deps.randomness.id("")) ?? run.live.id,
    model: target.model,
    createdAt: Math.floor(run.live.startedAt / 1000),
    items: [],
    stop: "end",
    usage: NO_USAGE,
    origin: { dialect: "none" },
    native: {},
  };
  run.live.answerId = answer.id;
  run.reply = {
    state: "done",
    data: () => true,
    end: () => undefined,
    report: () => ({ id: answer.id, model: answer.model, stop: answer.stop, usage: NO_USAGE, outputCharacters: 0 }),
    answer: () => answer,
  };
  if (!run.stream) {
    run.live.whole(
      200,
      { "content-type": JSON_TYPE, ...answerHeaders(run) },
      JSON.stringify(dialect.encodeAnswer(answer, answerContext(run))),
    );
    return { status: 200 };
  }
  run.live.head(200, { ...streamHeaders(dialect), ...answerHeaders(run) });
  const written = frameWriter(dialect);
  const encoder = dialect.encodeEvents((event, data) => run.live.frame(written(event, data)), answerContext(run));
  for (const event of unfold(answer)) encoder.event(event);
  run.live.end();
  return { status: 200 };
}

/** Counts tokens here for a provider that cannot be asked in the client's language. Undefined: the provider is to answer. */
function countHere(deps: GatewayDeps, run: Run, provider: Provider, target: Target): AttemptEnd | undefined {
  const { dialect } = run.request;
  if (operationOf(run) !== "count_tokens" || !dialect.encodeCount) return undefined;
  if (provider.dialects.includes(dialect.id) && run.slowReason === undefined) return undefined;
  const tokens = countCall(deps, callOf(run), target.model);
  run.live.whole(200, { "content-type": JSON_TYPE, ...answerHeaders(run) }, JSON.stringify(dialect.encodeCount(tokens)));
  return { status: 200 };
}

function countCall(deps: GatewayDeps, call: Call, model: string): number {
  let tokens = 0;
  const count = (text: string): void => {
    tokens += deps.book.countTokens(text, model) + TOKENS_PER_ITEM;
  };
  if (call.instructions) count(textOf(call.instructions.parts));
  for (const item of call.items) count(textOfItem(item));
  for (const tool of call.tools) count(JSON.stringify(tool.raw ?? tool));
  return tokens;
}

function textOfItem(item: Item): string {
  switch (item.type) {
    case "message":
    case "tool_result":
      return textOf(item.parts);
    case "reasoning":
      return item.parts.map((part) => part.text).join("");
    case "tool_call":
      return item.name + item.input;
    case "compaction":
      return item.text ?? item.encrypted ?? "";
    case "unknown":
      return JSON.stringify(item.raw);
  }
}
