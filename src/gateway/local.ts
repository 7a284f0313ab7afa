import { textOf, type Call, type Item, type Provider, type Target } from "../canon/index.ts";
import type { AttemptEnd } from "../routing/attempt.ts";
import { answerHeaders } from "./refuse.ts";
import { JSON_TYPE } from "./reply.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";

/** Tokens that roles, separators and the like add to each item and tool. */
const TOKENS_PER_ITEM = 4;

/** Counts tokens here for a provider that cannot be asked in the client's language. Undefined: the provider is to answer. */
export async function answerHere(deps: GatewayDeps, run: Run, provider: Provider, target: Target): Promise<AttemptEnd | undefined> {
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
