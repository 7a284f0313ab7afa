import type {
  CallStore,
  Clock,
  ConfigStore,
  ConfigVersion,
  KeptNative,
  KeptTurn,
  KeyRecord,
  KeyStore,
  LedgerRow,
  LedgerStore,
  OpenRecord,
  Stores,
  Switch,
  SwitchStore,
  ToolPin,
  ToolPinStore,
} from "../canon/index.ts";
import { memoryAudit, noting } from "./audit.ts";
import { memoryAccess } from "./memory-access.ts";
import { memoryFiles } from "./memory-files.ts";
import { memoryContent } from "./content.ts";
import { memoryLineage } from "./lineage.ts";
import { memoryCache } from "./cache-stores.ts";
import { interruptedRow } from "./ledger-values.ts";
import { memoryRepricings } from "./memory-repricings.ts";
import { memoryReports } from "./memory-reports.ts";
import { MemoryCounters } from "./memory-counters.ts";
import { memoryIdempotency, memoryJournal } from "./memory-journal.ts";
import { NO_SIGNALS } from "./over-backend.ts";
import { conflict, staleBase } from "./problems.ts";
import { packItems, packTurn, type TurnHead, unpackItems, unpackTurn } from "./turn-text.ts";

/** Stores that forget everything with the process: for tests. They keep copies, as a database does. */
export function memoryStores(clock: Clock): Stores {
  const keys = new Map<string, KeyRecord>();
  const counters = new MemoryCounters();
  const ledger = memoryLedger(clock, keys, counters);
  return noting({
    calls: memoryCalls(),
    ledger,
    cache: memoryCache(),
    keys: memoryKeys(keys),
    config: memoryConfig(),
    switches: memorySwitches(),
    toolPins: memoryToolPins(),
    budgets: counters,
    ...memoryFiles(),
    journal: memoryJournal(),
    idempotency: memoryIdempotency(),
    signals: NO_SIGNALS,
    audit: memoryAudit(),
    lineage: memoryLineage(),
    content: memoryContent(),
    reports: memoryReports(ledger),
    dataKeys: { rotate: () => Promise.resolve({ keyId: "", keys: 0, made: false, resealed: 0, lost: 0 }) },
    close: () => Promise.resolve(),
  });
}

function memoryLedger(clock: Clock, keys: ReadonlyMap<string, KeyRecord>, counters: MemoryCounters): LedgerStore {
  const rows = new Map<string, LedgerRow>();
  const open = new Map<string, OpenRecord>();
  const add = (row: LedgerRow): boolean => {
    open.delete(row.callId);
    if (rows.has(row.callId)) return false;
    rows.set(row.callId, structuredClone(row));
    return true;
  };
  return {
    open(record) {
      if (!rows.has(record.callId)) open.set(record.callId, structuredClone(record));
    },
    async progress({ callId, inputEstimate, holds = [] }) {
      const record = open.get(callId);
      if (record) open.set(callId, { ...record, inputEstimate: Math.round(inputEstimate), holds: structuredClone(holds) });
    },
    async settle(row, spends = [], node = "") {
      if (add(row)) counters.spend(node, spends);
    },
    read: async (callId) => structuredClone(rows.get(callId)),
    readOpen: async (callId) => structuredClone(open.get(callId)),
    list: async ({ limit, callerId, model, target, since = 0 }) =>
      structuredClone(
        [...rows.values()]
          .filter((row) => callerId === undefined || row.callerId === callerId)
          .filter((row) => (model === undefined || row.model === model) && (target === undefined || row.target === target))
          .filter((row) => row.startedAt >= since)
          .toReversed()
          .slice(0, limit),
      ),
    count: async () => rows.size,
    ...memoryRepricings(rows),
    async interruptOpen(node, priceVersion) {
      const left = [...open.values()]
        .filter((record) => node === undefined || record.node === node)
        .toSorted((a, b) => a.startedAt - b.startedAt);
      const added = left.filter((record) => add(interrupted(record, keys.get(record.callerId), priceVersion, clock.now())));
      for (const { holds = [] } of added) counters.bookHolds(holds);
      counters.takeBack(node);
      return added.length;
    },
    flush: () => Promise.resolve(),
    failure: () => undefined,
    lost: () => 0,
  };
}

function interrupted(record: OpenRecord, key: KeyRecord | undefined, priceVersion: string, at: number): LedgerRow {
  return interruptedRow({
    record,
    callerName: key?.name ?? record.callerId,
    ...(key?.team !== undefined && { team: key.team }),
    ...(key?.project !== undefined && { project: key.project }),
    priceVersion,
    at,
  });
}

interface KeptText {
  readonly head: TurnHead;
  readonly content: string;
}

/** Scope first, so that nothing is ever found under another. */
class Scoped<T extends { readonly expiresAt: number }> {
  readonly #scopes = new Map<string, Map<string, T>>();

  set(scope: string, id: string, value: T): void {
    const one = this.#scopes.get(scope) ?? new Map<string, T>();
    this.#scopes.set(scope, one.set(id, value));
  }
  get(scope: string, id: string, now: number): T | undefined {
    const value = this.#scopes.get(scope)?.get(id);
    return value && value.expiresAt > now ? value : undefined;
  }
  delete(scope: string, id: string): boolean {
    return this.#scopes.get(scope)?.delete(id) ?? false;
  }
  expire(now: number): number {
    let forgotten = 0;
    for (const one of this.#scopes.values()) {
      for (const [id, value] of one) if (value.expiresAt <= now && one.delete(id)) forgotten++;
    }
    return forgotten;
  }
}

