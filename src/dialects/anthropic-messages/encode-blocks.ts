import type {
  Diagnostic,
  EncodeTarget,
  Item,
  Json,
  JsonObject,
  Part,
  ReasoningItem,
  ToolCallItem,
  ToolResultItem,
} from "../../canon/index.ts";
import { CUSTOM_INPUT_PROPERTY, flattenToolCall, type FlatTools } from "../shared-tools.ts";
import type { UserTurns } from "../shared-lost.ts";
import { encodeSource } from "./sources.ts";
import { cacheControl, DIALECT, isObject } from "./wire.ts";

export interface BlockContext {
  readonly target: EncodeTarget;
  readonly flat: FlatTools;
  note(diagnostic: Diagnostic): void;
}

/** Was it decoded from this language, so that its `raw` is a block of this wire? */
export function isOwn(item: Pick<Item, "origin">): boolean {
  return item.origin?.dialect === DIALECT;
}

/** The parts of a message or tool result as content blocks; what cannot be carried is noted and left out. */
export function encodeParts(
  parts: readonly Part[],
  side: "user" | "assistant" | "system" | "result",
  own: boolean,
  context: BlockContext,
): JsonObject[] {
  return parts.map((part) => encodePart(part, side, own, context)).filter((block) => block !== undefined);
}

function encodePart(
  part: Part,
  side: "user" | "assistant" | "system" | "result",
  own: boolean,
  context: BlockContext,
): JsonObject | undefined {
  const raw = own && isObject(part.raw) ? part.raw : undefined;
  // A guard that rewrites text may keep the part's other members; then `raw` no longer tells it.
  if (raw && (part.type !== "text" || raw["type"] !== "text" || raw["text"] === part.text)) return raw;
  const drop = (what: string, reason: string): undefined => {
    context.note({ field: `items[].parts[].${what}`, action: "dropped", reason });
  };
  if (side !== "user" && side !== "result" && part.type !== "text" && part.type !== "refusal") {
    return drop(part.type, `A message of the ${side} cannot hold this.`);
  }
  switch (part.type) {
    case "text":
      if (part.annotations && !own) drop("annotations", "Citations are written differently in each language.");
      return textBlock(part.text, part.cacheTtlSeconds, own ? part.annotations : undefined, own);
    case "refusal":
      context.note({
        field: "items[].parts[].refusal",
        action: "degraded",
        reason: "The language has no refusal part; its words are sent as text.",
      });
      return textBlock(part.text, part.cacheTtlSeconds);
    case "image": {
      if (context.target.capabilities.vision === false) return drop("image", "The model takes no images.");
      const source = encodeSource(part.source, own);
      if (part.detail !== undefined && part.detail !== "auto" && !own)
        drop("image.detail", "The language has no word for how closely to look.");
      return source
        ? { type: "image", source, ...cacheControl(part.cacheTtlSeconds) }
        : drop("image", "The image is in another provider's file store.");
    }
    case "file": {
      if (context.target.capabilities.files === false) return drop("file", "The model takes no files.");
      const source = part.text === undefined ? encodeSource(part.source, own) : { type: "text", media_type: "text/plain", data: part.text };
      if (!source) return drop("file", "The file is in another provider's file store.");
      return {
        type: "document",
        source,
        ...(part.filename !== undefined && { title: part.filename }),
        ...cacheControl(part.cacheTtlSeconds),
      };
    }
    case "audio":
      if (part.transcript === undefined) return drop("audio", "The language has no audio.");
      context.note({
        field: "items[].parts[].audio",
        action: "degraded",
        reason: "The language has no audio; the transcript is sent as text.",
      });
      return textBlock(part.transcript, part.cacheTtlSeconds);
    case "unknown":
      return drop(part.kind, "Only its own language can carry it.");
  }
}

/** The API refuses an empty text block, so an empty text of another language is no block. */
export function textBlock(text: string, cacheTtlSeconds?: number, citations?: readonly Json[], own = false): JsonObject | undefined {
  if (text === "" && !own) return undefined;
  return { type: "text", text, ...(citations && { citations }), ...cacheControl(cacheTtlSeconds) };
}

