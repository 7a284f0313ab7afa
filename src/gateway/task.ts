import { hash } from "node:crypto";
import {
  isTask,
  ProblemError,
  type Dialect,
  type DoorContext,
  type JsonObject,
  type Limits,
  type Task,
  type TaskCodec,
  type TaskFile,
  type TaskOperation,
} from "../canon/index.ts";
import { openForm } from "../dialects/task-body.ts";
import { openJson, type FormPart, type JsonDocument } from "../kit/index.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";
import { guarded, guardsTasks } from "./task-guard.ts";

/** A form as it came: its bytes are sent on, its parts say where the fields stand in them. */
export interface Form {
  readonly bytes: Uint8Array;
  readonly contentType: string;
  readonly parts: readonly FormPart[];
  readonly files: readonly TaskFile[];
}

/** The task that a call is; undefined: it is a conversation. */
export function taskOperation(run: Run): TaskOperation | undefined {
  const operation = operationOf(run);
  return isTask(operation) ? operation : undefined;
}

/** Reads a body as JSON, or as a form where the task takes files. @throws ProblemError invalid_request */
export function openBody(run: Run, bytes: Uint8Array, limits: Limits): JsonDocument {
  const contentType = run.request.headers["content-type"];
  if (taskOperation(run) !== undefined && contentType?.trimStart().toLowerCase().startsWith("multipart/")) {
    // Only whoever repeats a request need know that its files are the same.
    const hashed = run.wishes.idempotencyKey !== undefined;
    const form = openForm(bytes, contentType, (file) => (hashed ? hash("sha256", file, "base64url") : ""));
    if (!form.ok) throw new ProblemError({ kind: "invalid_request", message: form.message });
    run.form = { bytes, contentType, parts: form.parts, files: form.body.files };
    const { fields: value } = form.body;
    return { value, text: JSON.stringify(value), places: [] };
  }
  const opened = openJson(bytes, { depth: limits.jsonDepth });
  if (opened.ok) return opened.document;
  const hint = operationOf(run) === "transcribe" ? " This takes a form: multipart/form-data." : "";
  throw new ProblemError({ kind: "invalid_request", message: opened.message + hint });
}

export function doorContext({ request }: Run): DoorContext {
  const { door, headers, params } = request;
  return { operation: door.does.operation, headers, params };
}

/** @throws ProblemError unsupported */
export function codecOf(dialect: Dialect, operation: TaskOperation): TaskCodec {
  const codec = dialect.tasks?.[operation];
  if (!codec) throw new ProblemError({ kind: "unsupported", message: `${dialect.title} has no words for this.` });
  return codec;
}

/** The request in canonical form. @throws ProblemError invalid_request */
export function taskOf(run: Run): Task {
  if (run.task) return run.task;
  const operation = taskOperation(run);
  if (operation === undefined) throw new ProblemError({ kind: "internal", message: "A conversation was taken for a task." });
  const fields: JsonObject = run.document?.value ?? {};
  run.task = codecOf(run.request.dialect, operation).decode({ fields, files: run.form?.files ?? [] }, doorContext(run));
  run.ownTask = run.task;
  return run.task;
}

/** Guards have their say. */
export async function prepareTask(deps: GatewayDeps, run: Run): Promise<void> {
  let task = taskOf(run);
  for (const guard of deps.guards) {
    if (!guardsTasks(guard) || !run.caller) continue;
    const verdict = await guarded(guard, task, run.caller);
    if (verdict.verdict === "change") task = verdict.value;
    if (verdict.verdict === "deny") throw new ProblemError(verdict.problem);
    if (verdict.verdict === "ask") throw new ProblemError({ kind: "approval_needed", message: verdict.reason });
  }
  run.task = task;
}

/** Everything in it that is text. */
export function textsOfTask(task: Task): readonly string[] {
  switch (task.operation) {
    case "embed":
      return task.inputs.map((input) => (typeof input === "string" ? input : ""));
    case "rerank":
      return [task.query, ...task.documents.map((document) => (typeof document === "string" ? document : JSON.stringify(document)))];
    case "moderate":
      return task.inputs.map((input) => (typeof input === "string" ? input : JSON.stringify(input)));
    case "image":
      return [task.prompt];
    case "speech":
      return [task.text];
    case "transcribe":
      return [];
  }
}
