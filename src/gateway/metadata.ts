import { ProblemError, type Caller, type JsonObject, type MetadataScope } from "../canon/index.ts";
import type { CallRequest, Wishes } from "./request.ts";

const HEADER = "x-gimbal-metadata";

/**
 * What a call says of itself, as far as its caller may: what is not allowed or is missing refuses the call; what is forced takes the place
 * of whatever it said. Of what the gateway asks on a caller's behalf only the forced part is the caller's.
 * @throws ProblemError forbidden
 */
export function scopedWishes(
  { name, metadataScopes }: Caller,
  request: Pick<CallRequest, "shadow" | "refresh" | "own">,
  wishes: Wishes,
): Wishes {
  if (!metadataScopes) return wishes;
  const { metadata } = wishes;
  const claimed = !request.shadow && !request.refresh && !request.own;
  if (claimed) for (const scope of metadataScopes) assertAllowed(scope, metadata ?? {}, metadataScopes, name);
  const forced = metadataScopes.flatMap(({ force }) => (force ? [force] : []));
  return forced.length === 0 ? wishes : { ...wishes, metadata: Object.assign({}, metadata, ...forced) };
}

function assertAllowed(scope: MetadataScope, metadata: JsonObject, all: readonly MetadataScope[], caller: string): void {
  const isForced = (member: string): boolean => all.some(({ force }) => force !== undefined && Object.hasOwn(force, member));
  for (const [member, value] of Object.entries(metadata)) {
    // What it says there is replaced in any case.
    if (isForced(member)) continue;
    const values = valuesOf(scope, member);
    if (values === undefined) throw refused(`The key "${caller}" may not say "${member.slice(0, 100)}" in ${HEADER}.`);
    if (!values.some((pattern) => fits(pattern, typeof value === "string" ? value : JSON.stringify(value))))
      throw refused(`The key "${caller}" may not say "${member.slice(0, 100)}" is ${JSON.stringify(value).slice(0, 100)} in ${HEADER}.`);
  }
  const missing = scope.require?.find((member) => !Object.hasOwn(metadata, member) && !isForced(member));
  if (missing !== undefined) throw refused(`Calls of the key "${caller}" must say "${missing}" in ${HEADER}.`);
}

/** The member's own entry comes before patterns; what must be there may be anything where nothing else is said. */
function valuesOf({ allow = {}, require = [] }: MetadataScope, member: string): readonly string[] | undefined {
  if (Object.hasOwn(allow, member)) return allow[member];
  const pattern = Object.entries(allow).find(([name]) => name.endsWith("*") && fits(name, member));
  return pattern?.[1] ?? (require.includes(member) ? ["*"] : undefined);
}

function fits(pattern: string, value: string): boolean {
  return pattern.endsWith("*") ? value.startsWith(pattern.slice(0, -1)) : value === pattern;
}

function refused(message: string): ProblemError {
  return new ProblemError({ kind: "forbidden", message, param: HEADER });
}
