import {
  CARRIED_MARK,
  invalid,
  type Call,
  type DoorContext,
  type Envelope,
  type Item,
  type Json,
  type JsonObject,
  type Outline,
  type OutputFormat,
  type Reasoning,
  type Sampling,
  type TextPart,
} from "../../canon/index.ts";
import { unspokenFields, type FieldTable } from "../shared-fields.ts";
import { decodeBlocks, whereFrom, type Place } from "./decode-items.ts";
import { decodeText } from "./decode-parts.ts";
import { isLegalId } from "./encode-blocks.ts";
import { decodeTool, decodeToolChoice } from "./tools.ts";
import { readBetas, readVersion } from "./versions.ts";
import {
  DIALECT,
  isList,
  isObject,
  needList,
  needName,
  needObject,
  needString,
  type Path,
  readBoolean,
  readCount,
  readNumber,
  readObject,
  readString,
  without,
} from "./wire.ts";

const ORIGIN = { dialect: DIALECT };
/** The API's own bound. */
const MAX_MESSAGES = 100_000;

/** What the pipeline must know of a request to send it on unread. @throws ProblemError invalid_request */
export function outline(body: JsonObject, context: DoorContext): Outline {
  readVersion(context.headers);
  const model = needName(body["model"], "model");
  const messages = needMessages(body);
  const stream = readBoolean(body["stream"], "stream") ?? false;
  const maxOutputTokens = readCount(body["max_tokens"], "max_tokens");
  if (maxOutputTokens === undefined && context.operation === "generate")
    throw invalid("max_tokens: field required, as a whole number.", "max_tokens");
  const thread = readThread(body);
  const slow = thread ? "the gateway keeps the turns of a message thread" : foreignTraces(messages);
  return {
    model,
    stream,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(thread?.previousId !== undefined && { previousId: thread.previousId }),
    keep: thread !== undefined,
    background: false,
    ...(slow !== undefined && { slow }),
  };
}

/**
 * What an answer of another language's model left in the history and the API refuses: thinking without a signature, and tool call ids
 * with letters that it does not take.
 */
function foreignTraces(messages: readonly Json[]): string | undefined {
  for (const message of messages) {
    if (!isObject(message) || message["role"] !== "assistant" || !isList(message["content"])) continue;
    for (const block of message["content"]) {
      if (!isObject(block)) continue;
      if (block["type"] === "thinking" && typeof block["signature"] === "string" && block["signature"].startsWith(CARRIED_MARK))
        return "thinking that was sealed here must be taken out";
      if (block["type"] === "thinking" && block["signature"] === "") return "thinking without a signature must be taken out";
      if (block["type"] === "tool_use" && typeof block["id"] === "string" && !isLegalId(block["id"]))
        return "the id of a tool call must be rewritten";
    }
  }
  return undefined;
}

