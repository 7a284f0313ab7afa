import type { JsonObject, Needs } from "../../canon/index.ts";
import { FoundNeeds, isList, isObject, lookAtParts } from "../shared-needs.ts";

const MEDIA = { image: "vision", document: "files" } as const;
const NESTED = { tool_result: true } as const;

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds();
  const { messages, tools, output_config: output, output_format: older } = body;
  if (isList(messages)) for (const message of messages) if (isObject(message)) lookAtParts(message["content"], MEDIA, found, NESTED);
  found.tools = isList(tools) && tools.length > 0;
  const format = (isObject(output) ? output["format"] : undefined) ?? older;
  found.structuredOutput = isObject(format) && format["type"] === "json_schema";
  return found;
}
