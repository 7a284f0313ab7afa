import {
  invalid,
  type CustomToolSpec,
  type FunctionToolSpec,
  type Json,
  type JsonObject,
  type ToolChoice,
  type ToolSpec,
} from "../../canon/index.ts";
import { readAllowedTools } from "../shared-choice.ts";
import { CLIENT_ORIGIN, isObject, optional, required, stringIn, textIn } from "./shape.ts";

/**
 * One declaration. `strict` false takes what an upstream listed as it is; what cannot be named becomes a native tool.
 * @throws ProblemError when strict
 */
export function decodeTool(raw: Json, path: string, strict: boolean): ToolSpec {
  if (!isObject(raw)) {
    if (strict) throw invalid(`\`${path}\` must be an object.`, path);
    return { type: "native", kind: "unknown", raw };
  }
  const kind = strict ? required(raw, "type", "string", `${path}.`) : stringIn(raw["type"]);
  if (kind === "namespace") return namespaceTool(raw, path, strict);
  return plainTool(kind, raw, path, strict) ?? { type: "native", kind, raw, origin: CLIENT_ORIGIN, ...nameOf(raw) };
}

function plainTool(kind: string, raw: JsonObject, path: string, strict: boolean): FunctionToolSpec | CustomToolSpec | undefined {
  if (kind !== "function" && kind !== "custom") return undefined;
  if (!strict && textIn(raw["name"]) === undefined) return undefined;
  const name = required(raw, "name", "string", `${path}.`);
  const description = optional(raw, "description", "string", `${path}.`);
  const base = { name, raw, origin: CLIENT_ORIGIN, ...(description !== undefined && { description }) };
  if (kind === "custom") {
    const format = optional(raw, "format", "object", `${path}.`);
    return { type: "custom", ...base, ...(format !== undefined && { format }) };
  }
  const schema = optional(raw, "parameters", "object", `${path}.`);
  const strictly = optional(raw, "strict", "boolean", `${path}.`);
  return { type: "function", ...base, ...(schema !== undefined && { schema }), ...(strictly !== undefined && { strict: strictly }) };
}

/** A namespace holds functions and custom tools; one that holds anything else is kept as a whole for its own language. */
function namespaceTool(raw: JsonObject, path: string, strict: boolean): ToolSpec {
  const native: ToolSpec = { type: "native", kind: "namespace", raw, origin: CLIENT_ORIGIN, ...nameOf(raw) };
  if (!strict && (textIn(raw["name"]) === undefined || !Array.isArray(raw["tools"]))) return native;
  const name = required(raw, "name", "string", `${path}.`);
  const description = optional(raw, "description", "string", `${path}.`);
  const tools: (FunctionToolSpec | CustomToolSpec)[] = [];
  for (const [at, inner] of required(raw, "tools", "list", `${path}.`).entries()) {
    const place = `${path}.tools[${at}]`;
    if (!isObject(inner)) throw invalid(`\`${place}\` must be an object.`, place);
    const tool = plainTool(stringIn(inner["type"]), inner, place, strict);
    if (!tool) return native;
    tools.push(tool);
  }
  return { type: "namespace", name, tools, raw, origin: CLIENT_ORIGIN, ...(description !== undefined && { description }) };
}

function nameOf(raw: JsonObject): { readonly name?: string } {
  const name = textIn(raw["name"]);
  return name === undefined ? {} : { name };
}

/** `tool_choice`. What only this language has stays in `native`. @throws ProblemError */
export function decodeToolChoice(choice: Json | undefined): ToolChoice | undefined {
  if (choice === undefined || choice === null) return undefined;
  if (choice === "auto" || choice === "none" || choice === "required") return { type: choice };
  if (!isObject(choice)) throw invalid("`tool_choice` must be auto, none, required or an object.", "tool_choice");
  const kind = required(choice, "type", "string", "tool_choice.");
  if (kind !== "function" && kind !== "custom") {
    const allowed = kind === "allowed_tools" ? readAllowedTools(choice, (tool) => tool["name"]) : undefined;
    return { type: "native", ...(allowed && { allowed }) };
  }
  const namespace = textIn(choice["namespace"]);
  return { type: "tool", kind, name: required(choice, "name", "string", "tool_choice."), ...(namespace !== undefined && { namespace }) };
}
