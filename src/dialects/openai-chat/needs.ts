import type { JsonObject, Needs } from "../../canon/index.ts";
import { FoundNeeds, isList, isObject, lookAtParts } from "../shared-needs.ts";

const MEDIA = { image_url: "vision", input_audio: "audio", file: "files", document_url: "files" } as const;

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds(body["prompt_cache_key"]);
  const { messages, tools, functions, response_format: format } = body;
  if (isList(messages)) for (const message of messages) if (isObject(message)) lookAtParts(message["content"], MEDIA, found);
  found.tools = (isList(tools) && tools.length > 0) || (isList(functions) && functions.length > 0);
  found.structuredOutput = isObject(format) && format["type"] === "json_schema";
  return found;
}
