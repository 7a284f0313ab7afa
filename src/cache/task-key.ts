import { hash } from "node:crypto";
import type { Json, JsonObject, Task } from "../canon/index.ts";
import { sorted } from "./canonical-json.ts";
import { versionOf, type KeyFacts } from "./key.ts";

/** Changes when what the key is made of does. */
const KEY_VERSION = 1;

/** Says nothing of the answer's content: how its vectors are written, who asks. */
const SILENT: ReadonlySet<string> = new Set(["model", "encoding_format", "user"]);

/**
 * The exact key of a task: the tenant, the policy scope, the alias with its definition, and all that its language says of it. Vectors as
 * floats and in base64 are the same vectors.
 */
export function taskKey(task: Task, { tenant, policy, alias, labels }: KeyFacts): string {
  const keyWith = alias.cache?.keyWith ?? [];
  const said = Object.fromEntries(Object.entries(task.native).filter(([field]) => !SILENT.has(field)));
  return digest([
    KEY_VERSION,
    "task",
    tenant,
    policy,
    alias.name,
    versionOf(alias),
    task.operation,
    task.origin.dialect,
    sorted(said),
    // What a guard changed is no longer as its language says it.
    sorted(contentOf(task)),
    keyWith.includes("endUser") ? (task.endUser ?? null) : null,
    keyWith.includes("metadata") ? sorted(labels) : null,
  ]);
}

/** Can the bytes of one answer be given to another task of the same key as they are? */
export function taskWireKey({ origin, native }: Task): string {
  const { model: _model, user: _user, ...said } = native;
  return digest([origin.dialect, sorted(said)]);
}

function contentOf(task: Task): JsonObject {
  switch (task.operation) {
    case "embed":
      return { inputs: task.inputs, single: task.single };
    case "rerank":
      return { query: task.query, documents: task.documents };
    case "moderate":
      return { inputs: task.inputs };
    case "image":
      return { prompt: task.prompt };
    case "speech":
      return { text: task.text };
    case "transcribe":
      return {};
  }
}

function digest(value: Json): string {
  return hash("sha256", JSON.stringify(value), "base64url");
}
