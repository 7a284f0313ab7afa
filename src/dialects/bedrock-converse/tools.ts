import type { Call, Diagnostic, Item, Json, JsonObject } from "../../canon/index.ts";
import { isList } from "../shared-shape.ts";
import { flattenToolCall, type FlatTools } from "../shared-tools.ts";
import { checkpointBehind, type BlockContext } from "./encode-blocks.ts";
import { isNative } from "./shape.ts";

type Note = (diagnostic: Diagnostic) => void;

const ANY_OBJECT: JsonObject = { type: "object", properties: {} };

/** The tools on offer, in the order of the call. */
export function encodeTools({ tools }: FlatTools, context: BlockContext): readonly Json[] {
  const { target, note } = context;
  return tools.flatMap((tool): readonly Json[] => {
    if (isNative(tool, target) && isList(tool.raw)) return tool.raw;
    if (tool.type === "native") {
      note({
        field: "tools[].native",
        action: "dropped",
        reason: `The tool "${tool.name ?? tool.kind}" is run by another provider itself.`,
      });
      return [];
    }
    const { name, description, schema, strict } = tool;
    const toolSpec = {
      name,
      // The service refuses a description that says nothing.
      ...(description && { description }),
      inputSchema: { json: schema ?? ANY_OBJECT },
      ...(strict === true && { strict }),
    };
    return [{ toolSpec }, ...checkpointBehind(tool.cacheTtlSeconds, "tools[].cacheTtlSeconds", context)];
  });
}

/** Tools that a conversation called before: the service refuses calls and results in a request that offers no tools. */
export function calledTools(items: readonly Item[], flat: FlatTools): readonly JsonObject[] {
  const names = new Set(items.flatMap((item) => (item.type === "tool_call" ? [flattenToolCall(item, flat).name] : [])));
  return [...names].map((name) => ({ toolSpec: { name, inputSchema: { json: ANY_OBJECT } } }));
}

/** `undefined`: nothing is said, which leaves the choice to the model. */
export function encodeToolChoice({ toolChoice }: Call, flat: FlatTools, note: Note): JsonObject | undefined {
  switch (toolChoice?.type) {
    case "auto":
      return { auto: {} };
    case "required":
      return { any: {} };
    case "tool":
      return { tool: { name: flat.names.of(toolChoice.namespace, toolChoice.name) } };
    case "native":
      note({ field: "toolChoice", action: "dropped", reason: "Only its own language has this choice." });
      return undefined;
    default:
      return undefined;
  }
}
