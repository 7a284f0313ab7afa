import type { CachedAnswer, CacheSelection, CacheStore } from "../canon/index.ts";
import { writeNoted } from "./audit.ts";
import type { Backend } from "./backend.ts";

/** Answers forgotten in one transaction, so that other writes are not kept waiting. */
const FORGET_ROWS = 500;

export function cacheStore(backend: Backend): CacheStore {
  const inPortions = async (portion: () => Promise<number>): Promise<number> => {
    let forgotten = 0;
    for (;;) {
      const some = await portion();
      forgotten += some;
      if (some < FORGET_ROWS) return forgotten;
    }
  };
  return {
    keep: (answer, generation, maxBytes) =>
      backend.write("keepCached", [
        answer.scope,
        answer.key,
        answer.model,
        answer.target,
        JSON.stringify(answer.tags),
        Math.round(answer.createdAt),
        Math.round(answer.freshUntil),
        Math.round(answer.expiresAt),
        generation,
        maxBytes,
        answer.content,
      ]),
    read: (scope, key, now) => backend.read("cached", [scope, key, Math.round(now)]),
    forget(selection, note) {
      // The note goes with the first portion, which also says that there is something to forget.
      let next = note;
      return inPortions(() => {
        const first = next;
        next = undefined;
        return writeNoted(backend, first, "forgetCached", [selection.kind, valueOf(selection), FORGET_ROWS]);
      });
    },
    generation: () => backend.read("cacheGeneration", []),
    expire: (now) => inPortions(() => backend.write("expireCached", [Math.round(now), FORGET_ROWS])),
  };
}

function valueOf(selection: CacheSelection): string {
  return selection.kind === "all" ? "" : selection.value;
}

/** For tests: forgets everything with the process. */
export function memoryCache(): CacheStore {
  const answers = new Map<string, CachedAnswer>();
  let generation = 0;
  const forgetWhere = (test: (answer: CachedAnswer) => boolean): number => {
    let forgotten = 0;
    for (const [id, answer] of answers) if (test(answer) && answers.delete(id)) forgotten++;
    return forgotten;
  };
  return {
    async keep(answer, expected, maxBytes) {
      if (expected !== generation) return false;
      const id = idOf(answer.scope, answer.key);
      answers.delete(id);
      if (answer.content.length > maxBytes) return false;
      let bytes = 0;
      for (const { content } of answers.values()) bytes += content.length;
      for (const old of [...answers.values()].toSorted((a, b) => a.expiresAt - b.expiresAt)) {
        if (bytes + answer.content.length <= maxBytes) break;
        bytes -= old.content.length;
        answers.delete(idOf(old.scope, old.key));
      }
      answers.set(id, structuredClone(answer));
      return true;
    },
    async read(scope, key, now) {
      const found = answers.get(idOf(scope, key));
      return found && found.expiresAt > now ? structuredClone(found) : undefined;
    },
    async forget(selection) {
      generation++;
      return forgetWhere((answer) => isSelected(answer, selection));
    },
    generation: async () => generation,
    expire: async (now) => forgetWhere((answer) => answer.expiresAt <= now),
  };
}

function idOf(scope: string, key: string): string {
  return `${scope}\u0000${key}`;
}

function isSelected(answer: CachedAnswer, selection: CacheSelection): boolean {
  if (selection.kind === "all") return true;
  if (selection.kind === "tag") return answer.tags.includes(selection.value);
  return answer[selection.kind] === selection.value;
}
