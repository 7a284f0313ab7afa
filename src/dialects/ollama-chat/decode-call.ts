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
  type Reasoning,
  type Sampling,
  type ToolSpec,
} from "../../canon/index.ts";
import { unspokenFields, type FieldTable } from "../shared-fields.ts";
import { FoundNeeds } from "../shared-needs.ts";
import { demand, isList, isObject, read } from "../shared-shape.ts";
import { decodeMessages } from "./decode-message.ts";
import { decodeImages } from "./images.ts";
import { ID, ORIGIN, type Shape } from "./shape.ts";

/** The door says which shape it takes; where there was none (a simulated server), the body does. */
function shapeIn(body: JsonObject, { params }: DoorContext): Shape {
  return params["shape"] === "generate" || (params["shape"] === undefined && !("messages" in body)) ? "generate" : "chat";
}

/** Without the field an answer is a stream. */
function streams(body: JsonObject): boolean {
  return read(body, "stream", "boolean") ?? true;
}

/** A cap; -1 and -2 mean that there is none. */
function capIn(body: JsonObject): number | undefined {
  const cap = read(read(body, "options", "object") ?? {}, "num_predict", "number", "options.");
  return cap !== undefined && cap > 0 ? cap : undefined;
}

/** Cheap: runs for every call on the fast path. @throws ProblemError */
export function outline(body: JsonObject, context: DoorContext): Outline {
  const model = demand(body, "model", "string");
  if (shapeIn(body, context) === "chat") read(body, "messages", "list");
  else read(body, "prompt", "string");
  const maxOutputTokens = capIn(body);
  return {
    model,
    stream: streams(body),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    keep: false,
    background: false,
  };
}

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds();
  const { messages, tools, format, images } = body;
  const shows = (value: Json | undefined): boolean => isList(value) && value.length > 0;
  found.vision = shows(images) || (isList(messages) && messages.some((message) => isObject(message) && shows(message["images"])));
  found.tools = shows(tools);
  found.structuredOutput = isObject(format);
  return found;
}

/** @throws ProblemError invalid_request */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const shape = shapeIn(body, context);
  const items = shape === "chat" ? decodeMessages(read(body, "messages", "list") ?? []) : promptOf(body);
  const { tools: _tools, ...all } = body;
  const { messages: _messages, ...withoutList } = all;
  const { prompt: _prompt, images: _images, ...withoutPrompt } = all;
  // What says nothing became no item, and is kept as it is written.
  const native = items.length === 0 ? all : shape === "generate" ? withoutPrompt : withoutList;
  const format = decodeFormat(body["format"]);
  const reasoning = decodeThink(body["think"]);
  const maxOutputTokens = capIn(body);
  const unspoken = unspokenFields(native, FIELDS);
  const tools = decodeTools(body);
  const system = shape === "generate" ? read(body, "system", "string") : undefined;
  return {
    operation: context.operation,
    origin: { dialect: ID, ...(shape === "generate" && { version: shape }) },
    model: demand(body, "model", "string"),
    stream: streams(body),
    ...(system && { instructions: { parts: [{ type: "text", text: system }], origin: ORIGIN } }),
    items,
    tools,
    sampling: decodeSampling(body),
    ...(format && { output: { format } }),
    ...(reasoning && { reasoning }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    // An empty list declares nothing, and is kept as it is.
    native: tools.length === 0 && body["tools"] !== undefined ? { ...native, tools: body["tools"] } : native,
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

/** Options that the canonical form has; the others tune this server alone. */
const OPTIONS = ["temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "stop", "num_predict"];

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  stream: true,
  messages: true,
  prompt: true,
  images: true,
  system: true,
  think: true,
  options: OPTIONS,
  logprobs: true,
  top_logprobs: true,
  tools: true,
  format: (value) => value === "" || value === "json" || isObject(value),
  // How long the server keeps the model in memory changes no answer.
  keep_alive: true,
  raw: (value) => value === false,
  suffix: (value) => value === "",
  template: (value) => value === "",
};

function promptOf(body: JsonObject): readonly Item[] {
  const prompt = read(body, "prompt", "string") ?? "";
  const images = decodeImages(body["images"], "images");
  if (prompt === "" && images.length === 0) return [];
  const raw: JsonObject = {
    ...("prompt" in body && { content: body["prompt"] }),
    ...("images" in body && { images: body["images"] }),
  };
  const parts = [...(prompt === "" ? [] : [{ type: "text" as const, text: prompt }]), ...images];
  return [{ type: "message", role: "user", parts, raw, origin: ORIGIN }];
}

function decodeTools(body: JsonObject): readonly ToolSpec[] {
  return (read(body, "tools", "list") ?? []).map((raw, at) => decodeTool(raw, `tools[${at}]`));
}

function decodeTool(raw: Json, path: string): ToolSpec {
  if (!isObject(raw)) throw invalid(`\`${path}\` must be an object.`, path);
  const type = read(raw, "type", "string", `${path}.`) ?? "function";
  if (type !== "function") return { type: "native", kind: type, origin: ORIGIN, raw };
  const body = demand(raw, "function", "object", `${path}.`);
  const within = `${path}.function.`;
  const description = read(body, "description", "string", within);
  const schema = read(body, "parameters", "object", within);
  const strict = read(body, "strict", "boolean", within);
  const tool: FunctionToolSpec = {
    type: "function",
    name: demand(body, "name", "string", within),
    ...(description !== undefined && { description }),
    ...(schema !== undefined && { schema }),
    ...(strict !== undefined && { strict }),
  };
  return { ...tool, origin: ORIGIN, raw };
}

function decodeSampling(body: JsonObject): Sampling {
  const options = read(body, "options", "object") ?? {};
  const number = (key: string): number | undefined => read(options, key, "number", "options.");
  const topLogprobs = read(body, "top_logprobs", "number") ?? (read(body, "logprobs", "boolean") ? 0 : undefined);
  const values = {
    temperature: number("temperature"),
    topP: number("top_p"),
    topK: number("top_k"),
    seed: number("seed"),
    presencePenalty: number("presence_penalty"),
    frequencyPenalty: number("frequency_penalty"),
    stop: decodeStop(options["stop"]),
    topLogprobs,
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function decodeStop(stop: Json | undefined): readonly string[] | undefined {
  if (stop === undefined || stop === null) return undefined;
  if (typeof stop === "string") return [stop];
  if (isList(stop) && stop.every((entry) => typeof entry === "string")) return stop;
  throw invalid("`options.stop` must be a list of strings.", "options.stop");
}

/** `"json"`, or a JSON Schema itself. */
function decodeFormat(format: Json | undefined): OutputFormat | undefined {
  if (format === undefined || format === null || format === "") return undefined;
  if (format === "json") return { type: "json_object" };
  if (isObject(format)) return { type: "json_schema", name: "output", schema: format };
  throw invalid("`format` must be `json` or a JSON Schema.", "format");
}

function decodeThink(think: Json | undefined): Reasoning | undefined {
  if (think === undefined || think === null) return undefined;
  if (typeof think === "boolean") return { mode: think ? "enabled" : "disabled" };
  if (typeof think === "string" && think !== "") return { effort: think };
  throw invalid("`think` must be a boolean, or one of high, medium, low.", "think");
}
