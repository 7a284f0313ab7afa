import type { BatchLanguage } from "./batch.ts";
import type { Call, Diagnostic, Operation } from "./call.ts";
import type { Answer, StopReason } from "./event.ts";
import type { FileLanguage } from "./file.ts";
import type { EmitEvent, EmitFrame, EmitText, EventDecoder, EventEncoder, FrameMeter, Framing } from "./frame.ts";
import type { Item } from "./item.ts";
import type { Json, JsonObject } from "./json.ts";
import type { ModelCard } from "./model-card.ts";
import type { Problem } from "./problem.ts";
import type { RealtimeLanguage } from "./realtime.ts";
import type { TaskCodecs, TaskOperation } from "./task.ts";
import type { Usage } from "./usage.ts";

/** Header names in lower case; a repeated header is joined with `, `. */
export type Headers = Readonly<Record<string, string | undefined>>;

/** One endpoint of a dialect on the client's side. */
export interface Door {
  readonly method: "GET" | "POST" | "DELETE" | "HEAD";
  /**
   * `/v1/messages`, or with named segments: `/v1/responses/{id}/cancel`. `{name...}` takes the rest of the path with its slashes, or as
   * much of it as leaves what follows the brace: `/v1beta/models/{model...}:countTokens`.
   */
  readonly path: string;
  /** `call`: a model call in this dialect. The others act on kept turns; see `gateway/turns.ts`. */
  readonly does:
    | { readonly kind: "call"; readonly operation: Operation }
    /**
     * Tells of models in this dialect's shape: all that the caller may name, or the one named by the segment `model` (or by the body, see
     * `modelAsked`).
     */
    | { readonly kind: "models"; readonly action: "list" | "one" }
    /** Says something fixed about the server itself, such as the version that it is like: `greeting`. */
    | { readonly kind: "greeting" }
    | { readonly kind: "turn"; readonly action: "read" | "delete" | "cancel" | "items" };
  /** What the path itself says, such as that the answer is a stream; joins the named segments and goes before the query. */
  readonly params?: Readonly<Record<string, string>>;
  /** Can the same door be opened as a WebSocket? */
  readonly webSocket?: boolean;
}

/** What the door knows of a request besides its body. */
export interface DoorContext {
  readonly operation: Operation;
  readonly headers: Headers;
  /** Named segments of the path and the query, decoded. */
  readonly params: Readonly<Record<string, string>>;
}

/** The little that the pipeline must know of a request to send it on unread. */
export interface Outline {
  readonly model: string;
  readonly stream: boolean;
  /** The caller's cap on output tokens, for reservations. */
  readonly maxOutputTokens?: number;
  /** Answers asked for at once, each of them up to that cap; absent: one. For reservations. */
  readonly choices?: number;
  /** Units besides tokens that it may be charged for at most, by the names of `Usage.media`; for reservations. */
  readonly units?: Readonly<Record<string, number>>;
  /** The service tier asked for, by its name in usage and prices; for reservations. */
  readonly serviceTier?: string;
  /** Earlier turn that must be filled in from the store: rules out the fast path. */
  readonly previousId?: string;
  /** Further models of the same provider that may answer instead; the caller must be allowed every one of them. */
  readonly otherModels?: readonly string[];
  /** The answer is to be kept for a later turn. */
  readonly keep: boolean;
  readonly background: boolean;
  /** Only prepares the next turn: to be kept and answered with an empty answer, without asking a model. */
  readonly warmUp?: boolean;
  /**
   * Set when the request uses something that must be rewritten even for its own language; the fast path is then not taken.
   * The reason is for `explain`.
   */
  readonly slow?: string;
}

/** What a call asks of a model beyond answering text. */
export interface Needs {
  readonly vision: boolean;
  readonly files: boolean;
  readonly audio: boolean;
  readonly tools: boolean;
  /** The answer must follow a JSON Schema. */
  readonly structuredOutput: boolean;
  /** The caller's name for what its calls have in common, by which a provider finds its prompt cache. */
  readonly cacheKey?: string;
}

