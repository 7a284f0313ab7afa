import {
  invalid,
  NO_USAGE,
  type ClientWord,
  type Heard,
  type Json,
  type JsonObject,
  type RealtimeLanguage,
  type ServerWord,
  type Usage,
} from "../../canon/index.ts";
import { count, isList, object, text } from "../shared-shape.ts";

/** Bytes of a second of sound as it is sent unless the session says otherwise: 24 kHz, 16 bits, one channel. */
const SOUND_BYTES_PER_TOKEN = 2400;
const BASE64 = 0.75;
const CHARACTERS_PER_TOKEN = 4;

/** OpenAI's Realtime API over a WebSocket. Source: the types of the `openai` package 7.57 (`resources/realtime`). */
export const realtime: RealtimeLanguage = {
  paths: ["/v1/realtime"],
  keyProtocol: "openai-insecure-api-key.",
  modelAsked: (params) => params["model"] ?? "",
  address: (model) => `/realtime?model=${encodeURIComponent(model)}`,
  client,
  server,
  problem(problem, callId) {
    const error = {
      type: problem.kind,
      code: problem.code ?? problem.kind,
      message: `${problem.message} (${callId})`,
      param: problem.param ?? null,
      event_id: null,
    };
    return JSON.stringify({ type: "error", event_id: `event_${callId}`, error });
  },
  host: { greet, hear, answer },
};

function client(message: JsonObject, model: string): ClientWord {
  if (text(message["type"]) === undefined) throw invalid("type: every event has one.", "type");
  const parts = [object(message["session"]), object(message["response"])];
  for (const part of parts) {
    const asked = text(part?.["model"]);
    if (asked !== undefined && asked !== model) throw invalid("model: a session keeps the model it was opened with.", "session.model");
  }
  const tools = parts.flatMap((part) => list(part?.["tools"])).map((tool) => nameOfTool(object(tool)));
  const session = object(message["session"]);
  const listens = object(object(session?.["audio"])?.["input"])?.["transcription"] ?? session?.["input_audio_transcription"];
  const transcriber = text(object(listens)?.["model"]);
  const isSound = message["type"] === "input_audio_buffer.append";
  // What is written anew says everything once: a name that stands twice could be read otherwise elsewhere.
  const asks = message["type"] === "response.create";
  return { tools, asks, ...(transcriber !== undefined && { transcriber }), ...(!isSound && { instead: message }) };
}

function nameOfTool(tool: JsonObject | undefined): string {
  return text(tool?.["name"]) ?? text(tool?.["server_label"]) ?? text(tool?.["type"]) ?? "";
}

function server(message: JsonObject): ServerWord {
  switch (message["type"]) {
    case "error":
      return { answer: "refused" };
    case "response.created":
      return { answer: "begins" };
    case "response.done": {
      const usage = object(object(message["response"])?.["usage"]);
      return { answer: "ends", ...(usage && { usage: usageOf(usage) }) };
    }
    case "conversation.item.input_audio_transcription.completed": {
      const usage = object(message["usage"]);
      return usage ? { transcribed: true, usage: text(usage["type"]) === "duration" ? secondsOf(usage) : usageOf(usage) } : {};
    }
    case "response.output_text.delta":
    case "response.text.delta":
    case "response.function_call_arguments.delta":
      return { outputTokens: (text(message["delta"])?.length ?? 0) / CHARACTERS_PER_TOKEN };
    case "response.output_audio.delta":
    case "response.audio.delta":
      return { outputTokens: ((text(message["delta"])?.length ?? 0) * BASE64) / SOUND_BYTES_PER_TOKEN };
    default:
      return {};
  }
}

function secondsOf(usage: JsonObject): Usage {
  return { ...NO_USAGE, media: { input_audio_seconds: count(usage["seconds"]) } };
}

