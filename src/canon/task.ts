import type { Capabilities, DoorContext, Headers, Outline } from "./dialect.ts";
import type { Diagnostic } from "./call.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Usage } from "./usage.ts";

/** Kinds of call that are no conversation: one request, one answer, nothing to continue. */
export type TaskOperation = "embed" | "rerank" | "moderate" | "image" | "speech" | "transcribe";

/** What each does, in words that follow "takes no". */
export const TASKS: Readonly<Record<TaskOperation, { readonly plural: string }>> = {
  embed: { plural: "embeddings" },
  rerank: { plural: "reranking" },
  moderate: { plural: "moderation" },
  image: { plural: "making of images" },
  speech: { plural: "speech" },
  transcribe: { plural: "transcription" },
};

export function isTask(operation: string): operation is TaskOperation {
  return Object.hasOwn(TASKS, operation);
}

/** A task in canonical form. Immutable: a changed copy says so by what it holds; its own language starts from `native` and overrides. */
export type Task = EmbedTask | RerankTask | ModerateTask | ImageTask | SpeechTask | TranscribeTask;
export type TaskResult = EmbedResult | RerankResult | ModerateResult | ImageResult | SpeechResult | TranscribeResult;

interface TaskBase {
  /** The language it came in. */
  readonly origin: { readonly dialect: string };
  /** As the caller wrote it. */
  readonly model: string;
  /** Every top-level field of the request, verbatim; of a form its fields without the files. */
  readonly native: JsonObject;
  readonly endUser?: string;
  /** What it says that only its own language can, in words that follow "takes no". Others refuse it. */
  readonly beyond?: string;
  /** Paths of what `native` says and no other field of the task does: other languages lose it, and tell that they do. */
  readonly unspoken?: readonly string[];
  /** The stream that it asks for is one JSON array. */
  readonly array?: true;
}

interface ResultBase {
  /** The model as the upstream names it, where it does. */
  readonly model?: string | undefined;
  readonly id?: string | undefined;
  /** Undefined where the upstream says nothing of it. */
  readonly usage: Usage | undefined;
}

/** What vectors are for; a model may make others for questions than for what is to be found. */
export type EmbedPurpose = "query" | "document" | "similarity" | "classification" | "clustering" | "question" | "fact" | "code";

/**
 * How a vector is written: `float` as a list of numbers, `base64` as little-endian 32-bit floats; `int8` and `uint8` one number a
 * dimension; `binary` and `ubinary` one bit a dimension, eight of them in one (un)signed number.
 */
export type VectorEncoding = "float" | "base64" | "int8" | "uint8" | "binary" | "ubinary";

/** Vectors in the order of the inputs, by encoding, as they came: converted only where the client wants another encoding. */
export interface Vectors {
  readonly float?: readonly (readonly number[])[];
  readonly base64?: readonly string[];
  readonly int8?: readonly (readonly number[])[];
  readonly uint8?: readonly (readonly number[])[];
  readonly binary?: readonly (readonly number[])[];
  readonly ubinary?: readonly (readonly number[])[];
}

export interface EmbedTask extends TaskBase {
  readonly operation: "embed";
  /** Texts, or lists of token numbers; at least one. */
  readonly inputs: readonly (string | readonly number[])[];
  /** The client sent one input, not a list of one. */
  readonly single: boolean;
  readonly dimensions?: number;
  /** At least one. */
  readonly encodings: readonly VectorEncoding[];
  readonly purpose?: EmbedPurpose;
  /** Of the documents, where their language has it. */
  readonly title?: string;
  /** What becomes of an input that is too long. Undefined: the language's own habit, which is to refuse it. */
  readonly truncate?: "none" | "start" | "end";
}
export interface EmbedResult extends ResultBase {
  readonly operation: "embed";
  readonly vectors: Vectors;
}

/** A text, or fields of one. */
export type RerankDocument = string | JsonObject;

export interface RerankTask extends TaskBase {
  readonly operation: "rerank";
  readonly query: string;
  readonly documents: readonly RerankDocument[];
  readonly topN?: number;
  readonly returnDocuments: boolean;
  readonly truncate?: boolean;
}
export interface RerankResult extends ResultBase {
  readonly operation: "rerank";
  /** Best first. `index` of the document in the request. */
  readonly ranked: readonly { readonly index: number; readonly score: number; readonly document?: RerankDocument }[];
}