/** Reasoning goes back only to whom it came from, and only with its proof: the API refuses thinking that it did not sign. */
export function encodeThinking(item: ReasoningItem, context: BlockContext): JsonObject | undefined {
  const provider = item.origin?.provider;
  const drop = (reason: string): undefined => {
    context.note({ field: "items[].reasoning", action: "dropped", reason });
  };
  if (item.carried !== undefined) return drop("The reasoning was sealed for another provider.");
  if (!isOwn(item)) return drop("Reasoning of another language cannot be checked by this provider.");
  if (provider !== undefined && provider !== context.target.provider) return drop(`The reasoning was signed for "${provider}".`);
  if (isObject(item.raw) && (provider !== undefined || item.signature !== undefined || item.encrypted !== undefined)) return item.raw;
  if (item.encrypted !== undefined) return { type: "redacted_thinking", data: item.encrypted };
  if (item.signature === undefined) return drop("Thinking without a signature is refused.");
  return { type: "thinking", thinking: item.parts.map((part) => part.text).join("\n\n"), signature: item.signature };
}

export function encodeToolUse(item: ToolCallItem, context: BlockContext): JsonObject {
  const id = wireId(item.callId, context);
  if (isOwn(item) && isObject(item.raw)) return id === item.callId ? item.raw : { ...item.raw, id };
  const { name, input } = flattenToolCall(item, context.flat);
  return {
    type: "tool_use",
    id,
    name,
    input: inputObject(input, () => context.note(NOT_AN_OBJECT)),
    ...cacheControl(item.cacheTtlSeconds),
  };
}

const NOT_AN_OBJECT: Diagnostic = {
  field: "items[].toolCall.input",
  action: "degraded",
  reason: `The arguments are not a JSON object; they are sent as the text of a property "${CUSTOM_INPUT_PROPERTY}".`,
};

/** Arguments as this wire wants them: an object. No arguments are an empty one; what is no object is wrapped in one. */
export function inputObject(input: string, degraded?: () => void): JsonObject {
  if (input.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(input);
    if (isObject(value)) return value;
  } catch {
    // Told below.
  }
  degraded?.();
  return { [CUSTOM_INPUT_PROPERTY]: input };
}

export function encodeToolResult(item: ToolResultItem, context: BlockContext, turns: UserTurns): JsonObject {
  const id = wireId(item.callId, context);
  if (isOwn(item) && isObject(item.raw)) {
    turns.result([], []);
    return id === item.callId ? item.raw : { ...item.raw, tool_use_id: id };
  }
  const blocks = encodeParts(item.parts, "result", isOwn(item), context);
  turns.result(item.parts, blocks);
  const [first] = blocks;
  const content = blocks.length === 1 && first && isPlainText(first) ? first["text"] : blocks;
  return {
    type: "tool_result",
    tool_use_id: id,
    ...(blocks.length > 0 && { content }),
    ...(item.isError === true && { is_error: true }),
    ...cacheControl(item.cacheTtlSeconds),
  };
}

export function isPlainText(block: JsonObject): boolean {
  return block["type"] === "text" && Object.keys(block).length === 2;
}

const LEGAL_ID = /^[a-zA-Z0-9_-]+$/;

export function isLegalId(id: string): boolean {
  return LEGAL_ID.test(id);
}

/** Ids of other languages may hold letters that the API refuses. The mark keeps different ids apart. */
function wireId(id: string, context: BlockContext): string {
  if (isLegalId(id)) return id;
  context.note({
    field: "items[].callId",
    action: "renamed",
    reason: "The API takes only letters, digits, _ and - in the id of a tool call.",
  });
  let mark = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) mark = Math.imul(mark ^ id.charCodeAt(at), 0x01000193);
  return `${id.replaceAll(/[^a-zA-Z0-9_-]/g, "_")}_${(mark >>> 0).toString(36)}`;
}
