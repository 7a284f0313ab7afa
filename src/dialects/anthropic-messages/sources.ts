import { invalid, type JsonObject, type Source } from "../../canon/index.ts";
import { needName, needString, type Path, readString } from "./wire.ts";

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const DATA_URL = /^data:([^;,]*)(?:;[^,]*)?;base64,/;
const SHOWN_LETTERS = 60;

/**
 * Where an image or document is: `base64`, `url` or `file`. Undefined for a kind that is not known here.
 * @throws ProblemError invalid_request when what it names cannot be fetched or read
 */
export function decodeSource(source: JsonObject, path: Path): Source | undefined {
  switch (source["type"]) {
    case "base64": {
      const data = needString(source["data"], `${path}.data`);
      const mediaType = needName(source["media_type"], `${path}.media_type`);
      checkBase64(data, `${path}.data`);
      return { data, mediaType };
    }
    case "url":
      return decodeUrl(needString(source["url"], `${path}.url`), `${path}.url`);
    case "file":
      return { fileId: needName(source["file_id"], `${path}.file_id`) };
    default:
      readString(source["type"], `${path}.type`);
      return undefined;
  }
}

function decodeUrl(url: string, path: Path): Source {
  if (url.startsWith("data:")) {
    const head = DATA_URL.exec(url);
    if (!head) throw invalid(`${path}: a data URL must be base64: data:MEDIA/TYPE;base64,...`, path);
    const data = url.slice(head[0].length);
    checkBase64(data, path);
    return { data, ...(head[1] !== undefined && head[1] !== "" && { mediaType: head[1] }) };
  }
  const scheme = URL.canParse(url) ? new URL(url).protocol : "";
  if (scheme === "http:" || scheme === "https:") return { url };
  throw invalid(`${path}: "${url.slice(0, SHOWN_LETTERS)}" is not an http or https URL.`, path);
}

function checkBase64(data: string, path: Path): void {
  if (data === "" || data.length % 4 === 1 || !BASE64.test(data)) throw invalid(`${path}: is not well-formed base64.`, path);
}

/** The wire source of an image or document; undefined when this language cannot point at it. File ids are good in their own language only. */
export function encodeSource(source: Source, own: boolean): JsonObject | undefined {
  if (source.data !== undefined) return { type: "base64", media_type: source.mediaType ?? "application/octet-stream", data: source.data };
  if (source.url !== undefined) return source.url.startsWith("http") ? { type: "url", url: source.url } : undefined;
  return own && source.fileId !== undefined ? { type: "file", file_id: source.fileId } : undefined;
}