export interface ModerateTask extends TaskBase {
  readonly operation: "moderate";
  /** Texts, or lists of typed parts; the result has one verdict for each. */
  readonly inputs: readonly Json[];
  readonly single: boolean;
}
export interface ModerateResult extends ResultBase {
  readonly operation: "moderate";
  readonly verdicts: readonly {
    readonly flagged: boolean;
    readonly categories: Readonly<Record<string, boolean>>;
    readonly scores: Readonly<Record<string, number>>;
    /** The whole verdict in the upstream's own words. */
    readonly native: JsonObject;
  }[];
}

export interface ImageTask extends TaskBase {
  readonly operation: "image";
  readonly prompt: string;
  readonly count: number;
  /** `1024x1024`, or `auto`. */
  readonly size?: string;
  /** Width to height, `16:9`, where their language says that instead of a size. */
  readonly aspect?: string;
  /** Images to change; empty where one is to be made. */
  readonly images: readonly TaskFile[];
  /** How an image is wanted; undefined: as the language does. */
  readonly delivery?: "data" | "url";
  readonly stream: boolean;
}
export interface ImageResult extends ResultBase {
  readonly operation: "image";
  /** Each as base64 or by URL. */
  readonly images: readonly {
    readonly base64?: string;
    readonly url?: string;
    readonly contentType?: string;
    readonly revisedPrompt?: string;
  }[];
  /** Unix seconds. */
  readonly createdAt: number;
}

export interface SpeechTask extends TaskBase {
  readonly operation: "speech";
  readonly text: string;
  readonly voice?: string;
  /** How it is to be said. */
  readonly manner?: string;
  readonly format?: string;
  readonly stream: boolean;
}
export interface SpeechResult extends ResultBase {
  readonly operation: "speech";
  readonly audio: Uint8Array;
  readonly contentType: string;
  /** Samples a second, where `audio` is nothing but samples: mono, 16 bits, little-endian. */
  readonly sampleRate?: number;
}

export interface TranscribeTask extends TaskBase {
  readonly operation: "transcribe";
  readonly file: TaskFile;
  /** Into English, whatever was spoken. */
  readonly translate: boolean;
  readonly format: "json" | "text" | "srt" | "vtt" | "verbose_json" | "diarized_json";
  /** Spoken language, as ISO 639-1. */
  readonly language?: string;
  /** Words and names that are likely to be heard. */
  readonly hint?: string;
  readonly stream: boolean;
}
export interface TranscribeResult extends ResultBase {
  readonly operation: "transcribe";
  readonly text: string;
  readonly seconds: number;
  /** Where the upstream says when each piece was spoken, in seconds. */
  readonly segments?: readonly { readonly start: number; readonly end: number; readonly text: string }[];
  /** The language that was heard. */
  readonly language?: string;
}

/** A file that came in a form. */
export interface TaskFile {
  readonly field: string;
  readonly name: string;
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** What a target takes of one kind of task. */
export interface TaskSupport {
  /** Languages in which it takes them, preferred first. The client's own wins when it is among them. */
  readonly dialects: readonly string[];
  /** Inputs (texts, documents) in one request; more are split where the task can be. */
  readonly maxInputs?: number;
  /** Tokens of one input. */
  readonly maxInputTokens?: number;
  /** Tokens of all inputs of a request together. */
  readonly maxTotalTokens?: number;
  /** Bytes of one file. */
  readonly maxFileBytes?: number;
  /** Fields that the upstream calls otherwise: its own name by the language's. Null: it refuses the field, which is left out. */
  readonly renames?: Readonly<Record<string, string | null>>;
  /** Values that it calls otherwise, by field: `response_format: { b64_json: base64 }`. */
  readonly values?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** How it takes the size of an image, where its language says `1024x1024`: `aspect_ratio: "1:1"`, or `width` and `height`. */
  readonly sizes?: "aspect_ratio" | "sides";
  /** How it takes an image to be changed, where its language sends a form: one, as data in the field `image` of an edit, or in `image_url`. */
  readonly sources?: "image" | "image_url";
  /** It gives vectors in base64 to who asks for that. */
  readonly base64?: boolean;
}

/** Where an encoded task goes. */
export interface TaskTarget {
  readonly provider: string;
  readonly model: string;
  readonly capabilities: Capabilities;
  readonly support: TaskSupport;
}

/** A task on the wire, relative to the provider's base URL. */
export interface TaskRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Where they are there it is sent as a form: the body's members are its fields. */
  readonly files?: readonly TaskFile[];
}

