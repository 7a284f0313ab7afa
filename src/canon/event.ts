import type { Item, ReasoningPart } from "./item.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Problem } from "./problem.ts";
import type { Usage } from "./usage.ts";

export type StopReason =
  | "end"
  | "max_tokens"
  | "stop_sequence"
  | "tool_calls"
  | "refusal"
  | "content_filter"
  /** The provider paused a long turn; the client is to send it back to go on. */
  | "pause"
  | "context_window"
  | "unknown";

/** A whole answer. */
export interface Answer {
  readonly id: string;
  /** The model as the upstream names it. */
  readonly model: string;
  /** Unix seconds; 0 where the language does not say. */
  readonly createdAt: number;
  readonly items: readonly Item[];
  readonly stop: StopReason;
  /** The stop reason's verbatim name and companions (`stop_sequence`, details), for its own language. */
  readonly stopNative?: JsonObject;
  readonly usage: Usage;
  /** Which dialect `native` and the items' `raw` belong to. */
  readonly origin: { readonly dialect: string; readonly provider?: string };
  /** Top-level fields of the wire answer besides the items, verbatim. */
  readonly native: JsonObject;
}

/**
 * One step of a streamed answer. `index` numbers the answer's items from 0, in order of their start; items may overlap.
 * A stream is: `start`, then items, then exactly one of `done` and `problem`. `usage` may come anywhere and replaces the one before.
 */
export type Event =
  | { readonly type: "start"; readonly id: string; readonly model: string; readonly createdAt: number; readonly native?: JsonObject }
  /** `item` holds what is known at its start: type, ids, name; its parts are empty and its input is "". */
  | { readonly type: "item_start"; readonly index: number; readonly item: Item }
  /** Text of a message; `part` numbers the item's parts from 0, in order. */
  | { readonly type: "text"; readonly index: number; readonly part: number; readonly text: string; readonly logprobs?: Json }
  | { readonly type: "refusal"; readonly index: number; readonly part: number; readonly text: string }
  | { readonly type: "annotation"; readonly index: number; readonly part: number; readonly annotation: Json }
  | {
      readonly type: "reasoning";
      readonly index: number;
      readonly part: number;
      readonly kind: ReasoningPart["kind"];
      readonly text: string;
    }
  /** A piece of a tool call's input. */
  | { readonly type: "input"; readonly index: number; readonly text: string }
  /** The finished item: with its `raw` where the language gives or implies one. What it holds wins over the sum of the deltas. */
  | { readonly type: "item_end"; readonly index: number; readonly item: Item }
  | { readonly type: "usage"; readonly usage: Usage }
  /** A frame that only its own language understands (progress of a hosted tool, a ping). `characters`: of output in it, which was paid for too. */
  | { readonly type: "native"; readonly dialect: string; readonly event?: string; readonly raw: Json; readonly characters?: number }
  | { readonly type: "done"; readonly stop: StopReason; readonly stopNative?: JsonObject; readonly native?: JsonObject }
  | { readonly type: "problem"; readonly problem: Problem };
