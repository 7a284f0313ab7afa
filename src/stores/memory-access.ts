import { accountOf, type Denial, type GroupBound, type KeyRecord, type KeyStore } from "../canon/index.ts";
import { assertRoom, changedKey, changedScopes } from "./access-columns.ts";

type Access = Pick<KeyStore, "edit" | "bound" | "bounds" | "deny" | "allow" | "denials">;

/** For tests: what stands beside the keys, in memory. */
export function memoryAccess(keys: Map<string, KeyRecord>, raise: () => void): Access {
  const bounds = new Map<string, GroupBound>();
  const denials = new Map<string, Denial>();
  const inForce = (now: number): Denial[] => [...denials.values()].filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now);
  return {
    async edit(account, change) {
      const own = [...keys.values()].filter((key) => accountOf(key) === account);
      for (const key of own) keys.set(key.id, structuredClone(changedKey(key, change)));
      if (own.length > 0) raise();
      return own.length > 0;
    },
    async bound(group, name, change) {
      const id = `${group} ${name}`;
      const scopes = changedScopes(bounds.get(id)?.scopes ?? {}, structuredClone(change));
      if (Object.keys(scopes).length === 0) bounds.delete(id);
      else bounds.set(id, { group, name, scopes });
      raise();
      return scopes;
    },
    bounds: async () => structuredClone([...bounds].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, bound]) => bound)),
    async deny(entry) {
      for (const { id, expiresAt } of denials.values()) if (expiresAt !== undefined && expiresAt <= entry.createdAt) denials.delete(id);
      if (!denials.has(entry.id)) assertRoom(denials.size);
      denials.set(entry.id, structuredClone(entry));
      raise();
    },
    async allow(id) {
      const removed = denials.delete(id);
      if (removed) raise();
      return removed;
    },
    denials: async (now) => structuredClone(inForce(now).toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))),
  };
}
