import type { Item, Origin, TextPart } from "./item.ts";
import type { Json, JsonObject } from "./json.ts";
import type { TaskOperation } from "./task.ts";

/** What is asked of the model. Each operation has its own answer; `generate` is the main one; `realtime` is a whole session. Tasks are no conversations: see task.ts. */
export type Operation = "generate" | "count_tokens" | "compact" | "realtime" | TaskOperation;

/** A tool offered to the model. */
export type ToolSpec = FunctionToolSpec | CustomToolSpec | NamespaceToolSpec | NativeToolSpec;
interface ToolSpecBase {
  readonly origin?: Origin;
  /** The verbatim declaration; dropped by whoever changes the tool. */
  readonly raw?: Json;
  readonly cacheTtlSeconds?: number;
}
export interface FunctionToolSpec extends ToolSpecBase {
  readonly type: "function";
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the arguments. */
  readonly schema?: JsonObject;
  readonly strict?: boolean;
}
/** A tool whose input is free text, optionally held to a grammar. */
export interface CustomToolSpec extends ToolSpecBase {
  readonly type: "custom";
  readonly name: string;
  readonly description?: string;
  /** `{ type: "text" }` or `{ type: "grammar", syntax, definition }`. */
  readonly format?: JsonObject;
}
export interface NamespaceToolSpec extends ToolSpecBase {
  readonly type: "namespace";
  readonly name: string;
  readonly description?: string;
  readonly tools: readonly (FunctionToolSpec | CustomToolSpec)[];
}
/** A tool the provider itself runs (web search, code execution). Only its own language can carry it. */
export interface NativeToolSpec extends ToolSpecBase {
  readonly type: "native";
  /** The wire type, such as `web_search_20260318`. */
  readonly kind: string;
  readonly name?: string;
  readonly raw: Json;
}

export type ToolChoice =
  | { readonly type: "auto" | "none" | "required" }
  | { readonly type: "tool"; readonly name: string; readonly kind: "function" | "custom"; readonly namespace?: string }
  /** Something only its own language has (hosted tools): kept in `native`. `allowed`: no tools but these, said beside the list of all. */
  | { readonly type: "native"; readonly allowed?: { readonly required: boolean; readonly names: readonly string[] } };

export type OutputFormat =
  | { readonly type: "text" | "json_object" }
  | {
      readonly type: "json_schema";
      readonly name: string;
      readonly schema: JsonObject;
      readonly strict?: boolean;
      readonly description?: string;
    };

export interface Reasoning {
  /** `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`: as the language spells it. */
  readonly effort?: string;
  /** A cap on reasoning tokens, where the language has one. */
  readonly budgetTokens?: number;
  /** Should the model think at all? `adaptive`: it decides. */
  readonly mode?: "enabled" | "adaptive" | "disabled";
  /** Ask for a readable summary: `auto`, `concise`, `detailed`, `omitted`. */
  readonly summary?: string;
}

export interface Sampling {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly stop?: readonly string[];
  /** How many answers; more than one only survives in its own language. */
  readonly n?: number;
  readonly topLogprobs?: number;
}

/** What was lost or bent on the way from one language to another, for `call.diagnostics` and the loss table. */
export interface Diagnostic {
  /** The field in canonical terms: `tools[].native`, `sampling.topK`. */
  readonly field: string;
  readonly action: "dropped" | "degraded" | "renamed" | "restored";
  readonly reason: string;
}

/** A model call in the canonical form. Immutable; `amend` makes a changed copy. */
export interface Call {
  readonly operation: Operation;
  /** The language it came in. `version` and `betas` are the client's wire version and opt-ins, where its language has them. */
  readonly origin: { readonly dialect: string; readonly version?: string; readonly betas?: readonly string[] };
  /** The model's name: as the caller wrote it, later the target's own. */
  readonly model: string;
  readonly stream: boolean;
  /** Standing instructions outside the list of items (`instructions`, `system`). Not inherited by the next turn. */
  readonly instructions?: { readonly parts: readonly TextPart[]; readonly origin?: Origin; readonly raw?: Json };
  readonly items: readonly Item[];
  readonly tools: readonly ToolSpec[];
  readonly toolChoice?: ToolChoice;
  readonly parallelToolCalls?: boolean;
  readonly output?: { readonly format?: OutputFormat; readonly verbosity?: string };
  readonly reasoning?: Reasoning;
  readonly sampling: Sampling;
  readonly maxOutputTokens?: number;
  /** The caller's own labels, strings to strings. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** An opaque id of the end user, for abuse detection upstream. */
  readonly endUser?: string;
  readonly promptCacheKey?: string;
  readonly serviceTier?: string;
  /** Keep the turn so that a later call can continue from it. */
  readonly store?: boolean;
  /** Answer at once and work on in the background. */
  readonly background?: boolean;
  /** The earlier turn this one continues; the gateway replaces it by that turn's items. */
  readonly previousId?: string;
  /** A thread is begun or continued: the next turn may name this answer as its predecessor. */
  readonly thread?: "create" | "continue";
  /**
   * Every top-level field of the request but the ones that became `instructions`, `items` and `tools`, verbatim. Encoding to the
   * same language starts from these and overrides the fields named in `touched`.
   */
  readonly native: JsonObject;
  /** Paths of what `native` says and no other field of the call does: other languages lose it, and tell that they do. */
  readonly unspoken?: readonly string[];
  /** Id of a prompt that the provider keeps and that may stand in place of items. */
  readonly keptPrompt?: string;
  /** Fields changed since decoding; see `amend`. */
  readonly touched: ReadonlySet<keyof Call>;
}

type Amendable = Omit<Call, "touched" | "native" | "origin">;

/** A changed copy that remembers which fields no longer match what the client sent. `undefined` removes a field. */
export function amend(call: Call, patch: { readonly [K in keyof Amendable]?: Amendable[K] | undefined }): Call {
  const touched = new Set(call.touched);
  for (const key of Object.keys(patch)) touched.add(key as keyof Call);
  return { ...call, ...(patch as Partial<Amendable>), touched };
}

/**
 * Every tool the model may call: the call's own and those that items brought in later. The call's own win over a later one of the same
 * name. A language that cannot carry such items offers this list instead of `call.tools`.
 */
export function offeredTools(call: Pick<Call, "tools" | "items">): readonly ToolSpec[] {
  const brought = call.items.flatMap((item) => (item.type === "unknown" ? (item.tools ?? []) : []));
  if (brought.length === 0) return call.tools;
  const offered = [...call.tools];
  const taken = new Set(offered.map(nameKey));
  for (const tool of brought) {
    const key = nameKey(tool);
    if (taken.has(key)) continue;
    taken.add(key);
    offered.push(tool);
  }
  return offered;
}

function nameKey(tool: ToolSpec): string {
  return `${tool.type === "namespace" ? "namespace" : "tool"} ${tool.type === "native" ? `${tool.kind} ${tool.name ?? ""}` : tool.name}`;
}
