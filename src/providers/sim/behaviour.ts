import {
  anchorIn,
  offeredTools,
  ProblemError,
  textOf,
  type Call,
  type FunctionToolSpec,
  type CustomToolSpec,
  type Item,
  type Origin,
  type StopReason,
  type ToolCallItem,
  type Usage,
} from "../../canon/index.ts";
import { instanceOf } from "./instance.ts";
import type { SimModel, SimToolCall, SimTurn } from "./options.ts";
import { loremOf, TOKEN_CHARACTERS, tokensOf } from "./words.ts";

/** What a simulated model answers to a call. */
export interface Reply {
  readonly items: readonly Item[];
  readonly stop: StopReason;
  readonly usage: Usage;
}

interface Saying {
  readonly text?: string | undefined;
  readonly reasoning?: string | undefined;
  readonly toolCalls: readonly ToolCallItem[];
}

const DEFAULT_TEXT = "This is the simulator. It answers without asking any model.";
const RESULT_CHARACTERS = 2000;

/**
 * @param unique distinguishes the ids of this answer's tool calls from those of others
 * @throws ProblemError when the call is longer than the model's context
 */
export function replyTo(given: Call, model: SimModel, origin: Origin, unique: string): Reply {
  const input = inputTokens(given);
  const { call, begun } = withoutBeginning(given);
  if (model.contextTokens !== undefined && input > model.contextTokens) {
    throw new ProblemError({
      kind: "invalid_request",
      code: "context_length_exceeded",
      message: `The input has ${input} tokens; this simulated model reads ${model.contextTokens}.`,
    });
  }
  if (call.operation === "compact") return compacted(call, model, origin, input);
  if (model.refusal !== undefined) {
    const items: Item[] = [{ type: "message", role: "assistant", parts: [{ type: "refusal", text: model.refusal }], origin }];
    return { items, stop: "refusal", usage: usageOf(model, input, tokensOf(model.refusal), 0) };
  }
  const saying = restOf(say(call, model, origin, unique), begun);
  const reasoning = wantsReasoning(call) ? saying.reasoning : undefined;
  const [text, stop] = limited(saying.text, call, tokensOf(reasoning ?? ""));
  const items: Item[] = [];
  if (reasoning)
    items.push({
      type: "reasoning",
      parts: [{ kind: call.reasoning?.summary === undefined ? "text" : "summary", text: reasoning }],
      signature: model.signature ?? "c2ltdWxhdGVk",
      origin,
    });
  if (text !== undefined) items.push({ type: "message", role: "assistant", parts: [{ type: "text", text }], origin });
  const calls = stop === undefined ? saying.toolCalls : [];
  items.push(...calls);
  const thought = tokensOf(reasoning ?? "");
  const output = thought + tokensOf(text ?? "") + calls.reduce((sum, one) => sum + tokensOf(one.name) + tokensOf(one.input), 0);
  return { items, stop: stop ?? (calls.length > 0 ? "tool_calls" : "end"), usage: usageOf(model, input, output, thought) };
}

/** An estimate like everything the simulator counts: four characters a token. */
export function inputTokens(call: Call): number {
  let tokens = call.instructions ? tokensOf(textOf(call.instructions.parts)) : 0;
  for (const item of call.items) {
    if (item.type === "message" || item.type === "tool_result") tokens += tokensOf(textOf(item.parts));
    else if (item.type === "tool_call") tokens += tokensOf(item.name) + tokensOf(item.input);
    else if (item.type === "reasoning") for (const part of item.parts) tokens += tokensOf(part.text);
  }
  return tokens;
}

function say(call: Call, model: SimModel, origin: Origin, unique: string): Saying {
  const forced = call.toolChoice?.type === "required" || call.toolChoice?.type === "tool";
  const script = scriptOf(model, forced);
  const round = toolRounds(call);
  const turn: SimTurn | undefined = script[Math.min(round, script.length - 1)];
  const wanted = round === 0 || turn !== script.at(-1) ? turn?.toolCalls : undefined;
  const toolCalls = wanted && call.toolChoice?.type !== "none" ? callsOf(call, wanted, origin, unique) : [];
  if (toolCalls.length > 0) return { text: turn?.text, reasoning: turn?.reasoning ?? model.reasoning, toolCalls };
  const own = turn?.text ?? plainText(call, model);
  const text = structured(call, own) ?? own;
  return { text, reasoning: turn?.reasoning ?? model.reasoning, toolCalls };
}

