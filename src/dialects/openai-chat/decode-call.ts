import {
  invalid,
  type Call,
  type DoorContext,
  type Item,
  type Json,
  type JsonObject,
  type Outline,
  type OutputFormat,
  type Part,
  type Sampling,
  type ToolChoice,
} from "../../canon/index.ts";
import { readAllowedTools } from "../shared-choice.ts";
import { unspokenFields, unspokenUser, type FieldTable } from "../shared-fields.ts";
import { clientOf } from "./clients.ts";
import { CallIds, decodeAssistant } from "./decode-message.ts";
import { decodePart } from "./decode-parts.ts";
import { decodeTools } from "./decode-tools.ts";
import { decodeReasoning } from "./reasoning.ts";
import { demand, frameEnvelope, ID, isList, isObject, object, ORIGIN, read, text, type Draft } from "./shape.ts";

/** Cheap: runs for every call on the fast path. @throws ProblemError */
export function outline(body: JsonObject, { headers }: Pick<DoorContext, "headers">): Outline {
  const model = demand(body, "model", "string");
  demand(body, "messages", "list");
  const maxOutputTokens = read(body, "max_completion_tokens", "number") ?? read(body, "max_tokens", "number");
  const { n: choices, service_tier: serviceTier } = body;
  const tools = read(body, "tools", "list");
  const custom = tools?.some((tool) => isObject(tool) && tool["type"] === "custom");
  const stream = read(body, "stream", "boolean") ?? false;
  const whole = stream && tools !== undefined && tools.length > 0 && clientOf(headers) !== undefined;
  return {
    model,
    stream,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(typeof choices === "number" && choices > 1 && { choices }),
    ...(typeof serviceTier === "string" && { serviceTier }),
    ...(isList(body["models"]) && { otherModels: body["models"].filter((name) => typeof name === "string") }),
    keep: false,
    background: false,
    ...(whole && { slow: "streamed tool calls: the client reads them only whole" }),
    ...(custom && { slow: "custom tools: the provider may know functions only" }),
  };
}

/** @throws ProblemError invalid_request */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const model = demand(body, "model", "string");
  const messages = demand(body, "messages", "list");
  const client = clientOf(context.headers);
  const { messages: _messages, tools: _tools, functions: _functions, ...rest } = body;
  const { tools, native: emptyLists } = decodeTools(body);
  const maxOutputTokens = read(body, "max_completion_tokens", "number") ?? read(body, "max_tokens", "number");
  const reasoning = decodeReasoning(body);
  const output = decodeOutput(body);
  const unspoken = [...unspokenFields(rest, FIELDS), ...unspokenUser(body)];
  return {
    operation: context.operation,
    origin: { dialect: ID, ...(client !== undefined && { version: client }) },
    model,
    stream: read(body, "stream", "boolean") ?? false,
    items: decodeMessages(messages),
    tools,
    sampling: decodeSampling(body),
    ...optional("toolChoice", decodeToolChoice(body)),
    ...optional("parallelToolCalls", read(body, "parallel_tool_calls", "boolean")),
    ...optional("output", output),
    ...optional("reasoning", reasoning),
    ...optional("maxOutputTokens", maxOutputTokens),
    ...optional("metadata", decodeMetadata(body)),
    ...optional("endUser", read(body, "safety_identifier", "string") ?? read(body, "user", "string")),
    ...optional("promptCacheKey", read(body, "prompt_cache_key", "string")),
    ...optional("serviceTier", read(body, "service_tier", "string")),
    ...optional("store", read(body, "store", "boolean")),
    native: { ...rest, ...emptyLists },
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  stream: true,
  // The gateway counts and shows usage itself; padding hides sizes from an eavesdropper and changes no content.
  stream_options: ["include_usage", "include_obfuscation"],
  max_tokens: true,
  max_completion_tokens: true,
  temperature: true,
  top_p: true,
  top_k: true,
  seed: true,
  random_seed: true,
  presence_penalty: true,
  frequency_penalty: true,
  stop: true,
  n: true,
  logprobs: true,
  top_logprobs: true,
  tool_choice: true,
  function_call: true,
  parallel_tool_calls: true,
  verbosity: true,
  response_format: (value) => isObject(value) && ["text", "json_object", "json_schema"].includes(text(value["type"]) ?? ""),
  reasoning_effort: true,
  reasoning: ["effort", "max_tokens", "enabled", "summary", "exclude"],
  // Where reasoning stands in an answer is each language's own affair; whether it is shown at all is not.
  reasoning_format: true,
  include_reasoning: true,
  prompt_mode: (value) => value === "reasoning",
  thinking: ["type", "budget_tokens"],
  enable_thinking: true,
  thinking_budget: true,
  metadata: (value) => isObject(value) && Object.values(value).every((label) => typeof label === "string"),
  user: true,
  safety_identifier: true,
  prompt_cache_key: true,
  service_tier: true,
  // Answers of this language are stored by its provider or not at all.
  store: (value) => value === false,
  modalities: (value) => isList(value) && value.every((kind) => kind === "text"),
  safe_prompt: (value) => value === false,
  logit_bias: (value) => isObject(value) && Object.keys(value).length === 0,
};

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}

