import { invalid, type Json, type JsonObject, type Part, type Source } from "../../canon/index.ts";
import { checkedBase64, sourceFromUrl } from "../shared-media.ts";
import { isList, isObject, optional, required, stringIn } from "./shape.ts";

/** Seconds that the canonical form gives a short-lived and a long-lived cache breakpoint. */
const SHORT_CACHE_SECONDS = 300;
const LONG_CACHE_SECONDS = 3600;

/**
 * `strict`: a client's request, whose types are checked. Otherwise an upstream's answer, which is taken as it is: what does not fit
 * stays readable in `raw`.
 */
export interface Reading {
  readonly strict: boolean;
}

/** The content of a message or of a tool's output: a text, or a list of parts. @throws ProblemError when strict */
export function decodeContent(content: Json | undefined, path: string, reading: Reading): Part[] {
  if (typeof content === "string") return [{ type: "text", text: content }];
  if (isList(content)) return content.map((raw, at) => decodePart(raw, `${path}[${at}]`, reading));
  if (reading.strict && content !== undefined && content !== null) throw invalid(`\`${path}\` must be a string or a list of parts.`, path);
  return [];
}

function decodePart(raw: Json, path: string, reading: Reading): Part {
  if (!isObject(raw)) {
    if (reading.strict) throw invalid(`\`${path}\` must be an object.`, path);
    return { type: "unknown", kind: "unknown", raw };
  }
  const kind = reading.strict ? required(raw, "type", "string", `${path}.`) : stringIn(raw["type"]);
  const part = reading.strict ? readPart(kind, raw, `${path}.`) : tolerantPart(kind, raw);
  const seconds = cacheSeconds(raw["prompt_cache_breakpoint"]);
  return seconds === undefined ? part : { ...part, cacheTtlSeconds: seconds };
}

/** An answer's parts hold text or nothing this form knows. */
function tolerantPart(kind: string, raw: JsonObject): Part {
  if (kind === "output_text" || kind === "input_text" || kind === "text") return textPart(raw, stringIn(raw["text"]));
  if (kind === "refusal") return { type: "refusal", text: stringIn(raw["refusal"]), raw };
  return { type: "unknown", kind, raw };
}

/** @throws ProblemError */
function readPart(kind: string, raw: JsonObject, path: string): Part {
  switch (kind) {
    case "input_text":
    case "output_text":
    case "text":
      return textPart(raw, required(raw, "text", "string", path));
    case "refusal":
      return { type: "refusal", text: required(raw, "refusal", "string", path), raw };
    case "input_image":
      return imagePart(raw, path);
    case "input_file":
      return filePart(raw, path);
    case "input_audio":
      return audioPart(raw, path);
    default:
      return { type: "unknown", kind, raw };
  }
}

function textPart(raw: JsonObject, text: string): Part {
  const { annotations, logprobs } = raw;
  return {
    type: "text",
    text,
    raw,
    ...(isList(annotations) && annotations.length > 0 && { annotations }),
    ...(isList(logprobs) && logprobs.length > 0 && { logprobs }),
  };
}

function imagePart(raw: JsonObject, path: string): Part {
  const url = optional(raw, "image_url", "string", path);
  const fileId = optional(raw, "file_id", "string", path);
  const detail = optional(raw, "detail", "string", path);
  const source = url === undefined ? fileSource(fileId, `${path}image_url`, "image_url") : sourceFromUrl(url, `${path}image_url`);
  return { type: "image", source, raw, ...(detail !== undefined && { detail }) };
}

function filePart(raw: JsonObject, path: string): Part {
  const data = optional(raw, "file_data", "string", path);
  const url = optional(raw, "file_url", "string", path);
  const fileId = optional(raw, "file_id", "string", path);
  const filename = optional(raw, "filename", "string", path);
  return { type: "file", source: source(), raw, ...(filename !== undefined && { filename }) };

  function source(): Source {
    if (url !== undefined) return sourceFromUrl(url, `${path}file_url`);
    if (data === undefined) return fileSource(fileId, `${path}file_id`, "file_id, file_url or file_data");
    // Some clients send the base64 bare, without saying what it is.
    return data.startsWith("data:") ? sourceFromUrl(data, `${path}file_data`) : { data: checkedBase64(data, `${path}file_data`) };
  }
}

function audioPart(raw: JsonObject, path: string): Part {
  const audio = required(raw, "input_audio", "object", path);
  const format = optional(audio, "format", "string", `${path}input_audio.`);
  const data = checkedBase64(required(audio, "data", "string", `${path}input_audio.`), `${path}input_audio.data`);
  return { type: "audio", source: { data }, raw, ...(format !== undefined && { format }) };
}

function fileSource(fileId: string | undefined, param: string, wanted: string): Source {
  if (fileId === undefined || fileId === "") throw invalid(`\`${param}\` is missing: the part needs ${wanted}.`, param);
  return { fileId };
}

function cacheSeconds(breakpoint: Json | undefined): number | undefined {
  if (!isObject(breakpoint)) return undefined;
  return breakpoint["ttl"] === "12h" ? LONG_CACHE_SECONDS : SHORT_CACHE_SECONDS;
}