function memoryCalls(): CallStore {
  const turns = new Scoped<KeptText & { readonly expiresAt: number }>();
  const natives = new Scoped<{ readonly content: string; readonly expiresAt: number }>();
  const readTurn = (scope: string, id: string, now: number): KeptTurn | undefined => {
    const kept = turns.get(scope, id, now);
    return kept && unpackTurn(kept.head, kept.content);
  };
  return {
    async keepTurn(turn) {
      const { scope, id, previousId, createdAt, expiresAt } = turn;
      turns.set(scope, id, { head: { scope, id, previousId, createdAt, expiresAt }, content: packTurn(turn), expiresAt });
    },
    readTurn: async (scope, id, now) => readTurn(scope, id, now),
    async readChain(scope, id, limit, now) {
      const chain: KeptTurn[] = [];
      for (let next: string | undefined = id; next !== undefined;) {
        const turn: KeptTurn | undefined = chain.length < limit ? readTurn(scope, next, now) : undefined;
        if (!turn) return undefined;
        chain.unshift(turn);
        next = turn.previousId;
      }
      return chain;
    },
    deleteTurn: async (scope, id) => turns.delete(scope, id),
    async keepNative(kept: readonly KeptNative[]) {
      for (const one of kept) natives.set(one.scope, one.anchor, { content: packItems(one.items), expiresAt: one.expiresAt });
    },
    async findNative(scope, anchors, now) {
      const found = anchors.map((anchor) => [anchor, natives.get(scope, anchor, now)] as const);
      return new Map(found.flatMap(([anchor, kept]) => (kept ? [[anchor, unpackItems(kept.content)]] : [])));
    },
    expire: async (now) => turns.expire(now) + natives.expire(now),
  };
}

function memoryKeys(keys: Map<string, KeyRecord>): KeyStore {
  let generation = 0;
  return {
    async create(key) {
      const taken = [...keys.values()].some((other) => other.id === key.id || other.hash === key.hash);
      if (taken) throw conflict(`A key with the id ${key.id} or the same secret exists already.`);
      keys.set(key.id, structuredClone(key));
      generation++;
    },
    byHash: async (hash) => structuredClone([...keys.values()].find((key) => key.hash === hash)),
    list: async () => structuredClone([...keys.values()].toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))),
    async rotate(id, next, at, until) {
      const key = keys.get(id);
      if (keys.get(next.id)?.hash === next.hash) return true;
      const taken = [...keys.values()].some((other) => other.id === next.id || other.hash === next.hash);
      if (taken) throw conflict(`A key with the id ${next.id} or the same secret exists already.`);
      if (!key || key.revokedAt !== undefined || (key.expiresAt ?? Infinity) <= at) return false;
      keys.set(id, { ...key, expiresAt: Math.min(key.expiresAt ?? until, until) });
      keys.set(next.id, structuredClone(next));
      generation++;
      return true;
    },
    async revoke(id, at) {
      const key = keys.get(id);
      if (!key || key.revokedAt !== undefined) return false;
      keys.set(id, { ...key, revokedAt: at });
      generation++;
      return true;
    },
    ...memoryAccess(keys, () => generation++),
    generation: async () => generation,
  };
}

function memoryConfig(): ConfigStore {
  const versions: ConfigVersion[] = [];
  const inForce = new Map<number, Map<string, number>>();
  const changed = new Listeners();
  const withForce = (entry: ConfigVersion): ConfigVersion => {
    const times = [...(inForce.get(entry.version)?.values() ?? [])];
    if (times.length === 0) return entry;
    return { ...entry, inForce: { first: Math.min(...times), last: Math.max(...times), processes: times.length } };
  };
  return {
    async append(entry, base) {
      const last = versions.at(-1);
      if (last?.text === entry.text) return last;
      if (base !== undefined && base !== versions.length) throw staleBase(base, versions.length);
      const added: ConfigVersion = { version: versions.length + 1, ...entry };
      versions.push(added);
      changed.tell();
      return added;
    },
    async markInForce(version, node, at) {
      const nodes = inForce.get(version) ?? new Map<string, number>();
      if (!nodes.has(node)) inForce.set(version, nodes.set(node, at));
    },
    read: async (version) => versions.slice(version - 1, version).map(withForce)[0],
    list: async (limit) => versions.toReversed().slice(0, limit).map(withForce),
    watch: (listener) => changed.add(listener),
  };
}

function memorySwitches(): SwitchStore {
  const entries = new Map<string, Switch>();
  const changed = new Listeners();
  return {
    async put(entry) {
      entries.set(entry.id, structuredClone(entry));
      changed.tell();
    },
    async remove(id) {
      const removed = entries.delete(id);
      if (removed) changed.tell();
      return removed;
    },
    list: async () => structuredClone([...entries.values()].toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))),
    watch: (listener) => changed.add(listener),
  };
}

function memoryToolPins(): ToolPinStore {
  const pins = new Map<string, ToolPin>();
  const changed = new Listeners();
  const idOf = (server: string, tool: string): string => JSON.stringify([server, tool]);
  return {
    async pin(pin, first) {
      const id = idOf(pin.server, pin.tool);
      const before = pins.get(id);
      if (first && before) return structuredClone(before);
      pins.set(id, structuredClone(pin));
      changed.tell();
      return structuredClone(pin);
    },
    async unpin(server, tool) {
      const removed = pins.delete(idOf(server, tool));
      if (removed) changed.tell();
      return removed;
    },
    list: async () => structuredClone([...pins.values()].toSorted((a, b) => compare(a.server, b.server) || compare(a.tool, b.tool))),
    watch: (listener) => changed.add(listener),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

class Listeners {
  readonly #listeners = new Set<() => void>();

  add(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
