import type { Diagnostic, EncodeTarget, Json, JsonObject, Part, ReasoningItem, ToolCallItem, ToolResultItem } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import type { UserTurns } from "../shared-lost.ts";
import { isList, isObject, object, text } from "../shared-shape.ts";
import { CUSTOM_INPUT_PROPERTY, flattenToolCall, type FlatTools } from "../shared-tools.ts";
import { guardedText } from "./decode-blocks.ts";
import { takesCheckpoints } from "./families.ts";
import { encodeAudio, encodeDocument, encodeImage } from "./media.ts";
import { cachePoint, isNative } from "./shape.ts";

export interface BlockContext {
  readonly target: EncodeTarget;
  readonly flat: FlatTools;
  readonly note: (diagnostic: Diagnostic) => void;
  readonly ids: CallIds;
  /** Documents so far: their names must differ. */
  readonly documents: { count: number };
}

const ID_CHARACTERS = 64;

/** Ids of tool calls as the service takes them: letters, digits, `_` and `-`, at most 64. The same id is always written the same way. */
export class CallIds {
  readonly #written = new Map<string, string>();
  readonly #taken = new Set<string>();

  of(id: string): string {
    let written = this.#written.get(id);
    if (written === undefined) {
      const plain = id.replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, ID_CHARACTERS) || "call";
      written = plain;
      for (let count = 2; this.#taken.has(written); count++) written = `${plain.slice(0, ID_CHARACTERS - 6)}_${count}`;
      this.#written.set(id, written);
      this.#taken.add(written);
    }
    return written;
  }
}

/** The blocks it came from, where they still say what it does. */
function rawBlocks(part: Part): readonly Json[] | undefined {
  if (!isList(part.raw)) return undefined;
  if (part.type !== "text") return part.raw;
  const [first, ...more] = part.raw;
  const block = object(first);
  if (!block) return undefined;
  return saidIn(block) === part.text ? part.raw : [{ text: part.text }, ...more];
}

function saidIn(block: JsonObject): string | undefined {
  if (typeof block["text"] === "string") return block["text"];
  if (block["json"] !== undefined) return JSON.stringify(block["json"]);
  const cited = object(block["citationsContent"])?.["content"];
  if (isList(cited)) return cited.map((piece) => text(object(piece)?.["text"]) ?? "").join("");
  return guardedText(block);
}

/** The blocks of a message's parts; what cannot be carried is noted and left out. */
export function encodeParts(parts: readonly Part[], own: boolean, context: BlockContext): Json[] {
  return parts.flatMap((part): readonly Json[] => {
    const raw = own ? rawBlocks(part) : undefined;
    if (raw) return raw;
    const block = encodePart(part, own, context);
    if (!block) return [];
    return [block, ...checkpointBehind(part.cacheTtlSeconds, "items[].cacheTtlSeconds", context)];
  });
}

export function checkpointBehind(ttlSeconds: number | undefined, field: string, { target, note }: BlockContext): readonly JsonObject[] {
  if (ttlSeconds === undefined) return [];
  if (takesCheckpoints(target.model)) return [cachePoint(ttlSeconds)];
  note({ field, action: "dropped", reason: "Models of this maker know no cache checkpoints." });
  return [];
}

function encodePart(part: Part, own: boolean, context: BlockContext): JsonObject | undefined {
  const { note, target, documents } = context;
  const { capabilities } = target;
  const drop = (what: string, reason: string): undefined => {
    note({ field: `items[].parts[].${what}`, action: "dropped", reason });
  };
  switch (part.type) {
    case "text":
      if (part.annotations && !own) drop("annotations", "Citations are written differently in each language.");
      return words(part.text);
    case "refusal":
      note({
        field: "items[].parts[].refusal",
        action: "degraded",
        reason: "The language has no refusal part; its words are sent as text.",
      });
      return words(part.text);
    case "image":
      if (capabilities.vision === false) return drop("image", "The model takes no images.");
      if (part.detail !== undefined && part.detail !== "auto") drop("image.detail", "The language has no detail of images.");
      return encodeImage(part, own) ?? drop("image", "The service fetches no images: send it inline, as png, jpeg, gif or webp.");
    case "file":
      if (capabilities.files === false) return part.text === undefined ? drop("file", "The model takes no files.") : words(part.text);
      documents.count++;
      return (
        encodeDocument(part, documents.count, own) ??
        drop("file", "The service fetches no files: send it inline, in a format that it reads.")
      );
    case "audio":
      if (capabilities.audio !== false) {
        const audio = encodeAudio(part, own);
        if (audio) return audio;
      }
      return part.transcript === undefined ? drop("audio", "The model takes no sound.") : words(part.transcript);
    case "unknown":
      return drop(part.kind, "Only its own language can carry it.");
  }
}

/** The service refuses a text that is blank. */
function words(said: string): JsonObject | undefined {
  return said.trim() === "" ? undefined : { text: said };
}

/** Reasoning goes back only to whom it came from. */
export function encodeThought(item: ReasoningItem, context: BlockContext): readonly Json[] {
  const own = isNative(item, context.target) && item.carried === undefined;
  if (own) return isList(item.raw) ? item.raw : thoughtBlocks(item);
  context.note({ field: "items[].reasoning", action: "dropped", reason: "Reasoning is shown again only to the provider that wrote it." });
  return [];
}

export function thoughtBlocks(item: ReasoningItem): readonly JsonObject[] {
  if (item.encrypted !== undefined) return [{ reasoningContent: { redactedContent: item.encrypted } }];
  const said = item.parts.map((part) => part.text).join("");
  if (said === "" && item.signature === undefined) return [];
  return [{ reasoningContent: { reasoningText: { text: said, ...(item.signature !== undefined && { signature: item.signature }) } } }];
}

export function encodeToolCall(item: ToolCallItem, context: BlockContext): readonly Json[] {
  if (isNative(item, context.target) && isList(item.raw)) return item.raw;
  const { name, input } = flattenToolCall(item, context.flat);
  const toolUse = { toolUseId: context.ids.of(item.callId), name, input: inputObject(input) };
  return [{ toolUse }, ...checkpointBehind(item.cacheTtlSeconds, "items[].cacheTtlSeconds", context)];
}

/** Arguments are an object here. What a model wrote that is none travels as the text that it is. */
export function inputObject(input: string): JsonObject {
  const value = input.trim() === "" ? {} : parseJson(input);
  return isObject(value) ? value : { [CUSTOM_INPUT_PROPERTY]: input };
}

export function encodeResult(item: ToolResultItem, context: BlockContext, turns: UserTurns): readonly Json[] {
  const own = isNative(item, context.target);
  if (own && isList(item.raw)) {
    turns.result([], []);
    return item.raw;
  }
  const content = encodeParts(item.parts, own, context);
  turns.result(item.parts, content);
  return [
    { toolResult: { toolUseId: context.ids.of(item.callId), content, ...(item.isError === true && { status: "error" }) } },
    ...checkpointBehind(item.cacheTtlSeconds, "items[].cacheTtlSeconds", context),
  ];
}

/** The service wants an answer to each call in the very next message. */
export function missingResult(callId: string, { ids }: BlockContext): JsonObject {
  return { toolResult: { toolUseId: ids.of(callId), content: [{ text: "There is no result: the tool was not run." }], status: "error" } };
}
