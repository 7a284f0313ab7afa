import {
  CARRIED_MARK,
  invalid,
  type Envelope,
  type Item,
  type Json,
  type JsonObject,
  type Origin,
  type Part,
  type TextPart,
} from "../../canon/index.ts";
import { demand, isList, isObject, object, read, text } from "../shared-shape.ts";
import { decodeAudio, decodeDocument, decodeImage } from "./media.ts";
import { ttlSecondsOf } from "./shape.ts";

export interface BlockContext {
  readonly role: "user" | "assistant";
  readonly origin: Origin;
  readonly envelope?: Envelope;
}

/**
 * The items of one message's content. Each of them, or each part of a message, keeps the blocks it was made of in `raw`: a list, because a
 * cache checkpoint is a block of its own and belongs to the one before it. @throws ProblemError invalid_request naming `path`
 */
export function decodeBlocks(blocks: readonly Json[], context: BlockContext, path: string): Item[] {
  const items: Item[] = [];
  for (const [at, block] of blocks.entries()) {
    const where = `${path}[${at}]`;
    if (!isObject(block)) throw invalid(`\`${where}\` must be an object.`, where);
    const checkpoint = object(block["cachePoint"]);
    const last = items.at(-1);
    if (checkpoint && last) {
      items[items.length - 1] = withCheckpoint(last, block, ttlSecondsOf(checkpoint));
      continue;
    }
    const decoded = decodeBlock(block, context, where);
    if (last?.type === "message" && decoded.type === "message")
      items[items.length - 1] = { ...last, parts: [...last.parts, ...decoded.parts] };
    else items.push(decoded);
  }
  return items;
}

function withCheckpoint(item: Item, block: JsonObject, cacheTtlSeconds: number): Item {
  if (item.type !== "message") return { ...item, raw: behind(item.raw, block), cacheTtlSeconds };
  const part = item.parts.at(-1);
  if (!part) return item;
  return { ...item, parts: [...item.parts.slice(0, -1), { ...part, raw: behind(part.raw, block), cacheTtlSeconds }] };
}

function behind(raw: Json | undefined, block: JsonObject): Json {
  return [...(isList(raw) ? raw : []), block];
}

/** @throws ProblemError invalid_request naming `path` */
export function decodeBlock(block: JsonObject, { role, origin, envelope }: BlockContext, path: string): Item {
  const base = { origin, ...(envelope && { envelope }) };
  const called = read(block, "toolUse", "object", `${path}.`);
  if (called) return { ...decodeToolUse(called, block, path), ...base };
  const result = read(block, "toolResult", "object", `${path}.`);
  if (result) {
    const within = `${path}.toolResult`;
    const blocks = read(result, "content", "list", `${within}.`) ?? [];
    return {
      type: "tool_result",
      callId: demand(result, "toolUseId", "string", `${within}.`),
      kind: "function",
      parts: blocks.map((inner, at) => decodeResultPart(inner, `${within}.content[${at}]`)),
      ...(result["status"] === "error" && { isError: true }),
      raw: [block],
      ...base,
    };
  }
  const thought = read(block, "reasoningContent", "object", `${path}.`);
  if (thought) return { ...decodeThought(thought, block), ...base };
  return { type: "message", role, parts: [decodePart(block, path)], ...base };
}

function decodeToolUse(called: JsonObject, block: JsonObject, path: string): Item {
  const within = `${path}.toolUse.`;
  const callId = demand(called, "toolUseId", "string", within);
  const name = demand(called, "name", "string", within);
  // The service ran it itself, and its result follows in the same message.
  if (called["type"] === "server_tool_use") return { type: "unknown", kind: "server_tool_use", role: "assistant", callId, raw: [block] };
  const { input } = called;
  return { type: "tool_call", callId, name, kind: "function", input: input === undefined ? "{}" : JSON.stringify(input), raw: [block] };
}

function decodeThought(thought: JsonObject, block: JsonObject): Item {
  const redacted = text(thought["redactedContent"]);
  if (redacted !== undefined) return { type: "reasoning", parts: [], encrypted: redacted, raw: [block] };
  const words = object(thought["reasoningText"]);
  const said = text(words?.["text"]);
  const signature = text(words?.["signature"]);
  if (signature?.startsWith(CARRIED_MARK))
    return { type: "reasoning", parts: said === undefined ? [] : [{ kind: "text", text: said }], carried: signature };
  return {
    type: "reasoning",
    parts: said === undefined ? [] : [{ kind: "text", text: said }],
    ...(signature !== undefined && { signature }),
    raw: [block],
  };
}

/** @throws ProblemError invalid_request naming `path` */
export function decodePart(block: JsonObject, path: string): Part {
  const raw = [block];
  const words = block["text"];
  if (typeof words === "string") return { type: "text", text: words, raw };
  const at = (key: string): JsonObject | undefined => read(block, key, "object", `${path}.`);
  const image = at("image");
  if (image) return { ...decodeImage(image, `${path}.image`), raw };
  const document = at("document");
  if (document) return { ...decodeDocument(document, `${path}.document`), raw };
  const audio = at("audio");
  if (audio) return { ...decodeAudio(audio, `${path}.audio`), raw };
  const cited = at("citationsContent");
  if (cited) return { ...decodeCited(cited), raw };
  const guarded = guardedText(block);
  if (guarded !== undefined) return { type: "text", text: guarded, raw };
  const [kind] = Object.keys(block);
  if (kind === undefined || kind === "text") throw invalid(`\`${path}\` holds no content.`, path);
  return { type: "unknown", kind, raw };
}

function decodeResultPart(block: Json, path: string): Part {
  if (!isObject(block)) throw invalid(`\`${path}\` must be an object.`, path);
  if (block["json"] !== undefined) return { type: "text", text: JSON.stringify(block["json"]), raw: [block] };
  return decodePart(block, path);
}

/** Words with what they rest on; the citations stay in this language's own form. */
function decodeCited(cited: JsonObject): TextPart {
  const content = isList(cited["content"]) ? cited["content"] : [];
  const annotations = isList(cited["citations"]) ? cited["citations"] : [];
  return {
    type: "text",
    text: content.map((piece) => text(object(piece)?.["text"]) ?? "").join(""),
    ...(annotations.length > 0 && { annotations }),
  };
}

/** Words marked for a guardrail to look at. */
export function guardedText(block: JsonObject): string | undefined {
  return text(object(object(block["guardContent"])?.["text"])?.["text"]);
}

/** Does a message hold reasoning that was sealed here for the client to carry? No provider could read it. */
export function isSealed(block: Json): boolean {
  const thought = isObject(block) ? object(block["reasoningContent"]) : undefined;
  return text(object(thought?.["reasoningText"])?.["signature"])?.startsWith(CARRIED_MARK) === true;
}