/** What the upstream can take; asked by capability, never by name. Missing means "no". */
export interface Capabilities {
  /** Accepts reasoning effort or a thinking budget. */
  readonly reasoning?: boolean;
  /** How it takes them, for languages that have both: an effort by name, or a budget in tokens. Missing means `effort`. */
  readonly reasoningControl?: "effort" | "budget";
  /** Accepts standing instructions in the middle of the conversation, for languages that otherwise have them only at its start. */
  readonly laterInstructions?: boolean;
  /** Accepts images, files, audio in the input. */
  readonly vision?: boolean;
  readonly files?: boolean;
  readonly audio?: boolean;
  readonly tools?: boolean;
  readonly structuredOutput?: boolean;
  /** Reports usage in streams on request (`stream_options.include_usage`). */
  readonly streamUsage?: boolean;
  /** Wire betas the upstream understands; `"*"` for all. Others are stripped. */
  readonly betas?: readonly string[];
  /** Wire versions the upstream understands, newest first. */
  readonly versions?: readonly string[];
  /** Field for the output cap: `max_tokens` or `max_completion_tokens`, for languages that have both. */
  readonly maxTokensField?: string;
  /** Field in which a message or delta carries readable reasoning (`reasoning_content`, `reasoning`); `content`: as parts of it. */
  readonly reasoningField?: string;
  /**
   * Top-level field by which a request asks for reasoning, where vendors of one language have several: an effort by name, an object that
   * takes an effort or a budget (`reasoning`), or a switch beside the effort (`thinking`). Missing: as the client says it.
   */
  readonly reasoningRequest?: "reasoning_effort" | "reasoning" | "thinking";
  /** Top-level request fields that the upstream has under another name: `{ seed: "random_seed" }`. */
  readonly renames?: Readonly<Record<string, string>>;
  /** Field that marks the last message, where it is the assistant's, as the beginning of the answer (`prefix`, `partial`). */
  readonly prefillField?: string;
  /** Ids of tool calls must be so many letters and digits. */
  readonly callIdLength?: number;
  /** Role for standing instructions: `system` or `developer`. */
  readonly instructionsRole?: "system" | "developer";
  /** Top-level request fields the upstream refuses; dropped with a diagnostic. */
  readonly refuses?: readonly string[];
  /** A request that ends in the assistant's own words is answered with the rest of them. */
  readonly prefill?: boolean;
  /** Largest number of output tokens; used where a language demands the field and the caller gave none. */
  readonly maxOutputTokens?: number;
}

/** Where an encoded call goes. */
export interface EncodeTarget {
  readonly provider: string;
  /** The provider's name for the model. */
  readonly model: string;
  readonly capabilities: Capabilities;
}

/** A request on the wire, relative to the provider's base URL. */
export interface WireRequest {
  readonly method: "POST" | "GET" | "PUT" | "PATCH" | "DELETE";
  /** Begins with a slash, without the base path: `/chat/completions`, `/messages`. */
  readonly path: string;
  /** The dialect's own headers (its version, its opt-ins); never credentials. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What the gateway adds to an answer when it encodes it for a client. */
export interface AnswerContext {
  readonly call: Call;
  /** The id the answer must bear towards the client, when the gateway has already promised one (background calls). */
  readonly id?: string;
  readonly previousId?: string;
  readonly createdAt: number;
}

/** A stream that has begun, for the frames that end it. */
export interface BegunStream {
  /** Frames sent so far. */
  readonly frames: number;
  /** The id under which the client knows the answer. */
  readonly answerId?: string;
  readonly context?: AnswerContext;
}

export interface EncodedProblem {
  readonly status: number;
  readonly body: Json;
}

/** A wire language, both as a client's door and as a provider's side. Pure: no network, no keys, no prices, no clock. */
export interface Dialect {
  readonly id: string;
  /** For people and for the loss table. */
  readonly title: string;
  readonly doors: readonly Door[];
  /** How its streams travel; undefined: as server-sent events. */
  readonly framing?: Framing;
  /** The model's name stands in the path of a request: nothing is replaced in a body that is sent on. */
  readonly modelInPath?: true;
  /** Response header by which this language names a request, e.g. `request-id`; filled with the call's id. */
  readonly requestIdHeader?: string;
  /** The client's key in this dialect's own header, without prefix words. */
  credentials(headers: Headers): string | undefined;
  /** Query parameters by which a client may say what otherwise stands in a header, with that header's name: a key, say. */
  readonly queryHeaders?: Readonly<Record<string, string>>;
  /** The same language with another framing, where a client may choose one by the query; undefined: as it is. Towards providers it is not used. */
  framedFor?(params: Readonly<Record<string, string>>): Dialect | undefined;
  /** The same language in the framing of a stream with this content type, as it was told once; undefined: as it is. */
  framedAs?(contentType: string): Dialect | undefined;
  /** Listing of models in this dialect's shape; `undefined` when it shares another dialect's. Selected by `answersModels`. */
  /** `params`: the query, for languages that list in pages. @throws ProblemError invalid_request */
  encodeModels?(models: readonly ListedModel[], headers: Headers, params?: Readonly<Record<string, string>>): Json;
  encodeModel?(model: ListedModel, headers: Headers): Json;
  /** The model that a door asks about in its body. @throws ProblemError invalid_request */
  modelAsked?(body: JsonObject): string;
  /** What a door of kind `greeting` answers. */
  readonly greeting?: Json;
  /** Does `GET /v1/models` with these headers belong to this dialect? The one without this member lists models for everybody else. */
  answersModels?(headers: Headers): boolean;

