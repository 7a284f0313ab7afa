import { hash } from "node:crypto";
import type { Json, JsonObject, LineageDocument, LineageRecord, Task, TaskFile, TaskResult } from "../../canon/index.ts";
import { vectorsIn } from "../../dialects/shared-vectors.ts";
import { canonicalJson } from "../../kit/index.ts";
import { LISTED, spokenJson, textHash, type LineageFacts } from "./record.ts";

/** A file of a task that was written down: its bytes are gone, their hash is not. */
export interface HashedFile extends Omit<TaskFile, "bytes"> {
  readonly hash: string;
}
/** A task as it is recorded. */
export type TaskGiven = Task | (Omit<Task, "images" | "file"> & { readonly images?: readonly HashedFile[]; readonly file?: HashedFile });

/** What came of a task: its result, or the bytes that its client got, and what they say where that is text or a stream of events. */
export type TaskTold =
  | { readonly result: TaskResult }
  | { readonly bytes: Uint8Array; readonly text?: string; readonly events?: readonly Json[] };

/** Text from which a string of base64 is taken for bytes of media: no word is so long. */
const MEDIA_CHARACTERS = 256;
const DATA = ";base64,";
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

export function bytesHash(bytes: Uint8Array): string {
  return `sha256:${hash("sha256", bytes, "hex")}`;
}

function fileHash(file: TaskFile | HashedFile): string {
  return "bytes" in file ? bytesHash(file.bytes) : file.hash;
}

/** A file without its bytes. */
export function hashedFile(file: TaskFile | HashedFile): HashedFile & JsonObject {
  return { field: file.field, name: file.name, contentType: file.contentType, hash: fileHash(file) };
}

/** What the model is given, whatever language it came in: without the model's name, and how the result is to be written. */
export function givenToTask(given: TaskGiven): JsonObject {
  // Files by hash look the same from here on, whoever hashed them.
  const task = given as Task;
  const { operation } = task;
  switch (task.operation) {
    case "embed": {
      const { inputs, dimensions, purpose, title, truncate } = task;
      return spoken({ operation, inputs, dimensions, purpose, title, truncate });
    }
    case "rerank": {
      const { query, documents, topN, truncate } = task;
      return spoken({ operation, query, documents, topN, truncate });
    }
    case "moderate":
      return { operation, inputs: task.inputs };
    case "image": {
      const { prompt, count, size, images } = task;
      return spoken({ operation, prompt, count, size, images: images.map(fileHash) });
    }
    case "speech": {
      const { text, voice, format } = task;
      return spoken({ operation, text, voice, format });
    }
    case "transcribe":
      return { operation, file: fileHash(task.file), translate: task.translate, format: task.format };
  }
}

function spoken(fields: Readonly<Record<string, unknown>>): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as JsonObject;
}

/** What came of a task, without bytes. */
export interface TaskSaid {
  /** Vectors, images and sounds stand as the hash of their bytes; a vector's are its numbers as 32-bit floats, little endian. */
  readonly said: JsonObject;
  /** Hashes of the images and sounds in it. */
  readonly made: readonly string[];
}

export function resultOf(told: TaskTold): TaskSaid {
  const made: string[] = [];
  const media = (bytes: Uint8Array): string => {
    const name = bytesHash(bytes);
    made.push(name);
    return name;
  };
  return { said: saidOf(told, media), made };
}

type Media = (bytes: Uint8Array) => string;

function saidOf(told: TaskTold, media: Media): JsonObject {
  if (!("result" in told)) {
    if (told.text !== undefined) return { text: told.text };
    return told.events ? { events: told.events.map((event) => withoutMedia(event, media)) } : { data: media(told.bytes) };
  }
  const { result } = told;
  switch (result.operation) {
    case "embed":
      return { vectors: vectorsHash(result) };
    case "rerank":
      return { ranked: result.ranked.map(({ index, score }) => ({ index, score })) };
    case "moderate":
      return { verdicts: result.verdicts.map(({ flagged, categories, scores }) => ({ flagged, categories, scores })) };
    case "image":
      return {
        images: result.images.map(({ base64, url }) =>
          base64 === undefined ? { url: url ?? "" } : { data: media(Buffer.from(base64, "base64")) },
        ),
      };
    case "speech":
      return { data: media(result.audio) };
    case "transcribe":
      return { text: result.text };
  }
}

/** One hash for all of them: the same for numbers and for their base64. */
function vectorsHash({ vectors }: Extract<TaskResult, { operation: "embed" }>): string {
  if (!vectors.float && !vectors.base64) return textHash(canonicalJson(vectors));
  return bytesHash(Buffer.concat(vectorsIn(vectors, "base64").map((vector) => Buffer.from(String(vector), "base64"))));
}

/** Long base64 anywhere in free JSON becomes the hash of its bytes. */
function withoutMedia(value: Json, media: Media): Json {
  if (typeof value === "string")
    return value.length >= MEDIA_CHARACTERS && BASE64.test(value) ? media(Buffer.from(value, "base64")) : value;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one: Json) => withoutMedia(one, media));
  return Object.fromEntries(Object.entries(value as JsonObject).map(([key, member]) => [key, withoutMedia(member ?? null, media)]));
}

/** Media that a text holds as a `data:` URL becomes the hash of its bytes. */
export function withoutDataUrls(value: Json): Json {
  if (typeof value === "string") {
    const at = value.startsWith("data:") ? value.indexOf(DATA) : -1;
    return at < 0 ? value : `${value.slice(0, at)};${bytesHash(Buffer.from(value.slice(at + DATA.length), "base64"))}`;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one: Json) => withoutDataUrls(one));
  return Object.fromEntries(Object.entries(value as JsonObject).map(([key, member]) => [key, withoutDataUrls(member ?? null)]));
}

/** What a task was made of and what came of it. `told` undefined: nothing. */
export function taskLineage(facts: LineageFacts, given: TaskGiven, told: TaskTold | undefined): LineageRecord {
  const { callId, callerId, at, cacheOrigin } = facts;
  const documents = documentsOf(given as Task);
  const result = told && resultOf(told);
  const text = result?.said["text"];
  return {
    callId,
    callerId,
    at,
    prompt: textHash(spokenJson(givenToTask(given))),
    ...(typeof text === "string" && text !== "" && { output: textHash(text) }),
    ...(result && { answer: textHash(spokenJson(result.said)) }),
    ...(result && result.made.length > 0 && { made: result.made.slice(0, LISTED) }),
    ...(cacheOrigin !== undefined && { cacheOrigin }),
    tools: [],
    calls: [],
    documents: documents.slice(-LISTED),
    ...(documents.length > LISTED && { cut: true as const }),
  };
}

function documentsOf(task: Task): readonly LineageDocument[] {
  switch (task.operation) {
    case "embed":
      return task.inputs.map(userText);
    case "rerank":
      return [task.query, ...task.documents].map(userText);
    case "moderate":
      return task.inputs.map(userText);
    case "image":
      return [userText(task.prompt), ...task.images.map((file): LineageDocument => ({ kind: "image", hash: fileHash(file) }))];
    case "speech":
      return [userText(task.text)];
    case "transcribe":
      return [{ kind: "audio", hash: fileHash(task.file) }];
  }
}

function userText(given: unknown): LineageDocument {
  return { kind: "user", hash: textHash(typeof given === "string" ? given : canonicalJson(given)) };
}
