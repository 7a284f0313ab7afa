import { amend, type Call, type Diagnostic, type Json, type JsonObject, type ToolSpec } from "../canon/index.ts";

/** Names on a list of allowed tools that are read: more tools than this no call offers. */
const MAX_ALLOWED = 1024;

/**
 * "Call one of these, of all that are offered": a list of allowed tools beside a mode. Only some languages can say it; for the others the
 * list of tools itself is narrowed, which says the same and costs the prompt cache its hit.
 */
export interface AllowedTools {
  readonly required: boolean;
  readonly names: readonly string[];
}

/** Reads `{ mode, tools }`, with the names where `nameOf` finds them. Undefined for anything else. */
export function readAllowedTools(choice: JsonObject, nameOf: (tool: JsonObject) => Json | undefined): AllowedTools | undefined {
  const { mode, tools } = choice;
  if (!Array.isArray(tools) || (mode !== "auto" && mode !== "required")) return undefined;
  const names: string[] = [];
  for (const tool of (tools as readonly Json[]).slice(0, MAX_ALLOWED)) {
    if (typeof tool !== "object" || tool === null || Array.isArray(tool)) return undefined;
    const name = nameOf(tool as JsonObject);
    // A hosted tool has no name: such a list means something to its own language only.
    if (typeof name !== "string") return undefined;
    names.push(name);
  }
  return { required: mode === "required", names };
}

/** The call with no tools but the allowed ones; unchanged where its choice is none of that kind. */
export function narrowToAllowed(call: Call, note: (diagnostic: Diagnostic) => void): Call {
  const choice = call.toolChoice;
  if (choice?.type !== "native" || !choice.allowed) return call;
  const allowed = new Set(choice.allowed.names);
  note({ field: "toolChoice", action: "degraded", reason: "The language has no list of allowed tools: only those are offered." });
  return amend(call, {
    tools: call.tools.flatMap((tool) => kept(tool, allowed)),
    toolChoice: { type: choice.allowed.required ? "required" : "auto" },
  });
}

function kept(tool: ToolSpec, allowed: ReadonlySet<string>): readonly ToolSpec[] {
  if (tool.type === "native") return [];
  if (allowed.has(tool.name)) return [tool];
  if (tool.type !== "namespace") return [];
  const inner = tool.tools.filter(({ name }) => allowed.has(name));
  const { raw: _raw, ...changed } = tool;
  return inner.length === 0 ? [] : [{ ...changed, tools: inner }];
}