  /** @throws ProblemError invalid_request with `param` */
  outline(body: JsonObject, context: DoorContext): Outline;
  /**
   * What `decodeCall` would show the call to need, without decoding it: looks at the shape of the body and never at its texts. Never
   * throws: what is malformed needs nothing. Without this member the call is decoded.
   */
  needs?(body: JsonObject): Needs;
  /** @throws ProblemError invalid_request with `param` */
  decodeCall(body: JsonObject, context: DoorContext): Call;
  /** Same language: replays `raw` and `native`, so decode then encode gives an equal body. Other languages: by the written rules, with a diagnostic for each loss. */
  encodeCall(call: Call, target: EncodeTarget, note: (diagnostic: Diagnostic) => void): WireRequest;
  /**
   * The fast path: which top-level fields of the body to replace (a value) or remove (undefined) so that the request can be sent on
   * otherwise byte for byte, and the headers to send. `model` is replaced by the pipeline itself, unless the language names it in the path. `withholdUsage`: `replace` asks for a
   * usage frame that the client did not ask for. What is dropped or bent is told to `note`, in the words of `encodeCall`.
   */
  forwardCall(
    body: JsonObject,
    context: DoorContext,
    target: EncodeTarget,
    note?: (diagnostic: Diagnostic) => void,
  ): {
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly replace: Readonly<Record<string, Json | undefined>>;
    readonly withholdUsage?: boolean;
  };

  /** @throws ProblemError upstream_broken */
  decodeAnswer(body: Json, context: { readonly provider?: string; readonly operation: Operation; readonly headers?: Headers }): Answer;
  encodeAnswer(answer: Answer, context: AnswerContext): Json;

  decodeEvents(emit: EmitEvent, context: { readonly provider?: string; readonly capabilities?: Capabilities }): EventDecoder;
  /** `emitText`, where it is given, takes those of the frames, in the same order, that tell a piece of text. */
  encodeEvents(emit: EmitFrame, context: AnswerContext, emitText?: EmitText): EventEncoder;

  /** `withholdUsage`: we asked for a usage frame that the client did not ask for. */
  usageFrames(options: { readonly withholdUsage: boolean }): FrameMeter;
  /** Usage, id, model and stop of a plain answer on the fast path. `problem`: it is none, for which `decodeAnswer` would throw. */
  readAnswer(body: JsonObject): {
    readonly usage: Usage | undefined;
    readonly id?: string;
    readonly model?: string;
    readonly stop?: StopReason;
    readonly problem?: Problem;
  };

