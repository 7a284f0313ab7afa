import type { Json, JsonObject, Needs } from "../canon/index.ts";

/** What a body shows to be needed, filled in while its parts are looked at. */
export class FoundNeeds implements Needs {
  vision = false;
  files = false;
  audio = false;
  tools = false;
  structuredOutput = false;
  declare readonly cacheKey?: string;

  constructor(cacheKey?: Json) {
    if (typeof cacheKey === "string" && cacheKey !== "") this.cacheKey = cacheKey;
  }
}

export type Medium = "vision" | "files" | "audio";

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** Notes the media among a message's parts, by their wire types; `nested` names the types whose own `content` is such a list. */
export function lookAtParts(
  content: Json | undefined,
  media: Readonly<Record<string, Medium>>,
  found: FoundNeeds,
  nested?: Readonly<Record<string, true>>,
): void {
  if (!isList(content)) return;
  for (const part of content) {
    if (!isObject(part)) continue;
    const type = part["type"];
    if (typeof type !== "string" || type === "text") continue;
    const medium = Object.hasOwn(media, type) ? media[type] : undefined;
    if (medium !== undefined && !isInlineText(part)) found[medium] = true;
    else if (nested && Object.hasOwn(nested, type)) lookAtParts(part["content"], media, found, nested);
  }
}

/** A document that holds its text itself can be read by every model. */
function isInlineText(part: JsonObject): boolean {
  const source = part["source"];
  return isObject(source) && (source["type"] === "text" || source["type"] === "content");
}