function decodeMessages(messages: readonly Json[]): Item[] {
  const ids = new CallIds(unusedPrefix(messages));
  const items: Item[] = [];
  for (const [place, message] of messages.entries()) {
    const path = `messages[${place}]`;
    if (!isObject(message)) throw invalid(`\`${path}\` must be an object.`, path);
    items.push(...decodeMessage(message, path, place, ids));
  }
  return items;
}

/** Made-up call ids must be unlike any that the request itself holds. */
function unusedPrefix(messages: readonly Json[]): string {
  let prefix = "call_unnamed";
  const taken = (): boolean =>
    messages.some(
      (message) =>
        isObject(message) &&
        isList(message["tool_calls"]) &&
        message["tool_calls"].some((call) => isObject(call) && text(call["id"])?.startsWith(prefix)),
    );
  while (taken()) prefix += "_";
  return prefix;
}

function decodeMessage(message: JsonObject, path: string, place: number, ids: CallIds): readonly Item[] {
  const role = demand(message, "role", "string", `${path}.`);
  if (role === "assistant") return decodeAssistant(message, { path, origin: ORIGIN, place, ids }).items;
  const { parts, raw, envelope } = single(message, role, path, place);
  switch (role) {
    case "system":
    case "developer":
    case "user":
      return [{ type: "message", role, parts, raw, envelope, origin: ORIGIN }];
    case "tool": {
      const named = read(message, "tool_call_id", "string", `${path}.`);
      if (named === undefined)
        throw invalid(`\`${path}.tool_call_id\` is missing: it must name the tool call that this answers.`, `${path}.tool_call_id`);
      const callId = named || ids.answerUnnamed();
      if (callId === undefined)
        throw invalid(`\`${path}.tool_call_id\` is empty and no earlier tool call lacks an id.`, `${path}.tool_call_id`);
      return [{ type: "tool_result", callId, kind: "function", parts, raw, envelope, origin: ORIGIN }];
    }
    case "function": {
      const name = demand(message, "name", "string", `${path}.`);
      const callId = ids.answerLegacy(name);
      if (callId === undefined)
        throw invalid(`\`${path}.name\` is the function "${name}", which no earlier message calls.`, `${path}.name`);
      return [{ type: "tool_result", callId, kind: "function", parts, raw, envelope, origin: ORIGIN }];
    }
    default:
      throw invalid(`\`${path}.role\` must be one of system, developer, user, assistant, tool, function.`, `${path}.role`);
  }
}

/** A message that is one item: its content goes, the rest is its envelope. */
function single(
  message: JsonObject,
  role: string,
  path: string,
  place: number,
): { parts: readonly Part[]; raw: JsonObject; envelope: NonNullable<Item["envelope"]> } {
  const content = message["content"];
  const parts = decodeContent(content, role, path);
  const frame: Draft = { ...message, content: isList(content) ? [] : null };
  const envelope = frameEnvelope(role, { message: frame, cut: ["content"], answer: false }, place);
  return { parts, raw: content === undefined ? {} : { content }, envelope };
}

