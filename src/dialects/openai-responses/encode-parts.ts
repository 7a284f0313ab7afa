import type { Diagnostic, Json, Origin, Part } from "../../canon/index.ts";
import { urlOf } from "./media.ts";
import { ID, isObject, type Draft } from "./shape.ts";

export type Note = (diagnostic: Diagnostic) => void;

/** Whose words the parts are: what a model said is written differently from what it is given. */
export type Side = "input" | "output";

export interface PartTarget {
  /** The provider's name; its file ids mean nothing elsewhere. */
  readonly provider: string;
  readonly audio: boolean;
}

/** The parts as this language writes them; what it cannot say is left out with a note. */
export function encodeParts(parts: readonly Part[], side: Side, origin: Origin | undefined, target: PartTarget, note: Note): Json[] {
  const encoded: Json[] = [];
  for (const part of parts) {
    const wire = encodePart(part, side, origin, target, note);
    if (wire !== undefined) encoded.push(wire);
  }
  return encoded;
}

function encodePart(part: Part, side: Side, origin: Origin | undefined, target: PartTarget, note: Note): Json | undefined {
  const own = origin?.dialect === ID;
  if (own && part.raw !== undefined) return part.raw;
  if (part.cacheTtlSeconds !== undefined && !own) {
    note({ field: "items[].parts[].cacheTtlSeconds", action: "dropped", reason: "This language caches prompts on its own." });
  }
  if (part.type === "text") return { type: side === "output" ? "output_text" : "input_text", text: part.text };
  if (part.type === "refusal") return side === "output" ? { type: "refusal", refusal: part.text } : { type: "input_text", text: part.text };
  if (side === "output") return dropped(part.type, "An assistant's message holds only text here.", note);
  if (part.type === "image") return imagePart(part, own, target, note);
  if (part.type === "file") return filePart(part, own, target, note);
  if (part.type === "audio") return audioPart(part, target, note);
  return dropped(part.kind, "Only its own language knows this part.", note);
}

function imagePart(part: Extract<Part, { type: "image" }>, own: boolean, target: PartTarget, note: Note): Json | undefined {
  const url = urlOf(part.source, "image/png");
  const detail = { detail: part.detail ?? "auto" };
  if (url !== undefined) return { type: "input_image", image_url: url, ...detail };
  return own ? { type: "input_image", file_id: part.source.fileId, ...detail } : dropped("image", foreignFile(target), note);
}

function filePart(part: Extract<Part, { type: "file" }>, own: boolean, target: PartTarget, note: Note): Json | undefined {
  const { source, filename, text } = part;
  if (source.url !== undefined) return { type: "input_file", file_url: source.url };
  if (source.data !== undefined) {
    const type = source.mediaType ?? "application/pdf";
    return {
      type: "input_file",
      filename: filename ?? `file.${type.split("/")[1] ?? "bin"}`,
      file_data: `data:${type};base64,${source.data}`,
    };
  }
  if (text !== undefined) {
    note({ field: "items[].parts[].file", action: "degraded", reason: "A file of plain text is sent as text." });
    return { type: "input_text", text: filename === undefined ? text : `${filename}\n\n${text}` };
  }
  return own && source.fileId !== undefined ? { type: "input_file", file_id: source.fileId } : dropped("file", foreignFile(target), note);
}

function audioPart(part: Extract<Part, { type: "audio" }>, target: PartTarget, note: Note): Json | undefined {
  const { source, format, transcript } = part;
  if (target.audio && source.data !== undefined) {
    const audio: Draft = { data: source.data, format: format ?? source.mediaType?.split("/")[1] ?? "wav" };
    return { type: "input_audio", input_audio: audio };
  }
  if (transcript !== undefined) {
    note({ field: "items[].parts[].audio", action: "degraded", reason: "Sound is sent as its transcript." });
    return { type: "input_text", text: transcript };
  }
  return dropped("audio", "The target takes no sound.", note);
}

function foreignFile(target: PartTarget): string {
  return `A file id of another provider means nothing to "${target.provider}".`;
}

function dropped(kind: string, reason: string, note: Note): undefined {
  note({ field: `items[].parts[].${kind}`, action: "dropped", reason });
  return undefined;
}

/** Log probabilities in the shape that this language shares with its older sister; anything else is left out. */
export function isLogprobs(value: Json | undefined): value is readonly Json[] {
  return (
    Array.isArray(value) &&
    value.every((entry: Json) => isObject(entry) && typeof entry["token"] === "string" && typeof entry["logprob"] === "number")
  );
}