  /** An upstream's error response in this dialect. `body` is undefined when it was not JSON; `text` is then its beginning. */
  decodeProblem(response: {
    readonly status: number;
    readonly headers: Headers;
    readonly body: Json | undefined;
    readonly text: string;
    readonly provider: string;
    /** Milliseconds since 1970, for waits given as a time; without it the answer's own `date` is taken for now. */
    readonly now?: number;
  }): Problem;
  encodeProblem(problem: Problem, callId: string): EncodedProblem;
  /** The terminal frame that tells a client of a stream already begun that it failed. `begun`: what the client got of it, where that is known. */
  encodeProblemFrames(problem: Problem, callId: string, emit: EmitFrame, begun?: BegunStream): void;
  /** A new id for an answer that the gateway must name before the upstream does. `unique` is lower-case letters and digits. */
  newAnswerId?(unique: string): string;
  /** An answer that is not there yet, or never will be, as its client reads it back. */
  encodePending?(state: PendingState, context: AnswerContext, problem?: Problem): Json;
  /** Confirms that a kept answer was deleted. */
  encodeDeleted?(id: string): Json;
  /** The input items behind a kept answer, oldest first; `params` holds the query (`limit`, `after`, `order`). @throws ProblemError invalid_request */
  encodeItems?(items: readonly Item[], params: Readonly<Record<string, string>>): Json;
  /** The ids under which its client saw the items of an answer, one for each; undefined for items it was not shown. */
  itemIds?(items: readonly Item[], answerId: string): readonly (string | undefined)[];
  /** Frames that a client already has of a kept answer which it asks for as a stream; undefined: it wants the answer. @throws ProblemError invalid_request */
  replayAfter?(params: Readonly<Record<string, string>>): number | undefined;
  /** Can clients of this language carry another provider's opaque reasoning back, and does this call ask for it? See `ReasoningItem.carried`. */
  carriesReasoning?(call: Call): boolean;
  readonly socket?: SocketLanguage;
  readonly realtime?: RealtimeLanguage;
  /** What must stay the same over the turns of one thread, where this language demands it. */
  turnFingerprint?(call: Call): string | undefined;
  /**
   * Completes a call that continues a thread with the fields that the thread keeps and later turns leave out, from the `turnFingerprint`
   * kept with the earlier turn. Where a language has it, it takes the place of comparing fingerprints. @throws ProblemError when the call contradicts it
   */
  continueTurn?(call: Call, fingerprint: string): Call;
  /** A kept turn is continued once and by one call at a time; a second is refused as `turn_continued` or `turn_in_flight`. */
  readonly continuesOnce?: true;
  /** Response headers that tell how the caller's limits stand. `now`: milliseconds since 1970. */
  encodeLimits?(standings: LimitStandings, now: number): Readonly<Record<string, string>>;
  /** A token count as this dialect answers it (`count_tokens`, `input_tokens`). */
  encodeCount?(tokens: number): Json;
  decodeCount?(body: Json): number | undefined;
  /** The tasks that it has words for. */
  readonly tasks?: TaskCodecs;
  /**
   * A call that asks for what others make in a task (an image, speech): which task of which sister language the same body is, and what that
   * one reads in place of the path and the query. Undefined: it is a conversation. Never throws for a body that `outline` has read.
   */
  asTask?(
    body: JsonObject,
    context: DoorContext,
  ): { readonly dialect: string; readonly operation: TaskOperation; readonly params: Readonly<Record<string, string>> } | undefined;
  /** It has nothing else: no conversation can be had in it. */
  readonly tasksOnly?: true;
  /** Files that its clients keep here. */
  readonly files?: FileLanguage;
  /** Calls of this language, and of others of its house, that nobody waits for. */
  readonly batches?: BatchLanguage;
}

/** How a limit stands. */
export interface LimitStanding {
  readonly limit: number;
  readonly remaining: number;
  /** Until it is whole again, if nothing more is used. */
  readonly resetMs: number;
}

/** Of each kind of limit that covers a call the one that has least left. */
export interface LimitStandings {
  readonly requests?: LimitStanding;
  readonly inputTokens?: LimitStanding;
  readonly outputTokens?: LimitStanding;
  readonly concurrency?: LimitStanding;
}

/** One row of the model list, before a dialect shapes it. */
export interface ListedModel {
  readonly id: string;
  readonly provider: string;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly displayName: string;
  readonly contextTokens?: number;
  readonly maxOutputTokens?: number;
  /** Everything that is known of it; clients get it as a member of its own. */
  readonly card?: ModelCard;
}

export type PendingState = "queued" | "in_progress" | "cancelled" | "failed";

/** What a client of a WebSocket door says. */
export type SocketMessage =
  | { readonly type: "call"; readonly body: JsonObject }
  /** Stop the named answer, or the one under way. */
  | { readonly type: "cancel"; readonly id?: string }
  | { readonly type: "ignore" };

/** A dialect over a WebSocket: one JSON text a message, the same events as in its streams. */
export interface SocketLanguage {
  /** @throws ProblemError invalid_request */
  read(text: string): SocketMessage;
  /** The message that tells of a failure. */
  problem(problem: Problem, callId: string): string;
}

/** Checks the shape at compile time and marks the file for the registry. */
export function defineDialect(dialect: Dialect): Dialect {
  return dialect;
}