/** What it does turn by turn. An empty list of tool calls means "the first tool offered, or the one asked for". */
function scriptOf(model: SimModel, forced: boolean): readonly SimTurn[] {
  if (model.script) return model.script;
  if (model.toolCalls) return [{ toolCalls: model.toolCalls }, {}];
  return model.tools || forced ? [{ toolCalls: [] }, {}] : [{}];
}

/**
 * Rounds of tool results since the user last spoke. Words that came in one wire message with tool results belong to that round: agents
 * put reminders there.
 */
function toolRounds(call: Call): number {
  let rounds = 0;
  let within = false;
  for (let at = call.items.length - 1; at >= 0; at--) {
    const item = call.items[at];
    if (item?.type === "tool_result") {
      if (!within) rounds++;
      within = true;
    } else if (item?.type === "message" && item.role === "user") {
      if (!sharesMessageWithResult(call.items, at)) return rounds;
    } else if (item?.type === "tool_call" || (item?.type === "message" && item.role === "assistant")) within = false;
  }
  return rounds;
}

function sharesMessageWithResult(items: readonly Item[], at: number): boolean {
  const envelope = items[at]?.envelope;
  return envelope !== undefined && items.some((other) => other.type === "tool_result" && other.envelope === envelope);
}

type Callable = (FunctionToolSpec | CustomToolSpec) & { readonly namespace?: string };

function callsOf(call: Call, wanted: readonly SimToolCall[], origin: Origin, unique: string): readonly ToolCallItem[] {
  const tools = callables(call);
  const choice = call.toolChoice;
  const chosen = choice?.type === "tool" ? tools.filter((tool) => tool.name === choice.name && tool.namespace === choice.namespace) : tools;
  const directed = directive(call, chosen);
  const list: readonly SimToolCall[] = directed
    ? [directed]
    : wanted.length > 0
      ? wanted
      : chosen.slice(0, 1).map((tool) => ({ name: tool.name }));
  const calls: ToolCallItem[] = [];
  for (const one of list) {
    const tool = chosen.find((candidate) => candidate.name === one.name);
    if (!tool) continue;
    calls.push({
      type: "tool_call",
      callId: `call_${unique}${calls.length}`,
      name: tool.name,
      ...(tool.namespace !== undefined && { namespace: tool.namespace }),
      kind: tool.type,
      input: inputOf(tool, one),
      origin,
    });
  }
  return call.parallelToolCalls === false ? calls.slice(0, 1) : calls;
}

function callables(call: Call): readonly Callable[] {
  return offeredTools(call).flatMap((tool): readonly Callable[] => {
    if (tool.type === "native") return [];
    return tool.type === "namespace" ? tool.tools.map((inner) => ({ ...inner, namespace: tool.name })) : [tool];
  });
}

function inputOf(tool: Callable, wanted: SimToolCall): string {
  const given = wanted.arguments;
  if (tool.type === "custom") return typeof given === "string" ? given : given === undefined ? "input" : JSON.stringify(given);
  if (typeof given === "string") return given;
  return JSON.stringify(given ?? instanceOf(tool.schema ?? { type: "object" }));
}

const DIRECTIVE = /^call ([\w.-]{1,100}) (\{.*\})\s*$/m;

/** A line `call NAME {...}` in what the user says: a tool loop without a configuration, for command-line agents. */
function directive(call: Call, tools: readonly Callable[]): SimToolCall | undefined {
  const match = DIRECTIVE.exec(lastUserText(call));
  if (!match || !tools.some((tool) => tool.name === match[1])) return undefined;
  return { name: match[1] ?? "", arguments: match[2] };
}

/** Everything the user said last, in one wire message or the last item. */
function lastUserText(call: Call): string {
  const last = call.items.findLast((item) => item.type === "message" && item.role === "user");
  return last?.type === "message" ? textOf(last.parts) : "";
}

