import { readInteractions, readRecording, recordings } from "../support/shared.ts";

/** One recorded model call in a language of ours: what was asked, and the exact answer. */
export interface RecordedCall {
  readonly name: string;
  readonly dialect: "openai-chat" | "openai-responses" | "anthropic-messages";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  readonly status: number;
  /** The answer's exact text: JSON, or server-sent events. */
  readonly answer: string;
}

const DIALECTS: Readonly<Record<string, RecordedCall["dialect"]>> = {
  "/v1/chat/completions": "openai-chat",
  "/v1/responses": "openai-responses",
  "/v1/messages": "anthropic-messages",
};
const PROVIDERS = ["openai", "anthropic"];
/** The client's own headers that mean something to a language. */
const LISTED = ["anthropic-version", "anthropic-beta", "openai-beta"];

/** Every recorded OpenAI and Anthropic call; empty where the recordings are absent. */
export function recordedCalls(): RecordedCall[] {
  return [...exchanges(), ...lone()];
}

function exchanges(): RecordedCall[] {
  return recordings(PROVIDERS, ["exchange", "exchange-stream"]).flatMap(({ file }) =>
    readInteractions(file).flatMap(({ request, response }, place) => {
      const path = request.path.split("?")[0] ?? "";
      const dialect = DIALECTS[path];
      const answer = response.sse ?? (response.json === undefined ? undefined : JSON.stringify(response.json));
      if (!dialect || answer === undefined || typeof request.body !== "object" || request.body === null) return [];
      const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => LISTED.includes(name.toLowerCase())));
      const body = request.body as Record<string, unknown>;
      return [
        { name: `${file} #${place}`, dialect, path, headers, body, stream: response.sse !== undefined, status: response.status, answer },
      ];
    }),
  );
}

/** Answers recorded without their request: a small one is made up for them. */
function lone(): RecordedCall[] {
  return recordings(PROVIDERS, ["response", "stream"]).flatMap(({ file, kind }) => {
    const text = readRecording(file);
    const stream = kind === "stream";
    const dialect = languageOf(stream ? (/\{.*/.exec(text)?.[0] ?? "") : text);
    if (!dialect) return [];
    const answer = stream && !file.endsWith(".sse") ? framed(text, dialect) : text;
    const path = Object.keys(DIALECTS).find((candidate) => DIALECTS[candidate] === dialect) ?? "";
    return [{ name: file, dialect, path, headers: {}, body: requestFor(dialect, stream), stream, status: 200, answer }];
  });
}

function languageOf(text: string): RecordedCall["dialect"] | undefined {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (value["object"] === "chat.completion" || value["object"] === "chat.completion.chunk") return "openai-chat";
  if (value["object"] === "response" || (typeof value["type"] === "string" && value["type"].startsWith("response.")))
    return "openai-responses";
  return value["type"] === "message" || value["type"] === "message_start" ? "anthropic-messages" : undefined;
}

/** One JSON event a line, as the recordings keep them, turned into server-sent events again. */
function framed(text: string, dialect: RecordedCall["dialect"]): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const frames = lines.map((line) => {
    if (dialect === "openai-chat") return `data: ${line}\n\n`;
    return `event: ${(JSON.parse(line) as { type: string }).type}\ndata: ${line}\n\n`;
  });
  return frames.join("") + (dialect === "openai-chat" && !text.includes("[DONE]") ? "data: [DONE]\n\n" : "");
}

function requestFor(dialect: RecordedCall["dialect"], stream: boolean): Record<string, unknown> {
  const list = [{ role: "user", content: "Go on." }];
  const common = { model: "recorded", ...(stream && { stream }) };
  if (dialect === "openai-chat") return { ...common, messages: list, ...(stream && { stream_options: { include_usage: true } }) };
  if (dialect === "openai-responses") return { ...common, input: list };
  return { ...common, max_tokens: 1000, messages: list };
}
