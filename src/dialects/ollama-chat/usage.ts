import { NO_USAGE, totalInput, type JsonObject, type StopReason, type Usage } from "../../canon/index.ts";
import { count, text } from "../shared-shape.ts";

/** Undefined while an answer names none. A prompt that was wholly in the server's memory is not counted at all there. */
export function usageOf(body: JsonObject): Usage | undefined {
  const { prompt_eval_count: read, eval_count: written } = body;
  if (typeof read !== "number" && typeof written !== "number") return undefined;
  return { ...NO_USAGE, inputUncached: count(read), output: count(written) };
}

/** The language has no count of cached or of thought tokens: they are within the two it has. */
export function usageFields(usage: Usage): JsonObject {
  return { prompt_eval_count: totalInput(usage), eval_count: usage.output };
}

/** Fields of the last frame that tell how long it took, in nanoseconds, and how much it was. */
export const COUNTS: readonly string[] = [
  "total_duration",
  "load_duration",
  "prompt_eval_count",
  "prompt_eval_duration",
  "eval_count",
  "eval_duration",
];

const STOPS: Readonly<Record<string, StopReason>> = { stop: "end", length: "max_tokens", load: "end", unload: "end" };

/** `stop` also ends an answer that calls tools. */
export function stopOf(body: JsonObject, called: boolean): StopReason {
  const stop = STOPS[text(body["done_reason"]) ?? ""] ?? "unknown";
  return called && (stop === "end" || stop === "unknown") ? "tool_calls" : stop;
}

export function reasonFor(stop: StopReason): string {
  return stop === "max_tokens" || stop === "context_window" ? "length" : "stop";
}

/** An answer has no id here; its time in nanoseconds tells it from others. Lower-case letters and digits. */
export function idOf(body: JsonObject): string {
  const at = text(body["created_at"]) ?? "";
  return `chat${at.toLowerCase().replaceAll(/[^0-9a-z]/g, "")}`;
}

/** Unix seconds; 0 where it does not say. */
export function createdAt(body: JsonObject): number {
  const at = Date.parse(text(body["created_at"]) ?? "");
  return Number.isNaN(at) ? 0 : Math.floor(at / 1000);
}

/** The end of time as dates have it, in seconds. Source: ECMA-262, "Time Values and Time Range". */
const MOST_SECONDS = 8.64e12;

/** A time as the language writes it; the beginning of 1970 for what is none. */
export function timeOf(seconds: number): string {
  return new Date(Math.abs(seconds) <= MOST_SECONDS ? seconds * 1000 : 0).toISOString();
}
