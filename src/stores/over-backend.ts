import { ProblemError } from "../canon/index.ts";
import type {
  BudgetStore,
  CallStore,
  Clock,
  ConfigStore,
  HeldKey,
  IdempotencyStore,
  JournalStore,
  KeyStore,
  LedgerStore,
  RepricingRun,
  ReportStore,
  Signals,
  Stores,
  SwitchStore,
  ToolPinStore,
} from "../canon/index.ts";
import type { Backend, RepricedEntry, HeldColumns } from "./backend.ts";
import { packAnswer, packSpill, unpackAnswer } from "./journal-block.ts";
import { auditStore, writeNoted } from "./audit.ts";
import { cacheStore } from "./cache-stores.ts";
import { contentStore } from "./content.ts";
import { batchStore, fileStore } from "./file-stores.ts";
import { lineageStore } from "./lineage.ts";
import { rowFromValues, rowToValues } from "./ledger-values.ts";
import { packItems, packTurn, unpackItems, unpackTurn } from "./turn-text.ts";

/** Stores whose backend another process can be served from; see `cluster/`. */
export interface HostedStores extends Stores {
  readonly backend: Backend;
}

/** Rows of one answer; whoever wants more asks in pages. */
const LIST_ROWS = 10_000;
/** Rows looked through, newest first, for a question that no key answers: some tens of milliseconds of the thread that writes. */
const LOOKED_BACK_ROWS = 50_000;
/** Rows looked through for one page: a few milliseconds of the thread that writes. */
const PAGE_ROWS = 1000;
/** Rows repriced in one write. */
const REPRICED_ROWS = 500;
/** Expired rows forgotten in one transaction. */
const EXPIRE_ROWS = 500;

/** The store seams over a backend: knows shapes, leaves the where and how to it. */
export function storesOver(backend: Backend, clock: Clock, close: () => Promise<void>): HostedStores {
  return {
    backend,
    calls: callStore(backend),
    ledger: ledgerStore(backend, clock),
    cache: cacheStore(backend),
    keys: keyStore(backend),
    config: configStore(backend),
    switches: switchStore(backend),
    toolPins: toolPinStore(backend),
    budgets: budgetStore(backend),
    files: fileStore(backend),
    batches: batchStore(backend),
    journal: journalStore(backend),
    idempotency: idempotencyStore(backend),
    signals: backend.signals ?? NO_SIGNALS,
    audit: auditStore(backend),
    lineage: lineageStore(backend),
    content: contentStore(backend),
    reports: reportStore(backend),
    dataKeys: { rotate: () => backend.rekey() },
    close,
  };
}

function ledgerStore(backend: Backend, clock: Clock): LedgerStore {
  return {
    open({ callId, startedAt, callerId, model, dialect, inputEstimate, node, holds = [] }) {
      const began = [callId, Math.round(startedAt), callerId, model, dialect, Math.round(inputEstimate), node] as const;
      backend.open(holds.length === 0 ? began : [...began, JSON.stringify(holds)]);
    },
    async progress({ callId, inputEstimate, holds = [] }) {
      await backend.write("progress", [callId, Math.round(inputEstimate), holds.length === 0 ? null : JSON.stringify(holds)]);
    },
    settle: (row, entries = [], node = "") =>
      entries.length === 0
        ? backend.settle(row.callId, rowToValues(row))
        : backend.settle(row.callId, rowToValues(row), 1, { node, entries }),
    async read(callId) {
      const underWay = backend.underWay(callId);
      return underWay ? rowFromValues(underWay) : backend.read("row", [callId]);
    },
    readOpen: (callId) => backend.read("openRecord", [callId]),
    list({ limit, callerId = null, model = null, target = null, since = null }) {
      const most = Math.min(limit, LIST_ROWS);
      if (model === null && target === null && since === null) return backend.read("rows", [most, callerId]);
      return backend.read("rowsWhere", [most, LOOKED_BACK_ROWS, callerId, model, target, since]);
    },
    count: () => backend.read("count", []),
    page: ({ after, since = null, until = null, model = null }) => backend.read("ledgerPage", [after, PAGE_ROWS, since, until, model]),
    async reprice({ id, at, priceVersion, entries }) {
      await Promise.all(
        chunks(entries.map(repricedEntry), REPRICED_ROWS).map((some) => backend.write("reprice", [id, at, priceVersion, some])),
      );
    },
    repricings: (callId) => backend.read("repricings", [callId]),
    interruptOpen: (node, priceVersion) => backend.write("interrupt", [node ?? null, priceVersion, clock.now()]),
    flush: () => backend.flush(),
    failure: () => backend.failure(),
    lost: () => backend.lost(),
  };
}

