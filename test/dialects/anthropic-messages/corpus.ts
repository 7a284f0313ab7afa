import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Call, DoorContext, EncodeTarget, JsonObject } from "../../../src/canon/index.ts";
import { isObject, textAt } from "../../../src/dialects/anthropic-messages/wire.ts";
import { formatFrame, parseJson } from "../../../src/kit/index.ts";
import { captureFolders, readInteractions, readRecording, recordings, sharedData } from "../../support/shared.ts";

/** Providers whose recordings hold traffic in this language. */
const PROVIDERS = ["anthropic", "openai", "google"];

export interface Recorded {
  readonly name: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: JsonObject;
}

export const target: EncodeTarget = { provider: "recorded", model: "model", capabilities: { betas: ["*"] } };

export function context(path: string, headers: Readonly<Record<string, string>> = {}): DoorContext {
  return { operation: path.includes("count_tokens") ? "count_tokens" : "generate", headers, params: {} };
}

/** Every request in this language, of the recordings and of the clients' captures. */
export function requests(): Recorded[] {
  const found: Recorded[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { request }] of readInteractions(file).entries()) {
      if (request.path.includes("/v1/messages") && isObject(request.body))
        found.push({ name: `${file} ${at}`, path: request.path, headers: lower(request.headers), body: request.body });
    }
  }
  for (const folder of captureFolders()) {
    const where = sharedData(join("captures", folder));
    if (!where) continue;
    for (const file of readdirSync(where).filter((name) => name.includes("v1_messages"))) {
      const captured = parseJson(readFileSync(join(where, file), "utf8"));
      if (isObject(captured) && isObject(captured["body"])) {
        found.push({
          name: `${folder} ${file}`,
          path: textAt(captured, "path"),
          headers: lower(captured["headers"]),
          body: captured["body"],
        });
      }
    }
  }
  return found;
}

function lower(headers: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(isObject(headers) ? headers : {}).map(([name, value]) => [name.toLowerCase(), typeof value === "string" ? value : ""]),
  );
}

/** Every plain answer of a model in this language. */
export function answers(): { readonly name: string; readonly body: JsonObject }[] {
  const found: { name: string; body: JsonObject }[] = [];
  for (const { file } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { response }] of readInteractions(file).entries())
      if (isMessage(response.json)) found.push({ name: `${file} ${at}`, body: response.json });
  }
  for (const { file } of recordings(["anthropic"], ["response"])) {
    const body = parseJson(readRecording(file));
    if (isMessage(body)) found.push({ name: file, body });
  }
  return found;
}

function isMessage(body: unknown): body is JsonObject {
  return isObject(body) && body["type"] === "message";
}

/** Every recorded stream in this language, as bytes. */
export function streams(): { readonly name: string; readonly bytes: Buffer }[] {
  const found: { name: string; bytes: Buffer }[] = [];
  for (const { file } of recordings(["anthropic"], ["exchange-stream"])) {
    for (const [at, { response }] of readInteractions(file).entries())
      if (response.sse !== undefined) found.push({ name: `${file} ${at}`, bytes: Buffer.from(response.sse) });
  }
  for (const { file } of recordings(["anthropic"], ["stream"])) found.push(...chunkStreams(file));
  return found;
}

/** A file of events, one a line, can hold several answers one after the other. */
function chunkStreams(file: string): { name: string; bytes: Buffer }[] {
  const found: { name: string; bytes: Buffer }[] = [];
  let text = "";
  for (const line of readRecording(file).split("\n")) {
    if (line.trim() === "") continue;
    const type = /"type":"(\w+)"/.exec(line)?.[1] ?? "";
    text += formatFrame(type, line.trim());
    if (type !== "message_stop") continue;
    found.push({ name: `${file} ${found.length}`, bytes: Buffer.from(text) });
    text = "";
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
