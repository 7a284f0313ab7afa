import { isTask, mayUseModel, type Caller, type Operation, type Snapshot, type Target } from "../canon/index.ts";

/** Names that a refusal gives. */
const NAMED = 5;

/**
 * A sentence that names models which could take a task that another cannot; empty where there are none, and for conversations.
 * @param fault why a target cannot take it
 */
export function ableWords(
  { aliases, providers }: Snapshot,
  { scopes }: Caller,
  operation: Operation,
  fault: (target: Target) => string | undefined,
): string {
  if (!isTask(operation)) return "";
  const takes = (target: Target): boolean =>
    providers.get(target.provider)?.tasks?.[operation] !== undefined && fault(target) === undefined;
  const named = [...aliases.values()]
    .filter(({ name, targets }) => targets.some(takes) && mayUseModel(scopes, name))
    .map(({ name }) => `"${name}"`);
  const whole = [...providers.values()]
    .filter(({ id }) => takes({ provider: id, model: "", weight: 1 }) && mayUseModel(scopes, `${id}/*`))
    .map(({ id }) => `"${id}/..."`);
  const able = [...named, ...whole].slice(0, NAMED);
  return able.length === 0 ? "" : ` Models that could: ${able.join(", ")}.`;
}
