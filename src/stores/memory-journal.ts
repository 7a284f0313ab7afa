import type { HeldKey, IdempotencyStore, JournalEntry, JournalHead, JournalStore, RepeatableAnswer } from "../canon/index.ts";

interface Journaled {
  readonly entry: JournalEntry;
  readonly head: JournalHead | undefined;
  readonly frames: Buffer[];
  readonly expiresAt: number | undefined;
}

/** A journal that forgets everything with the process: for tests. It keeps copies, as a file does. */
export function memoryJournal(): JournalStore {
  const calls = new Map<string, Journaled>();
  const find = (callId: string, now: number): Journaled | undefined => {
    const found = calls.get(callId);
    return found && (found.expiresAt === undefined || found.expiresAt > now) ? found : undefined;
  };
  return {
    async append(parts, now) {
      for (const { callId, scope, dialect, node, head, frames, until } of parts) {
        const known = calls.get(callId);
        const state = until === undefined ? "open" : "ended";
        calls.set(callId, {
          entry: { callId, scope, dialect, node, state, beganAt: known?.entry.beganAt ?? now },
          head: known?.head ?? structuredClone(head),
          frames: [...(known?.frames ?? []), ...frames.map((frame) => Buffer.from(frame))],
          expiresAt: until,
        });
      }
    },
    find: async (callId, now) => find(callId, now)?.entry,
    findAnswer: async (scope, answerId, now) =>
      [...calls.values()]
        .filter(({ entry, head }) => entry.scope === scope && head?.answerId === answerId && find(entry.callId, now))
        .at(-1)?.entry,
    async read(callId, after, maxBytes, now, from) {
      const found = find(callId, now);
      if (!found) return undefined;
      const frames: Buffer[] = [];
      let bytes = 0;
      for (const frame of found.frames.slice(after)) {
        if (bytes >= maxBytes) break;
        bytes += frame.length;
        frames.push(frame);
      }
      const more = after + frames.length < found.frames.length;
      return { entry: found.entry, head: from === 0 ? found.head : undefined, first: after + 1, frames, more, next: 1 };
    },
    async abandon(node, until) {
      let abandoned = 0;
      for (const [id, { entry, ...rest }] of calls) {
        if (entry.state !== "open" || (node !== undefined && entry.node !== node)) continue;
        calls.set(id, { ...rest, entry: { ...entry, state: "broken" }, expiresAt: until });
        abandoned++;
      }
      return abandoned;
    },
  };
}

/** The same of idempotency keys. */
export function memoryIdempotency(): IdempotencyStore {
  const held = new Map<string, HeldKey & { readonly expiresAt: number }>();
  const nameOf = (scope: string, key: string): string => JSON.stringify([scope, key]);
  const read = (scope: string, key: string, now: number): HeldKey | undefined => {
    const found = held.get(nameOf(scope, key));
    if (!found || found.expiresAt <= now) return undefined;
    const { expiresAt: _, ...rest } = found;
    return rest;
  };
  return {
    async claim({ scope, key, fingerprint, callId, node, expiresAt }, now, instead) {
      const other = read(scope, key, now);
      if (other && other.callId !== callId && other.callId !== instead) return other;
      held.set(nameOf(scope, key), { callId, node, fingerprint, expiresAt });
      return undefined;
    },
    async keep(scope, key, callId, answer) {
      const mine = held.get(nameOf(scope, key));
      if (mine?.callId === callId) held.set(nameOf(scope, key), { ...mine, answer: copyOf(answer) });
    },
    async release(scope, key, callId) {
      if (held.get(nameOf(scope, key))?.callId === callId) held.delete(nameOf(scope, key));
    },
    read: async (scope, key, now) => read(scope, key, now),
  };
}

function copyOf({ head, frames }: RepeatableAnswer): RepeatableAnswer {
  return { head: structuredClone(head), frames: frames.map((frame) => Buffer.from(frame)) };
}
