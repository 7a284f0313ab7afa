import {
  invalid,
  type Envelope,
  type Item,
  type Json,
  type JsonObject,
  type MessageItem,
  type Origin,
  type Part,
  type TextPart,
} from "../../canon/index.ts";
import { sourceFromUrl } from "../shared-media.ts";
import { demand, isList, isObject, object, read, text } from "../shared-shape.ts";
import { envelopeOf, ORIGIN, PLAN } from "./shape.ts";

/** @throws ProblemError invalid_request */
export function decodeMessages(messages: readonly Json[]): Item[] {
  return messages.flatMap((message, place) => {
    const path = `messages[${place}]`;
    if (!isObject(message)) throw invalid(`\`${path}\` must be an object.`, path);
    return decodeMessage(message, path, place);
  });
}

function decodeMessage(message: JsonObject, path: string, place: number): readonly Item[] {
  const role = demand(message, "role", "string", `${path}.`).toLowerCase();
  switch (role) {
    case "assistant":
      return decodeAssistant(message, { origin: ORIGIN, place, path });
    case "system":
    case "developer":
    case "user":
      return [{ type: "message", role, parts: decodeContent(message["content"], `${path}.content`), raw: message, origin: ORIGIN }];
    case "tool":
      return [
        {
          type: "tool_result",
          callId: demand(message, "tool_call_id", "string", `${path}.`),
          kind: "function",
          parts: decodeContent(message["content"], `${path}.content`),
          raw: message,
          origin: ORIGIN,
        },
      ];
    default:
      throw invalid(`\`${path}.role\` must be one of system, user, assistant, tool.`, `${path}.role`);
  }
}

/** @throws ProblemError invalid_request naming `path` */
export function decodeContent(content: Json | undefined, path: string): readonly Part[] {
  if (content === undefined || content === null) return [];
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  if (!isList(content)) throw invalid(`\`${path}\` must be a string or a list.`, path);
  return content.map((part, at) => {
    const where = `${path}[${at}]`;
    if (!isObject(part)) throw invalid(`\`${where}\` must be an object.`, where);
    return decodePart(part, where);
  });
}

function decodePart(part: JsonObject, path: string): Part {
  const type = read(part, "type", "string", `${path}.`) ?? "text";
  if (type === "text") return { type, text: read(part, "text", "string", `${path}.`) ?? "", raw: part };
  if (type === "image_url") {
    const image = demand(part, "image_url", "object", `${path}.`);
    const detail = read(image, "detail", "string", `${path}.image_url.`);
    const source = sourceFromUrl(demand(image, "url", "string", `${path}.image_url.`), `${path}.image_url.url`);
    return { type: "image", source, ...(detail !== undefined && { detail }), raw: part };
  }
  if (type === "document") return decodeDocument(part, path);
  return { type: "unknown", kind: type, raw: part };
}

/** A document is an object of words, or words: other languages are told its words. */
function decodeDocument(part: JsonObject, path: string): Part {
  const document = demand(part, "document", "object", `${path}.`);
  const { data } = document;
  const said = typeof data === "string" ? data : (text(object(data)?.["text"]) ?? JSON.stringify(data ?? document));
  return { type: "text", text: said, raw: part };
}

interface AssistantContext {
  readonly origin: Origin;
  readonly place: number;
  /** Where the message stands, for faults. Undefined for a model's answer, which is tolerated whatever it is. */
  readonly path?: string;
  readonly envelope?: Envelope;
}

/** The items of an assistant message: thoughts and words in their order, the plan, tool calls. @throws ProblemError */
export function decodeAssistant(message: JsonObject, { origin, place, path, envelope: given }: AssistantContext): readonly Item[] {
  const base = { origin, envelope: given ?? envelopeOf(message, place) };
  const items: Item[] = [];
  const plan = text(message["tool_plan"]);
  for (const item of contentItems(message, path)) items.push({ ...item, ...base });
  if (plan !== undefined) items.push({ type: "message", role: "assistant", phase: PLAN, parts: [{ type: "text", text: plan }], ...base });
  const calls = path === undefined ? message["tool_calls"] : read(message, "tool_calls", "list", `${path}.`);
  for (const [at, call] of (isList(calls) ? calls : []).entries()) {
    const item = decodeToolCall(call, path === undefined ? undefined : `${path}.tool_calls[${at}]`);
    if (item) items.push({ ...item, ...base });
  }
  // A message that says nothing must still have its place.
  if (items.length === 0) items.push({ type: "message", role: "assistant", parts: [], ...base });
  return items;
}

function contentItems(message: JsonObject, path: string | undefined): Item[] {
  const { content } = message;
  const citations = isList(message["citations"]) ? message["citations"] : [];
  if (typeof content === "string")
    return content === ""
      ? []
      : [{ type: "message", role: "assistant", parts: [cited({ type: "text", text: content }, citationsOf(citations, 0))] }];
  const items: Item[] = [];
  for (const [at, part] of (isList(content) ? content : []).entries()) {
    if (!isObject(part)) {
      if (path === undefined) continue;
      throw invalid(`\`${path}.content[${at}]\` must be an object.`, `${path}.content[${at}]`);
    }
    const words = part[part["type"] === "thinking" ? "thinking" : "text"];
    if (typeof words !== "string") continue;
    const last = items.at(-1);
    if (part["type"] === "thinking") items.push({ type: "reasoning", parts: [{ kind: "text", text: words }] });
    else {
      const said = cited({ type: "text", text: words }, citationsOf(citations, at));
      if (last?.type === "message") items[items.length - 1] = { ...last, parts: [...last.parts, said] };
      else items.push({ type: "message", role: "assistant", parts: [said] } satisfies MessageItem);
    }
  }
  return items;
}

/** Citations of one part of the content; one that names no part is of the first. */
function citationsOf(citations: readonly Json[], at: number): readonly Json[] {
  return citations.filter((citation) => isObject(citation) && citation["type"] !== "PLAN" && (citation["content_index"] ?? 0) === at);
}

function cited(part: TextPart, annotations: readonly Json[]): TextPart {
  return annotations.length > 0 ? { ...part, annotations } : part;
}

/** @throws ProblemError where `path` is given */
function decodeToolCall(call: Json, path: string | undefined): Item | undefined {
  if (!isObject(call)) {
    if (path === undefined) return undefined;
    throw invalid(`\`${path}\` must be an object.`, path);
  }
  const body = path === undefined ? (object(call["function"]) ?? {}) : demand(call, "function", "object", `${path}.`);
  const callId = path === undefined ? (text(call["id"]) ?? "") : demand(call, "id", "string", `${path}.`);
  const name = path === undefined ? (text(body["name"]) ?? "") : demand(body, "name", "string", `${path}.function.`);
  return { type: "tool_call", callId, name, kind: "function", input: argumentsIn(body["arguments"]) };
}

/** A tool without arguments is called with `null`, or with nothing at all. */
export function argumentsIn(value: Json | undefined): string {
  const said = typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
  return said.trim() === "" || said.trim() === "null" ? "{}" : said;
}
