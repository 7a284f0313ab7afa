import { ProblemError, type Call, type Guard, type Json, type JsonObject, type Task, type Caller, type Verdict } from "../canon/index.ts";

/** Does the guard have a say about a task: by its own hook, or by the one for calls, which is shown the task's texts? */
export function guardsTasks(guard: Guard): boolean {
  return guard.task !== undefined || guard.call !== undefined;
}

/**
 * What a guard says of a task. One without a hook for tasks is shown its texts as messages of a call; what it makes of them is put back.
 * @throws ProblemError policy_denied: the guard could not read all of it, or made something that is no such task any more
 */
export async function guarded(guard: Guard, task: Task, caller: Caller): Promise<Verdict<Task>> {
  if (guard.task) return guard.task(task, caller);
  if (!guard.call) return { verdict: "allow" };
  if (guard.readsContent && task.operation === "embed" && task.inputs.some((input) => typeof input !== "string"))
    throw new ProblemError({ kind: "policy_denied", message: "Token numbers cannot be read by the guards in force: send texts." });
  const texts: string[] = [];
  withTexts(task, (text) => {
    texts.push(text);
    return text;
  });
  const verdict = await guard.call(shown(task, texts), caller);
  if (verdict.verdict !== "change") return verdict;
  const changed = verdict.value.items.map((item) =>
    item.type === "message" && item.parts.every((part) => part.type === "text") ? item.parts.map(({ text }) => text).join("") : undefined,
  );
  if (changed.length !== texts.length || changed.includes(undefined) || verdict.value.instructions)
    throw new ProblemError({
      kind: "policy_denied",
      message: `The guard "${guard.id}" would change what cannot be changed in this kind of call.`,
    });
  let next = 0;
  return { ...verdict, value: withTexts(task, (text) => changed[next++] ?? text) };
}

function shown({ model, origin, endUser }: Task, texts: readonly string[]): Call {
  return {
    operation: "generate",
    origin,
    model,
    stream: false,
    items: texts.map((text) => ({ type: "message", role: "user", parts: [{ type: "text", text }] })),
    tools: [],
    sampling: {},
    native: {},
    touched: new Set(),
    ...(endUser !== undefined && { endUser }),
  };
}

/** The task with each of its texts, in their order, replaced by what `change` makes of it. */
function withTexts(task: Task, change: (text: string) => string): Task {
  switch (task.operation) {
    case "embed": {
      const inputs = task.inputs.map((input) => (typeof input === "string" ? change(input) : input));
      return { ...task, inputs, ...(task.title !== undefined && { title: change(task.title) }) };
    }
    case "rerank": {
      const query = change(task.query);
      return {
        ...task,
        query,
        documents: task.documents.map((document) => (typeof document === "string" ? change(document) : inside(document, change))),
      };
    }
    case "moderate":
      return { ...task, inputs: task.inputs.map((input) => deep(input, change)) };
    case "image":
      return { ...task, prompt: change(task.prompt) };
    case "speech": {
      const text = change(task.text);
      return { ...task, text, ...(task.manner !== undefined && { manner: change(task.manner) }) };
    }
    case "transcribe":
      return { ...task, ...(task.hint !== undefined && { hint: change(task.hint) }) };
  }
}

function inside(value: JsonObject, change: (text: string) => string): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, member === undefined ? member : deep(member, change)]));
}

/** Data and addresses of images are no words. */
function deep(value: Json, change: (text: string) => string): Json {
  if (typeof value === "string") return value.startsWith("data:") ? value : change(value);
  if (Array.isArray(value)) return (value as readonly Json[]).map((one) => deep(one, change));
  if (typeof value !== "object" || value === null) return value;
  const { type, ...rest } = value as JsonObject;
  return { ...(type !== undefined && { type }), ...inside(rest, change) };
}
