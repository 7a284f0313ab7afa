import { FlatNames, type Call, type JsonObject, type ToolCallItem } from "../../canon/index.ts";
import { encodeToolCall } from "./encode-assistant.ts";

/** How tool calls of an answer are written for the client that sent `call`. */
export class AnswerNames {
  readonly #call: Call;
  #flat: FlatNames | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Made only when a tool is called at all. */
  get #names(): FlatNames {
    return (this.#flat ??= new FlatNames(this.#call.tools));
  }

  toolCall(item: ToolCallItem): JsonObject {
    const unwrapped = this.unwrapped(item);
    if (unwrapped !== undefined) return { id: item.callId, type: "custom", custom: { name: item.name, input: unwrapped } };
    return encodeToolCall(item, { names: this.#names, degradeCustom: false });
  }

  name(item: ToolCallItem): string {
    return this.#names.of(item.namespace, item.name);
  }

  /** Was the client's custom tool offered to a provider that knows functions only? Its input then comes as `{"input": "..."}`. */
  isWrapped(item: ToolCallItem): boolean {
    return item.kind === "function" && this.#names.find(item.name)?.tool.type === "custom";
  }

  /** The free text of a wrapped call; undefined when it is not wrapped. What the model wrote otherwise is passed on as it is. */
  unwrapped(item: ToolCallItem): string | undefined {
    if (!this.isWrapped(item)) return undefined;
    try {
      const value: unknown = JSON.parse(item.input);
      if (typeof value === "object" && value !== null && "input" in value && typeof value.input === "string") return value.input;
    } catch {
      // Cut or malformed arguments: the client sees them as they are.
    }
    return item.input;
  }
}
