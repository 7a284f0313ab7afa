import { invalid, type Item, type Json, type JsonObject, type Origin, type Part, type ToolCallItem } from "../../canon/index.ts";
import { demand, isList, isObject, object, read, text, type Draft } from "../shared-shape.ts";
import { decodeImages } from "./images.ts";
import { frameEnvelope, ORIGIN } from "./shape.ts";

/** Names tool calls without an id, and finds the call that a result without one answers: by the tool's name, else the oldest left. */
export class CallIds {
  readonly #prefix: string;
  readonly #open: { readonly id: string; readonly name: string }[] = [];
  #count = 0;

  /** `prefix` must be unlike any id on the wire. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  called(id: string | undefined, name: string): string {
    const given = id ?? `${this.#prefix}_${this.#count++}`;
    this.#open.push({ id: given, name });
    return given;
  }

  answered(id: string | undefined, name: string | undefined): string | undefined {
    const place = this.#open.findIndex((call) => (id === undefined ? name === undefined || call.name === name : call.id === id));
    const [found] = place < 0 ? [] : this.#open.splice(place, 1);
    return id ?? found?.id;
  }
}

/** Made-up call ids must be unlike any that the request itself holds. */
function unusedPrefix(messages: readonly Json[]): string {
  const taken = new Set<string>();
  for (const message of messages) {
    const calls = isObject(message) ? message["tool_calls"] : undefined;
    if (isList(calls)) for (const call of calls) taken.add(text(object(call)?.["id"]) ?? "");
  }
  let prefix = "call_unnamed";
  while ([...taken].some((id) => id.startsWith(prefix))) prefix += "_";
  return prefix;
}

/** @throws ProblemError invalid_request */
export function decodeMessages(messages: readonly Json[]): Item[] {
  const ids = new CallIds(unusedPrefix(messages));
  return messages.flatMap((message, place) => {
    const path = `messages[${place}]`;
    if (!isObject(message)) throw invalid(`\`${path}\` must be an object.`, path);
    return decodeMessage(message, path, place, ids);
  });
}

function decodeMessage(message: JsonObject, path: string, place: number, ids: CallIds): readonly Item[] {
  const role = demand(message, "role", "string", `${path}.`);
  const content = read(message, "content", "string", `${path}.`) ?? "";
  if (role === "assistant") return decodeAssistant(message, { path, place, origin: ORIGIN, ids });
  const images = decodeImages(message["images"], `${path}.images`);
  const parts: readonly Part[] = [...(content === "" ? [] : [{ type: "text" as const, text: content }]), ...images];
  switch (role) {
    case "system":
    case "user":
      return [{ type: "message", role, parts, raw: message, origin: ORIGIN }];
    case "tool": {
      const name = read(message, "tool_name", "string", `${path}.`);
      const callId = ids.answered(read(message, "tool_call_id", "string", `${path}.`), name);
      if (callId === undefined)
        throw invalid(
          `\`${path}\` answers ${name === undefined ? "a tool" : `the tool "${name.slice(0, 100)}"`}, which no earlier message calls.`,
          path,
        );
      return [{ type: "tool_result", callId, kind: "function", parts, raw: message, origin: ORIGIN }];
    }
    default:
      throw invalid(`\`${path}.role\` must be one of system, user, assistant, tool.`, `${path}.role`);
  }
}

interface AssistantContext {
  /** Where the message stands, for faults. Undefined for a model's answer, which is tolerated whatever it is. */
  readonly path: string | undefined;
  readonly place: number;
  readonly origin: Origin;
  readonly ids: CallIds;
}

/** The items of an assistant message, in the order in which the model makes them: thoughts, words, tool calls. @throws ProblemError */
export function decodeAssistant(message: JsonObject, { path, place, origin, ids }: AssistantContext): readonly Item[] {
  const frame: Draft = { ...message };
  const cut: string[] = [];
  const base = { origin, envelope: frameEnvelope({ message: frame, cut }, place) };
  const take = (key: string): void => {
    frame[key] = null;
    cut.push(key);
  };
  const items: Item[] = [];
  const thinking = text(message["thinking"]);
  if (thinking !== undefined) {
    take("thinking");
    items.push({ type: "reasoning", parts: [{ kind: "text", text: thinking }], raw: { thinking }, ...base });
  }
  const content = text(message["content"]);
  const calls = path === undefined ? message["tool_calls"] : read(message, "tool_calls", "list", `${path}.`);
  const listed = isList(calls) ? calls : [];
  // A request's message that says nothing must still have its place.
  if (content !== undefined || (path !== undefined && items.length === 0 && listed.length === 0)) {
    if (content !== undefined) take("content");
    const parts: readonly Part[] = content === undefined ? [] : [{ type: "text", text: content }];
    items.push({ type: "message", role: "assistant", parts, raw: content === undefined ? {} : { content }, ...base });
  }
  if (listed.length > 0) take("tool_calls");
  for (const [at, raw] of listed.entries()) {
    const call = decodeToolCall(raw, path === undefined ? undefined : `${path}.tool_calls[${at}]`, ids);
    if (call) items.push({ ...call, ...base });
  }
  return items;
}

/** Arguments travel as an object; the canonical form has their JSON text. @throws ProblemError where `path` is given */
export function decodeToolCall(raw: Json, path: string | undefined, ids: CallIds): ToolCallItem | undefined {
  if (!isObject(raw)) {
    if (path === undefined) return undefined;
    throw invalid(`\`${path}\` must be an object.`, path);
  }
  const body = path === undefined ? (object(raw["function"]) ?? {}) : demand(raw, "function", "object", `${path}.`);
  const name = path === undefined ? (text(body["name"]) ?? "") : demand(body, "name", "string", `${path}.function.`);
  const { arguments: given } = body;
  const input = typeof given === "string" ? given : given === undefined || given === null ? "{}" : JSON.stringify(given);
  return { type: "tool_call", callId: ids.called(text(raw["id"]), name), name, kind: "function", input, raw };
}
