import type { HeldKey, IdempotencyStore, JournalEntry, JournalHead, JournalStore, RepeatableAnswer } from "../canon/index.ts";

interface Journaled {
  readonly entry: JournalEntry;
  readonly head: JournalHead | undefined;
  readonly frames: readonly { readonly number: number; readonly bytes: Buffer }[];
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
      for (const { callId, scope, dialect, node, head, first, frames, until } of parts) {
        const known = calls.get(callId);
        if (!known && !head) continue;
        const beganAt = known?.entry.beganAt ?? now;
        const ended = until === undefined ? { state: "open" as const } : { state: "ended" as const, last: first + frames.length - 1 };
        calls.set(callId, {
          entry: { callId, scope, dialect, node, beganAt, ...ended },
          head: known?.head ?? structuredClone(head),
          frames: [...(known?.frames ?? []), ...frames.map((frame, place) => ({ number: first + place, bytes: Buffer.from(frame) }))],
          expiresAt: until,
        });
      }
    },
    find: async (callId, now) => find(callId, now)?.entry,
    findAnswer: async (scope, answerId, now) =>
      [...calls.values()]
        .filter(({ entry, head }) => entry.scope === scope && head?.findable && head.answerId === answerId && find(entry.callId, now))
        .at(-1)?.entry,
    async read(callId, after, maxBytes, now, from) {
      const found = find(callId, now);
      if (!found) return undefined;
      const behind = found.frames.filter(({ number }) => number > after);
      const frames: Buffer[] = [];
      const first = behind[0]?.number ?? Math.max(after, found.entry.last ?? after) + 1;
      let bytes = 0;
      for (const frame of behind) {
        if (bytes >= maxBytes || frame.number > first + frames.length) break;
        bytes += frame.bytes.length;
        frames.push(frame.bytes);
      }
      const more = frames.length < behind.length;
      return { entry: found.entry, head: from === 0 ? found.head : undefined, first, frames, more, next: 1 };
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
