import type { Item, Json, JsonObject } from "../../canon/index.ts";
import { at, isList, isObject, textAt } from "./wire.ts";

/** Citations taken from one answer. */
const MAX_CITATIONS = 1000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * What a candidate's grounding says of its text, as the citations that other languages have: `{ type: "url_citation", url, title,
 * start_index, end_index }`. The API counts bytes of UTF-8, citations count characters.
 */
export function citationsOf(candidate: JsonObject, text: string): readonly Json[] {
  const grounding = at(candidate, "groundingMetadata");
  const citations = at(candidate, "citationMetadata");
  const found = [...(isObject(grounding) ? grounded(grounding, text) : []), ...(isObject(citations) ? recited(citations, text) : [])];
  return found.slice(0, MAX_CITATIONS);
}

function grounded(grounding: JsonObject, text: string): Json[] {
  const chunks = at(grounding, "groundingChunks");
  const supports = at(grounding, "groundingSupports");
  if (!isList(chunks) || !isList(supports)) return [];
  return supports.flatMap((support) => {
    const segment = isObject(support) ? support["segment"] : undefined;
    const indices = isObject(support) ? at(support, "groundingChunkIndices") : undefined;
    if (!isObject(segment) || !isList(indices)) return [];
    return indices.flatMap((index) => {
      const source = sourceOf(typeof index === "number" ? chunks[index] : undefined);
      return source ? [{ type: "url_citation", ...source, ...placeOf(segment, text) }] : [];
    });
  });
}

function sourceOf(chunk: Json | undefined): { readonly url: string; readonly title: string } | undefined {
  if (!isObject(chunk)) return undefined;
  const inner = chunk["web"] ?? chunk["maps"] ?? at(chunk, "retrievedContext");
  if (!isObject(inner)) return undefined;
  const url = textAt(inner, "uri");
  return url === "" ? undefined : { url, title: textAt(inner, "title") };
}

function recited(metadata: JsonObject, text: string): Json[] {
  const sources = at(metadata, "citationSources") ?? metadata["citations"];
  if (!isList(sources)) return [];
  return sources.flatMap((source) => {
    const url = isObject(source) ? textAt(source, "uri") : "";
    return isObject(source) && url !== "" ? [{ type: "url_citation", url, title: textAt(source, "title"), ...placeOf(source, text) }] : [];
  });
}

function placeOf(segment: JsonObject, text: string): { readonly start_index: number; readonly end_index: number } {
  const bytes = encoder.encode(text);
  const characters = (name: string): number => {
    const offset = at(segment, name);
    return typeof offset === "number" && offset > 0 ? decoder.decode(bytes.subarray(0, offset)).length : 0;
  };
  return { start_index: characters("startIndex"), end_index: characters("endIndex") };
}

/** Citations of other languages that name an address, as grounding; undefined when there are none. */
export function groundingOf(items: readonly Item[]): JsonObject | undefined {
  const chunks: JsonObject[] = [];
  const supports: JsonObject[] = [];
  let before = "";
  for (const item of items) {
    if (item.type !== "message") continue;
    for (const part of item.parts) {
      if (part.type !== "text") continue;
      for (const annotation of (part.annotations ?? []).slice(0, MAX_CITATIONS)) {
        const citation = isObject(annotation) ? (annotation["url_citation"] ?? annotation) : undefined;
        const uri = isObject(citation) ? textAt(citation, "url") : "";
        if (!isObject(citation) || uri === "") continue;
        const bytesUpTo = (index: Json | undefined): number =>
          encoder.encode(before + part.text.slice(0, typeof index === "number" ? index : 0)).length;
        const [startIndex, endIndex] = [bytesUpTo(citation["start_index"]), bytesUpTo(citation["end_index"])];
        supports.push({
          segment: { startIndex, endIndex, text: part.text.slice(numberOf(citation["start_index"]), numberOf(citation["end_index"])) },
          groundingChunkIndices: [chunks.length],
        });
        chunks.push({ web: { uri, title: textAt(citation, "title") } });
      }
      before += part.text;
    }
  }
  return chunks.length === 0 ? undefined : { groundingChunks: chunks, groundingSupports: supports };
}

function numberOf(value: Json | undefined): number {
  return typeof value === "number" ? value : 0;
}
