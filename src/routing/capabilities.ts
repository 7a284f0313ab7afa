import type { Call, Capabilities, Needs, Part, Place, Requirements } from "../canon/index.ts";
import { offeredTools } from "../canon/index.ts";

/** A thing a call may need of a model; also the words of `call.needs` in rules. */
export const NEEDS = ["vision", "files", "audio", "tools", "structuredOutput"] as const;
export type Need = (typeof NEEDS)[number];

const WORDS: Readonly<Record<Need, string>> = {
  vision: "images",
  files: "files",
  audio: "sound",
  tools: "tools",
  structuredOutput: "a JSON Schema for the answer",
};

/** What a decoded call needs. A document that holds its text itself can be read by every model. */
export function needsOf(call: Call): Needs {
  const found = { vision: false, files: false, audio: false };
  for (const item of call.items) if (item.type === "message" || item.type === "tool_result") lookAt(item.parts, found);
  return {
    ...found,
    tools: offeredTools(call).length > 0,
    structuredOutput: call.output?.format?.type === "json_schema",
    ...(call.promptCacheKey !== undefined && { cacheKey: call.promptCacheKey }),
  };
}

function lookAt(parts: readonly Part[], found: { vision: boolean; files: boolean; audio: boolean }): void {
  for (const part of parts) {
    if (part.type === "image") found.vision = true;
    else if (part.type === "file" && part.text === undefined) found.files = true;
    else if (part.type === "audio") found.audio = true;
  }
}

/** Is anything known that this model cannot take? Where nothing is, nobody need look what the call needs. */
export function hasGaps(capabilities: Capabilities): boolean {
  return (
    capabilities.vision === false ||
    capabilities.files === false ||
    capabilities.audio === false ||
    capabilities.tools === false ||
    capabilities.structuredOutput === false
  );
}

/** Why a model cannot take a call, in words that follow its name: `takes no images`. Undefined: it can, or it is not known that it cannot. */
export function lacks(capabilities: Capabilities, needs: Needs): string | undefined {
  const missing = NEEDS.filter((need) => needs[need] && capabilities[need] === false);
  return missing.length === 0 ? undefined : `takes no ${missing.map((need) => WORDS[need]).join(", no ")}`;
}

/** Needs of which it is not known whether the model can meet them: told by `explain`, and no reason against it. */
export function unknowns(capabilities: Capabilities, needs: Needs): readonly Need[] {
  return NEEDS.filter((need) => needs[need] && capabilities[need] === undefined);
}

/**
 * Why a place does not fit, in words that follow the target's name; undefined when it does. What is not said of a place does not fit:
 * a promise of where data stays is not kept by not knowing.
 */
export function outOfPlace(place: Place, ...required: readonly (Requirements | undefined)[]): string | undefined {
  for (const requirements of required) {
    if (!requirements) continue;
    const why =
      wrong("region", "runs in", place.region, requirements.region) ??
      wrong("residency", "keeps data in", place.residency, requirements.residency);
    if (why !== undefined) return why;
  }
  return undefined;
}

function wrong(what: string, verb: string, is: string | undefined, wanted: readonly string[] | undefined): string | undefined {
  if (!wanted || wanted.length === 0) return undefined;
  if (is === undefined) return `has no ${what} in the configuration, and ${wanted.join(" or ")} is required`;
  return wanted.some((name) => liesWithin(is, name)) ? undefined : `${verb} ${is}, and ${wanted.join(" or ")} is required`;
}

/** `eu-west-1` lies within `eu-west` and `eu`. */
function liesWithin(place: string, area: string): boolean {
  const [inner, outer] = [place.toLowerCase(), area.toLowerCase()];
  return inner === outer || inner.startsWith(`${outer}-`);
}
