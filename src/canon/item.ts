import type { ToolSpec } from "./call.ts";
import type { Json, JsonObject } from "./json.ts";

/** Where an item comes from. Opaque signatures are only ever replayed to the same dialect and provider. */
export interface Origin {
  /** The dialect's id. */
  readonly dialect: string;
  /** The provider's name in the configuration; absent when a client sent the item. */
  readonly provider?: string;
  readonly model?: string;
}

/**
 * The wire container an item was cut from, where a language groups several items in one message.
 * Items that share one Envelope *object* are put back into one message.
 */
export interface Envelope {
  readonly dialect: string;
  readonly role: string;
  /** The container without its content, verbatim, with whatever the dialect needs to rebuild its exact shape. */
  readonly raw: JsonObject;
  /** Tells containers apart once they were written down, when object identity is lost. */
  readonly place?: number;
}

interface ItemBase {
  /** The item's own id in its language of origin, where it has one. */
  readonly id?: string;
  readonly origin?: Origin;
  /** The verbatim fragment this item was decoded from. Whoever changes an item drops `raw`: an item with `raw` is untouched. */
  readonly raw?: Json;
  readonly envelope?: Envelope;
  /** Prompt-cache breakpoint after this item; a lifetime in seconds (300 or 3600). */
  readonly cacheTtlSeconds?: number;
}

export interface MessageItem extends ItemBase {
  readonly type: "message";
  readonly role: "system" | "developer" | "user" | "assistant";
  readonly parts: readonly Part[];
  /** Distinguishes commentary from the final answer where a language does so. */
  readonly phase?: string;
}

export interface ReasoningItem extends ItemBase {
  readonly type: "reasoning";
  /** What may be shown: summaries or the reasoning text itself. Empty when all of it is opaque. */
  readonly parts: readonly ReasoningPart[];
  /** Proof by which the provider recognises its own reasoning (a thinking signature). */
  readonly signature?: string;
  /** Reasoning that only its provider can read (redacted thinking, encrypted content). */
  readonly encrypted?: string;
  /** What a client of another language carries in place of signature or encrypted content; begins with `CARRIED_MARK`. */
  readonly carried?: string;
}
/** Begins every text that the gateway sealed for a client to carry: no provider could read it, so none is sent it. */
export const CARRIED_MARK = "gkr1.";
export interface ReasoningPart {
  readonly kind: "summary" | "text";
  readonly text: string;
}

export interface ToolCallItem extends ItemBase {
  readonly type: "tool_call";
  /** The id that the tool's result will name. */
  readonly callId: string;
  readonly name: string;
  /** Tools can be grouped; the group's name. */
  readonly namespace?: string;
  /** `function`: `input` is JSON text. `custom`: `input` is free text. */
  readonly kind: "function" | "custom";
  /** The arguments as the model wrote them, verbatim. */
  readonly input: string;
  /** Opaque proof that some providers attach to tool calls. */
  readonly signature?: string;
}

export interface ToolResultItem extends ItemBase {
  readonly type: "tool_result";
  readonly callId: string;
  readonly kind: "function" | "custom";
  readonly parts: readonly Part[];
  readonly isError?: boolean;
}

/** Earlier turns pressed into a summary: readable text, or opaque to all but its provider. */
export interface CompactionItem extends ItemBase {
  readonly type: "compaction";
  readonly text?: string;
  readonly encrypted?: string;
}

/** Something a language has and the canonical form does not (a vendor's own hosted tool call, say). Always has `raw`. */
export interface UnknownItem extends ItemBase {
  readonly type: "unknown";
  /** The wire type, such as `web_search_call`. */
  readonly kind: string;
  /** Who said it: decides the side it is put on when encoded back. */
  readonly role: "system" | "user" | "assistant";
  readonly raw: Json;
  /** The id by which a tool result may answer it, when it is a kind of tool call. */
  readonly callId?: string;
  /** Tools that this item brings into the conversation; its own language finds them in `raw`. See `offeredTools`. */
  readonly tools?: readonly ToolSpec[];
}

export type Item = MessageItem | ReasoningItem | ToolCallItem | ToolResultItem | CompactionItem | UnknownItem;

/** Where the bytes of an image, file or sound are. Exactly one of `url`, `data`, `fileId`. */
export interface Source {
  readonly url?: string;
  /** Base64, without a `data:` prefix. */
  readonly data?: string;
  /** An id in the provider's own file store. */
  readonly fileId?: string;
  readonly mediaType?: string;
}

interface PartBase {
  /** The verbatim fragment, valid for the language in the item's origin. */
  readonly raw?: Json;
  readonly cacheTtlSeconds?: number;
}
export interface TextPart extends PartBase {
  readonly type: "text";
  readonly text: string;
  /** Citations in the origin's own form. */
  readonly annotations?: readonly Json[];
  readonly logprobs?: Json;
}
export interface RefusalPart extends PartBase {
  readonly type: "refusal";
  readonly text: string;
}
export interface ImagePart extends PartBase {
  readonly type: "image";
  readonly source: Source;
  readonly detail?: string;
}
export interface FilePart extends PartBase {
  readonly type: "file";
  readonly source: Source;
  readonly filename?: string;
  /** Plain text content where the language inlines it as text. */
  readonly text?: string;
}
export interface AudioPart extends PartBase {
  readonly type: "audio";
  readonly source: Source;
  /** `wav`, `mp3`, ... */
  readonly format?: string;
  readonly transcript?: string;
}
export interface UnknownPart extends PartBase {
  readonly type: "unknown";
  readonly kind: string;
  readonly raw: Json;
}
export type Part = TextPart | RefusalPart | ImagePart | FilePart | AudioPart | UnknownPart;

/** All the text of an item's parts, joined without separator. */
export function textOf(parts: readonly Part[]): string {
  let text = "";
  for (const part of parts) if (part.type === "text" || part.type === "refusal") text += part.text;
  return text;
}