/** One event of a stream. */
export interface TaskFrame {
  readonly event?: string;
  readonly json: JsonObject;
}

/** A request's body: JSON, or the fields of a form with its files apart. */
export interface TaskBody {
  readonly fields: JsonObject;
  readonly files: readonly TaskFile[];
}

/** An answer that is no JSON. */
export interface RawAnswer {
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

export interface TaskAnswerContext<T extends Task = Task> {
  readonly task: T;
  /** The model that answered, as its provider calls it; for upstreams that do not say. */
  readonly model: string;
  /** Unique letters and digits for a language that names its answers. */
  readonly unique: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** One kind of task in one language, both as a client's door and as a provider's side. Pure, like its dialect. */
export interface TaskCodec<T extends Task = Task, R extends TaskResult = TaskResult> {
  /** @throws ProblemError invalid_request with `param` */
  outline(body: JsonObject, context: DoorContext): Outline;
  /** @throws ProblemError invalid_request with `param` */
  decode(body: TaskBody, context: DoorContext): T;
  /**
   * Same language: `native` with the canonical fields written over it. Other languages: by the written rules, with a diagnostic for each
   * loss. @throws ProblemError unsupported: this language has no words for it
   */
  encode(task: T, target: TaskTarget, note: (diagnostic: Diagnostic) => void): TaskRequest;
  /**
   * Why the target takes no such task in this language, in words that follow its name; undefined: it does. Asked before anybody is asked
   * for an answer, of languages that are not the client's own and of targets with words of their own.
   */
  lacks?(task: T, target: TaskTarget): string | undefined;
  /** Inputs (images to make) that the target's model takes in one request, where that hangs on the model. */
  mostInputs?(task: T, target: TaskTarget): number | undefined;
  /**
   * Where bytes that pass unchanged go: path, headers, and which top-level fields to replace besides the model. Undefined: this target must
   * have it written anew.
   */
  forward(
    body: JsonObject,
    context: DoorContext,
    target: TaskTarget,
    note: (diagnostic: Diagnostic) => void,
  ):
    | {
        readonly path: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly replace: Readonly<Record<string, Json | undefined>>;
      }
    | undefined;
  /** Also says whether the answer fits the task. @throws ProblemError upstream_broken */
  decodeResult(body: Json, context: { readonly task: T; readonly provider: string; readonly headers: Headers }): R;
  /** An answer that is no JSON, for a client of another language. Absent: only its own can read it. @throws ProblemError upstream_broken */
  decodeRaw?(bytes: Uint8Array, context: { readonly task: T; readonly headers: Headers }): R;
  encodeResult(result: R, context: TaskAnswerContext<T>): Json;
  /** Answers that are no JSON: how this result is one of them. Undefined: it is JSON. */
  encodeRaw?(result: R, context: TaskAnswerContext<T>): RawAnswer | undefined;
  /** Answers that are streams of events: how this result is one of them. Undefined: it is none. */
  encodeFrames?(result: R, context: TaskAnswerContext<T>): readonly TaskFrame[] | undefined;
  /** What an answer says in headers, because its body has no room for it. */
  answerHeaders?(result: R): Readonly<Record<string, string>>;
  /** Usage in a frame of a stream; undefined: it says nothing of it. `done`: the frame ends the answer. */
  readFrame?(frame: JsonObject): { readonly usage?: Usage | undefined; readonly done?: boolean } | undefined;
  /** What an answer that is no JSON used. `tail`: its last bytes; `size`: all of them. */
  readRaw?(context: { readonly task: T; readonly headers: Headers; readonly tail: Uint8Array; readonly size: number }): Usage | undefined;
}

export type TaskCodecs = { readonly [O in TaskOperation]?: TaskCodec };
