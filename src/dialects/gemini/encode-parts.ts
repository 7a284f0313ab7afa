import type { Diagnostic, EncodeTarget, Item, JsonObject, Part, ReasoningItem, ToolCallItem, ToolResultItem } from "../../canon/index.ts";
import type { UserTurns } from "../shared-lost.ts";
import { CUSTOM_INPUT_PROPERTY, flattenToolCall, type FlatTools } from "../shared-tools.ts";
import { encodeSource } from "./media.ts";
import { at, DIALECT, isObject } from "./wire.ts";

export interface PartContext {
  readonly target: EncodeTarget;
  readonly flat: FlatTools;
  readonly note: (diagnostic: Diagnostic) => void;
}

/** Was it decoded from this language, so that its `raw` is a part of this wire? */
export function isOwn(item: Pick<Item, "origin">): boolean {
  return item.origin?.dialect === DIALECT;
}

/**
 * The parts of one content. A signature that stands apart, as an item without anything to show, waits for the part that it proves: the
 * next function call or text.
 */
export class PartList {
  readonly parts: JsonObject[] = [];
  #pending: string[] = [];

  add(parts: readonly JsonObject[]): void {
    // One that is replayed in its own words has its signature still.
    const waiting = this.#pending.filter((signature) => !parts.some((part) => at(part, "thoughtSignature") === signature));
    const place = parts.findIndex((part) => takesSignature(part) && at(part, "thoughtSignature") === undefined);
    const signature = place < 0 ? undefined : waiting.pop();
    this.#pending = waiting;
    if (signature === undefined) {
      this.parts.push(...parts);
      return;
    }
    this.end();
    this.parts.push(...parts.map((part, index) => (index === place ? { ...part, thoughtSignature: signature } : part)));
  }

  sign(signature: string): void {
    this.#pending.push(signature);
  }

