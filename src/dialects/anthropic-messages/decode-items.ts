import {
  CARRIED_MARK,
  type Envelope,
  type Item,
  type Json,
  type JsonObject,
  type Origin,
  type Part,
  type ReasoningItem,
  type ToolSpec,
} from "../../canon/index.ts";
import { decodePart, isPart } from "./decode-parts.ts";
import { decodeTool } from "./tools.ts";
import { cacheTtlOf, hasMore, isList, isObject, needName, needObject, needString, type Path, readBoolean, textAt } from "./wire.ts";

const PLAIN_THINKING = new Set(["type", "thinking", "signature"]);
const PLAIN_TOOL_USE = new Set(["type", "id", "name", "input"]);

export interface Place {
  readonly role: "system" | "user" | "assistant";
  readonly origin: Origin;
  readonly envelope?: Envelope;
}

/**
 * Content blocks as items. Neighbouring text, images and documents are the parts of one message; every other block is an item of its
 * own, and what this file does not know becomes an unknown item that keeps its block.
 * @throws ProblemError invalid_request
 */
export function decodeBlocks(blocks: readonly Json[], place: Place, path: Path): Item[] {
  const items: Item[] = [];
  let parts: Part[] | undefined;
  for (const [at, value] of blocks.entries()) {
    const where = `${path}.${at}`;
    const block = needObject(value, where);
    needName(block["type"], `${where}.type`);
    if (!isPart(block["type"])) {
      parts = undefined;
      items.push(decodeBlock(block, place, where));
      continue;
    }
    const part = decodePart(block, where);
    if (parts) {
      parts.push(part);
      continue;
    }
    parts = [part];
    items.push({ type: "message", role: place.role, parts, ...whereFrom(place) });
  }
  return items;
}

export function whereFrom(place: Place): { readonly origin: Origin; readonly envelope?: Envelope } {
  return { origin: place.origin, ...(place.envelope && { envelope: place.envelope }) };
}

/** A block that is an item of its own. @throws ProblemError invalid_request */
export function decodeBlock(block: JsonObject, place: Place, path: Path): Item {
  const ttl = cacheTtlOf(block);
  const base = { ...whereFrom(place), ...(ttl !== undefined && { cacheTtlSeconds: ttl }) };
  switch (block["type"]) {
    case "tool_use":
      return {
        type: "tool_call",
        callId: needName(block["id"], `${path}.id`),
        name: needName(block["name"], `${path}.name`),
        kind: "function",
        input: JSON.stringify(block["input"] === undefined ? {} : needObject(block["input"], `${path}.input`)),
        ...base,
        ...(hasMore(block, PLAIN_TOOL_USE) && { raw: block }),
      };
    case "tool_result":
      return {
        type: "tool_result",
        callId: needName(block["tool_use_id"], `${path}.tool_use_id`),
        kind: "function",
        parts: decodeResultContent(block["content"], `${path}.content`),
        ...(readBoolean(block["is_error"], `${path}.is_error`) === true && { isError: true }),
        ...base,
        raw: block,
      };
    case "thinking":
      return decodeThinking(block, base, path);
    case "redacted_thinking":
      return { type: "reasoning", parts: [], encrypted: needString(block["data"], `${path}.data`), ...base, raw: block };
    case "compaction":
      return {
        type: "compaction",
        ...(typeof block["content"] === "string" && { text: block["content"] }),
        ...(typeof block["encrypted_content"] === "string" && { encrypted: block["encrypted_content"] }),
        ...base,
        raw: block,
      };
    default: {
      const tools = toolsBrought(block, path);
      return { type: "unknown", kind: textAt(block, "type"), role: place.role, ...base, raw: block, ...(tools && { tools }) };
    }
  }
}

function decodeThinking(
  block: JsonObject,
  base: Pick<ReasoningItem, "origin" | "envelope" | "cacheTtlSeconds">,
  path: Path,
): ReasoningItem {
  const thinking = needString(block["thinking"], `${path}.thinking`);
  const signature = block["signature"];
  const plain = typeof signature === "string" && !hasMore(block, PLAIN_THINKING);
  return {
    type: "reasoning",
    // What the API shows is a summary of the reasoning, not the reasoning itself (SDK 1.12.0, `display: "summarized"`).
    parts: thinking === "" ? [] : [{ kind: "summary", text: thinking }],
    // Sealed here for its client to carry: no provider could check it.
    ...(typeof signature === "string" && signature !== "" && (signature.startsWith(CARRIED_MARK) ? { carried: signature } : { signature })),
    ...base,
    ...(!plain && { raw: block }),
  };
}

function decodeResultContent(content: Json | undefined, path: Path): readonly Part[] {
  if (content === undefined || content === null) return [];
  if (!isList(content)) return [{ type: "text", text: needString(content, path) }];
  return content.map((value, at) => decodePart(needObject(value, `${path}.${at}`), `${path}.${at}`));
}

/** A `tool_addition` block that defines its tool brings a tool into the conversation. */
function toolsBrought(block: JsonObject, path: Path): readonly ToolSpec[] | undefined {
  const tool = block["tool"];
  if (block["type"] !== "tool_addition" || !isObject(tool) || tool["type"] !== "tool_definition") return undefined;
  return [decodeTool(needObject(tool["definition"], `${path}.tool.definition`), `${path}.tool.definition`)];
}