/** Input includes what was cached, and both their sound. */
function usageOf(usage: JsonObject): Usage {
  const [input, output] = [object(usage["input_token_details"]), object(usage["output_token_details"])];
  const cachedOf = object(input?.["cached_tokens_details"]);
  const cached = Math.min(count(input?.["cached_tokens"]), count(usage["input_tokens"]));
  const cachedSound = count(cachedOf?.["audio_tokens"]);
  const media: Record<string, number> = {};
  const add = (unit: string, tokens: number): void => void (tokens > 0 && (media[unit] = tokens));
  add("input_audio_tokens", count(input?.["audio_tokens"]) - cachedSound);
  add("input_image_tokens", count(input?.["image_tokens"]) - count(cachedOf?.["image_tokens"]));
  add("cached_audio_tokens", cachedSound);
  add("output_audio_tokens", count(output?.["audio_tokens"]));
  return {
    inputUncached: count(usage["input_tokens"]) - cached,
    cacheRead: cached,
    cacheWrite5m: 0,
    cacheWrite1h: 0,
    output: count(usage["output_tokens"]),
    reasoning: 0,
    ...(Object.keys(media).length > 0 && { media }),
  };
}

function greet(model: string, unique: string): readonly JsonObject[] {
  return [
    event("session.created", unique, {
      session: { type: "realtime", id: `sess_${unique}`, object: "realtime.session", model, output_modalities: ["text"] },
    }),
  ];
}

function hear(message: JsonObject, unique: string): Heard {
  switch (message["type"]) {
    case "session.update":
      return { replies: [event("session.updated", unique, { session: message["session"] ?? {} })], asks: false };
    case "conversation.item.create": {
      const sent = object(message["item"]);
      const item: JsonObject = { id: `item_${unique}`, object: "realtime.item", status: "completed", ...sent };
      const said = list(sent?.["content"]).map((part) => text(object(part)?.["text"]) ?? "");
      const replies = ["conversation.item.added", "conversation.item.done"].map((type) =>
        event(type, unique, { previous_item_id: null, item }),
      );
      return { replies, said: said.join(""), asks: false };
    }
    case "input_audio_buffer.commit":
      return {
        replies: [event("input_audio_buffer.committed", unique, { previous_item_id: null, item_id: `item_${unique}` })],
        said: "(sound)",
        asks: false,
      };
    case "response.create":
      return { replies: [], asks: true };
    default:
      return { replies: [], asks: false };
  }
}

function answer(said: string, usage: Usage, unique: string): readonly JsonObject[] {
  const place = { response_id: `resp_${unique}`, item_id: `item_${unique}`, output_index: 0, content_index: 0 };
  const item = (status: string, content: readonly JsonObject[]): JsonObject => ({
    id: place.item_id,
    object: "realtime.item",
    type: "message",
    role: "assistant",
    status,
    content: [...content],
  });
  const whole = item("completed", [{ type: "output_text", text: said }]);
  const response = { id: place.response_id, object: "realtime.response", output_modalities: ["text"] };
  const input = usage.inputUncached + usage.cacheRead;
  return [
    event("response.created", unique, { response: { ...response, status: "in_progress", output: [] } }),
    event("response.output_item.added", unique, { response_id: place.response_id, output_index: 0, item: item("in_progress", []) }),
    event("response.content_part.added", unique, { ...place, part: { type: "output_text", text: "" } }),
    event("response.output_text.delta", unique, { ...place, delta: said }),
    event("response.output_text.done", unique, { ...place, text: said }),
    event("response.output_item.done", unique, { response_id: place.response_id, output_index: 0, item: whole }),
    event("response.done", unique, {
      response: {
        ...response,
        status: "completed",
        output: [whole],
        usage: {
          total_tokens: input + usage.output,
          input_tokens: input,
          output_tokens: usage.output,
          input_token_details: { cached_tokens: usage.cacheRead, text_tokens: input, audio_tokens: 0 },
          output_token_details: { text_tokens: usage.output, audio_tokens: 0 },
        },
      },
    }),
  ];
}

function event(type: string, unique: string, fields: JsonObject): JsonObject {
  return { type, event_id: `event_${unique}`, ...fields };
}

function list(value: Json | undefined): readonly Json[] {
  return isList(value) ? value : [];
}
