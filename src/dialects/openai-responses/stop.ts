import type { Item, Json, JsonObject, StopReason } from "../../canon/index.ts";
import { isList, isObject, stringIn } from "./shape.ts";

/** Why a finished answer ended: its status says little, so what the model did last is looked at. */
export function stopOf(response: JsonObject, seen: { readonly toolCall: boolean; readonly refusal: boolean }): StopReason {
  const status = stringIn(response["status"]);
  if (status === "incomplete") {
    const details = response["incomplete_details"];
    const reason = isObject(details) ? details["reason"] : undefined;
    if (reason === "max_output_tokens" || reason === "max_messages") return "max_tokens";
    return reason === "content_filter" ? "content_filter" : "unknown";
  }
  if (status !== "completed" && status !== "") return "unknown";
  if (seen.toolCall || wireHas(response["output"], isToolCall)) return "tool_calls";
  return seen.refusal || wireHas(response["output"], isRefusal) ? "refusal" : "end";
}

function wireHas(output: Json | undefined, test: (item: JsonObject) => boolean): boolean {
  return isList(output) && output.some((item) => isObject(item) && test(item));
}

function isToolCall(item: JsonObject): boolean {
  return item["type"] === "function_call" || item["type"] === "custom_tool_call";
}

function isRefusal(item: JsonObject): boolean {
  return item["type"] === "message" && wireHas(item["content"], (part) => part["type"] === "refusal");
}

/** Status and details of an answer that came from another language. */
export function statusOf(stop: StopReason, items: readonly Item[]): { readonly status: string; readonly incompleteReason?: string } {
  switch (stop) {
    case "max_tokens":
    case "context_window":
      return { status: "incomplete", incompleteReason: "max_output_tokens" };
    case "content_filter":
      return { status: "incomplete", incompleteReason: "content_filter" };
    case "refusal":
      // A refusal in words is a complete answer here; one without any is what this language calls filtered.
      return items.some((item) => item.type === "message" && item.parts.some((part) => part.type === "refusal"))
        ? { status: "completed" }
        : { status: "incomplete", incompleteReason: "content_filter" };
    case "end":
    case "stop_sequence":
    case "tool_calls":
    case "pause":
    case "unknown":
      return { status: "completed" };
  }
}
