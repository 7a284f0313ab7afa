import { invalid, type AudioPart, type FilePart, type ImagePart, type Json, type JsonObject, type Source } from "../../canon/index.ts";
import { checkedBase64 } from "../shared-media.ts";
import { demand, object, read, text } from "../shared-shape.ts";

/** Formats of documents, and the media types they stand for. Source: `DocumentFormat` of the service's model. */
const DOCUMENTS: Readonly<Record<string, string>> = {
  pdf: "application/pdf",
  csv: "text/csv",
  doc: "application/msword",
  docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  xls: "application/vnd.ms-excel",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  html: "text/html",
  txt: "text/plain",
  md: "text/markdown",
};
const IMAGES: Readonly<Record<string, string>> = { png: "image/png", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp" };
const DEFAULT_DOCUMENT = "pdf";

/** A name that the service takes: letters, digits, single spaces, `-`, `(`, `)`, `[` and `]`. */
const NOT_IN_NAMES = /[^A-Za-z0-9\s\-()[\]]/g;
const NAME_CHARACTERS = 200;

/** @throws ProblemError naming `path` */
function decodeSource(holder: JsonObject, path: string): Source {
  const source = demand(holder, "source", "object", `${path}.`);
  const bytes = read(source, "bytes", "string", `${path}.source.`);
  if (bytes !== undefined) return { data: checkedBase64(bytes, `${path}.source.bytes`) };
  const place = read(source, "s3Location", "object", `${path}.source.`);
  if (place) return { fileId: demand(place, "uri", "string", `${path}.source.s3Location.`) };
  throw invalid(`\`${path}.source\` holds neither bytes nor a place.`, `${path}.source`);
}

/** @throws ProblemError naming `path` */
export function decodeImage(image: JsonObject, path: string): ImagePart {
  const mediaType = IMAGES[demand(image, "format", "string", `${path}.`)];
  return { type: "image", source: { ...decodeSource(image, path), ...(mediaType !== undefined && { mediaType }) } };
}

/** @throws ProblemError naming `path` */
export function decodeAudio(audio: JsonObject, path: string): AudioPart {
  const format = demand(audio, "format", "string", `${path}.`);
  return { type: "audio", format, source: { ...decodeSource(audio, path), mediaType: `audio/${format}` } };
}

/** @throws ProblemError naming `path` */
export function decodeDocument(document: JsonObject, path: string): FilePart {
  const filename = read(document, "name", "string", `${path}.`);
  const mediaType = DOCUMENTS[read(document, "format", "string", `${path}.`) ?? DEFAULT_DOCUMENT];
  const typed = mediaType === undefined ? {} : { mediaType };
  const named = filename === undefined ? {} : { filename };
  const source = demand(document, "source", "object", `${path}.`);
  const words = wordsIn(source);
  if (words !== undefined)
    return { type: "file", ...named, text: words, source: { data: Buffer.from(words).toString("base64"), mediaType: "text/plain" } };
  const found = decodeSource(document, path);
  const plain = found.data !== undefined && (mediaType === "text/plain" || mediaType === "text/markdown");
  return {
    type: "file",
    ...named,
    ...(plain && { text: Buffer.from(found.data ?? "", "base64").toString() }),
    source: { ...found, ...typed },
  };
}

/** A document that is said as words, at once or in pieces. */
function wordsIn(source: JsonObject): string | undefined {
  const words = text(source["text"]);
  if (words !== undefined) return words;
  const content: Json | undefined = source["content"];
  if (!Array.isArray(content)) return undefined;
  return (content as readonly Json[]).map((piece) => text(object(piece)?.["text"]) ?? "").join("\n");
}

function formatOf(formats: Readonly<Record<string, string>>, mediaType: string | undefined): string | undefined {
  const bare = mediaType?.split(";")[0]?.toLowerCase();
  const same = bare === "image/jpg" ? "image/jpeg" : bare;
  return Object.entries(formats).find(([, type]) => type === same)?.[0];
}

function encodeSource({ data, fileId }: Source, own: boolean): JsonObject | undefined {
  if (data !== undefined) return { bytes: data };
  return own && fileId !== undefined ? { s3Location: { uri: fileId } } : undefined;
}

/** Undefined for what the service could not read: it fetches no addresses. */
export function encodeImage({ source }: ImagePart, own: boolean): JsonObject | undefined {
  const bytes = encodeSource(source, own);
  const format = source.mediaType === undefined ? "png" : formatOf(IMAGES, source.mediaType);
  return bytes && format !== undefined ? { image: { format, source: bytes } } : undefined;
}

export function encodeAudio({ source, format }: AudioPart, own: boolean): JsonObject | undefined {
  const bytes = encodeSource(source, own);
  return bytes && { audio: { format: format ?? source.mediaType?.split("/")[1] ?? "wav", source: bytes } };
}

/** `number`: makes the names of a request's documents differ, which the service wants. */
export function encodeDocument(part: FilePart, number: number, own: boolean): JsonObject | undefined {
  const name = nameOf(part.filename, number);
  const format = formatOf(DOCUMENTS, part.source.mediaType);
  if (part.text !== undefined && part.source.data === undefined)
    return { document: { format: format ?? "txt", name, source: { bytes: Buffer.from(part.text).toString("base64") } } };
  const bytes = encodeSource(part.source, own);
  if (!bytes || (format === undefined && part.source.mediaType !== undefined)) return undefined;
  return { document: { format: format ?? DEFAULT_DOCUMENT, name, source: bytes } };
}

function nameOf(filename: string | undefined, number: number): string {
  const stem = (filename ?? "").replace(/\.[A-Za-z0-9]{1,5}$/, "").replaceAll(NOT_IN_NAMES, "-");
  const name = stem.replaceAll(/\s+/g, " ").trim().slice(0, NAME_CHARACTERS);
  if (name === "") return `document ${number}`;
  return number === 1 ? name : `${name} (${number})`;
}
