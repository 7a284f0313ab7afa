import {
  invalid,
  type Call,
  type DoorContext,
  type FunctionToolSpec,
  type Json,
  type JsonObject,
  type Needs,
  type Outline,
  type OutputFormat,
  type Reasoning,
  type Sampling,
  type ToolChoice,
  type ToolSpec,
} from "../../canon/index.ts";
import { unspokenFields, type FieldTable } from "../shared-fields.ts";
import { FoundNeeds, lookAtParts } from "../shared-needs.ts";
import { demand, isList, isObject, object, read } from "../shared-shape.ts";
import { decodeMessages } from "./decode-message.ts";
import { ID, ORIGIN } from "./shape.ts";

/** Cheap: runs for every call on the fast path. @throws ProblemError */
export function outline(body: JsonObject, _context: DoorContext): Outline {
  const maxOutputTokens = read(body, "max_tokens", "number");
  read(body, "messages", "list");
  return {
    model: demand(body, "model", "string"),
    stream: read(body, "stream", "boolean") ?? false,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    keep: false,
    background: false,
  };
}

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds();
  for (const message of isList(body["messages"]) ? body["messages"] : [])
    if (isObject(message) && message["role"] !== "assistant") lookAtParts(message["content"], { image_url: "vision" }, found);
  found.tools = isList(body["tools"]) && body["tools"].length > 0;
  const format = object(body["response_format"]);
  found.structuredOutput = format?.["type"] === "json_object" && schemaIn(format) !== undefined;
  return found;
}

function schemaIn(format: JsonObject): JsonObject | undefined {
  return object(format["json_schema"]) ?? object(format["schema"]);
}

/** @throws ProblemError invalid_request */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const { model, stream, maxOutputTokens } = outline(body, context);
  const { messages: _messages, tools: _tools, ...rest } = body;
  const items = decodeMessages(demand(body, "messages", "list"));
  const tools = decodeTools(body);
  const toolChoice = decodeToolChoice(body);
  const format = decodeFormat(body);
  const reasoning = decodeThinking(body);
  const unspoken = unspokenFields(body, FIELDS);
  return {
    operation: context.operation,
    origin: { dialect: ID },
    model,
    stream,
    items,
    tools,
    ...(toolChoice && { toolChoice }),
    ...(format && { output: { format } }),
    ...(reasoning && { reasoning }),
    sampling: decodeSampling(body),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    // An empty list says nothing, and is kept as it is.
    native: {
      ...rest,
      ...(tools.length === 0 && body["tools"] !== undefined && { tools: body["tools"] }),
      ...(items.length === 0 && { messages: body["messages"] }),
    },
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  stream: true,
  messages: true,
  tools: true,
  tool_choice: true,
  strict_tools: true,
  response_format: ["type", "json_schema", "schema"],
  thinking: ["type", "token_budget"],
  max_tokens: true,
  stop_sequences: true,
  temperature: true,
  seed: true,
  frequency_penalty: true,
  presence_penalty: true,
  k: true,
  p: true,
  logprobs: true,
  documents: (value) => isList(value) && value.length === 0,
  safety_mode: (value) => value === "CONTEXTUAL",
};

function decodeTools(body: JsonObject): readonly ToolSpec[] {
  const strict = read(body, "strict_tools", "boolean");
  return (read(body, "tools", "list") ?? []).map((raw, at): ToolSpec => {
    const path = `tools[${at}]`;
    if (!isObject(raw)) throw invalid(`\`${path}\` must be an object.`, path);
    const type = read(raw, "type", "string", `${path}.`) ?? "function";
    if (type !== "function") return { type: "native", kind: type, origin: ORIGIN, raw };
    return { ...decodeTool(demand(raw, "function", "object", `${path}.`), `${path}.function.`, strict), raw };
  });
}

function decodeTool(body: JsonObject, within: string, strict: boolean | undefined): FunctionToolSpec {
  const description = read(body, "description", "string", within);
  const schema = read(body, "parameters", "object", within);
  return {
    type: "function",
    name: demand(body, "name", "string", within),
    ...(description !== undefined && { description }),
    ...(schema !== undefined && { schema }),
    ...(strict !== undefined && { strict }),
    origin: ORIGIN,
  };
}

function decodeToolChoice(body: JsonObject): ToolChoice | undefined {
  const choice = read(body, "tool_choice", "string")?.toUpperCase();
  if (choice === undefined) return undefined;
  if (choice === "REQUIRED") return { type: "required" };
  if (choice === "NONE") return { type: "none" };
  throw invalid("`tool_choice` must be REQUIRED or NONE.", "tool_choice");
}

function decodeFormat(body: JsonObject): OutputFormat | undefined {
  const format = read(body, "response_format", "object");
  if (!format) return undefined;
  const type = read(format, "type", "string", "response_format.") ?? "text";
  if (type === "text") return { type };
  if (type !== "json_object") throw invalid("`response_format.type` must be text or json_object.", "response_format.type");
  const schema = schemaIn(format);
  return schema ? { type: "json_schema", name: "output", schema, strict: true } : { type };
}

function decodeThinking(body: JsonObject): Reasoning | undefined {
  const thinking = read(body, "thinking", "object");
  if (!thinking) return undefined;
  const type = demand(thinking, "type", "string", "thinking.");
  if (type !== "enabled" && type !== "disabled") throw invalid("`thinking.type` must be enabled or disabled.", "thinking.type");
  const budgetTokens = read(thinking, "token_budget", "number", "thinking.");
  return { mode: type, ...(budgetTokens !== undefined && { budgetTokens }) };
}

function decodeSampling(body: JsonObject): Sampling {
  const stop = read(body, "stop_sequences", "list") ?? [];
  if (!stop.every((entry): entry is string => typeof entry === "string"))
    throw invalid("`stop_sequences` must be a list of strings.", "stop_sequences");
  const sampling: Record<keyof Sampling, Json | undefined> = {
    temperature: read(body, "temperature", "number"),
    topP: read(body, "p", "number"),
    topK: read(body, "k", "number"),
    seed: read(body, "seed", "number"),
    presencePenalty: read(body, "presence_penalty", "number"),
    frequencyPenalty: read(body, "frequency_penalty", "number"),
    stop: stop.length > 0 ? stop : undefined,
    n: undefined,
    topLogprobs: read(body, "logprobs", "boolean") === true ? 0 : undefined,
  };
  return Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));
}
