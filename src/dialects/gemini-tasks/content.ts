import {
  invalid,
  ProblemError,
  type DoorContext,
  type Json,
  type JsonObject,
  type TaskFile,
  type TaskFrame,
  type Usage,
} from "../../canon/index.ts";
import { decodeUsage } from "../gemini/usage.ts";
import { camelCased } from "../gemini/wire.ts";
import { answered, count, demand, isList, isObject, object, text } from "../shared-task-fields.ts";

/** One thing that a request says or an answer holds. */
export interface Inline {
  readonly contentType: string;
  readonly base64: string;
}

/** What a request says: its last turn, and what stands before that. */
export interface Turn {
  readonly text: string;
  readonly files: readonly Inline[];
  /** Standing instructions; "" where there are none. */
  readonly instructions: string;
  /** Data of the nearest earlier turn that has any. */
  readonly before: readonly Inline[];
  /** What it says beyond texts and data, in words that follow "takes no". */
  readonly beyond: string | undefined;
  /** Paths of what it says and none of these. */
  readonly unspoken: readonly string[];
}

/** Either spelling of a field: the API takes both. */
export function either(holder: JsonObject | undefined, camel: string): Json | undefined {
  if (!holder) return undefined;
  return holder[camel] ?? holder[camel.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
}

/** @throws ProblemError invalid_request */
export function readTurn(body: JsonObject): Turn {
  const contents = demand(body, "contents", "list");
  const last = contents.at(-1);
  const path = `contents[${contents.length - 1}].`;
  if (!isObject(last)) throw invalid("`contents` must end in an object with parts.", "contents");
  const asked = readParts(isObject(last["parts"]) ? [last["parts"]] : demand(last, "parts", "list", path));
  const instructions = either(body, "systemInstruction");
  const before = contents.slice(0, -1).map((content) => readParts(partsOf(content)).files);
  return {
    text: asked.words.join("\n"),
    files: asked.files,
    instructions: typeof instructions === "string" ? instructions : readParts(partsOf(instructions)).words.join("\n"),
    before: before.findLast((files) => files.length > 0) ?? [],
    beyond: last["role"] === "model" ? "answers that the client began" : asked.isMore ? "parts but texts and data" : undefined,
    unspoken: contents.length > 1 ? ["contents[] of earlier turns"] : [],
  };
}

function partsOf(content: Json | undefined): readonly Json[] {
  const parts = object(content)?.["parts"];
  return isList(parts) ? parts : parts === undefined ? [] : [parts];
}

function readParts(parts: readonly Json[]): {
  readonly words: readonly string[];
  readonly files: readonly Inline[];
  readonly isMore: boolean;
} {
  const words: string[] = [];
  const files: Inline[] = [];
  let isMore = false;
  for (const part of parts) {
    const holder = object(part);
    const inline = object(either(holder, "inlineData"));
    const said = holder?.["text"];
    if (typeof said === "string") words.push(said);
    else if (inline)
      files.push({ contentType: text(either(inline, "mimeType")) ?? "application/octet-stream", base64: text(inline["data"]) ?? "" });
    else isMore = true;
  }
  return { words, files, isMore };
}

/** How the answer is to be made, by names in camel case. */
export function generationIn(body: JsonObject): JsonObject {
  return camelCased(object(either(body, "generationConfig")) ?? {});
}

/** Paths of the members that nobody reads. */
export function unread(holder: JsonObject, path: string, known: readonly string[]): readonly string[] {
  return Object.entries(holder)
    .filter(([name, value]) => value !== undefined && value !== null && !known.includes(name))
    .map(([name]) => `${path}.${name}`);
}

/** How the door streams: not at all, as events, or as one array. */
export function streamOf({ params }: Pick<DoorContext, "params">): { readonly stream: boolean; readonly array?: true } {
  if (params["stream"] !== "true") return { stream: false };
  return params["alt"] === "sse" ? { stream: true } : { stream: true, array: true };
}

/** The answer, which comes in one piece, as the one event of the stream that was asked for; undefined: none was, or an array. */
export function asFrames(
  task: { readonly stream: boolean; readonly array?: true },
  answer: () => JsonObject,
): readonly TaskFrame[] | undefined {
  return task.stream && !task.array ? [{ json: answer() }] : undefined;
}

/** A file as a form holds it: several are a list, and its name says so. */
export function fileOf({ contentType, base64 }: Inline, at: number, all: readonly Inline[]): TaskFile {
  const ending = contentType.split(/[/;+]/)[1] ?? "bin";
  return {
    field: all.length > 1 ? "image[]" : "image",
    name: `image-${at + 1}.${ending}`,
    contentType,
    bytes: Buffer.from(base64, "base64"),
  };
}

export function inlineOf(contentType: string, bytes: Uint8Array): JsonObject {
  return { inlineData: { mimeType: contentType, data: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64") } };
}

/** What the one candidate of an answer holds; thoughts are no part of it. */
export interface Given {
  readonly text: string;
  readonly files: readonly Inline[];
  readonly finish: string | undefined;
}

/** An answer as it came, or as the one element of a stream that is an array. @throws ProblemError upstream_broken */
export function answerIn(body: Json): JsonObject {
  return answered(isList(body) && body.length === 1 ? (body[0] ?? null) : body);
}

/** @throws ProblemError upstream_rejected: the prompt was refused */
export function givenBy(answer: JsonObject): Given {
  const blocked = text(either(object(answer["promptFeedback"]), "blockReason"));
  if (blocked !== undefined) throw refused(blocked);
  const candidates = answer["candidates"];
  const candidate = isList(candidates) ? object(candidates[0]) : undefined;
  const parts = object(candidate?.["content"])?.["parts"];
  const words: string[] = [];
  const files: Inline[] = [];
  for (const part of isList(parts) ? parts : []) {
    const holder = object(part);
    if (!holder || holder["thought"] === true) continue;
    const inline = object(either(holder, "inlineData"));
    if (inline) files.push({ contentType: text(either(inline, "mimeType")) ?? "", base64: text(inline["data"]) ?? "" });
    else if (typeof holder["text"] === "string") words.push(holder["text"]);
  }
  return { text: words.join(""), files, finish: text(candidate?.["finishReason"]) };
}

/** The provider looked at what was asked and would not do it. */
export function refused(reason: string): ProblemError {
  const message = `The provider refused what was asked: ${reason.slice(0, 300)}.`;
  return new ProblemError({ kind: "upstream_rejected", status: 400, code: "content_filter", message });
}

export function usageIn(answer: JsonObject): Usage | undefined {
  const usage = object(answer["usageMetadata"]);
  return usage && count(usage["totalTokenCount"]) + count(usage["promptTokenCount"]) > 0 ? decodeUsage(usage) : undefined;
}

/** An answer of some candidates, each by its parts. */
export function answerOf(candidates: readonly (readonly Json[])[], usage: Usage | undefined, model: string): JsonObject {
  const prompt = usage?.inputUncached ?? 0;
  const output = usage?.output ?? 0;
  const { output_image_tokens: images = 0, output_audio_tokens: sound = 0 } = usage?.media ?? {};
  const made = [
    { modality: "IMAGE", tokenCount: images },
    { modality: "AUDIO", tokenCount: sound },
  ].filter(({ tokenCount }) => tokenCount > 0);
  return {
    candidates: candidates.map((parts, index) => ({ content: { role: "model", parts }, finishReason: "STOP", index })),
    usageMetadata: {
      promptTokenCount: prompt,
      candidatesTokenCount: output,
      totalTokenCount: prompt + output,
      ...(made.length > 0 && { candidatesTokensDetails: made }),
    },
    modelVersion: model,
  };
}

export function modelIn(params: Readonly<Record<string, string>>): string {
  const model = params["model"] ?? "";
  if (model === "") throw invalid("The path names no model.", "model");
  return model;
}

export function pathTo(model: string, variant: string): string {
  return `/models/${model.split("/").map(encodeURIComponent).join("/")}:${variant}`;
}
