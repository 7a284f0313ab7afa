import { invalid, type Json, type JsonObject, type Part, type TextPart } from "../../canon/index.ts";
import { checkedBase64, sourceFromUrl } from "../shared-media.ts";
import { demand, isObject, read, text } from "./shape.ts";

const HOUR_SECONDS = 3600;
const FIVE_MINUTES_SECONDS = 300;

/** A request's part: what it names is checked. @throws ProblemError naming `path` */
export function decodePart(raw: Json, path: string): Part {
  if (!isObject(raw)) throw invalid(`\`${path}\` must be an object with a \`type\`.`, path);
  const cacheTtlSeconds = cacheTtl(raw);
  const part = decodeKind(raw, path);
  return cacheTtlSeconds === undefined ? part : { ...part, cacheTtlSeconds };
}

function decodeKind(raw: JsonObject, path: string): Part {
  const type = demand(raw, "type", "string", `${path}.`);
  switch (type) {
    case "text":
      return textPart(raw, read(raw, "text", "string", `${path}.`) ?? "");
    case "refusal":
      return { type: "refusal", text: read(raw, "refusal", "string", `${path}.`) ?? "", raw };
    case "image_url":
      return imagePart(raw, path);
    case "input_audio":
      return audioPart(raw, path);
    case "file":
      return filePart(raw, path);
    // Some vendors take documents by address under this name.
    case "document_url":
      return { type: "file", source: sourceFromUrl(demand(raw, "document_url", "string", `${path}.`), `${path}.document_url`), raw };
    default:
      return { type: "unknown", kind: type, raw };
  }
}

/** The text itself always comes from `text`; `raw` is kept only where it says more than that. */
function textPart(raw: JsonObject, value: string): TextPart {
  return Object.keys(raw).length > 2 ? { type: "text", text: value, raw } : { type: "text", text: value };
}

function imagePart(raw: JsonObject, path: string): Part {
  // The bare string is a vendors' shorthand.
  const short = raw["image_url"];
  if (typeof short === "string") return { type: "image", source: sourceFromUrl(short, `${path}.image_url`), raw };
  const image = demand(raw, "image_url", "object", `${path}.`);
  const source = sourceFromUrl(demand(image, "url", "string", `${path}.image_url.`), `${path}.image_url.url`);
  const detail = read(image, "detail", "string", `${path}.image_url.`);
  return { type: "image", source, ...(detail !== undefined && { detail }), raw };
}

function audioPart(raw: JsonObject, path: string): Part {
  const audio = demand(raw, "input_audio", "object", `${path}.`);
  const format = read(audio, "format", "string", `${path}.input_audio.`);
  const param = `${path}.input_audio.data`;
  const given = demand(audio, "data", "string", `${path}.input_audio.`);
  const source = /^(?:https?|data):/i.test(given) ? sourceFromUrl(given, param) : { data: checkedBase64(given, param) };
  return { type: "audio", source, ...(format !== undefined && { format }), raw };
}

function filePart(raw: JsonObject, path: string): Part {
  const file = demand(raw, "file", "object", `${path}.`);
  const prefix = `${path}.file.`;
  const filename = read(file, "filename", "string", prefix);
  const named = filename !== undefined && { filename };
  const fileId = read(file, "file_id", "string", prefix);
  if (fileId !== undefined) return { type: "file", source: { fileId }, ...named, raw };
  const given = demand(file, "file_data", "string", prefix);
  const param = `${prefix}file_data`;
  const source = /^(?:https?|data):/i.test(given) ? sourceFromUrl(given, param) : { data: checkedBase64(given, param) };
  return { type: "file", source, ...named, raw };
}

/** Two spellings of a prompt-cache breakpoint; the canonical form knows five minutes and an hour, so longer ones become an hour. */
export function cacheTtl(raw: JsonObject): number | undefined {
  const control = raw["cache_control"];
  if (isObject(control)) return control["ttl"] === "1h" ? HOUR_SECONDS : FIVE_MINUTES_SECONDS;
  return isObject(raw["prompt_cache_breakpoint"]) ? HOUR_SECONDS : undefined;
}

/** A part of a model's answer: tolerated whatever it is. */
export function decodeAnswerPart(raw: Json): Part {
  if (!isObject(raw)) return { type: "unknown", kind: typeof raw, raw };
  if (raw["type"] === "text" && typeof raw["text"] === "string") return textPart(raw, raw["text"]);
  if (raw["type"] === "refusal" && typeof raw["refusal"] === "string") return { type: "refusal", text: raw["refusal"], raw };
  return { type: "unknown", kind: text(raw["type"]) ?? "part", raw };
}

export function isThinking(raw: Json): raw is JsonObject {
  return isObject(raw) && raw["type"] === "thinking";
}

/** `{ type: "thinking", thinking: [{ type: "text", text }] }`, or with the text itself. */
export function thinkingText(raw: JsonObject): string {
  const thinking = raw["thinking"];
  if (typeof thinking === "string") return thinking;
  if (!Array.isArray(thinking)) return "";
  let all = "";
  for (const piece of thinking as readonly Json[]) if (isObject(piece) && typeof piece["text"] === "string") all += piece["text"];
  return all;
}
