import {
  invalid,
  type Call,
  type DoorContext,
  type FunctionToolSpec,
  type Item,
  type Json,
  type JsonObject,
  type Needs,
  type Outline,
  type OutputFormat,
  type Sampling,
  type TextPart,
  type ToolChoice,
  type ToolSpec,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { unspokenFields, type FieldTable } from "../shared-fields.ts";
import { FoundNeeds } from "../shared-needs.ts";
import { demand, isList, isObject, object, read, text } from "../shared-shape.ts";
import { decodeBlocks, guardedText, isSealed } from "./decode-blocks.ts";
import { decodeMakersFields, KNOWN_FIELDS } from "./families.ts";
import { envelopeOf, ID, ORIGIN, ttlSecondsOf } from "./shape.ts";

function modelOf({ params }: DoorContext): string {
  const model = params["model"] ?? "";
  if (model === "") throw invalid("The path names no model.", "modelId");
  return model;
}

function inferenceOf(body: JsonObject): JsonObject {
  return read(body, "inferenceConfig", "object") ?? {};
}

/** Cheap: runs for every call on the fast path. @throws ProblemError */
export function outline(body: JsonObject, context: DoorContext): Outline {
  const maxOutputTokens = read(inferenceOf(body), "maxTokens", "number", "inferenceConfig.");
  const messages = read(body, "messages", "list") ?? [];
  const serviceTier = tierOf(body);
  const sealed = messages.some((message) => {
    const content = isObject(message) && message["role"] === "assistant" ? message["content"] : undefined;
    return isList(content) && content.some(isSealed);
  });
  return {
    model: modelOf(context),
    stream: context.params["stream"] === "true",
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(serviceTier !== undefined && { serviceTier }),
    keep: false,
    background: false,
    ...(sealed && { slow: "thinking that was sealed here must be taken out" }),
  };
}

function tierOf(body: JsonObject): string | undefined {
  const tier = read(body, "serviceTier", "object");
  return tier && read(tier, "type", "string", "serviceTier.");
}

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds();
  for (const message of isList(body["messages"]) ? body["messages"] : []) if (isObject(message)) lookAt(message["content"], found);
  const tools = object(body["toolConfig"])?.["tools"];
  found.tools = isList(tools) && tools.some((tool) => isObject(tool) && (isObject(tool["toolSpec"]) || isObject(tool["systemTool"])));
  found.structuredOutput = object(object(body["outputConfig"])?.["textFormat"])?.["type"] === "json_schema";
  return found;
}

function lookAt(content: Json | undefined, found: FoundNeeds): void {
  for (const block of isList(content) ? content : []) {
    if (!isObject(block)) continue;
    const { image, document, audio, toolResult } = block;
    if (isObject(image)) found.vision = true;
    if (isObject(audio)) found.audio = true;
    if (isObject(document) && !isReadable(document)) found.files = true;
    if (isObject(toolResult)) lookAt(toolResult["content"], found);
  }
}

/** Every model can be given words. */
function isReadable(document: JsonObject): boolean {
  const source = object(document["source"]);
  if (!source) return false;
  if (source["text"] !== undefined || source["content"] !== undefined) return true;
  return typeof source["bytes"] === "string" && (document["format"] === "txt" || document["format"] === "md");
}

/** @throws ProblemError invalid_request */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const { model, stream, maxOutputTokens, serviceTier } = outline(body, context);
  const { messages: listed, system: _system, ...rest } = body;
  const instructions = decodeSystem(read(body, "system", "list") ?? []);
  const items = decodeMessages(read(body, "messages", "list") ?? []);
  const toolConfig = read(body, "toolConfig", "object") ?? {};
  const makers = decodeMakersFields(read(body, "additionalModelRequestFields", "object") ?? {});
  const toolChoice = decodeToolChoice(toolConfig);
  const format = decodeFormat(body);
  const metadata = decodeMetadata(body);
  const unspoken = unspokenFields(body, FIELDS);
  return {
    operation: context.operation,
    origin: { dialect: ID },
    model,
    stream,
    ...(instructions && { instructions }),
    items,
    tools: decodeTools(toolConfig),
    ...(toolChoice && { toolChoice }),
    ...(format && { output: { format } }),
    ...(makers.reasoning && { reasoning: makers.reasoning }),
    sampling: { ...decodeSampling(inferenceOf(body)), ...(makers.topK !== undefined && { topK: makers.topK }) },
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(metadata && { metadata }),
    ...(serviceTier !== undefined && { serviceTier }),
    // What says nothing became nothing, and is kept as it is written.
    native: {
      ...rest,
      ...(!instructions && body["system"] !== undefined && { system: body["system"] }),
      ...(items.length === 0 && listed !== undefined && { messages: listed }),
    },
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  messages: true,
  system: true,
  inferenceConfig: ["maxTokens", "temperature", "topP", "stopSequences"],
  toolConfig: ["tools", "toolChoice"],
  additionalModelRequestFields: KNOWN_FIELDS,
  outputConfig: ["textFormat"],
  requestMetadata: true,
  serviceTier: true,
  // Asks the maker's answer for what this language would leave out of it; nothing in the answer itself changes.
  additionalModelResponseFieldPaths: true,
  performanceConfig: (value) => object(value)?.["latency"] === "standard",
};

