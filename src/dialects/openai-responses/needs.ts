import type { JsonObject, Needs } from "../../canon/index.ts";
import { FoundNeeds, isList, isObject, lookAtParts } from "../shared-needs.ts";

const MEDIA = { input_image: "vision", input_audio: "audio", input_file: "files" } as const;

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds(body["prompt_cache_key"]);
  const { input, tools, text } = body;
  if (isList(input)) {
    for (const item of input) {
      if (!isObject(item)) continue;
      lookAtParts(item["content"], MEDIA, found);
      lookAtParts(item["output"], MEDIA, found);
      // Items can bring further tools into the conversation.
      if (isList(item["tools"]) && item["tools"].length > 0) found.tools = true;
    }
  }
  if (isList(tools) && tools.length > 0) found.tools = true;
  const format = isObject(text) ? text["format"] : undefined;
  found.structuredOutput = isObject(format) && format["type"] === "json_schema";
  return found;
}
