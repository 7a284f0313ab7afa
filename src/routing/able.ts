import { isTask, mayUseModel, type Caller, type Operation, type Snapshot, type Target } from "../canon/index.ts";

/** Names that a refusal gives. */
const NAMED = 5;

/** A sentence that names models which could take a task that another cannot; empty where there are none, and for conversations. */
export function ableWords({ aliases, providers }: Snapshot, { scopes }: Caller, operation: Operation): string {
  if (!isTask(operation)) return "";
  const takes = ({ provider }: Target): boolean => providers.get(provider)?.tasks?.[operation] !== undefined;
  const named = [...aliases.values()]
    .filter(({ name, targets }) => targets.some(takes) && mayUseModel(scopes, name))
    .map(({ name }) => `"${name}"`);
  const whole = [...providers.values()]
    .filter(({ id, tasks }) => tasks?.[operation] && mayUseModel(scopes, `${id}/*`))
    .map(({ id }) => `"${id}/..."`);
  const able = [...named, ...whole].slice(0, NAMED);
  return able.length === 0 ? "" : ` Models that could: ${able.join(", ")}.`;
}
