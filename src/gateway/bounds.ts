import type { Caller, GroupBound, MetadataScope, Requirements, Scopes } from "../canon/index.ts";
import { DEFAULT_PRIORITY } from "../routing/health/queue.ts";

/** The caller with what its project and its team leave of its rights: nobody has more than their group. */
export function boundCaller(caller: Caller, bounds: readonly GroupBound[]): Caller {
  const groups = (["project", "team"] as const).flatMap((group) =>
    caller[group] === undefined ? [] : (bounds.find((bound) => bound.group === group && bound.name === caller[group]) ?? []),
  );
  const all = [caller.scopes, ...groups.map(({ scopes }) => scopes)];
  const metadataScopes = all.flatMap(({ metadata }): readonly MetadataScope[] => (metadata ? [metadata] : []));
  if (groups.length === 0 && metadataScopes.length === 0) return caller;
  return { ...caller, scopes: all.reduce(bothScopes), ...(metadataScopes.length > 0 && { metadataScopes }) };
}

/** What both allow. The role and what calls may say of themselves stay the first one's: the former no group has, of the latter all hold. */
export function bothScopes(one: Scopes, other: Scopes): Scopes {
  const models = both(one.models, other.models, bothPatterns);
  const surfaces = both(one.surfaces, other.surfaces, (a, b) => a.filter((surface) => b.includes(surface)));
  const tools = both(one.tools, other.tools, bothPatterns);
  const tier = both(one.tier, other.tier, Math.min);
  const requires = both(one.requires, other.requires, bothPlaces);
  const priority = other.priority === undefined ? one.priority : Math.min(one.priority ?? DEFAULT_PRIORITY, other.priority);
  const { role, metadata } = one;
  return {
    ...(models && { models }),
    ...(surfaces && { surfaces }),
    ...(role !== undefined && { role }),
    ...(tools && { tools }),
    ...(tier !== undefined && { tier }),
    ...(requires && { requires }),
    ...(metadata && { metadata }),
    ...(priority !== undefined && { priority }),
  };
}

function both<T>(one: T | undefined, other: T | undefined, join: (one: T, other: T) => T): T | undefined {
  return one === undefined || other === undefined ? (one ?? other) : join(one, other);
}

/** Names and beginnings with `*`: of each pair the narrower, where one holds the other. */
function bothPatterns(one: readonly string[], other: readonly string[]): readonly string[] {
  const holds = (outer: string, inner: string): boolean => outer === inner || (outer.endsWith("*") && inner.startsWith(outer.slice(0, -1)));
  return [...new Set(one.flatMap((a) => other.flatMap((b) => (holds(a, b) ? [b] : holds(b, a) ? [a] : []))))];
}

function bothPlaces(one: Requirements, other: Requirements): Requirements {
  const region = both(one.region, other.region, narrower);
  const residency = both(one.residency, other.residency, narrower);
  return { ...(region && { region }), ...(residency && { residency }) };
}

/** `eu-west-1` lies within `eu`. Where nothing lies in both, a name that no place has: an empty list would mean anywhere. */
function narrower(one: readonly string[], other: readonly string[]): readonly string[] {
  if (one.length === 0 || other.length === 0) return one.length === 0 ? other : one;
  const within = (inner: string, outer: string): boolean => `${inner}-`.toLowerCase().startsWith(`${outer}-`.toLowerCase());
  const places = one.flatMap((a) => other.flatMap((b) => (within(b, a) ? [b] : within(a, b) ? [a] : [])));
  return places.length > 0 ? [...new Set(places)] : [`${one.join("/")} and also ${other.join("/")}`];
}
