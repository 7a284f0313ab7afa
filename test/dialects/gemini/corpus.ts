import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Call, DoorContext, EncodeTarget, JsonObject } from "../../../src/canon/index.ts";
import { isObject, textAt } from "../../../src/dialects/gemini/wire.ts";
import { formatFrame, parseJson } from "../../../src/kit/index.ts";
import { captureFolders, readInteractions, readRecording, recordings, sharedData } from "../../support/shared.ts";

/** Providers whose recordings hold traffic in this language. */
const PROVIDERS = ["google", "google-vertex"];
const METHOD = /\/models\/(.+):(generateContent|streamGenerateContent|countTokens)(?:\?|$)/;

export interface Recorded {
  readonly name: string;
  readonly path: string;
  readonly body: JsonObject;
}

export const target: EncodeTarget = { provider: "recorded", model: "gemini-3-pro", capabilities: {} };

/** What the door of this path knows, as the server tells it. */
export function context(path = "/v1beta/models/gemini-3-pro:generateContent"): DoorContext {
  const [, model = "", method = ""] = METHOD.exec(path) ?? [];
  return {
    operation: method === "countTokens" ? "count_tokens" : "generate",
    headers: {},
    params: { model, ...(method === "streamGenerateContent" && { stream: "true", alt: "sse" }) },
  };
}

/** Every request in this language, of the recordings and of the clients' captures. */
export function requests(): Recorded[] {
  const found: Recorded[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { request }] of readInteractions(file).entries())
      if (METHOD.test(request.path) && isObject(request.body))
        found.push({ name: `${file} ${at}`, path: request.path, body: request.body });
  }
  return [...found, ...captures()];
}

/** Requests as released clients send them. */
export function captures(): Recorded[] {
  const found: Recorded[] = [];
  for (const folder of captureFolders()) {
    const where = sharedData(join("captures", folder));
    if (!where) continue;
    for (const file of readdirSync(where)) {
      const captured = parseJson(readFileSync(join(where, file), "utf8"));
      if (isObject(captured) && METHOD.test(textAt(captured, "path")) && isObject(captured["body"]))
        found.push({ name: `${folder} ${file}`, path: textAt(captured, "path"), body: captured["body"] });
    }
  }
  return found;
}

/** Every plain answer of a model in this language. */
export function answers(): { readonly name: string; readonly body: JsonObject }[] {
  const found: { name: string; body: JsonObject }[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { response }] of readInteractions(file).entries())
      if (isAnswer(response.json)) found.push({ name: `${file} ${at}`, body: response.json });
  }
  for (const { file } of recordings(PROVIDERS, ["response"])) {
    const body = parseJson(readRecording(file));
    if (isAnswer(body)) found.push({ name: file, body });
  }
  return found;
}

function isAnswer(body: unknown): body is JsonObject {
  return isObject(body) && (body["candidates"] !== undefined || body["promptFeedback"] !== undefined);
}

/** Every recorded stream in this language, as bytes. */
export function streams(): { readonly name: string; readonly bytes: Buffer }[] {
  const found: { name: string; bytes: Buffer }[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange-stream"])) {
    for (const [at, { response }] of readInteractions(file).entries())
      if (response.sse !== undefined) found.push({ name: `${file} ${at}`, bytes: Buffer.from(response.sse) });
  }
  for (const { file } of recordings(PROVIDERS, ["stream"])) {
    const lines = readRecording(file)
      .split("\n")
      .filter((line) => line.includes('"candidates"'));
    if (lines.length > 0) found.push({ name: file, bytes: Buffer.from(lines.map((line) => formatFrame(undefined, line.trim())).join("")) });
  }
  return found;
}

/** A call as another language's decoder would give it. */
export function foreignCall(patch: Partial<Call>): Call {
  return {
    operation: "generate",
    origin: { dialect: "other" },
    model: "m",
    stream: false,
    items: [{ type: "message", role: "user", parts: [{ type: "text", text: "hi" }] }],
    tools: [],
    sampling: {},
    native: {},
    touched: new Set(),
    ...patch,
  };
}
