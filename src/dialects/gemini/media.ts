import type { FilePart, Json, JsonObject, Part, Source } from "../../canon/index.ts";
import { checkedBase64 } from "../shared-media.ts";
import { at, needName, needObject, readString, type Path } from "./wire.ts";

/** Media types of addresses that say none, by the ending of their path. */
const TYPES: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  webp: "image/webp",
  gif: "image/gif",
  heic: "image/heic",
  pdf: "application/pdf",
  txt: "text/plain",
  csv: "text/csv",
  html: "text/html",
  md: "text/markdown",
  mp3: "audio/mp3",
  wav: "audio/wav",
  ogg: "audio/ogg",
  flac: "audio/flac",
  mp4: "video/mp4",
  webm: "video/webm",
};

/** What the path of an address suggests; undefined when nothing. */
export function mediaTypeOfUrl(url: string): string | undefined {
  const ending = /\.([a-z0-9]{2,4})(?:[?#]|$)/i.exec(url)?.[1]?.toLowerCase();
  return ending !== undefined && Object.hasOwn(TYPES, ending) ? TYPES[ending] : undefined;
}

/** Files of the provider's own store and of its cloud; nobody else can read them. */
const STORED = /^gs:|^files\/|\/v1(?:beta)?\/files\//;

/** `inlineData` or `fileData` as a part. Film has no part of its own in canonical form and stays in `raw`. @throws ProblemError invalid_request */
export function decodeMedia(part: JsonObject, raw: Json, path: Path): Part {
  const inline = at(part, "inlineData");
  const [source, name] = inline === undefined ? fileSource(part, path) : inlineSource(needObject(inline, `${path}.inlineData`), path);
  const family = source.mediaType?.split("/")[0];
  if (family === "image") return { type: "image", source, raw };
  if (family === "audio") return { type: "audio", source, ...formatOf(source), raw };
  if (family === "video") return { type: "unknown", kind: "video", raw };
  return { type: "file", source, ...(name !== undefined && { filename: name }), raw } satisfies FilePart;
}

function inlineSource(blob: JsonObject, path: Path): readonly [Source, string | undefined] {
  const mediaType = needName(at(blob, "mimeType"), `${path}.inlineData.mimeType`).toLowerCase();
  const data = checkedBase64(needName(blob["data"], `${path}.inlineData.data`), `${path}.inlineData.data`);
  // Protocol buffers' JSON also takes the alphabet for addresses, which other languages do not.
  const plain = data.replaceAll("-", "+").replaceAll("_", "/");
  return [{ data: plain, mediaType }, readString(at(blob, "displayName"), `${path}.inlineData.displayName`)];
}

function fileSource(part: JsonObject, path: Path): readonly [Source, string | undefined] {
  const file = needObject(at(part, "fileData"), `${path}.fileData`);
  const uri = needName(at(file, "fileUri"), `${path}.fileData.fileUri`);
  const said = readString(at(file, "mimeType"), `${path}.fileData.mimeType`);
  const mediaType = said ?? mediaTypeOfUrl(uri) ?? (isFilm(uri) ? "video/*" : undefined);
  const where = STORED.test(uri) || !/^https?:\/\//i.test(uri) ? { fileId: uri } : { url: uri };
  return [{ ...where, ...(mediaType !== undefined && { mediaType: mediaType.toLowerCase() }) }, readString(at(file, "displayName"), path)];
}

/** Addresses that the API takes for films without being told so. */
function isFilm(uri: string): boolean {
  return /^https?:\/\/(?:(?:www|m)\.)?(?:youtube\.com|youtu\.be)\//i.test(uri);
}

const FORMATS: Readonly<Record<string, string>> = { mpeg: "mp3", "x-wav": "wav", wave: "wav", "x-m4a": "m4a" };

function formatOf({ mediaType }: Source): { readonly format?: string } {
  const name = mediaType?.split("/")[1]?.split(";")[0];
  return name === undefined ? {} : { format: FORMATS[name] ?? name };
}

/** Bytes or an address on this wire; undefined for a file in another provider's store. */
export function encodeSource(source: Source, fallbackType: string, own: boolean): JsonObject | undefined {
  if (source.data !== undefined) return { inlineData: { mimeType: source.mediaType ?? fallbackType, data: source.data } };
  const uri = source.url ?? (own ? source.fileId : undefined);
  if (uri === undefined) return undefined;
  const mimeType = source.mediaType ?? mediaTypeOfUrl(uri);
  return { fileData: { ...(mimeType !== undefined && { mimeType }), fileUri: uri } };
}
