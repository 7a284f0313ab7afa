import { hash } from "node:crypto";
import type { Answer, Call, ContentPolicy, Json, JsonObject, PackedContent, Redactor } from "../../canon/index.ts";
import type { Read } from "../aside/read.ts";
import type { ReadTask } from "../aside/read-task.ts";
import type { RemnantHead } from "../aside/remnant.ts";
import { givenToTask, hashedFile, resultOf, withoutDataUrls } from "../lineage/task.ts";

const MS_PER_DAY = 86_400_000;
/** What says again what the canonical form says, or belongs to one language alone. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "raw",
  "envelope",
  "origin",
  "cacheTtlSeconds",
  "carried",
  "encrypted",
  "signature",
  "logprobs",
]);

/** What a policy stores of a call: redacted, in canonical form. */
export function packedContent(
  [, callId, callerId, at]: RemnantHead,
  read: Read | ReadTask,
  policy: ContentPolicy,
  redactor: Redactor | undefined,
): PackedContent | "too long" {
  const said: JsonObject = {
    ...(policy.what.includes("prompt") && { prompt: "task" in read ? taskPrompt(read) : promptOf(read.call) }),
    ...(policy.what.includes("answer") && answerIn(read)),
  };
  const { endUser } = "task" in read ? read.task : read.call;
  const { value, struck } = redactor ? redactor.redact(said) : { value: said, struck: {} };
  const content = JSON.stringify({ ...(value as JsonObject), ...(redactor && { redacted: struck }) });
  if (content.length > policy.maxCharacters) return "too long";
  const began = Math.round(at);
  return [
    callId,
    callerId,
    endUser === undefined ? null : endUserHash(endUser),
    began,
    began + Math.round(policy.days * MS_PER_DAY),
    content,
  ];
}

/** By this an end user's content is found and erased. */
export function endUserHash(id: string): string {
  return hash("sha256", id, "hex");
}

/** Its files as their names and the hash of their bytes. */
function taskPrompt({ task }: ReadTask): JsonObject {
  const files = "images" in task && task.images ? { images: task.images.map(hashedFile) } : {};
  return {
    ...(withoutDataUrls(givenToTask(task)) as JsonObject),
    ...files,
    ...("file" in task && task.file && { file: hashedFile(task.file) }),
  };
}

/** Nothing where there is none; said where it was too long to be read back. */
function answerIn(read: Read | ReadTask): JsonObject {
  if (read.partial) return { answer: { partial: true } };
  if (!("task" in read)) return read.answer ? { answer: answerOf(read.answer) } : {};
  return read.told ? { answer: resultOf(read.told).said } : {};
}

function promptOf({ instructions, items, tools }: Call): JsonObject {
  return {
    ...(instructions && { instructions: plain(instructions.parts) }),
    items: plain(items),
    ...(tools.length > 0 && { tools: plain(tools) }),
  };
}

function answerOf({ items, stop, model }: Answer): JsonObject {
  return { model, stop, items: plain(items) };
}

/** Without what says nothing to a reader; bytes of media stand as their hash. Of what the canonical form does not know `raw` is the meaning. */
function plain(value: unknown): Json {
  if (typeof value !== "object" || value === null) return value as Json;
  if (Array.isArray(value)) return value.map(plain);
  const { type } = value as { readonly type?: unknown };
  const keepsRaw = type === "unknown" || type === "native";
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]: [string, unknown]) => {
      if (member === undefined || (LEFT_OUT.has(key) && !(key === "raw" && keepsRaw))) return [];
      if (key === "source" && isMedia(member))
        return [[key, { ...member, data: `sha256:${hash("sha256", Buffer.from(member.data, "base64"), "hex")}` }]];
      return [[key, plain(member)]];
    }),
  );
}

function isMedia(value: unknown): value is { readonly data: string } {
  return typeof value === "object" && value !== null && "data" in value && typeof value.data === "string";
}
