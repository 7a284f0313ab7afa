import { invalid, ProblemError, type Json, type JsonObject, type TaskFile, type Usage } from "../../canon/index.ts";
import { decodeUsage } from "../gemini/usage.ts";
import { count, demand, isList, isObject, object, text } from "../shared-task-fields.ts";

/** One thing that a request says or an answer holds. */
export interface Inline {
  readonly contentType: string;
  readonly base64: string;
}

/** What a request of one turn says. */
export interface Turn {
  readonly text: string;
  readonly files: readonly Inline[];
  /** What it says beyond texts and data of one turn, in words that follow "takes no". */
  readonly beyond: string | undefined;
}

/** Either spelling of a field: the API takes both. */
export function either(holder: JsonObject | undefined, camel: string): Json | undefined {
  if (!holder) return undefined;
  return holder[camel] ?? holder[camel.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
}

/** @throws ProblemError invalid_request */
export function readTurn(body: JsonObject): Turn {
  const contents = demand(body, "contents", "list");
  const [only] = contents;
  if (!isObject(only)) throw invalid("`contents` must hold an object with parts.", "contents");
  const words: string[] = [];
  const files: Inline[] = [];
  let beyond: string | undefined = contents.length > 1 ? "conversations of several turns" : undefined;
  for (const part of demand(only, "parts", "list", "contents[0].")) {
    const holder = object(part);
    const inline = object(either(holder, "inlineData"));
    const said = holder?.["text"];
    if (typeof said === "string") words.push(said);
    else if (inline)
      files.push({ contentType: text(either(inline, "mimeType")) ?? "application/octet-stream", base64: text(inline["data"]) ?? "" });
    else beyond ??= "parts but texts and data";
  }
  return { text: words.join("\n"), files, beyond };
}

/** A file as a request of several parts holds it. */
export function fileOf({ contentType, base64 }: Inline, at: number): TaskFile {
  const ending = contentType.split(/[/;+]/)[1] ?? "bin";
  return { field: "image", name: `image-${at + 1}.${ending}`, contentType, bytes: Buffer.from(base64, "base64") };
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

/** An answer of one candidate. */
export function candidateOf(parts: readonly Json[], usage: Usage | undefined, model: string): JsonObject {
  const prompt = usage?.inputUncached ?? 0;
  const output = usage?.output ?? 0;
  return {
    candidates: [{ content: { role: "model", parts }, finishReason: "STOP", index: 0 }],
    usageMetadata: { promptTokenCount: prompt, candidatesTokenCount: output, totalTokenCount: prompt + output },
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
