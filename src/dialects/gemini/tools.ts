import type { Call, Diagnostic, FunctionToolSpec, Json, JsonObject, NativeToolSpec, ToolChoice, ToolSpec } from "../../canon/index.ts";
import { invalid } from "../../canon/index.ts";
import type { FlatTools } from "../shared-tools.ts";
import { jsonSchemaOf } from "./schema.ts";
import { at, DIALECT, isList, isObject, needList, needName, needObject, needString, readObject, readString, type Path } from "./wire.ts";

const ORIGIN = { dialect: DIALECT };

/** The entries of `tools`: each holds declarations of functions, tools that the provider runs, or both. @throws ProblemError invalid_request */
export function decodeTools(tools: readonly Json[]): ToolSpec[] {
  return tools.flatMap((value, index) => {
    const path = `tools[${index}]`;
    const entry = needObject(value, path);
    return Object.entries(entry).flatMap(([key, member]): ToolSpec[] => {
      if (member === undefined || member === null) return [];
      if (key !== "functionDeclarations" && key !== "function_declarations")
        return [{ type: "native", kind: key, origin: ORIGIN, raw: { [key]: member } }];
      return needList(member, `${path}.functionDeclarations`).map((declared, place) => {
        const where = `${path}.functionDeclarations[${place}]`;
        return decodeFunction(needObject(declared, where), where);
      });
    });
  });
}

function decodeFunction(declared: JsonObject, path: Path): FunctionToolSpec {
  const description = readString(declared["description"], `${path}.description`);
  const schema = readObject(at(declared, "parametersJsonSchema"), `${path}.parametersJsonSchema`);
  const own = readObject(declared["parameters"], `${path}.parameters`);
  const parameters = schema ?? (own && jsonSchemaOf(own));
  return {
    type: "function",
    name: needName(declared["name"], `${path}.name`),
    ...(description !== undefined && { description }),
    ...(parameters && { schema: parameters }),
    origin: ORIGIN,
    raw: declared,
  };
}

/** `tools` on this wire: one entry with all functions, and each of the provider's own; what cannot be carried is noted and left out. */
export function encodeTools(
  tools: readonly (FunctionToolSpec | NativeToolSpec)[],
  note: (diagnostic: Diagnostic) => void,
): { readonly entries: readonly JsonObject[]; readonly offered: readonly string[] } {
  const declarations: JsonObject[] = [];
  const offered: string[] = [];
  const entries: JsonObject[] = [];
  for (const tool of tools) {
    const own = tool.origin?.dialect === DIALECT && isObject(tool.raw) ? tool.raw : undefined;
    if (tool.type === "function") {
      offered.push(tool.name);
      declarations.push(own ?? encodeFunction(tool, note));
    } else if (own) entries.push(own);
    else
      note({
        field: "tools[].native",
        action: "dropped",
        reason: `${tool.kind} is a tool that only ${tool.origin?.dialect ?? "its own language"} knows.`,
      });
  }
  return { entries: declarations.length > 0 ? [{ functionDeclarations: declarations }, ...entries] : entries, offered };
}

function encodeFunction(tool: FunctionToolSpec, note: (diagnostic: Diagnostic) => void): JsonObject {
  if (tool.strict === true)
    note({ field: "tools[].strict", action: "dropped", reason: "The language has no strict tools; the schema is sent all the same." });
  if (tool.cacheTtlSeconds !== undefined)
    note({ field: "tools[].cacheTtlSeconds", action: "dropped", reason: "The language has no breakpoints for its prompt cache." });
  // The API refuses an object schema without any property.
  const empty = isObject(tool.schema) && tool.schema["type"] === "object" && !hasProperties(tool.schema);
  return {
    name: tool.name,
    ...(tool.description !== undefined && tool.description !== "" && { description: tool.description }),
    ...(tool.schema && !empty && { parametersJsonSchema: tool.schema }),
  };
}