function decodeSystem(blocks: readonly Json[]): Call["instructions"] {
  const parts: TextPart[] = [];
  for (const [at, block] of blocks.entries()) {
    const path = `system[${at}]`;
    if (!isObject(block)) throw invalid(`\`${path}\` must be an object.`, path);
    const checkpoint = object(block["cachePoint"]);
    const last = parts.at(-1);
    const words = read(block, "text", "string", `${path}.`) ?? guardedText(block);
    if (words !== undefined) parts.push({ type: "text", text: words });
    else if (checkpoint && last) parts[parts.length - 1] = { ...last, cacheTtlSeconds: ttlSecondsOf(checkpoint) };
  }
  return parts.length > 0 ? { parts, origin: ORIGIN, raw: blocks } : undefined;
}

function decodeMessages(messages: readonly Json[]): Item[] {
  return messages.flatMap((message, place): Item[] => {
    const path = `messages[${place}]`;
    if (!isObject(message)) throw invalid(`\`${path}\` must be an object.`, path);
    const role = demand(message, "role", "string", `${path}.`);
    if (role !== "user" && role !== "assistant") throw invalid(`\`${path}.role\` must be user or assistant.`, `${path}.role`);
    const { content: _content, ...fields } = message;
    const envelope = envelopeOf(role, fields, place);
    const items = decodeBlocks(demand(message, "content", "list", `${path}.`), { role, origin: ORIGIN, envelope }, `${path}.content`);
    // A message that says nothing must still have its place.
    return items.length > 0 ? items : [{ type: "message", role, parts: [], origin: ORIGIN, envelope }];
  });
}

function decodeTools(config: JsonObject): readonly ToolSpec[] {
  const tools: ToolSpec[] = [];
  for (const [at, raw] of (read(config, "tools", "list", "toolConfig.") ?? []).entries()) {
    const path = `toolConfig.tools[${at}]`;
    if (!isObject(raw)) throw invalid(`\`${path}\` must be an object.`, path);
    const checkpoint = object(raw["cachePoint"]);
    const last = tools.at(-1);
    const specified = read(raw, "toolSpec", "object", `${path}.`);
    if (specified) tools.push(decodeTool(specified, raw, `${path}.toolSpec.`));
    else if (checkpoint && last && last.type !== "namespace")
      tools[tools.length - 1] = { ...last, raw: [...(isList(last.raw) ? last.raw : []), raw], cacheTtlSeconds: ttlSecondsOf(checkpoint) };
    else {
      const name = text(object(raw["systemTool"])?.["name"]);
      tools.push({ type: "native", kind: Object.keys(raw)[0] ?? "tool", ...(name !== undefined && { name }), origin: ORIGIN, raw: [raw] });
    }
  }
  return tools;
}

function decodeTool(specified: JsonObject, raw: JsonObject, within: string): FunctionToolSpec {
  const description = read(specified, "description", "string", within);
  const schema = read(demand(specified, "inputSchema", "object", within), "json", "object", `${within}inputSchema.`);
  const strict = read(specified, "strict", "boolean", within);
  return {
    type: "function",
    name: demand(specified, "name", "string", within),
    ...(description !== undefined && { description }),
    ...(schema !== undefined && { schema }),
    ...(strict !== undefined && { strict }),
    origin: ORIGIN,
    raw: [raw],
  };
}

function decodeToolChoice(config: JsonObject): ToolChoice | undefined {
  const choice = read(config, "toolChoice", "object", "toolConfig.");
  if (!choice) return undefined;
  if (isObject(choice["auto"])) return { type: "auto" };
  if (isObject(choice["any"])) return { type: "required" };
  const tool = read(choice, "tool", "object", "toolConfig.toolChoice.");
  return tool
    ? { type: "tool", kind: "function", name: demand(tool, "name", "string", "toolConfig.toolChoice.tool.") }
    : { type: "native" };
}

function decodeSampling(config: JsonObject): Sampling {
  const within = "inferenceConfig.";
  const stop = read(config, "stopSequences", "list", within) ?? [];
  if (!stop.every((entry) => typeof entry === "string"))
    throw invalid("`inferenceConfig.stopSequences` must be a list of strings.", "inferenceConfig.stopSequences");
  const temperature = read(config, "temperature", "number", within);
  const topP = read(config, "topP", "number", within);
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(stop.length > 0 && { stop }),
  };
}

/** The schema travels as JSON text. */
function decodeFormat(body: JsonObject): OutputFormat | undefined {
  const config = read(body, "outputConfig", "object");
  const format = config && read(config, "textFormat", "object", "outputConfig.");
  if (!format || format["type"] !== "json_schema") return undefined;
  const path = "outputConfig.textFormat.structure";
  const structure = demand(format, "structure", "object", "outputConfig.textFormat.");
  const said = demand(structure, "jsonSchema", "object", `${path}.`);
  const schema = parseJson(demand(said, "schema", "string", `${path}.jsonSchema.`));
  if (!isObject(schema)) throw invalid(`\`${path}.jsonSchema.schema\` must be a JSON Schema as text.`, `${path}.jsonSchema.schema`);
  const description = read(said, "description", "string", `${path}.jsonSchema.`);
  return {
    type: "json_schema",
    name: read(said, "name", "string", `${path}.jsonSchema.`) ?? "output",
    schema,
    strict: true,
    ...(description !== undefined && { description }),
  };
}

function decodeMetadata(body: JsonObject): Record<string, string> | undefined {
  const labels = read(body, "requestMetadata", "object");
  if (!labels) return undefined;
  return Object.fromEntries(Object.keys(labels).map((name) => [name, read(labels, name, "string", "requestMetadata.") ?? ""]));
}