function reportStore(backend: Backend): ReportStore {
  return {
    follow: (metadata, values) => backend.write("followRollups", [metadata, values]),
    async lines(query) {
      const answer = await backend.read("reportLines", [query]);
      if ("problem" in answer) throw new ProblemError(answer.problem);
      return answer.lines;
    },
    rollUp: (restart) => backend.write("rollUp", [restart]),
  };
}

function repricedEntry(entry: RepricingRun["entries"][number]): RepricedEntry {
  return [entry.callId, entry.costNanodollars ?? null, entry.previousNanodollars ?? null, entry.previousVersion];
}

function chunks<T>(all: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, place) => all.slice(place * size, (place + 1) * size));
}

function callStore(backend: Backend): CallStore {
  const turns = new Landing();
  const natives = new Landing();
  return {
    keepTurn: (turn) =>
      turns.track(
        [keyOf(turn.scope, turn.id)],
        backend.write("keepTurn", [turn.scope, turn.id, turn.previousId ?? null, turn.createdAt, turn.expiresAt, packTurn(turn)]),
      ),
    async readTurn(scope, id, now) {
      await turns.landed([keyOf(scope, id)]);
      const found = await backend.read("turn", [scope, id, now]);
      return found && unpackTurn(...found);
    },
    async readChain(scope, id, limit, now) {
      // Its predecessors were written before it.
      await turns.landed([keyOf(scope, id)]);
      const found = await backend.read("chain", [scope, id, limit, now]);
      return found?.map(([head, content]) => unpackTurn(head, content)).toReversed();
    },
    deleteTurn: (scope, id) => backend.write("deleteTurn", [scope, id]),
    async keepNative(kept) {
      const writes = kept.map((one) => backend.write("keepNative", [one.scope, one.anchor, one.expiresAt, packItems(one.items)]));
      await natives.track(
        kept.map((one) => keyOf(one.scope, one.anchor)),
        Promise.all(writes),
      );
    },
    async findNative(scope, anchors, now) {
      if (anchors.length === 0) return new Map();
      await natives.landed(anchors.map((anchor) => keyOf(scope, anchor)));
      const found = await backend.read("native", [scope, anchors, now]);
      return new Map(found.map(([anchor, content]) => [anchor, unpackItems(content)]));
    },
    async expire(now) {
      let forgotten = 0;
      for (;;) {
        const some = await backend.write("expire", [now, EXPIRE_ROWS]);
        forgotten += some;
        if (some < EXPIRE_ROWS) return forgotten;
      }
    },
  };
}

function keyOf(scope: string, id: string): string {
  return `${scope}\u0000${id}`;
}

/**
 * Writes under way, so that a read of the same thing waits for them: a client that has seen the end of an answer may name it as
 * predecessor before its commit.
 */
class Landing {
  readonly #underWay = new Map<string, Promise<unknown>>();