function hasProperties(schema: JsonObject): boolean {
  const { properties } = schema;
  const open = schema["additionalProperties"] !== undefined && schema["additionalProperties"] !== false;
  return (isObject(properties) && Object.keys(properties).length > 0) || open || schema["$ref"] !== undefined;
}

/** Names on a list of allowed functions that are read: more functions than this no call offers. */
const MAX_ALLOWED = 1024;

/** @throws ProblemError invalid_request */
export function decodeToolChoice(body: JsonObject): ToolChoice | undefined {
  const config = readObject(at(body, "toolConfig"), "toolConfig");
  const path = "toolConfig.functionCallingConfig";
  const calling = config && readObject(at(config, "functionCallingConfig"), path);
  if (!calling) return undefined;
  const mode = readString(calling["mode"], `${path}.mode`)?.toUpperCase();
  const list = at(calling, "allowedFunctionNames");
  const names = (list === undefined || list === null ? [] : needList(list, `${path}.allowedFunctionNames`))
    .slice(0, MAX_ALLOWED)
    .map((name, index) => needString(name, `${path}.allowedFunctionNames[${index}]`));
  const [only] = names;
  switch (mode) {
    case "NONE":
      return { type: "none" };
    case "ANY":
      if (only === undefined) return { type: "required" };
      if (names.length === 1) return { type: "tool", name: only, kind: "function" };
      return { type: "native", allowed: { required: true, names } };
    // The model chooses; calls are held to their schema.
    case "VALIDATED":
    case "AUTO":
    case "MODE_UNSPECIFIED":
    case undefined:
      if (names.length > 0) return { type: "native", allowed: { required: false, names } };
      return mode === undefined ? undefined : { type: "auto" };
    default:
      throw invalid(`${path}.mode: must be AUTO, ANY, NONE or VALIDATED.`, `${path}.mode`);
  }
}

/** `functionCallingConfig`, or undefined when nothing needs to be said. `offered` are the names on the wire. */
export function encodeToolChoice(
  call: Pick<Call, "toolChoice" | "parallelToolCalls">,
  flat: FlatTools,
  offered: readonly string[],
  note: (diagnostic: Diagnostic) => void,
): JsonObject | undefined {
  const { toolChoice } = call;
  if (call.parallelToolCalls === false && offered.length > 0)
    note({ field: "parallelToolCalls", action: "dropped", reason: "The language cannot ask for one call at a time." });
  if (offered.length === 0) {
    if (toolChoice && toolChoice.type !== "none" && toolChoice.type !== "auto")
      note({ field: "toolChoice", action: "dropped", reason: "None of the tools can be offered to this target." });
    return undefined;
  }
  switch (toolChoice?.type) {
    case undefined:
      return undefined;
    case "auto":
      return { mode: "AUTO" };
    case "none":
      return { mode: "NONE" };
    case "required":
      return { mode: "ANY" };
    case "native":
      if (toolChoice.allowed) return encodeAllowed(toolChoice.allowed, offered);
      note({ field: "toolChoice.native", action: "dropped", reason: "The language has no such choice of tools; the model chooses." });
      return undefined;
    case "tool": {
      const name = flat.names.of(toolChoice.namespace, toolChoice.name);
      if (offered.includes(name)) return { mode: "ANY", allowedFunctionNames: [name] };
      note({
        field: "toolChoice",
        action: "dropped",
        reason: `The tool "${toolChoice.name}" cannot be offered to this target; the model chooses.`,
      });
      return { mode: "AUTO" };
    }
  }
}

/** A list beside `AUTO` is refused; `VALIDATED` leaves the choice as free and takes one. */
function encodeAllowed(allowed: { readonly required: boolean; readonly names: readonly string[] }, offered: readonly string[]): JsonObject {
  const names = allowed.names.filter((name) => offered.includes(name));
  return { mode: allowed.required ? "ANY" : "VALIDATED", ...(names.length > 0 && { allowedFunctionNames: names }) };
}

/** Does the request offer any tool? */
export function offersTools(tools: Json | undefined): boolean {
  return isList(tools) && tools.some((entry) => isObject(entry) && Object.keys(entry).length > 0);
}
