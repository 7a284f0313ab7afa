import {
  offeredTools,
  ProblemError,
  textOf,
  type FlatNames,
  type Call,
  type Item,
  type Part,
  type ToolResultItem,
} from "../../canon/index.ts";
import type { ChatJob, LocalTool, SaidPart, Turn } from "./protocol.ts";

/** A conversation as an engine takes it. @throws ProblemError unsupported, for what no model in process takes */
export function chatJob(call: Call, names: FlatNames): ChatJob {
  const { sampling, toolChoice } = call;
  if ((sampling.n ?? 1) > 1) throw refused("Models in process give one answer at a time.", "n");
  if (sampling.topLogprobs !== undefined) throw refused("Models in process tell no log probabilities.", "logprobs");
  const tools = toolChoice?.type === "none" ? [] : offered(call, names);
  const mustCall = toolChoice?.type === "required" || toolChoice?.type === "tool";
  return {
    does: "chat",
    turns: turnsOf(call, names),
    tools,
    mustCall: mustCall && tools.length > 0,
    parallelCalls: call.parallelToolCalls ?? true,
    format: formatOf(call, tools),
    maxTokens: call.maxOutputTokens,
    temperature: sampling.temperature,
    topP: sampling.topP,
    topK: sampling.topK,
    seed: sampling.seed,
    presencePenalty: sampling.presencePenalty,
    frequencyPenalty: sampling.frequencyPenalty,
    stop: sampling.stop ?? [],
  };
}

function offered({ toolChoice, tools, items }: Call, names: FlatNames): readonly LocalTool[] {
  for (const tool of offeredTools({ tools, items }))
    if (tool.type === "native" || tool.type === "custom") throw refused("Models in process take functions only.", "tools");
  const all = names.tools.map(({ flatName, tool }): LocalTool => ({
    name: flatName,
    description: tool.description,
    schema: tool.type === "function" ? tool.schema : undefined,
  }));
  if (toolChoice?.type !== "tool") return all;
  const wanted = names.of(toolChoice.namespace, toolChoice.name);
  return all.filter(({ name }) => name === wanted);
}

function formatOf({ output }: Call, tools: readonly LocalTool[]): ChatJob["format"] {
  const format = output?.format;
  if (format === undefined || format.type === "text") return { type: "text" };
  if (tools.length > 0) throw refused("Models in process hold an answer to a schema only where no tools are offered.", "response_format");
  return format.type === "json_schema" ? { type: "schema", schema: format.schema, strict: format.strict === true } : { type: "json" };
}

function turnsOf(call: Call, names: FlatNames): readonly Turn[] {
  const results = new Map(
    call.items.filter((item): item is ToolResultItem => item.type === "tool_result").map((item) => [item.callId, plain(item.parts)]),
  );
  const turns: Turn[] = call.instructions ? [{ role: "system", text: textOf(call.instructions.parts) }] : [];
  let said: SaidPart[] = [];
  const flush = (): void => {
    if (said.length > 0) turns.push({ role: "model", said });
    said = [];
  };
  for (const item of call.items) {
    const part = saidBy(item, results, names);
    if (part === "nothing") continue;
    if (part) {
      said.push(part);
      continue;
    }
    flush();
    turns.push(turnOf(item));
  }
  flush();
  return turns;
}

/** What the model itself said. Results stand with their calls, so an item of their own says nothing more. */
function saidBy(item: Item, results: ReadonlyMap<string, string>, names: FlatNames): SaidPart | "nothing" | undefined {
  switch (item.type) {
    case "message":
      return item.role === "assistant" ? { text: plain(item.parts) } : undefined;
    case "reasoning": {
      const thought = item.parts.map(({ text }) => text).join("");
      return thought === "" ? "nothing" : { thought };
    }
    case "tool_call":
      return { call: { name: names.of(item.namespace, item.name), input: item.input, result: results.get(item.callId) ?? "" } };
    case "tool_result":
      return "nothing";
    case "compaction":
      return item.text === undefined ? "nothing" : undefined;
    case "unknown":
      return undefined;
  }
}

function turnOf(item: Item): Turn {
  if (item.type === "message") return { role: item.role === "user" ? "user" : "system", text: plain(item.parts) };
  if (item.type === "compaction") return { role: "system", text: item.text ?? "" };
  throw refused(`Models in process cannot take a ${item.type === "unknown" ? item.kind : item.type}.`, "messages");
}

function plain(parts: readonly Part[]): string {
  let text = "";
  for (const part of parts) {
    if (part.type === "text" || part.type === "refusal") text += part.text;
    else if (part.type === "file" && part.text !== undefined) text += part.text;
    else throw refused(`Models in process read text only, no ${part.type === "unknown" ? part.kind : part.type}.`, "messages");
  }
  return text;
}

function refused(message: string, param: string): ProblemError {
  return new ProblemError({ kind: "unsupported", message, param });
}
