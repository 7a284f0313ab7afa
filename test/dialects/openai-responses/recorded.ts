import type { Json, JsonObject } from "../../../src/canon/index.ts";
import { captureFolders, readInteractions, readRecording, recordings, sharedData } from "../../support/shared.ts";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Providers whose recorded traffic holds this language, their own or an imitation of it. */
const PROVIDERS = ["openai", "azure", "xai", "open-responses", "openrouter", "deepseek", "amazon-bedrock", "local", "anthropic"];

export interface RecordedExchange {
  readonly name: string;
  readonly operation: "generate" | "compact" | "count_tokens";
  readonly provider: string;
  readonly request: JsonObject | undefined;
  readonly status: number;
  readonly answer: JsonObject | undefined;
}
export interface RecordedStream {
  readonly name: string;
  readonly provider: string;
  readonly request: JsonObject | undefined;
  readonly bytes: Uint8Array;
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const encoder = new TextEncoder();

function operationOf(path: string): RecordedExchange["operation"] {
  if (path.endsWith("/compact")) return "compact";
  return path.endsWith("/input_tokens") ? "count_tokens" : "generate";
}

/** Every request and plain answer of this language. */
export function recordedExchanges(): RecordedExchange[] {
  const found: RecordedExchange[] = [];
  for (const { file, provider } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const [at, { request, response }] of readInteractions(file).entries()) {
      if (!/\/responses(?:\/|$)/.test(request.path)) continue;
      found.push({
        name: `${file}#${at}`,
        operation: operationOf(request.path),
        provider,
        request: isJsonObject(request.body) ? request.body : undefined,
        status: response.status,
        answer: isJsonObject(response.json) ? response.json : undefined,
      });
    }
  }
  for (const { file, provider } of recordings(PROVIDERS, ["response"])) {
    const answer: unknown = JSON.parse(readRecording(file));
    if (isJsonObject(answer) && answer["object"] === "response")
      found.push({ name: file, operation: "generate", provider, request: undefined, status: 200, answer });
  }
  return found;
}

/** Every stream of this language, as the bytes it had on the wire. */
export function recordedStreams(): RecordedStream[] {
  const found: RecordedStream[] = [];
  for (const { file, provider } of recordings(PROVIDERS, ["stream"])) {
    const lines = readRecording(file)
      .split("\n")
      .filter((line) => line.startsWith("{"));
    const events = lines.map((line) => JSON.parse(line) as JsonObject);
    if (!events.some((event) => typeof event["type"] === "string" && event["type"].startsWith("response."))) continue;
    const text = events.map((event, at) => `event: ${event["type"] as string}\ndata: ${lines[at] ?? ""}\n\n`).join("");
    found.push({ name: file, provider, request: undefined, bytes: encoder.encode(text) });
  }
  for (const { file, provider } of recordings(PROVIDERS, ["exchange-stream"])) {
    for (const [at, { request, response }] of readInteractions(file).entries()) {
      if (!/\/responses(?:\/|$)/.test(request.path) || response.sse === undefined) continue;
      found.push({
        name: `${file}#${at}`,
        provider,
        request: isJsonObject(request.body) ? request.body : undefined,
        bytes: encoder.encode(response.sse),
      });
    }
  }
  return found;
}

/** What released clients really send to this language's doors. */
export function capturedRequests(): { readonly name: string; readonly path: string; readonly body: JsonObject }[] {
  const found: { name: string; path: string; body: JsonObject }[] = [];
  for (const folder of captureFolders()) {
    const place = sharedData(join("captures", folder));
    if (place === undefined) continue;
    for (const file of readdirSync(place)) {
      const capture = JSON.parse(readFileSync(join(place, file), "utf8")) as { method: string; path: string; body?: Json };
      if (capture.method === "POST" && capture.path.startsWith("/v1/responses") && isJsonObject(capture.body))
        found.push({ name: `${folder}/${file}`, path: capture.path, body: capture.body });
    }
  }
  return found;
}
