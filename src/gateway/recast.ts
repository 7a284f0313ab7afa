import type { JsonObject } from "../canon/index.ts";
import { resolve } from "../routing/plan.ts";
import type { CallRequest } from "./request.ts";
import type { GatewayDeps, Run } from "./run.ts";

/**
 * The call as the task that it is: where it asks in the words of a conversation for what others make in a task, and nobody behind its model
 * speaks its language. Then whoever makes such things can be asked, and whoever cannot is named. Undefined: it stays what it is.
 */
export function recast({ dialects }: GatewayDeps, { request, snapshot, model }: Run, body: JsonObject): CallRequest | undefined {
  const { dialect, door, headers, params, handed, shadow } = request;
  if (handed || door.does.operation !== "generate") return undefined;
  const task = dialect.asTask?.(body, { operation: "generate", headers, params });
  if (!task) return undefined;
  const words = dialects.get(task.dialect);
  const alias = shadow?.alias ?? resolve(snapshot, model);
  if (!words?.tasks?.[task.operation] || !alias) return undefined;
  const understood = alias.targets.some(({ provider }) => snapshot.providers.get(provider)?.dialects.includes(dialect.id));
  if (understood) return undefined;
  return { ...request, dialect: words, door: { ...door, does: { kind: "call", operation: task.operation } }, params: task.params };
}
