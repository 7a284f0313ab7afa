import type { Call, ToolSpec } from "./call.ts";
import type { Problem } from "./problem.ts";

/**
 * What every call must satisfy whatever language it came in: it asks something, each tool result answers a tool call that stands
 * before it, no two tools share a name, and a JSON Schema output has a schema. Returns what is wrong, or undefined.
 *
 * A call that still names an earlier turn (`previousId`) or continues a thread is not held to the items it lacks: they are filled in
 * by the gateway, and the call is to be checked again then.
 */
export function checkCall(call: Call): Problem | undefined {
  return checkItems(call) ?? checkTools(call.tools) ?? checkOutput(call);
}

function checkItems(call: Call): Problem | undefined {
  const continued = call.previousId !== undefined || call.thread === "continue";
  if (call.items.length === 0 && !continued && call.keptPrompt === undefined)
    return refuse("The request holds no messages: there is nothing to answer.");
  const called = new Set<string>();
  for (const item of call.items) {
    const calls = item.type === "tool_call" || item.type === "unknown" ? item.callId : undefined;
    if (calls !== undefined) called.add(calls);
    if (item.type === "tool_result" && !called.has(item.callId) && !continued) {
      return refuse(
        `The tool result for "${shorten(item.callId)}" answers no tool call before it; send the assistant's tool call as well.`,
      );
    }
  }
  return undefined;
}

function checkTools(tools: readonly ToolSpec[]): Problem | undefined {
  const names = new Set<string>();
  const namespaces = new Set<string>();
  for (const tool of tools) {
    if (tool.type === "native") continue;
    const taken = tool.type === "namespace" ? namespaces : names;
    if (taken.has(tool.name)) return refuse(`Two tools are named "${shorten(tool.name)}"; names must differ.`);
    taken.add(tool.name);
    const inner = tool.type === "namespace" ? checkTools(tool.tools) : undefined;
    if (inner) return inner;
  }
  return undefined;
}

function checkOutput(call: Call): Problem | undefined {
  const format = call.output?.format;
  if (format?.type !== "json_schema") return undefined;
  // Seen through `unknown`: a decoder's type promise is what is being checked here.
  const schema: unknown = format.schema;
  const isObject = typeof schema === "object" && schema !== null && !Array.isArray(schema);
  return isObject ? undefined : refuse("A JSON Schema output format needs its schema, as a JSON object.");
}

const SHOWN_CHARACTERS = 100;

function shorten(name: string): string {
  return name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}...` : name;
}

function refuse(message: string): Problem {
  return { kind: "invalid_request", message };
}
