import type { FilePart, Json, JsonObject, Part, TextPart } from "../../canon/index.ts";
import { decodeSource } from "./sources.ts";
import { cacheTtlOf, hasMore, isList, isObject, needList, needObject, needString, type Path, readString } from "./wire.ts";

const PLAIN_TEXT = new Set(["type", "text"]);

/** Blocks that are content of a message and not items of their own. */
export function isPart(type: Json | undefined): boolean {
  return type === "text" || type === "image" || type === "document" || type === "search_result";
}

/** One content block as a part. What is not known stays whole in `raw`. @throws ProblemError invalid_request */
export function decodePart(block: JsonObject, path: Path): Part {
  const ttl = cacheTtlOf(block);
  const base = { raw: block as Json, ...(ttl !== undefined && { cacheTtlSeconds: ttl }) };
  switch (block["type"]) {
    case "text":
      return decodeText(block, path);
    case "image": {
      const source = decodeSource(needObject(block["source"], `${path}.source`), `${path}.source`);
      return source ? { type: "image", source, ...base } : { type: "unknown", kind: "image", ...base };
    }
    case "document":
      return decodeDocument(block, base, path);
    case "search_result":
      return { type: "text", text: searchResultText(block, path), ...base };
    default:
      return { type: "unknown", kind: typeof block["type"] === "string" ? block["type"] : "", ...base };
  }
}

/** A plain block needs no `raw`: its text is all there is. */
export function decodeText(block: JsonObject, path: Path): TextPart {
  const text = needString(block["text"], `${path}.text`);
  if (!hasMore(block, PLAIN_TEXT)) return { type: "text", text };
  const ttl = cacheTtlOf(block);
  const citations = block["citations"];
  return {
    type: "text",
    text,
    ...(isList(citations) && citations.length > 0 && { annotations: citations }),
    ...(ttl !== undefined && { cacheTtlSeconds: ttl }),
    raw: block,
  };
}

function decodeDocument(block: JsonObject, base: { readonly raw: Json; readonly cacheTtlSeconds?: number }, path: Path): Part {
  const source = needObject(block["source"], `${path}.source`);
  const title = readString(block["title"], `${path}.title`);
  const named = { ...base, ...(title !== undefined && { filename: title }) };
  const inline = inlineText(source, `${path}.source`);
  if (inline !== undefined) return { type: "file", source: { mediaType: "text/plain" }, text: inline, ...named } satisfies FilePart;
  const found = decodeSource(source, `${path}.source`);
  return found ? { type: "file", source: found, ...named } : { type: "unknown", kind: "document", ...base };
}

/** The text of a document that holds its content itself (`text`, `content`). */
function inlineText(source: JsonObject, path: Path): string | undefined {
  if (source["type"] === "text") return needString(source["data"], `${path}.data`);
  if (source["type"] !== "content") return undefined;
  const content = source["content"];
  return typeof content === "string" ? content : textOfBlocks(needList(content, `${path}.content`));
}

/** A search result as a reader would see it: title, address, text. Other languages have no such block. */
function searchResultText(block: JsonObject, path: Path): string {
  const title = readString(block["title"], `${path}.title`) ?? "";
  const source = readString(block["source"], `${path}.source`) ?? "";
  return [title, source, textOfBlocks(needList(block["content"], `${path}.content`))].filter((line) => line !== "").join("\n");
}

function textOfBlocks(blocks: readonly Json[]): string {
  return blocks.map((block) => (isObject(block) && typeof block["text"] === "string" ? block["text"] : "")).join("\n");
}