  /** A signature that nothing followed goes into a part of its own, as the API itself sends such. */
  end(): void {
    for (const signature of this.#pending) this.parts.push({ text: "", thoughtSignature: signature });
    this.#pending = [];
  }
}

function takesSignature(part: JsonObject): boolean {
  return at(part, "functionCall") !== undefined || (typeof part["text"] === "string" && part["thought"] !== true);
}

/** The parts of a message; what cannot be carried is noted and left out. */
export function encodeMessageParts(
  parts: readonly Part[],
  side: "user" | "assistant" | "system" | "result",
  own: boolean,
  context: PartContext,
): JsonObject[] {
  return parts.map((part) => encodePart(part, side, own, context)).filter((part) => part !== undefined);
}

function encodePart(
  part: Part,
  side: "user" | "assistant" | "system" | "result",
  own: boolean,
  context: PartContext,
): JsonObject | undefined {
  const raw = own && isObject(part.raw) ? part.raw : undefined;
  // A guard that rewrites text may keep the part's other members; then `raw` no longer tells it.
  if (raw && (part.type !== "text" || raw["text"] === part.text)) return raw;
  const drop = (what: string, reason: string): undefined => {
    context.note({ field: `items[].parts[].${what}`, action: "dropped", reason });
  };
  if (part.type !== "unknown" && part.cacheTtlSeconds !== undefined)
    drop("cacheTtlSeconds", "The language has no breakpoints for its prompt cache.");
  const { capabilities } = context.target;
  switch (part.type) {
    case "text":
      if (part.annotations && !own) drop("annotations", "Citations are written differently in each language.");
      return textPart(part.text, own);
    case "refusal":
      context.note({
        field: "items[].parts[].refusal",
        action: "degraded",
        reason: "The language has no refusal part; its words are sent as text.",
      });
      return textPart(part.text, own);
    case "image":
      if (capabilities.vision === false) return drop("image", "The model takes no images.");
      if (part.detail !== undefined && part.detail !== "auto" && !own)
        drop("image.detail", "How closely to look is said for all images at once.");
      return encodeSource(part.source, "image/jpeg", own) ?? drop("image", "The image is in another provider's file store.");
    case "file":
      if (capabilities.files === false) return drop("file", "The model takes no files.");
      if (part.text !== undefined) return textPart(part.text, own);
      if (part.filename !== undefined && !own && side !== "result") drop("file.filename", "Files have no name here.");
      return encodeSource(part.source, "application/pdf", own) ?? drop("file", "The file is in another provider's file store.");
    case "audio":
      if (capabilities.audio === false) return drop("audio", "The model takes no sound.");
      return (
        encodeSource(part.source, `audio/${part.format ?? "wav"}`, own) ??
        (part.transcript === undefined ? drop("audio", "The sound is in another provider's file store.") : textPart(part.transcript, own))
      );
    case "unknown":
      return drop(part.kind, "Only its own language can carry it.");
  }
}

/** The API refuses a part that says nothing, so an empty text of another language is no part. */
function textPart(text: string, own: boolean): JsonObject | undefined {
  return text === "" && !own ? undefined : { text };
}

/** Has a signature alone and waits for its neighbour; see `PartList`. */
export function isApart(item: ReasoningItem): boolean {
  return item.raw === undefined && item.parts.length === 0 && item.signature !== undefined;
}

/** Reasoning goes back only to whom it came from. */
export function encodeThought(item: ReasoningItem, list: PartList, context: PartContext): void {
  const provider = item.origin?.provider;
  const drop = (reason: string): void => context.note({ field: "items[].reasoning", action: "dropped", reason });
  if (item.carried !== undefined) return drop("The reasoning was sealed for another provider.");
  if (!isOwn(item)) return drop("Reasoning of another language cannot be checked by this provider.");
  if (provider !== undefined && provider !== context.target.provider) return drop(`The reasoning was signed for "${provider}".`);
  if (isObject(item.raw)) return list.add([item.raw]);
  if (isApart(item) && item.signature !== undefined) return list.sign(item.signature);
  return list.add([ownThought(item)]);
}

export function ownThought(item: ReasoningItem): JsonObject {
  const text = item.parts.map((part) => part.text).join("\n\n");
  return { text, thought: true, ...(item.signature !== undefined && { thoughtSignature: item.signature }) };
}

export function encodeFunctionCall(item: ToolCallItem, context: PartContext): JsonObject {
  if (isOwn(item) && isObject(item.raw)) return item.raw;
  const { name, input } = flattenToolCall(item, context.flat);
  return functionCall(item.callId, name, input, () => context.note(NOT_AN_OBJECT));
}

export function functionCall(id: string, name: string, input: string, degraded?: () => void): JsonObject {
  return { functionCall: { id, name, args: argsObject(input, degraded) } };
}

const NOT_AN_OBJECT: Diagnostic = {
  field: "items[].toolCall.input",
  action: "degraded",
  reason: `The arguments are not a JSON object; they are sent as the text of a property "${CUSTOM_INPUT_PROPERTY}".`,
};

/** Arguments as this wire wants them: an object. No arguments are an empty one; what is no object is wrapped in one. */
function argsObject(input: string, degraded?: () => void): JsonObject {
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

/** A tool's result, and what it shows besides words, which goes into a content of its own behind all results. */
export interface EncodedResult {
  readonly response: JsonObject;
  readonly shown: readonly JsonObject[];
}

export function encodeResult(item: ToolResultItem, name: string, context: PartContext, turns: UserTurns): EncodedResult {
  if (isOwn(item) && isObject(item.raw)) {
    turns.result([], []);
    return { response: item.raw, shown: [] };
  }
  const parts = encodeMessageParts(item.parts, "result", isOwn(item), context);
  turns.result(item.parts, parts);
  const words = parts.flatMap((part) => (typeof part["text"] === "string" ? [part["text"]] : []));
  const shown = parts.filter((part) => typeof part["text"] !== "string");
  if (shown.length > 0)
    context.note({
      field: "items[].toolResult.parts",
      action: "degraded",
      reason: "A function's response holds words; what else it shows follows as the user's.",
    });
  return { response: functionResponse(item.callId, name, words.join("\n"), item.isError === true), shown };
}

/** Source: `FunctionResponse.response` of `@google/genai` 3: "output" holds what the function gave, "error" what went wrong. */
export function functionResponse(id: string, name: string, text: string, isError: boolean): JsonObject {
  return { functionResponse: { id, name, response: { [isError ? "error" : "output"]: text } } };
}
