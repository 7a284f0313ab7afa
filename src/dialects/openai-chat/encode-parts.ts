import type { Json, Part } from "../../canon/index.ts";
import type { EncodeContext } from "./encode-context.ts";
import { audioFormat, dataUrl } from "./media.ts";
import { isObject } from "./shape.ts";

/**
 * One part as chat completions writes it; undefined when it cannot, which is noted. `native`: the part's `raw` is of this language and
 * may go to this provider.
 */
export function encodePart(part: Part, native: boolean, context: EncodeContext): Json | undefined {
  if (native && part.raw !== undefined && part.type !== "text") return part.raw;
  if (part.cacheTtlSeconds !== undefined && !native)
    context.note(
      "items[].cacheTtlSeconds",
      "dropped",
      "The provider's language has no breakpoints for its prompt cache that all its vendors know.",
    );
  if (part.type === "text") return native && isObject(part.raw) ? { ...part.raw, text: part.text } : { type: "text", text: part.text };
  switch (part.type) {
    case "refusal":
      return { type: "text", text: part.text };
    case "image":
      return encodeImage(part, context);
    case "file":
      return encodeFile(part, context);
    case "audio":
      return encodeAudio(part, context);
    case "unknown":
      return context.drop("items[].parts[].unknown", `A part of type "${part.kind}" exists only in its own language.`);
  }
}

function encodeImage({ source, detail }: Part & { type: "image" }, context: EncodeContext): Json | undefined {
  const url = source.url ?? (source.data === undefined ? undefined : dataUrl(source.data, source.mediaType ?? "image/png"));
  if (url === undefined)
    return context.drop("items[].parts[].image", "An image in another provider's file store cannot be read here; send it inline.");
  return { type: "image_url", image_url: { url, ...(detail !== undefined && { detail }) } };
}

function encodeFile({ source, filename, text }: Part & { type: "file" }, context: EncodeContext): Json | undefined {
  if (text !== undefined) {
    context.note("items[].parts[].file", "degraded", "A plain text file is sent as text.");
    return { type: "text", text };
  }
  if (source.data !== undefined) {
    const file_data = dataUrl(source.data, source.mediaType ?? "application/pdf");
    return { type: "file", file: { filename: filename ?? "file.pdf", file_data } };
  }
  const reason =
    source.url === undefined
      ? "A file in another provider's file store cannot be read here; send it inline."
      : "Chat completions fetch no files by address; send it inline.";
  return context.drop("items[].parts[].file", reason);
}

function encodeAudio({ source, format }: Part & { type: "audio" }, context: EncodeContext): Json | undefined {
  if (source.data === undefined) return context.drop("items[].parts[].audio", "Chat completions take sound inline only.");
  return { type: "input_audio", input_audio: { data: source.data, format: format ?? audioFormat(source.mediaType) ?? "wav" } };
}

/** What parts become where a message may hold them all: a string for one plain text, a list otherwise. */
export function encodeContent(parts: readonly Part[], native: boolean, asList: boolean, context: EncodeContext): Json {
  const encoded: Json[] = [];
  for (const part of parts) {
    const piece = encodePart(part, native, context);
    if (piece !== undefined) encoded.push(piece);
  }
  return asList ? encoded : plainest(encoded);
}

function plainest(encoded: readonly Json[]): Json {
  const [first, ...more] = encoded;
  if (first === undefined) return "";
  if (more.length === 0 && isObject(first) && first["type"] === "text" && Object.keys(first).length === 2) return first["text"] ?? "";
  return encoded;
}