function plainText(call: Call, model: SimModel): string {
  if (model.echo) return lastUserText(call);
  if (model.text !== undefined) return model.text;
  if (model.length !== undefined) return loremOf(model.length, model.seed);
  const last = call.items.findLast((item) => item.type === "tool_result");
  if (last?.type === "tool_result" && toolRounds(call) > 0) return `The tool answered: ${textOf(last.parts).slice(0, RESULT_CHARACTERS)}`;
  return DEFAULT_TEXT;
}

/** The text of an answer whose form the call prescribes; undefined when it prescribes none, or the model's own text already has it. */
function structured(call: Call, own: string | undefined): string | undefined {
  const format = call.output?.format;
  if (!format || format.type === "text" || (own !== undefined && isJsonObject(own))) return undefined;
  return format.type === "json_schema" ? JSON.stringify(instanceOf(format.schema)) : JSON.stringify({ text: own ?? "simulated" });
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** An answer that was begun before. `again`: the words that its rest is to begin with. */
interface Beginning {
  readonly said: string;
  readonly again: string;
}

/**
 * A call that ends in the assistant's own words asks for the rest of them, and so does one that says so in a user's words behind them: so
 * a stream that broke is gone on with. What is left is the call as it was when the answer was begun.
 */
function withoutBeginning(call: Call): { readonly call: Call; readonly begun: Beginning | undefined } {
  const last = call.items.at(-1);
  if (last?.type !== "message") return { call, begun: undefined };
  if (last.role === "assistant") return { call, begun: { said: textOf(last.parts), again: "" } };
  const again = last.role === "user" ? anchorIn(textOf(last.parts)) : undefined;
  const before = call.items.at(-2);
  if (again === undefined || before?.type !== "message" || before.role !== "assistant") return { call, begun: undefined };
  return { call: { ...call, items: call.items.slice(0, -2) }, begun: { said: textOf(before.parts), again } };
}

/** What is begun otherwise than this model would begin is answered anew. */
function restOf(saying: Saying, begun: Beginning | undefined): Saying {
  const { text, toolCalls } = saying;
  if (!begun || text === undefined || !text.startsWith(begun.said)) return saying;
  const rest = begun.again === "" ? text.slice(begun.said.length) : begun.again + text.slice(begun.said.trimEnd().length);
  return { ...saying, text: rest === "" && toolCalls.length > 0 ? undefined : rest };
}

function wantsReasoning(call: Call): boolean {
  return call.reasoning?.mode !== "disabled" && call.reasoning?.effort !== "none";
}

/** Cuts a text at the caller's stop sequences and cap. */
function limited(text: string | undefined, call: Call, spent: number): readonly [string | undefined, StopReason | undefined] {
  if (text === undefined) return [undefined, undefined];
  let end = text.length;
  let stop: StopReason | undefined;
  for (const sequence of call.sampling.stop ?? []) {
    const at = sequence === "" ? -1 : text.indexOf(sequence);
    if (at < 0 || at >= end) continue;
    end = at;
    stop = "stop_sequence";
  }
  const room = call.maxOutputTokens === undefined ? Infinity : Math.max(0, call.maxOutputTokens - spent) * TOKEN_CHARACTERS;
  return end > room ? [text.slice(0, room), "max_tokens"] : [text.slice(0, end), stop];
}

function usageOf(model: SimModel, input: number, output: number, reasoning: number): Usage {
  const { usage } = model;
  const written = usage?.output ?? output;
  return {
    inputUncached: usage?.input ?? Math.max(0, input - (usage?.cached ?? 0) - (usage?.cacheWrite ?? 0) - (usage?.cacheWrite1h ?? 0)),
    cacheRead: usage?.cached ?? 0,
    cacheWrite5m: usage?.cacheWrite ?? 0,
    cacheWrite1h: usage?.cacheWrite1h ?? 0,
    output: written,
    reasoning: Math.min(usage?.reasoning ?? reasoning, written),
  };
}

/** A summary that is as easy to foresee as everything here. */
function compacted(call: Call, model: SimModel, origin: Origin, input: number): Reply {
  const text = model.text ?? `Summary of ${call.items.length} items. The user last said: ${lastUserText(call).slice(0, RESULT_CHARACTERS)}`;
  return { items: [{ type: "compaction", text, origin }], stop: "end", usage: usageOf(model, input, tokensOf(text), 0) };
}
