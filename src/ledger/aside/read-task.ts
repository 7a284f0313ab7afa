import {
  ProblemError,
  type Dialect,
  type DoorContext,
  type Json,
  type JsonObject,
  type Task,
  type TaskOperation,
} from "../../canon/index.ts";
import { openForm } from "../../dialects/task-body.ts";
import { FrameSplitter, mediaType, parseFrame, parseJson } from "../../kit/index.ts";
import type { TaskGiven, TaskTold } from "../lineage/task.ts";
import type { Unpacked } from "./pack.ts";
import { ANSWER } from "./remnant.ts";

/** The task and its result of a remnant. */
export interface ReadTask {
  readonly task: TaskGiven;
  /** Undefined: there is none. */
  readonly told: TaskTold | undefined;
  readonly partial: boolean;
}

/** Throws what the language throws for a text that it cannot read. */
export function readTask(
  { body, answer, head }: Unpacked,
  dialect: Dialect,
  door: DoorContext & { readonly operation: TaskOperation },
): ReadTask {
  const codec = dialect.tasks?.[door.operation];
  if (!codec) throw new Error(`the language has no words for ${door.operation}`);
  const [, , , , , , , form, answerForm] = head;
  const task = form === "task" ? (JSON.parse(body.toString("utf8")) as TaskGiven) : codec.decode(bodyOf(body, form, door), door);
  const partial = answerForm === ANSWER.partial;
  if (answerForm === ANSWER.none || partial) return { task, told: undefined, partial };
  if (answerForm === ANSWER.plain) return { task, told: plainOf(answer, head[15]), partial };
  const json = JSON.parse(answer.toString("utf8")) as Json;
  // What was given to it is known by now, and fits.
  return { task, told: { result: codec.decodeResult(json, { task: task as Task, provider: "", headers: {} }) }, partial };
}

function bodyOf(
  body: Buffer,
  form: string,
  { headers }: DoorContext,
): { readonly fields: JsonObject; readonly files: readonly TaskFileOf[] } {
  if (form !== "form") return { fields: JSON.parse(body.toString("utf8")) as JsonObject, files: [] };
  const opened = openForm(body, headers["content-type"], () => "");
  if (!opened.ok) throw new ProblemError({ kind: "invalid_request", message: opened.message });
  return opened.body;
}
type TaskFileOf = Extract<Task, { operation: "image" }>["images"][number];

/** What is no JSON: a stream of events, a text, or bytes. */
function plainOf(answer: Buffer, contentType: string | null): TaskTold {
  const type = mediaType(contentType ?? "");
  if (type === "text/event-stream") return { bytes: answer, events: eventsOf(answer) };
  return type.startsWith("text/") ? { bytes: answer, text: answer.toString("utf8") } : { bytes: answer };
}

function eventsOf(answer: Buffer): readonly Json[] {
  const events: Json[] = [];
  const frame = (piece: Uint8Array): void => {
    const json = parseJson(parseFrame(piece)?.data ?? "");
    if (json !== undefined) events.push(json);
  };
  const splitter = new FrameSplitter(answer.length);
  splitter.push(answer, frame);
  frame(splitter.rest());
  return events;
}
