import type { Json, JsonObject, Needs } from "../../canon/index.ts";
import { FoundNeeds, type Medium } from "../shared-needs.ts";
import { mediaTypeOfUrl } from "./media.ts";
import { offersTools } from "./tools.ts";
import { at, isList, isObject, textAt } from "./wire.ts";

export function needs(body: JsonObject): Needs {
  const found = new FoundNeeds();
  const wrapped = at(body, "generateContentRequest");
  const request = isObject(wrapped) ? wrapped : body;
  const { contents } = request;
  if (isList(contents)) for (const content of contents) if (isObject(content)) lookAt(content["parts"], found);
  found.tools = offersTools(request["tools"]);
  const generation = at(request, "generationConfig");
  if (isObject(generation)) {
    const type = at(generation, "responseMimeType");
    const schema = at(generation, "responseJsonSchema") ?? at(generation, "responseSchema");
    found.structuredOutput = isObject(schema) && (type === undefined || type === null || type === "application/json");
  }
  return found;
}

function lookAt(parts: Json | undefined, found: FoundNeeds): void {
  for (const part of isList(parts) ? parts : [parts]) {
    if (!isObject(part) || typeof part["text"] === "string") continue;
    const response = at(part, "functionResponse");
    if (isObject(response)) lookAt(response["parts"], found);
    const medium = mediumOf(part);
    if (medium) found[medium] = true;
  }
}

/** Film is nothing that the canonical form knows. */
function mediumOf(part: JsonObject): Medium | undefined {
  if (part["thought"] === true) return undefined;
  const inline = at(part, "inlineData");
  const file = at(part, "fileData");
  const blob = isObject(inline) ? inline : isObject(file) ? file : undefined;
  if (!blob) return undefined;
  const uri = textAt(blob, "fileUri");
  const type = textAt(blob, "mimeType") || (mediaTypeOfUrl(uri) ?? (/youtu/.test(uri) ? "video/*" : ""));
  const family = type.toLowerCase().split("/")[0];
  if (family === "image") return "vision";
  if (family === "audio") return "audio";
  return family === "video" ? undefined : "files";
}
