import type { ContentSelection, ContentStore, PackedContent, StoredContent } from "../canon/index.ts";
import type { Backend } from "./backend.ts";

const MS_PER_DAY = 86_400_000;

/** Days since 1970, in UTC. */
export function dayOf(ms: number): number {
  return Math.floor(ms / MS_PER_DAY);
}

export function dayName(day: number): string {
  return new Date(day * MS_PER_DAY).toISOString().slice(0, 10);
}

/** What a sealed entry is bound to. */
export function contentIdentity(callId: string): readonly string[] {
  return ["content", callId];
}

export function contentStore(backend: Backend): ContentStore {
  return {
    keep: (packed) => backend.write("keepContents", [packed]),
    read: (callId, at, now) => backend.read("content", [callId, Math.round(at), now]),
    async erase({ kind, value }) {
      let erased = 0;
      for (let after: string | undefined = ""; after !== undefined;) {
        const step: { readonly erased: number; readonly next: string | undefined } = await backend.write("eraseContent", [
          kind,
          value,
          after,
        ]);
        erased += step.erased;
        after = step.next;
      }
      return erased;
    },
    drop: (now) => backend.write("dropContent", [now]),
    partitions: () => backend.read("contentPartitions", []),
  };
}

/** For tests. */
export function memoryContent(): ContentStore {
  const days = new Map<number, Map<string, PackedContent>>();
  const isOf = ([callId, callerId, endUser]: PackedContent, { kind, value }: ContentSelection): boolean =>
    value === (kind === "call" ? callId : kind === "caller" ? callerId : endUser);
  return {
    async keep(packed) {
      for (const entry of JSON.parse(packed) as readonly PackedContent[]) {
        const day = days.get(dayOf(entry[4])) ?? new Map<string, PackedContent>();
        days.set(dayOf(entry[4]), day);
        if (!day.has(entry[0])) day.set(entry[0], entry);
      }
    },
    async read(callId, _at, now) {
      const entry = [...days.values()].map((day) => day.get(callId)).find((one) => one !== undefined);
      return entry && entry[4] > now ? storedContent(entry) : undefined;
    },
    async erase(selection) {
      let erased = 0;
      for (const day of days.values()) for (const [id, entry] of day) if (isOf(entry, selection) && day.delete(id)) erased++;
      return erased;
    },
    async drop(now) {
      const over = [...days.keys()].filter((day) => day < dayOf(now));
      for (const day of over) days.delete(day);
      return over.length;
    },
    partitions: async () =>
      [...days].toSorted(([a], [b]) => a - b).map(([day, entries]) => ({ expires: dayName(day), calls: entries.size })),
  };
}

export function storedContent([callId, callerId, , at, expiresAt, content]: PackedContent): StoredContent {
  return { callId, callerId, at, expiresAt, content: JSON.parse(content) as StoredContent["content"] };
}
