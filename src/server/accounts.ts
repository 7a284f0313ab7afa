import type { Hono } from "hono";
import {
  accountOf,
  type Budget,
  type GroupBound,
  type KeyRecord,
  type KeyStore,
  type Match,
  type RateLimit,
  type Snapshot,
} from "../canon/index.ts";
import { isInForce } from "../gateway/keys.ts";

export interface AccountDeps {
  readonly keys: KeyStore;
  readonly snapshot: () => Snapshot;
  readonly now: () => number;
}

type Group = "team" | "project";

/**
 * `/accounts`: whoever calls, each with its keys: several keys of one account (a service, say) share its budgets, limits and kept turns.
 * `/teams` and `/projects`: those that accounts belong to, that are bounded, or that the configuration has budgets or limits for, which hold for
 * all of theirs together.
 */
export function mountAccounts(app: Pick<Hono, "get">, { keys, snapshot, now }: AccountDeps): void {
  app.get("/accounts", async (context) => {
    const accounts = Map.groupBy(await keys.list(), accountOf);
    return context.json({ accounts: [...accounts].flatMap(([id, own]) => describeAccount(id, own, now())) });
  });
  const groups = (group: Group) => async (): Promise<object[]> => {
    const { budgets = [], callerLimits } = snapshot();
    return describeGroups(group, await keys.list(), await keys.bounds(), budgets, callerLimits, now());
  };
  const [teams, projects] = [groups("team"), groups("project")];
  app.get("/teams", async (context) => context.json({ teams: await teams() }));
  app.get("/projects", async (context) => context.json({ projects: await projects() }));
}

/** As its newest key says. */
function describeAccount(id: string, own: readonly KeyRecord[], now: number): object[] {
  const newest = own.at(-1);
  if (!newest) return [];
  const { name, team, project, tags, scopes, limits, budgets } = newest;
  return [
    {
      id,
      name,
      ...(team !== undefined && { team }),
      ...(project !== undefined && { project }),
      ...(tags && { tags }),
      scopes,
      limits,
      ...(budgets && { budgets: budgets.map((budget) => budget.id) }),
      keys: own.map((key) => ({
        id: key.id,
        prefix: key.prefix,
        state: stateOf(key, now),
        createdAt: key.createdAt,
        ...(key.expiresAt !== undefined && { expiresAt: key.expiresAt }),
      })),
    },
  ];
}

function stateOf(key: KeyRecord, now: number): "active" | "revoked" | "expired" {
  if (key.revokedAt !== undefined) return "revoked";
  return isInForce(key, now) ? "active" : "expired";
}

function describeGroups(
  group: Group,
  keys: readonly KeyRecord[],
  bounds: readonly GroupBound[],
  budgets: readonly Budget[],
  limits: readonly RateLimit[],
  now: number,
): object[] {
  const members = Map.groupBy(
    keys.filter((key) => key[group] !== undefined),
    (key) => key[group] ?? "",
  );
  const named = [...budgets, ...limits].flatMap(({ match }) => match[group] ?? []).filter((name) => !name.endsWith("*"));
  const scopes = new Map(bounds.flatMap((bound) => (bound.group === group ? [[bound.name, bound.scopes] as const] : [])));
  return [...new Set([...members.keys(), ...named, ...scopes.keys()])].toSorted().map((name) => {
    const own = members.get(name) ?? [];
    const others = group === "team" ? "project" : "team";
    return {
      name,
      ...(scopes.has(name) && { scopes: scopes.get(name) }),
      [`${others}s`]: [...new Set(own.flatMap((key) => key[others] ?? []))].toSorted(),
      accounts: [...new Set(own.map(accountOf))],
      keysInForce: own.filter((key) => isInForce(key, now)).length,
      budgets: budgets.filter(({ match }) => covers(match, group, name)).map(({ id }) => id),
      limits: limits.filter(({ match }) => covers(match, group, name)).map(({ id }) => id),
    };
  });
}

/** As budgets and limits match: a name, or a beginning and `*`. */
function covers(match: Match, group: Group, name: string): boolean {
  const pattern = match[group];
  return pattern !== undefined && (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name);
}
