import type {
  Call,
  Diagnostic,
  EncodeTarget,
  FunctionToolSpec,
  Json,
  JsonObject,
  NativeToolSpec,
  ToolChoice,
  ToolSpec,
} from "../../canon/index.ts";
import { invalid } from "../../canon/index.ts";
import type { FlatTools } from "../shared-tools.ts";
import {
  cacheControl,
  cacheTtlOf,
  DIALECT,
  isObject,
  needName,
  needObject,
  type Path,
  readBoolean,
  readObject,
  readString,
} from "./wire.ts";

/** One entry of `tools`. Without a type, or with `custom`, it is the client's own; every other type is a tool the provider knows. @throws ProblemError invalid_request */
export function decodeTool(tool: JsonObject, path: Path): ToolSpec {
  const type = readString(tool["type"], `${path}.type`);
  const ttl = cacheTtlOf(tool);
  const base = { origin: { dialect: DIALECT }, raw: tool as Json, ...(ttl !== undefined && { cacheTtlSeconds: ttl }) };
  if (type !== undefined && type !== "custom") {
    const name = readString(tool["name"], `${path}.name`);
    return { type: "native", kind: type, ...(name !== undefined && { name }), ...base };
  }
  const description = readString(tool["description"], `${path}.description`);
  const strict = readBoolean(tool["strict"], `${path}.strict`);
  return {
    type: "function",
    name: needName(tool["name"], `${path}.name`),
    ...(description !== undefined && { description }),
    schema: needObject(tool["input_schema"], `${path}.input_schema`),
    ...(strict !== undefined && { strict }),
    ...base,
  };
}

/** Tools on this wire; what cannot be carried is noted and left out. */
export function encodeTools(
  tools: readonly (FunctionToolSpec | NativeToolSpec)[],
  target: EncodeTarget,
  note: (diagnostic: Diagnostic) => void,
): JsonObject[] {
  const encoded: JsonObject[] = [];
  for (const tool of tools) {
    const own = tool.origin?.dialect === DIALECT && isObject(tool.raw) ? tool.raw : undefined;
    if (own) encoded.push(own);
    else if (tool.type === "function") encoded.push(encodeFunction(tool, target, note));
    else
      note({
        field: "tools[].native",
        action: "dropped",
        reason: `${tool.kind} is a tool that only ${tool.origin?.dialect ?? "its own language"} knows.`,
      });
  }
  return encoded;
}

function encodeFunction(tool: FunctionToolSpec, target: EncodeTarget, note: (diagnostic: Diagnostic) => void): JsonObject {
  const strict = tool.strict === true && target.capabilities.structuredOutput === true;
  if (tool.strict === true && !strict) {
    note({ field: "tools[].strict", action: "dropped", reason: "The target is not known to hold a tool's arguments to its schema." });
  }
  return {
    name: tool.name,
    ...(tool.description !== undefined && tool.description !== "" && { description: tool.description }),
    input_schema: objectSchema(tool.schema),
    ...(strict && { strict }),
    ...cacheControl(tool.cacheTtlSeconds),
  };
}

/** The API refuses a schema that does not say it is an object's. */
function objectSchema(schema: JsonObject | undefined): JsonObject {
  if (!schema) return { type: "object", properties: {} };
  return schema["type"] === "object" ? schema : { ...schema, type: "object" };
}

/** @throws ProblemError invalid_request */
export function decodeToolChoice(body: JsonObject): { readonly toolChoice?: ToolChoice; readonly parallelToolCalls?: boolean } {
  const choice = readObject(body["tool_choice"], "tool_choice");
  if (!choice) return {};
  const sequential = readBoolean(choice["disable_parallel_tool_use"], "tool_choice.disable_parallel_tool_use");
  const parallel = sequential === undefined ? {} : { parallelToolCalls: !sequential };
  switch (choice["type"]) {
    case "auto":
    case "none":
      return { toolChoice: { type: choice["type"] }, ...parallel };
    case "any":
      return { toolChoice: { type: "required" }, ...parallel };
    case "tool":
      return { toolChoice: { type: "tool", name: needName(choice["name"], "tool_choice.name"), kind: "function" }, ...parallel };
    default:
      throw invalid("tool_choice.type: must be auto, any, tool or none.", "tool_choice.type");
  }
}

/**
 * `tool_choice`, or undefined when nothing needs to be said. Without tools the API refuses the field.
 * `offered` are the names on the wire.
 */
export function encodeToolChoice(
  call: Pick<Call, "toolChoice" | "parallelToolCalls">,
  flat: FlatTools,
  offered: ReadonlySet<string>,
  note: (diagnostic: Diagnostic) => void,
): JsonObject | undefined {
  const { toolChoice, parallelToolCalls } = call;
  if (offered.size === 0) {
    if (toolChoice && toolChoice.type !== "none" && toolChoice.type !== "auto") {
      note({ field: "toolChoice", action: "dropped", reason: "None of the tools can be offered to this target." });
    }
    return undefined;
  }
  const sequential = parallelToolCalls === false ? { disable_parallel_tool_use: true } : {};
  switch (toolChoice?.type) {
    case undefined:
      return parallelToolCalls === false ? { type: "auto", ...sequential } : undefined;
    case "auto":
      return { type: "auto", ...sequential };
    case "none":
      return { type: "none" };
    case "required":
      return { type: "any", ...sequential };
    case "native":
      note({ field: "toolChoice.native", action: "dropped", reason: "The language has no such choice of tools; the model chooses." });
      return parallelToolCalls === false ? { type: "auto", ...sequential } : undefined;
    case "tool": {
      const name = flat.names.of(toolChoice.namespace, toolChoice.name);
      if (offered.has(name)) return { type: "tool", name, ...sequential };
      note({
        field: "toolChoice",
        action: "dropped",
        reason: `The tool "${toolChoice.name}" cannot be offered to this target; the model chooses.`,
      });
      return { type: "auto", ...sequential };
    }
  }
}
