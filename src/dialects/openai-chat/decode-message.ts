import {
  invalid,
  type Envelope,
  type Item,
  type Json,
  type JsonObject,
  type MessageItem,
  type Origin,
  type Part,
  type ReasoningItem,
  type ToolCallItem,
} from "../../canon/index.ts";
import { decodeAnswerPart, decodePart, isThinking, thinkingText } from "./decode-parts.ts";
import { demand, frameEnvelope, isList, isObject, object, read, text, type Draft } from "./shape.ts";

/** Fields in which vendors put readable reasoning beside the content. */
export const READABLE_REASONING = ["reasoning_content", "reasoning"] as const;

/** Names tool calls for which the wire has no id, and finds them again for their results. */
export class CallIds {
  readonly #prefix: string;
  readonly #byName = new Map<string, string[]>();
  readonly #unnamed: string[] = [];
  #count = 0;

  /** `prefix` must be unlike any id on the wire. */
  constructor(prefix: string) {
    this.#prefix = prefix.replaceAll(/[^A-Za-z0-9_-]/g, "_");
  }
  /** For a call whose id is empty. */
  unnamed(): string {
    const id = this.#next();
    this.#unnamed.push(id);
    return id;
  }
  /** For a legacy function call, which has no id at all. */
  legacy(name: string): string {
    const id = this.#next();
    this.#byName.set(name, [...(this.#byName.get(name) ?? []), id]);
    return id;
  }
  /** The oldest call without an id that has no result yet. */
  answerUnnamed(): string | undefined {
    return this.#unnamed.shift();
  }
  answerLegacy(name: string): string | undefined {
    return this.#byName.get(name)?.shift();
  }
  #next(): string {
    return `${this.#prefix}_${this.#count++}`;
  }
}

interface MessageContext {
  /** Where the message stands, for faults: `messages[3]`. Undefined for a model's answer, which is tolerated whatever it is. */
  readonly path: string | undefined;
  readonly origin: Origin;
  readonly place: number;
  readonly ids: CallIds;
}

/**
 * The items of an assistant message, in the order in which the model makes them: reasoning, content, tool calls. What is not
 * understood stays in the envelope.
 * @throws ProblemError when `context.path` is given and a field has the wrong type
 */
export function decodeAssistant(
  message: JsonObject,
  context: MessageContext,
): { readonly items: readonly Item[]; readonly envelope: Envelope } {
  const frame: Draft = { ...message };
  const cut: string[] = [];
  const envelope = frameEnvelope("assistant", { message: frame, cut, answer: context.path === undefined }, context.place);
  const base = { origin: context.origin, envelope };
  const take = (key: string, placeholder: Json = null): void => {
    frame[key] = placeholder;
    cut.push(key);
  };

  const items: Item[] = [];
  const reasoning = beside(message, take);
  if (reasoning) items.push({ ...reasoning, ...base });
  items.push(...decodeContent(message, context, base, take));
  items.push(...decodeToolCalls(message, context, base, take));
  // A request's message that says nothing must still have its place.
  if (items.length === 0 && context.path !== undefined) {
    const kept = "content" in message ? { content: message["content"] ?? null } : {};
    if ("content" in message) take("content", isList(message["content"]) ? [] : null);
    items.push({ type: "message", role: "assistant", parts: [], raw: kept, ...base });
  }
  return { items, envelope };
}

type Take = (key: string, placeholder?: Json) => void;
type ItemBase = { readonly origin: Origin; readonly envelope: Envelope };

/** Reasoning in fields of its own. An empty field is left in the envelope: it says nothing, but some vendors insist on it. */
function beside(message: JsonObject, take: Take): Omit<ReasoningItem, "envelope"> | undefined {
  const fragment: Draft = {};
  let shown = "";
  for (const key of READABLE_REASONING) {
    const value = text(message[key]);
    if (value === undefined) continue;
    fragment[key] = value;
    shown ||= value;
    take(key);
  }
  const details = message["reasoning_details"];
  const listed = isList(details) && details.length > 0 ? details : undefined;
  if (listed) {
    fragment["reasoning_details"] = listed;
    take("reasoning_details");
  }
  if (Object.keys(fragment).length === 0) return undefined;
  return reasoningItem(shown || detailsText(listed ?? []), listed ?? [], fragment);
}

export function reasoningItem(shown: string, details: readonly Json[], raw: JsonObject): Omit<ReasoningItem, "envelope"> {
  const signature = firstOf(details, "signature");
  const encrypted = firstOf(details, "data");
  return {
    type: "reasoning",
    parts: shown === "" ? [] : [{ kind: isSummary(details) ? "summary" : "text", text: shown }],
    ...(signature !== undefined && { signature }),
    ...(encrypted !== undefined && { encrypted }),
    raw,
  };
}

export function isSummary(details: readonly Json[]): boolean {
  const readable = details.filter((detail) => isObject(detail) && detail["type"] !== "reasoning.encrypted");
  return readable.length > 0 && readable.every((detail) => isObject(detail) && detail["type"] === "reasoning.summary");
}

export function detailsText(details: readonly Json[]): string {
  let all = "";
  for (const detail of details) if (isObject(detail)) all += text(detail["text"]) ?? text(detail["summary"]) ?? "";
  return all;
}

function firstOf(details: readonly Json[], key: string): string | undefined {
  for (const detail of details) {
    const value = isObject(detail) ? text(detail[key]) : undefined;
    if (value !== undefined) return value;
  }
  return undefined;
}

