import { FlatNames, offeredTools, type Call, type JsonObject, type ToolCallItem } from "../../canon/index.ts";
import { unwrapCustomInput } from "../shared-tools.ts";
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
    return (this.#flat ??= new FlatNames(offeredTools(this.#call)));
  }

  toolCall(item: ToolCallItem): JsonObject {
    if (!this.isWrapped(item)) return encodeToolCall(item, { names: this.#names, degradeCustom: false });
    return { id: item.callId, type: "custom", custom: { name: item.name, input: unwrapCustomInput(item.input) } };
  }

  name(item: ToolCallItem): string {
    return this.#names.of(item.namespace, item.name);
  }

  /** Was the client's custom tool offered to a provider that knows functions only? Its input then comes wrapped in JSON. */
  isWrapped(item: ToolCallItem): boolean {
    return item.kind === "function" && item.namespace === undefined && this.#names.find(item.name)?.tool.type === "custom";
  }
}