function decodeContent(content: Json | undefined, role: string, path: string): readonly Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  if (isList(content)) return content.map((part, at) => decodePart(part, `${path}.content[${at}]`));
  const mayBeEmpty = role === "tool" || role === "function";
  if (mayBeEmpty && (content === null || content === undefined)) return [];
  throw invalid(`\`${path}.content\` must be a string or a list of parts.`, `${path}.content`);
}

function decodeSampling(body: JsonObject): Sampling {
  const n = read(body, "n", "number");
  const topLogprobs = read(body, "top_logprobs", "number") ?? (read(body, "logprobs", "boolean") ? 0 : undefined);
  return {
    ...optional("temperature", read(body, "temperature", "number")),
    ...optional("topP", read(body, "top_p", "number")),
    ...optional("topK", read(body, "top_k", "number")),
    ...optional("seed", read(body, "seed", "number") ?? read(body, "random_seed", "number")),
    ...optional("presencePenalty", read(body, "presence_penalty", "number")),
    ...optional("frequencyPenalty", read(body, "frequency_penalty", "number")),
    ...optional("stop", decodeStop(body)),
    ...optional("n", n),
    ...optional("topLogprobs", topLogprobs),
  };
}

function decodeStop(body: JsonObject): readonly string[] | undefined {
  const stop = body["stop"];
  if (stop === undefined || stop === null) return undefined;
  if (typeof stop === "string") return [stop];
  if (isList(stop) && stop.every((entry) => typeof entry === "string")) return stop;
  throw invalid("`stop` must be a string or a list of strings.", "stop");
}

function decodeToolChoice(body: JsonObject): ToolChoice | undefined {
  const choice = body["tool_choice"] ?? body["function_call"];
  if (choice === undefined || choice === null) return undefined;
  if (choice === "auto" || choice === "none" || choice === "required") return { type: choice };
  // A vendor's older word for `required`.
  if (choice === "any") return { type: "required" };
  if (typeof choice === "string")
    throw invalid("`tool_choice` must be auto, none, required or an object that names a tool.", "tool_choice");
  if (!isObject(choice)) throw invalid("`tool_choice` must be a string or an object.", "tool_choice");
  const custom = object(choice["custom"]);
  const name = text((custom ?? object(choice["function"]) ?? choice)["name"]);
  if (name === undefined) {
    const allowed = readAllowedTools(
      object(choice["allowed_tools"]) ?? {},
      (tool) => (object(tool["function"]) ?? object(tool["custom"]))?.["name"],
    );
    return { type: "native", ...(allowed && { allowed }) };
  }
  return { type: "tool", name, kind: custom ? "custom" : "function" };
}

function decodeOutput(body: JsonObject): Call["output"] {
  const verbosity = read(body, "verbosity", "string");
  const format = decodeFormat(body);
  if (verbosity === undefined && format === undefined) return undefined;
  return { ...optional("format", format), ...optional("verbosity", verbosity) };
}

function decodeFormat(body: JsonObject): OutputFormat | undefined {
  const format = read(body, "response_format", "object");
  if (!format) return undefined;
  const type = demand(format, "type", "string", "response_format.");
  if (type === "text" || type === "json_object") return { type };
  // Vendors' own formats (a grammar, a regular expression) stay in `native`.
  if (type !== "json_schema") return undefined;
  const path = "response_format.json_schema.";
  const spec = demand(format, "json_schema", "object", "response_format.");
  return {
    type: "json_schema",
    name: read(spec, "name", "string", path) ?? "output",
    schema: demand(spec, "schema", "object", path),
    ...optional("strict", read(spec, "strict", "boolean", path)),
    ...optional("description", read(spec, "description", "string", path)),
  };
}

/** Labels that are no strings stay in `native`: vendors have their own. */
function decodeMetadata(body: JsonObject): Readonly<Record<string, string>> | undefined {
  const metadata = read(body, "metadata", "object");
  if (!metadata || !Object.values(metadata).every((value) => typeof value === "string")) return undefined;
  return metadata as Readonly<Record<string, string>>;
}