function decodeContent(message: JsonObject, context: MessageContext, base: ItemBase, take: Take): Item[] {
  const content = message["content"];
  const items = isList(content) && content.length > 0 ? contentList(content, context, base) : [];
  if (items.length > 0) take("content", []);
  else if (text(content) !== undefined) {
    items.push({
      type: "message",
      role: "assistant",
      parts: [{ type: "text", text: text(content) ?? "" }],
      raw: { content: content ?? null },
      ...base,
    });
    take("content");
  } else if (context.path !== undefined && content !== null && content !== undefined && content !== "" && !isList(content)) {
    throw invalid(`\`${context.path}.content\` must be a string or a list of parts.`, `${context.path}.content`);
  }
  return withExtras(items, message, base, take);
}

/** Thinking and text may alternate in one list; each run is an item, and together they are the list again. */
function contentList(content: readonly Json[], context: MessageContext, base: ItemBase): Item[] {
  const items: Item[] = [];
  let start = 0;
  while (start < content.length) {
    const thinking = isThinking(content[start] ?? null);
    let end = start + 1;
    while (end < content.length && isThinking(content[end] ?? null) === thinking) end++;
    const run = content.slice(start, end);
    const raw = { content: run };
    if (thinking)
      items.push({ ...reasoningItem(run.map((part) => (isObject(part) ? thinkingText(part) : "")).join(""), run, raw), ...base });
    else {
      const first = start;
      items.push({ type: "message", role: "assistant", parts: run.map((part, at) => listPart(part, context, first + at)), raw, ...base });
    }
    start = end;
  }
  return items;
}

function listPart(part: Json, context: MessageContext, at: number): Part {
  return context.path === undefined ? decodeAnswerPart(part) : decodePart(part, `${context.path}.content[${at}]`);
}

/** Refusal, annotations and sound stand beside the content but belong to the message item. */
function withExtras(items: Item[], message: JsonObject, base: ItemBase, take: Take): Item[] {
  const refusal = text(message["refusal"]);
  const annotations = message["annotations"];
  const listed = isList(annotations) && annotations.length > 0 ? annotations : undefined;
  const audio = object(message["audio"]);
  const sound = audio && (text(audio["data"]) ?? text(audio["id"])) !== undefined ? audio : undefined;
  if (refusal === undefined && !listed && !sound) return items;

  const last = items.findLast((item) => item.type === "message");
  const before: MessageItem = last ?? { type: "message", role: "assistant", parts: [], raw: {}, ...base };
  const parts: Part[] = [...before.parts];
  const fragment: Draft = { ...object(before.raw) };
  if (listed) {
    const first = parts.findIndex((part) => part.type === "text");
    const target = parts[first];
    if (target?.type === "text") parts[first] = { ...target, annotations: listed };
    fragment["annotations"] = listed;
    take("annotations");
  }
  if (refusal !== undefined) {
    parts.push({ type: "refusal", text: refusal });
    fragment["refusal"] = refusal;
    take("refusal");
  }
  if (sound) {
    parts.push(soundPart(sound));
    fragment["audio"] = sound;
    take("audio");
  }
  const item: MessageItem = { ...before, parts, raw: fragment };
  return last ? items.map((other) => (other === last ? item : other)) : [...items, item];
}

export function soundPart(audio: JsonObject): Part {
  const data = text(audio["data"]);
  const fileId = text(audio["id"]);
  const transcript = text(audio["transcript"]);
  const source = data !== undefined ? { data } : { ...(fileId !== undefined && { fileId }) };
  return { type: "audio", source, ...(transcript !== undefined && { transcript }), raw: audio };
}

function decodeToolCalls(message: JsonObject, context: MessageContext, base: ItemBase, take: Take): Item[] {
  const { path } = context;
  const calls = path === undefined ? message["tool_calls"] : read(message, "tool_calls", "list", `${path}.`);
  if (isList(calls) && calls.length > 0) {
    take("tool_calls");
    const items: Item[] = [];
    for (const [at, raw] of calls.entries()) {
      const item = toolCall(raw, path === undefined ? undefined : `${path}.tool_calls[${at}]`, context.ids);
      if (item) items.push({ ...item, ...base });
    }
    return items;
  }
  const legacy = path === undefined ? object(message["function_call"]) : read(message, "function_call", "object", `${path}.`);
  const name = legacy && text(legacy["name"]);
  if (!legacy || name === undefined) return [];
  take("function_call");
  const callId = context.ids.legacy(name);
  return [{ type: "tool_call", callId, name, kind: "function", input: text(legacy["arguments"]) ?? "", raw: legacy, ...base }];
}

function toolCall(raw: Json, path: string | undefined, ids: CallIds): ToolCallItem | undefined {
  if (!isObject(raw)) {
    if (path === undefined) return undefined;
    throw invalid(`\`${path}\` must be an object.`, path);
  }
  const custom = raw["type"] === "custom";
  const key = custom ? "custom" : "function";
  const body = path === undefined ? object(raw[key]) : demand(raw, key, "object", `${path}.`);
  const name = path === undefined ? text(body?.["name"]) : demand(body ?? {}, "name", "string", `${path}.${key}.`);
  const id = path === undefined ? text(raw["id"]) : read(raw, "id", "string", `${path}.`);
  return {
    type: "tool_call",
    callId: id || ids.unnamed(),
    name: name ?? "",
    kind: custom ? "custom" : "function",
    input: inputOf(body?.[custom ? "input" : "arguments"], path, `${key}.${custom ? "input" : "arguments"}`),
    raw,
  };
}

/** Arguments are JSON text; some vendors send the object itself. */
function inputOf(value: Json | undefined, path: string | undefined, field: string): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  if (path === undefined || isObject(value)) return JSON.stringify(value);
  throw invalid(`\`${path}.${field}\` must be a string.`, `${path}.${field}`);
}
