import { readFileSync } from "node:fs";
import type { JsonObject } from "../../../src/canon/index.ts";
import { captureFolders, readInteractions, readRecording, recordings, sharedData } from "../../support/shared.ts";

/** Every provider of the recordings whose traffic is, at least in part, in this language. */
const PROVIDERS = [
  "alibaba",
  "azure",
  "cerebras",
  "deepseek",
  "google",
  "groq",
  "huggingface",
  "local",
  "mistral",
  "moonshotai",
  "ollama",
  "openai",
  "openai-compatible",
  "openrouter",
  "perplexity",
  "snowflake",
  "togetherai",
  "xai",
  "zai",
];

export interface Named<T> {
  readonly name: string;
  readonly provider: string;
  readonly value: T;
}

function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

interface Corpus {
  readonly requests: readonly Named<JsonObject>[];
  readonly answers: readonly Named<JsonObject>[];
  /** Exact text of server-sent events. */
  readonly streams: readonly Named<string>[];
  readonly refusals: readonly Named<{ readonly status: number; readonly body: JsonObject }>[];
}

function isChatAnswer(value: unknown): value is JsonObject {
  return isRecord(value) && Array.isArray(value["choices"]) && value["object"] !== "text_completion";
}

/** One JSON event a line becomes a stream as it went over the wire. */
function framed(lines: string): string {
  const events = lines.split("\n").filter((line) => line.trim() !== "");
  return [...events, "[DONE]"].map((line) => `data: ${line}\n\n`).join("");
}

export function readCorpus(): Corpus {
  const requests: Named<JsonObject>[] = [];
  const answers: Named<JsonObject>[] = [];
  const streams: Named<string>[] = [];
  const refusals: Named<{ status: number; body: JsonObject }>[] = [];
  for (const { file: name, provider } of recordings(PROVIDERS, ["exchange", "exchange-stream"])) {
    for (const { request, response } of readInteractions(name)) {
      if (!request.path.includes("chat/completions")) continue;
      if (isRecord(request.body)) requests.push({ name, provider, value: request.body });
      if (response.status >= 400 && isRecord(response.json))
        refusals.push({ name, provider, value: { status: response.status, body: response.json } });
      else if (isChatAnswer(response.json)) answers.push({ name, provider, value: response.json });
      else if (response.sse !== undefined) streams.push({ name, provider, value: response.sse });
    }
  }
  for (const { file: name, provider } of recordings(PROVIDERS, ["response"])) {
    const json: unknown = JSON.parse(readRecording(name));
    if (isChatAnswer(json)) answers.push({ name, provider, value: json });
  }
  for (const { file: name, provider } of recordings(PROVIDERS, ["stream"])) {
    const text = readRecording(name);
    const first = /\{.*/.exec(text)?.[0] ?? "";
    if (!first.includes('"choices":') || first.includes('"text_completion"')) continue;
    streams.push({ name, provider, value: name.endsWith(".sse") ? `${text.trimEnd()}\n\n` : framed(text) });
  }
  for (const folder of captureFolders()) {
    const index = readFileSync(sharedData("captures/index.jsonl") ?? "", "utf8");
    for (const line of index
      .split("\n")
      .filter((entry) => entry.includes(`"tag":"${folder}"`) && entry.includes('"/v1/chat/completions"'))) {
      const { seq } = JSON.parse(line) as { seq: number };
      const file = `captures/${folder}/${String(seq).padStart(2, "0")}_POST_v1_chat_completions.json`;
      const captured: unknown = JSON.parse(readFileSync(sharedData(file) ?? "", "utf8"));
      const body = isRecord(captured) ? captured["body"] : undefined;
      const parsed: unknown = typeof body === "string" ? JSON.parse(body) : body;
      if (isRecord(parsed)) requests.push({ name: file, provider: folder, value: parsed });
    }
  }
  return { requests, answers, streams, refusals };
}