  async track<T>(keys: readonly string[], write: Promise<T>): Promise<T> {
    for (const key of keys) this.#underWay.set(key, write);
    try {
      return await write;
    } finally {
      for (const key of keys) if (this.#underWay.get(key) === write) this.#underWay.delete(key);
    }
  }

  async landed(keys: readonly string[]): Promise<void> {
    if (this.#underWay.size === 0) return;
    // What could not be written is not found by the read either, which then says so.
    await Promise.allSettled(keys.flatMap((key) => this.#underWay.get(key) ?? []));
  }
}

function keyStore(backend: Backend): KeyStore {
  return {
    create: (key, note) => writeNoted(backend, note, "createKey", [key]),
    byHash: (hash) => backend.read("keyByHash", [hash]),
    list: () => backend.read("keys", []),
    rotate: (id, next, at, until, note) => writeNoted(backend, note, "rotateKey", [id, next, at, until]),
    revoke: (id, at, note) => writeNoted(backend, note, "revokeKey", [id, at]),
    edit: (account, change, note) => writeNoted(backend, note, "editAccount", [account, change]),
    bound: (group, name, change, note) => writeNoted(backend, note, "boundGroup", [group, name, change]),
    bounds: () => backend.read("bounds", []),
    deny: (entry, note) => writeNoted(backend, note, "deny", [entry]),
    allow: (id, note) => writeNoted(backend, note, "allow", [id]),
    denials: (now) => backend.read("denials", [now]),
    generation: () => Promise.resolve(backend.generation()),
  };
}

function configStore(backend: Backend): ConfigStore {
  return {
    append: ({ createdAt, author, text, rollbackOf }, base, note) =>
      writeNoted(backend, note, "appendConfig", [createdAt, author, text, rollbackOf ?? null, base ?? null]),
    markInForce: (version, node, at) => backend.write("configInForce", [version, node, at]),
    read: (version) => backend.read("config", [version]),
    list: (limit) => backend.read("configs", [Math.min(limit, LIST_ROWS)]),
    watch: (listener) => whenRaised(backend, listener),
  };
}

function switchStore(backend: Backend): SwitchStore {
  return {
    put: (entry, note) => writeNoted(backend, note, "putSwitch", [entry]),
    remove: (id, note) => writeNoted(backend, note, "removeSwitch", [id]),
    list: () => backend.read("switches", []),
    watch: (listener) => whenRaised(backend, listener),
  };
}

function toolPinStore(backend: Backend): ToolPinStore {
  return {
    pin: (pin, first, note) => writeNoted(backend, note, "pinTool", [pin, first]),
    unpin: (server, tool, note) => writeNoted(backend, note, "unpinTool", [server, tool]),
    list: () => backend.read("toolPins", []),
    watch: (listener) => whenRaised(backend, listener),
  };
}

function budgetStore(backend: Backend): BudgetStore {
  return {
    lease: (node, asks, now) => backend.write("lease", [node, now, asks]),
    list: (since, limit) => backend.read("counters", [since, Math.min(limit, LIST_ROWS)]),
    async expire(before) {
      let forgotten = 0;
      for (;;) {
        const some = await backend.write("expireCounters", [before, EXPIRE_ROWS]);
        forgotten += some;
        if (some < EXPIRE_ROWS) return forgotten;
      }
    },
  };
}

/** The generation covers keys, configuration, switches and pins together: a false alarm costs one read, a table of generations more. */
function whenRaised(backend: Backend, listener: () => void): () => void {
  let known = backend.generation();
  return backend.watch(() => {
    const generation = backend.generation();
    if (generation === known) return;
    known = generation;
    listener();
  });
}

/** One process has nobody to tell. */
export const NO_SIGNALS: Signals = { tell() {}, hear: () => () => {} };

function journalStore(backend: Backend): JournalStore {
  return {
    async append(parts, now) {
      await backend.journal({ kind: "append", spill: packSpill(parts, now) });
    },
    find: (callId, now) => backend.read("journalEntry", [callId, now]),
    findAnswer: (scope, answerId, now) => backend.read("journalOfAnswer", [scope, answerId, now]),
    read: (callId, after, maxBytes, now, from) => backend.read("journalPage", [callId, after, maxBytes, now, from]),
    abandon: (node, until) => backend.journal({ kind: "abandon", node: node ?? null, until }),
  };
}

function idempotencyStore(backend: Backend): IdempotencyStore {
  return {
    async claim({ scope, key, fingerprint, callId, node, expiresAt }, now, instead) {
      const columns = await backend.write("claimKey", [scope, key, fingerprint, callId, node, expiresAt, now, instead ?? null]);
      return columns && heldKey(columns);
    },
    keep: (scope, key, callId, answer) => backend.write("keepAnswer", [scope, key, callId, packAnswer(answer)]),
    release: (scope, key, callId) => backend.write("releaseKey", [scope, key, callId]),
    async read(scope, key, now) {
      const columns = await backend.read("heldKey", [scope, key, now]);
      return columns && heldKey(columns);
    },
  };
}

function heldKey({ callId, node, fingerprint, answer: packed }: HeldColumns): HeldKey {
  const answer = packed ? unpackAnswer(packed) : undefined;
  return { callId, node, fingerprint, ...(answer && { answer }) };
}