/** @throws ProblemError invalid_request with `param` */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const { model, stream, maxOutputTokens, previousId } = outline(body, context);
  const thread = readThread(body);
  const metadata = readObject(body["metadata"], "metadata");
  const endUser = metadata && readString(metadata["user_id"], "metadata.user_id");
  const serviceTier = readString(body["service_tier"], "service_tier");
  const betas = readBetas(context.headers);
  const instructions = decodeSystem(body["system"]);
  const tools = body["tools"] === undefined || body["tools"] === null ? [] : needList(body["tools"], "tools");
  const reasoning = decodeReasoning(body);
  const format = decodeFormat(body);
  const unspoken = unspokenFields(body, FIELDS);
  return {
    operation: context.operation,
    origin: { dialect: DIALECT, version: readVersion(context.headers), ...(betas.length > 0 && { betas }) },
    model,
    stream,
    ...(instructions && { instructions }),
    items: decodeMessages(needMessages(body)),
    tools: tools.map((tool, at) => decodeTool(needObject(tool, `tools.${at}`), `tools.${at}`)),
    ...decodeToolChoice(body),
    ...(format && { output: { format } }),
    ...(reasoning && { reasoning }),
    sampling: decodeSampling(body),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(endUser !== undefined && { endUser }),
    ...(serviceTier !== undefined && { serviceTier }),
    ...(thread && { store: true, thread: thread.type }),
    ...(previousId !== undefined && { previousId }),
    native: nativeOf(body, tools.length > 0, instructions !== undefined),
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

/** An empty `tools` or `system` leaves no trace in the call, so it stays here to be written again. */
function nativeOf(body: JsonObject, hasTools: boolean, hasSystem: boolean): JsonObject {
  return without(body, "messages", ...(hasTools ? ["tools"] : []), ...(hasSystem ? ["system"] : []));
}

function needMessages(body: JsonObject): readonly Json[] {
  const messages = needList(body["messages"], "messages");
  if (messages.length > MAX_MESSAGES) throw invalid(`messages: at most ${MAX_MESSAGES} in one request.`, "messages");
  return messages;
}

/** @throws ProblemError invalid_request */
function readThread(body: JsonObject): { readonly type: "create" | "continue"; readonly previousId?: string } | undefined {
  const thread = readObject(body["thread"], "thread");
  if (!thread) return undefined;
  if (thread["type"] === "create") return { type: "create" };
  if (thread["type"] !== "continue") throw invalid("thread.type: must be create or continue.", "thread.type");
  return { type: "continue", previousId: needName(thread["previous_message_id"], "thread.previous_message_id") };
}

function decodeSystem(system: Json | undefined): Call["instructions"] {
  if (system === undefined || system === null) return undefined;
  if (typeof system === "string") return { parts: system === "" ? [] : [{ type: "text", text: system }], origin: ORIGIN, raw: system };
  const parts = needList(system, "system").map((value, at): TextPart => {
    const block = needObject(value, `system.${at}`);
    if (block["type"] !== "text") throw invalid(`system.${at}.type: must be text.`, `system.${at}.type`);
    return decodeText(block, `system.${at}`);
  });
  return parts.length === 0 ? undefined : { parts, origin: ORIGIN, raw: system };
}

/** How the content of a message was written, for the way back. */
export type ContentShape = "string" | "list" | "absent";

function decodeMessages(messages: readonly Json[]): Item[] {
  return messages.flatMap((value, at) => decodeMessage(needObject(value, `messages.${at}`), `messages.${at}`));
}

/** A message without any block still leaves an item: an empty message, so that it is there again on the way back. */
function decodeMessage(message: JsonObject, path: Path): Item[] {
  const role = needString(message["role"], `${path}.role`);
  if (role !== "user" && role !== "assistant" && role !== "system")
    throw invalid(`${path}.role: must be user, assistant or system.`, `${path}.role`);
  const content = message["content"];
  const shape: ContentShape = typeof content === "string" ? "string" : content === undefined || content === null ? "absent" : "list";
  const envelope: Envelope = {
    dialect: DIALECT,
    role,
    raw: { shape, fields: without(message, "role", ...(shape === "absent" ? [] : ["content"])) },
  };
  const place: Place = { role, origin: ORIGIN, envelope };
  if (shape === "absent" && role !== "system") throw invalid(`${path}.content: field required.`, `${path}.content`);
  if (typeof content === "string") {
    return [{ type: "message", role, parts: content === "" ? [] : [{ type: "text", text: content }], ...whereFrom(place) }];
  }
  const items = shape === "absent" ? [] : decodeBlocks(needList(content, `${path}.content`), place, `${path}.content`);
  return items.length > 0 ? items : [{ type: "message", role, parts: [], ...whereFrom(place) }];
}

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  messages: true,
  system: true,
  tools: true,
  tool_choice: true,
  max_tokens: true,
  stream: true,
  temperature: true,
  top_p: true,
  top_k: true,
  stop_sequences: true,
  metadata: ["user_id"],
  service_tier: true,
  thinking: ["type", "budget_tokens", "display"],
  output_config: ["effort", "format"],
  output_format: true,
  // The gateway keeps the turns.
  thread: true,
};

function decodeReasoning(body: JsonObject): Reasoning | undefined {
  const thinking = readObject(body["thinking"], "thinking");
  const output = readObject(body["output_config"], "output_config");
  const effort = output && readString(output["effort"], "output_config.effort");
  const type = thinking && needString(thinking["type"], "thinking.type");
  const budgetTokens = thinking && readCount(thinking["budget_tokens"], "thinking.budget_tokens");
  const display = thinking && readString(thinking["display"], "thinking.display");
  if (type === undefined && effort === undefined) return undefined;
  return {
    ...(effort !== undefined && { effort }),
    ...(budgetTokens !== undefined && { budgetTokens }),
    ...(type !== undefined && { mode: type === "enabled" || type === "disabled" ? type : "adaptive" }),
    ...(display !== undefined && { summary: display === "omitted" ? "omitted" : "auto" }),
  };
}

function decodeFormat(body: JsonObject): OutputFormat | undefined {
  const output = readObject(body["output_config"], "output_config");
  const current = output && readObject(output["format"], "output_config.format");
  const format = current ?? readObject(body["output_format"], "output_format");
  if (format?.["type"] !== "json_schema") return undefined;
  const schema = needObject(format["schema"], current ? "output_config.format.schema" : "output_format.schema");
  const title = schema["title"];
  return { type: "json_schema", name: typeof title === "string" && /^[\w-]{1,64}$/.test(title) ? title : "output", schema, strict: true };
}

function decodeSampling(body: JsonObject): Sampling {
  const temperature = readNumber(body["temperature"], "temperature");
  const topP = readNumber(body["top_p"], "top_p");
  const topK = readCount(body["top_k"], "top_k");
  const sequences = body["stop_sequences"];
  const stop =
    sequences === undefined || sequences === null
      ? undefined
      : needList(sequences, "stop_sequences").map((text, at) => needString(text, `stop_sequences.${at}`));
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(stop && stop.length > 0 && { stop }),
  };
}
